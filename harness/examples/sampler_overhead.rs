//! What reading the energy counters costs: decoding with the meter running and without it, in turns, in one worker process.
//!
//! ```text
//! sampler_overhead [--pairs 40] [--seconds 2] [--slice 0.1] [--polls 5] [--model 125M] [--kernel i2s-avx2]
//! ```
//!
//! The counters are the live fakes of `fake_rapl`, which move in both arms, so what they cost does not show. A pair is so many
//! seconds of either arm, in slices that alternate: its ratio is the median of theirs, so that a machine that changes its speed
//! does it to both arms. Within each slice with the meter it reads all counters so many times: in a run it does once a second.
//! `scripts/sampler-overhead` builds what is needed and starts it.
#![forbid(unsafe_code)]

use anyhow::{Context, anyhow, bail, ensure};
use bitbench::energy::choice::Choice;
use bitbench::energy::sysfs::SysFs;
use bitbench::energy::{Opened, open_choice};
use bitbench::host::topology;
use bitbench::meter::Meter;
use bitbench::suite::{find_shape, load_shapes};
use bitbench::worker::{ModelSource, Process, Reply, Request};
use bitbench_engine::cpu::Cpu;
use bitbench_engine::kernels::VARIANTS;
use bitbench_reports::record::Energy;
use bitbench_reports::slices::{Slices, ratio};
use bitbench_reports::stats::{hodges_lehmann, median, signed_rank_interval};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);
const PROMPT: u32 = 8;
const TOKENS: u32 = 16;

struct Options {
    pairs: u32,
    seconds: f64,
    slice: f64,
    polls: u32,
    model: String,
    kernel: Option<String>,
}

/// Ends the fake with the example. It fails when nobody listens, so its output is kept open.
struct Fake(Child, Option<BufReader<ChildStdout>>);

