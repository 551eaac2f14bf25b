//! What was found, as `--json` prints it.

use super::advice::{Advice, of};
use crate::counters::{self, Counters};
use crate::energy::survey::Surveyed;
use crate::noise::Noise;
use crate::probe::Probed;
use crate::roots::Roots;
use crate::surroundings;
use bitbench_engine::cpu::Cpu;
use bitbench_engine::kernels::VARIANTS;
use bitbench_reports::record::Host;
use serde::Serialize;
use std::collections::BTreeMap;

/// Everything that `bitbench doctor` found.
#[derive(Debug, Serialize)]
pub(super) struct Examined {
    pub(super) bitbench: &'static str,
    pub(super) host: Host,
    pub(super) kernels: Vec<Kernel>,
    pub(super) energy: Vec<Source>,
    pub(super) around_windows: Vec<Around>,
    pub(super) advice: Vec<Advice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) probe: Option<Vec<Probed>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) noise: Option<Noise>,
}

/// A kernel variant, and what the CPU lacks for it.
#[derive(Debug, Serialize)]
pub(super) struct Kernel {
    pub(super) name: &'static str,
    pub(super) missing: Option<String>,
}

/// An energy source.
#[derive(Debug, Serialize)]
pub(super) struct Source {
    pub(super) name: &'static str,
    pub(super) status: &'static str,
    pub(super) why: Option<String>,
    pub(super) fix: Option<String>,
}

/// Something that is read before and after each window.
#[derive(Debug, Serialize)]
pub(super) struct Around {
    pub(super) name: String,
    pub(super) note: Option<String>,
    pub(super) missing: Option<String>,
    pub(super) fix: Option<String>,
}

impl Examined {
    pub(super) fn of(host: Host, cpu: &Cpu, energy: &[Surveyed]) -> Examined {
        let kernels = VARIANTS.iter().map(|variant| Kernel {
            name: variant.name,
            missing: cpu
                .require(variant.requires)
                .err()
                .map(|missing| missing.to_string()),
        });
        let sources = energy.iter().map(|source| Source {
            name: source.name,
            status: source.status(),
            why: source.reason(),
            fix: source.remedy(),
        });
        let roots = Roots::machine();
        let mut around: Vec<Around> = surroundings::survey(&roots)
            .into_iter()
            .map(|seen| Around {
                name: seen.name.to_owned(),
                note: None,
                missing: seen.state.err(),
                fix: seen.fix.map(ToOwned::to_owned),
            })
            .collect();
        around.extend(event_counters(&roots));
        Examined {
            bitbench: crate::VERSION,
            kernels: kernels.collect(),
            energy: sources.collect(),
            around_windows: around,
            advice: of(&host),
            host,
            probe: None,
            noise: None,
        }
    }
}

/// The event counters, tried out on this process; those that are missing for the same reason together.
fn event_counters(roots: &Roots) -> Vec<Around> {
    let counters = Counters::attach(roots, std::process::id());
    let mut lines: Vec<Around> = counters
        .counted()
        .into_iter()
        .map(|(name, user_only)| Around {
            name: name.replace('_', " "),
            note: user_only.then(|| "read, in user mode only".to_owned()),
            missing: None,
            fix: None,
        })
        .collect();
    let mut reasons: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, reason) in counters.missing() {
        reasons
            .entry(reason)
            .or_default()
            .push(name.replace('_', " "));
    }
    lines.extend(reasons.into_iter().map(|(reason, names)| Around {
        name: "event counters".to_owned(),
        note: None,
        missing: Some(format!("{}: {reason}", names.join(", "))),
        fix: counters::fix(reason),
    }));
    lines
}
