//! `bitbench doctor`: what can be measured here, what cannot, and what would help.

use super::energy::EnergyArguments;
use super::{Code, CommandError};
use crate::host;
use bitbench_engine::cpu::Cpu;
use bitbench_engine::kernels::VARIANTS;
use bitbench_reports::record::Host;

/// Arguments of `bitbench doctor`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    energy: EnergyArguments,
}

/// Prints what the machine is and can do.
///
/// # Errors
/// See [`CommandError`].
pub fn doctor(arguments: &Arguments) -> Result<Code, CommandError> {
    let cpu = Cpu::detect();
    let host = host::capture(&cpu);
    print_machine(&host);
    say!("Kernels");
    for variant in VARIANTS {
        match cpu.require(variant.requires) {
            Ok(()) => say!("  {:<12} runs here", variant.name),
            Err(missing) => say!("  {:<12} cannot run: {missing}", variant.name),
        }
    }
    say!("Energy");
    let code = arguments.energy.print_doctor()?;
    let warnings = warnings(&host);
    say!("Advice");
    if warnings.is_empty() {
        say!("  nothing seen that would disturb a measurement");
    }
    warnings.iter().for_each(|warning| say!("  {warning}"));
    Ok(code)
}

fn print_machine(host: &Host) {
    let unknown = || "unknown".to_owned();
    let gigabytes =
        |bytes: Option<u64>| bytes.map_or_else(unknown, |b| format!("{:.1} GB", to_gigabytes(b)));
    let lines = [
        ("CPU", host.cpu.clone().unwrap_or_else(unknown)),
        (
            "cores",
            format!(
                "{} physical, {} hardware threads",
                host.physical_cores, host.logical_cpus
            ),
        ),
        ("features", host.features.join(" ")),
        (
            "memory",
            format!(
                "{}, {} available",
                gigabytes(host.memory_bytes),
                gigabytes(host::available_memory())
            ),
        ),
        ("system", host.os.clone().unwrap_or_else(unknown)),
        (
            "virtual",
            host.virtualisation
                .clone()
                .unwrap_or_else(|| "no sign of it".to_owned()),
        ),
        ("governor", host.governor.clone().unwrap_or_else(unknown)),
        (
            "huge pages",
            host.transparent_huge_pages.clone().unwrap_or_else(unknown),
        ),
    ];
    say!("Machine");
    for (name, value) in lines {
        say!("  {name:<12} {value}");
    }
}

/// What was seen, the likely cause, and the command that mends it.
fn warnings(host: &Host) -> Vec<String> {
    let mut warnings = Vec::new();
    if host.governor.as_deref() == Some("powersave") {
        warnings.push(
            "the frequency governor is powersave, so clocks may stay low: sudo cpupower frequency-set -g performance"
                .to_owned(),
        );
    }
    if host.transparent_huge_pages.as_deref() == Some("never") {
        warnings.push(
            "transparent huge pages are off, which costs decode a few per cent: \
             echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled"
                .to_owned(),
        );
    }
    if let Some(load) = host.load_centi.filter(|load| *load > 50) {
        warnings.push(format!(
            "the load average is {}.{:02}: something else is running and will be in the figures; `top` says what",
            load / 100,
            load % 100
        ));
    }
    if let Some(virtualisation) = &host.virtualisation {
        warnings.push(format!(
            "{virtualisation}: neighbours share memory bandwidth and clocks, so compare within one run only"
        ));
    }
    warnings
}

#[expect(clippy::cast_precision_loss, reason = "for display")]
fn to_gigabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e9
}