impl Drop for Fake {
    fn drop(&mut self) {
        // One that is gone already is what was wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() -> anyhow::Result<()> {
    let options = parse()?;
    let here = std::env::current_exe()?;
    let examples = here.parent().context("no folder")?;
    let bitbench = examples.parent().context("no folder")?.join("bitbench");
    ensure!(
        bitbench.exists(),
        "{} is absent: cargo build --release",
        bitbench.display()
    );

    let root = std::env::temp_dir().join(format!("sampler-overhead-{}", std::process::id()));
    let _fake = start_fake(&examples.join("fake_rapl"), &root)?;
    let source = match open_choice(&SysFs::at(&root), &Choice::Auto) {
        Opened::Source(source) => source,
        Opened::Unavailable(_) => bail!("the fake counters cannot be read"),
    };
    // One more, so that the last one comes before the end.
    let poll_every = options.slice / f64::from(options.polls + 1);
    let mut meter = Meter::polling(source, Duration::try_from_secs_f64(poll_every)?);
    let mut worker = start_worker(&bitbench, &options)?;
    let prompts = vec![(1..=PROMPT).collect::<Vec<u32>>()];
    worker.ask(&Request::PrepareDecode { prompts }, LIMIT)?;
    let mut rate = |seconds: f64| -> anyhow::Result<f64> {
        let least_ns = u64::try_from(Duration::try_from_secs_f64(seconds)?.as_nanos())?;
        let tokens = TOKENS;
        match worker.ask(&Request::Decode { tokens, least_ns }, LIMIT)? {
            Reply::Window(reply) => {
                let time: Duration = reply
                    .durations_ns
                    .iter()
                    .map(|ns| Duration::from_nanos(*ns))
                    .sum();
                #[expect(clippy::cast_precision_loss, reason = "a number of repetitions")]
                let repetitions = reply.durations_ns.len() as f64;
                Ok(repetitions * f64::from(tokens) / time.as_secs_f64())
            }
            other => bail!("the worker answered {other:?}"),
        }
    };
    rate(options.seconds)?;

    let (mut logs, mut rates, mut polls) = (Vec::new(), [Vec::new(), Vec::new()], 0);
    for _ in 0..options.pairs {
        let mut of_pair = [Slices::new(), Slices::new()];
        let mut order = [0, 1];
        let mut spent = 0.0;
        for slice in 0.. {
            for with_meter in order {
                let found = if with_meter == 1 {
                    let window = meter.begin();
                    let found = rate(options.slice)?;
                    match meter.end(window) {
                        Energy::Measured(window) => polls += window.polls,
                        Energy::Unavailable { reason } => bail!("no energy: {reason}"),
                    }
                    found
                } else {
                    rate(options.slice)?
                };
                of_pair[with_meter].insert(slice, found);
            }
            order.reverse();
            spent += options.slice;
            if spent >= options.seconds {
                break;
            }
        }
        let [without, with] = &of_pair;
        logs.push(ratio(with, without).context("no slices")?.ln());
        for (rates, slices) in rates.iter_mut().zip(&of_pair) {
            rates.extend(slices.values());
        }
    }
    let percent = |log: f64| 100.0 * (log.exp() - 1.0);
    let centre = hodges_lehmann(&logs).context("no pairs")?;
    let interval = signed_rank_interval(&logs, 0.95).map_err(|error| anyhow!("{error}"))?;
    let seconds = options.slice * rates[1].len() as f64;
    let [without, with] = rates.map(|rates| median(&rates).unwrap_or(f64::NAN));
    println!(
        "{} pairs of {} s in slices of {} s: {without:.2} tokens/s without the meter, {with:.2} with it, which read all counters \
         {:.0} times a second",
        options.pairs,
        options.seconds,
        options.slice,
        f64::from(polls) / seconds
    );
    println!(
        "with / without: {:+.3} % (95 % interval {:+.3} to {:+.3} %)",
        percent(centre),
        percent(interval.low),
        percent(interval.high)
    );
    // A folder of counters that is left behind does no harm.
    let _ = std::fs::remove_dir_all(&root);
    Ok(())
}

fn start_fake(program: &Path, root: &Path) -> anyhow::Result<Fake> {
    let zones = ["package-0=45", "core=20", "uncore=4", "dram=3", "psys=75"];
    let mut command = Command::new(program);
    command
        .arg("--root")
        .arg(root)
        .args(["--vendor", "intel", "--duration", "3600"]);
    for zone in zones {
        command.args(["--zone", zone]);
    }
    let mut fake = Fake(
        command
            .stdout(Stdio::piped())
            .spawn()
            .context("fake_rapl")?,
        None,
    );
    let stdout = fake.0.stdout.take().context("no output")?;
    let mut stdout = BufReader::new(stdout);
    let mut line = String::new();
    stdout.read_line(&mut line)?;
    ensure!(line.trim() == "ready", "fake_rapl said {line:?}");
    fake.1 = Some(stdout);
    Ok(fake)
}

fn start_worker(bitbench: &Path, options: &Options) -> anyhow::Result<Process> {
    let cpu = Cpu::detect();
    // The best of a family comes first.
    let mut runs = VARIANTS.iter().filter(|v| cpu.require(v.requires).is_ok());
    let fastest = runs.find(|v| v.name.starts_with("i2s"));
    let kernel = match (&options.kernel, fastest) {
        (Some(kernel), _) => kernel.clone(),
        (None, Some(variant)) => variant.name.to_owned(),
        (None, None) => bail!("no kernel"),
    };
    let shapes = load_shapes()?;
    let shape = find_shape(&shapes, &options.model).with_context(|| options.model.clone())?;
    // As in a run: a thread for each core. None is left over on a small machine, which is the worst case for a meter.
    let cpus: Vec<u32> = topology::cores().iter().map(|core| core.cpus[0]).collect();
    let threads = cpus.len().max(1);
    println!("{} {kernel}, {threads} threads", options.model);
    let command = [bitbench.display().to_string(), "worker".to_owned()];
    let mut worker = Process::start(&command)?;
    let load = Request::Load {
        model: ModelSource::Synthetic {
            shape: Box::new(shape.clone()),
            seed: 1,
        },
        kernel,
        head: bitbench_engine::heads::default().name.to_owned(),
        portable_head: false,
        threads: u32::try_from(threads)?,
        sequences: 1,
        cpus,
        positions: PROMPT + TOKENS,
        burn_percent: None,
    };
    worker.ask(&load, LIMIT)?;
    Ok(worker)
}

fn parse() -> anyhow::Result<Options> {
    let mut options = Options {
        pairs: 40,
        seconds: 2.0,
        slice: 0.1,
        polls: 5,
        model: "125M".to_owned(),
        kernel: None,
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let value = args
            .next()
            .with_context(|| format!("{arg} needs a value"))?;
        match arg.as_str() {
            "--pairs" => options.pairs = value.parse()?,
            "--seconds" => options.seconds = value.parse()?,
            "--slice" => options.slice = value.parse()?,
            "--polls" => options.polls = value.parse()?,
            "--model" => options.model = value,
            "--kernel" => options.kernel = Some(value),
            other => bail!("unknown argument {other}"),
        }
    }
    ensure!(options.pairs <= 200, "200 pairs at most");
    ensure!(
        (0.01..=10.0).contains(&options.slice),
        "a slice of 0.01 to 10 s"
    );
    ensure!(options.polls <= 1000, "1000 readings at most");
    Ok(options)
}
