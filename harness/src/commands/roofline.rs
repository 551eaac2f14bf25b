//! `bitbench roofline`: what this machine allows.

use super::{Code, CommandError};
use crate::host;
use crate::progress;
use crate::roofline::{Machine, default_threads, measure};
use crate::suite::Threads;
use anyhow::Context;
use bitbench_engine::cpu::Cpu;
use bitbench_reports::roofline::{FILE_NAME, Roofline, SCHEMA};
use std::fs;
use std::path::{Path, PathBuf};

/// Arguments of `bitbench roofline`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  bitbench roofline
  bitbench roofline --threads 1,physical --json
  bitbench report bitbench-results/roofline-20260102-030405     the table again")]
pub struct Arguments {
    /// Numbers of threads, such as 1,2 or physical [default: each up to 4, powers of two, all physical cores]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    threads: Vec<Threads>,
    /// Rounds; each measures everything once, in an order drawn from a seed
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(5..=1000))]
    rounds: u32,
    /// Print what is stored in the place of the table
    #[arg(long)]
    json: bool,
    /// Folder of the results [default: bitbench-results/roofline-START]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Measures read bandwidth and multiply-add peaks, prints them and stores them.
///
/// # Errors
/// See [`CommandError`].
pub fn roofline(arguments: &Arguments) -> Result<Code, CommandError> {
    let cpu = Cpu::detect();
    let host = host::capture(&cpu);
    let threads = if arguments.threads.is_empty() {
        default_threads(host.physical_cores)
    } else {
        Threads::all(&arguments.threads, host.physical_cores)
    };
    if let Some(many) = threads.iter().find(|t| **t > host.physical_cores) {
        return Err(CommandError::usage(anyhow::anyhow!(
            "{many} threads on {} physical cores: they would share a core and measure each other",
            host.physical_cores
        )));
    }
    let now = jiff::Timestamp::now();
    let folder = arguments.out.clone().unwrap_or_else(|| {
        PathBuf::from("bitbench-results").join(now.strftime("roofline-%Y%m%d-%H%M%S").to_string())
    });
    let path = folder.join(FILE_NAME);
    if path.exists() {
        return Err(CommandError::usage(anyhow::anyhow!(
            "{} exists: give another folder with --out",
            path.display()
        )));
    }
    let caches = host::caches(Path::new("/sys"));
    let machine = Machine {
        cpu: &cpu,
        caches: &caches,
        available_memory: host::available_memory(),
    };
    let seed = super::run::seed();
    let rounds = arguments.rounds;
    let limits = measure(&machine, &threads, rounds, seed).map_err(CommandError::internal)?;
    let roofline = Roofline {
        schema: SCHEMA,
        started_at: now.to_string(),
        bitbench: crate::VERSION.to_owned(),
        host,
        caches,
        seed,
        rounds,
        limits,
    };
    let json = serde_json::to_string_pretty(&roofline).map_err(CommandError::internal)?;
    fs::create_dir_all(&folder)
        .and_then(|()| fs::write(&path, format!("{json}\n")))
        .with_context(|| format!("cannot write {}", path.display()))
        .map_err(CommandError::usage)?;
    if arguments.json {
        say!("{json}");
    } else {
        let table = roofline.render(super::run::output_width());
        say!("{}", table.trim_end());
        say!("{}", progress::plain(&path.display().to_string()));
    }
    Ok(Code::Done)
}
