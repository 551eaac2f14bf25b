//! Which kernels and heads the patterns of a suite stand for on this CPU.

use super::{Choices, PlanError};
use crate::suite;
use crate::tune::{self, Fingerprint, StoredError, TUNED_FILE, Tuned, layer_shapes};
use bitbench_engine::cpu::Cpu;
use bitbench_engine::heads::{self, HEADS, HeadChoice};
use bitbench_engine::kernels::{self, Family, KernelVariant};
use bitbench_engine::model::Config;
use bitbench_reports::record::Precision;
use std::path::Path;

/// The pattern of the best variant of each half-precision family: the report takes the faster one as baseline, phase by phase.
const BEST_HALF: &str = "half-best";
/// The half-precision families.
const HALF: [Family; 2] = [Family::F16, Family::Bf16];

/// The family in the name of a variant, which is `{family}-{isa}`.
fn family_name(variant: &str) -> &str {
    variant
        .split_once('-')
        .map_or(variant, |(family, _)| family)
}

/// The patterns that stand for what `bitbench tune` chose: for which weights, and for which phase.
fn tuned_pattern(pattern: &str) -> Option<(Precision, tune::Phase)> {
    match pattern {
        "tuned" => Some((Precision::Ternary, tune::Phase::Decode)),
        "tuned-prefill" => Some((Precision::Ternary, tune::Phase::Prefill)),
        "tuned-half" => Some((Precision::Half, tune::Phase::Decode)),
        "tuned-half-prefill" => Some((Precision::Half, tune::Phase::Prefill)),
        _ => None,
    }
}

/// The patterns, with the variants that were tuned for these layers and threads by their names: a record says what ran.
pub(super) fn name_tuned(
    patterns: &[String],
    model: &str,
    config: &Config,
    threads: u32,
    choices: &Choices,
    cpu: &Cpu,
) -> Result<Vec<String>, PlanError> {
    if patterns.iter().all(|p| tuned_pattern(p).is_none()) {
        return Ok(patterns.to_vec());
    }
    let path = choices.tuned.as_deref().unwrap_or(Path::new(TUNED_FILE));
    let mut command = format!("bitbench tune --model {model}");
    if let Some(path) = &choices.tuned {
        command.push_str(&format!(" --out {}", path.display()));
    }
    let tuned = Tuned::load(path, &Fingerprint::of_this_host(cpu), &command)?;
    let shapes = layer_shapes(config);
    let mut named = Vec::new();
    for pattern in patterns {
        let Some((precision, phase)) = tuned_pattern(pattern) else {
            named.push(pattern.clone());
            continue;
        };
        let choice = tuned.choice(config.layers, &shapes, phase, precision, threads);
        let choice = choice.ok_or_else(|| {
            let known = tuned.model(config.layers, &shapes);
            let (what, command) = match known {
                None => (format!("choice for {model}"), command.clone()),
                Some(known) => {
                    // What was tuned is replaced, so the numbers there are must be in the list again.
                    let mut all: Vec<u32> = known.choices.iter().map(|c| c.threads).collect();
                    all.push(threads);
                    all.sort_unstable();
                    all.dedup();
                    let all: Vec<String> = all.iter().map(u32::to_string).collect();
                    (
                        format!("choice of {pattern} for {model} with threads = {threads}"),
                        format!("{command} --threads {}", all.join(",")),
                    )
                }
            };
            StoredError::NoChoice {
                path: path.to_owned(),
                what,
                command,
            }
        })?;
        named.push(choice.kernel.clone());
    }
    Ok(named)
}

/// The variants that match the patterns, with their places in the registry, in its order.
pub(super) fn select(
    patterns: &[String],
    cpu: &Cpu,
) -> Result<Vec<(usize, &'static KernelVariant)>, PlanError> {
    let is_best = |family: Family, name: &str| kernels::best(family, cpu).name == name;
    let fits = |pattern: &str, name: &str| match pattern {
        BEST_HALF => HALF.iter().any(|family| is_best(*family, name)),
        _ => match pattern.strip_suffix("-best") {
            Some(family) => {
                let of_family = |k: &&&KernelVariant| family_name(k.name) == family;
                let member = kernels::VARIANTS.iter().find(of_family);
                member.is_some_and(|k| is_best(k.family, name))
            }
            None => suite::matches(pattern, name),
        },
    };
    for pattern in patterns {
        if !kernels::VARIANTS.iter().any(|k| fits(pattern, k.name)) {
            let known: Vec<&str> = kernels::VARIANTS.iter().map(|k| k.name).collect();
            return Err(PlanError::UnknownKernel {
                pattern: pattern.clone(),
                known: known.join(", "),
            });
        }
    }
    Ok(kernels::VARIANTS
        .iter()
        .copied()
        .enumerate()
        .filter(|(_, k)| patterns.iter().any(|p| fits(p, k.name)))
        .collect())
}

/// The heads of these names, each once.
pub(super) fn find_heads(names: &[String]) -> Result<Vec<&'static HeadChoice>, PlanError> {
    let mut found: Vec<&'static HeadChoice> = Vec::new();
    for name in names {
        let head = heads::find(name).ok_or_else(|| PlanError::UnknownHead {
            name: name.clone(),
            known: HEADS.iter().map(|h| h.name).collect::<Vec<_>>().join(", "),
        })?;
        if found.iter().all(|other| other.name != head.name) {
            found.push(head);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_best_is_the_best_variant_of_each_half_precision_family() {
        for cpu in [Cpu::scalar(), Cpu::detect()] {
            let families = |pattern: &str| -> Vec<Family> {
                let chosen = select(&[pattern.to_owned()], &cpu).expect("matches");
                assert!(chosen.iter().all(|(_, k)| cpu.require(k.requires).is_ok()));
                chosen.iter().map(|(_, k)| k.family).collect()
            };
            assert_eq!(families(BEST_HALF), HALF);
            assert_eq!(families("f16-best"), [Family::F16]);
            assert_eq!(families("i2s-best"), [Family::I2s]);
        }
        assert!(HALF.iter().all(|family| !family.is_ternary()));
    }
}
