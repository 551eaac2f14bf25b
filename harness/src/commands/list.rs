//! `bitbench list`: what there is to choose from.

use super::{Code, CommandError, energy};
use crate::energy::sysfs::SysFs;
use crate::{pair, suite};
use bitbench_engine::cpu::Cpu;
use bitbench_engine::heads::HEADS;
use bitbench_engine::kernels::VARIANTS;
use bitbench_reports::export::FORMATS;
use clap::ValueEnum;
use std::path::PathBuf;

/// Arguments of `bitbench list`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  bitbench list
  bitbench list suites
  bitbench list kernels")]
pub struct Arguments {
    /// What to list [default: everything]
    what: Option<What>,
    /// Folder in the place of /sys
    #[arg(long, value_name = "DIR")]
    sysfs_root: Option<PathBuf>,
}

/// What can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    Suites,
    Kernels,
    Heads,
    Models,
    Energy,
    Formats,
}

/// Lists suites, kernels, heads, models, energy sources and formats of reports.
///
/// # Errors
/// See [`CommandError`].
pub fn list(arguments: &Arguments) -> Result<Code, CommandError> {
    let wanted = |what| arguments.what.is_none_or(|w| w == what);
    if wanted(What::Suites) {
        say!("Suites");
        for name in suite::suite_names() {
            let loaded = suite::load(&name).map_err(CommandError::usage)?;
            say!("  {name:<12} {}", loaded.suite.title());
        }
        say!("  (how to read one, and what it would run here: bitbench run --suite NAME --list)");
    }
    if wanted(What::Kernels) {
        say!("Kernels");
        let cpu = Cpu::detect();
        for variant in VARIANTS {
            let state = match cpu.require(variant.requires) {
                Ok(()) => "runs here".to_owned(),
                Err(missing) => format!("cannot run: {missing}"),
            };
            say!(
                "  {:<12} {:>5.2} bits/weight, {state}",
                variant.name,
                variant.bits_per_weight
            );
            say!("      {}", variant.about);
        }
    }
    if wanted(What::Heads) {
        say!("Heads: how the LM head is kept");
        for head in HEADS {
            say!("  {:<12} {}", head.name, head.about);
        }
    }
    if wanted(What::Models) {
        say!(
            "Models, by shape, with random weights (or give the path of a GGUF file or a Hugging Face folder)"
        );
        for shape in suite::load_shapes().map_err(CommandError::usage)? {
            say!("  {:<12} {}", shape.name, shape.about);
        }
        say!("Models that were trained, part of bitbench");
        for (name, about) in pair::MODELS {
            say!("  {name:<12} {about}");
        }
    }
    if wanted(What::Energy) {
        say!("Energy sources");
        let root = arguments.sysfs_root.as_ref();
        energy::print_list(&root.map_or_else(SysFs::machine, SysFs::at));
    }
    if wanted(What::Formats) {
        say!("Formats of a report: bitbench report DIR --export NAME,NAME");
        for format in FORMATS {
            let always = if format.always {
                ", always written"
            } else {
                ""
            };
            say!("  {:<12} {}{always}", format.name, format.file);
            say!("      {}", format.about);
        }
    }
    Ok(Code::Done)
}
