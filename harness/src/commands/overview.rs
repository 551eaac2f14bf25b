//! `bitbench` alone: what it can do on this machine, and the one command to start.

use super::Code;
use crate::energy::survey::survey;
use crate::energy::sysfs::SysFs;
use crate::host;
use crate::progress;
use crate::tune::{Fingerprint, StoredError, TUNED_FILE, Tuned};
use bitbench_engine::cpu::Cpu;
use bitbench_engine::kernels::{VARIANTS, best};
use std::path::Path;

/// The suite to begin with on this architecture.
const SUITE: &str = if cfg!(target_arch = "aarch64") {
    "arm-energy"
} else {
    "x86-energy"
};

/// Columns before the text of a line.
const LABEL: usize = 10;

/// Prints what was seen within a fraction of a second: nothing is measured.
pub(super) fn overview() -> Code {
    let cpu = Cpu::detect();
    let host = host::capture(&cpu);
    let width = super::run::output_width();
    let line = |label: &str, text: &str| {
        let room = width.saturating_sub(LABEL + 1).max(20);
        for (number, part) in progress::wrapped(text, room).iter().enumerate() {
            let label = if number == 0 { label } else { "" };
            say!("{label:<LABEL$}{part}");
        }
    };
    say!("bitbench {}", crate::VERSION);
    say!("How much faster, smaller and thriftier ternary models are on this machine.");
    say!("");
    line(
        "CPU",
        &format!(
            "{}, {}",
            host.cpu.as_deref().unwrap_or("unknown"),
            counted(host.physical_cores, "physical core"),
        ),
    );
    line("", &format!("{}: {}", host.arch, features(&cpu)));
    line(
        "memory",
        &memory(host.memory_bytes, host::available_memory()),
    );
    let [ternary, half] = kernels(&cpu);
    line("kernels", &ternary);
    line("baseline", &half);
    line("energy", &energy());
    line("tuned", &tuned(&cpu));
    say!("");
    say!("Start with, for a first table within a minute:");
    say!("  bitbench run --suite {SUITE} --quick");
    say!("");
    say!("Then: bitbench list suites, bitbench doctor, bitbench --help");
    Code::Done
}

fn counted(number: u32, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}

fn features(cpu: &Cpu) -> String {
    let names: Vec<&str> = cpu.features().map(|f| f.name()).collect();
    match names.is_empty() {
        true => "none of the instruction sets that kernels here are written for".to_owned(),
        false => names.join(" "),
    }
}

#[expect(clippy::cast_precision_loss, reason = "bytes of memory, for a message")]
fn memory(all: Option<u64>, available: Option<u64>) -> String {
    let gb = |bytes: Option<u64>| {
        bytes.map_or("unknown".to_owned(), |b| {
            format!("{:.1} GB", b as f64 / 1e9)
        })
    };
    format!("{}, {} available", gb(all), gb(available))
}

/// The best variants of the ternary families, and of those in half precision.
fn kernels(cpu: &Cpu) -> [String; 2] {
    let mut names: [Vec<&str>; 2] = [Vec::new(), Vec::new()];
    for variant in VARIANTS {
        let of_family = best(variant.family, cpu).name;
        let names = &mut names[usize::from(!variant.family.is_ternary())];
        if !names.contains(&of_family) {
            names.push(of_family);
        }
    }
    names.map(|names| names.join(", "))
}

/// What a run would read, or the shortest way to something that can be read.
fn energy() -> String {
    let surveyed = survey(&SysFs::machine());
    if let Some(source) = surveyed.iter().find(|s| s.chosen) {
        return format!("{}: {}", source.name, source.about);
    }
    let first = surveyed.first().and_then(|source| source.reason());
    format!(
        "not measured here: {}; speed and memory are. What helps: bitbench doctor",
        first.unwrap_or_else(|| "no source".to_owned())
    )
}

fn tuned(cpu: &Cpu) -> String {
    const COMMAND: &str = "bitbench tune --model 2B4T";
    let fingerprint = Fingerprint::of_this_host(cpu);
    match Tuned::load(Path::new(TUNED_FILE), &fingerprint, COMMAND) {
        Ok(tuned) => {
            let names: Vec<&str> = tuned.models.iter().map(|m| m.name.as_str()).collect();
            format!("{} (--kernel tuned)", names.join(", "))
        }
        Err(StoredError::NotTuned { .. }) => {
            format!("nothing in this folder; {COMMAND} finds the fastest kernel and threads")
        }
        Err(other) => other.to_string(),
    }
}
