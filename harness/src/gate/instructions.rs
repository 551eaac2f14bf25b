//! A gate that no noise can reach: how many instructions one multiplication by a layer takes in two builds.
//!
//! A worker is asked for one window of multiplications, and another one for four; what the second ran more, over the
//! multiplications of its further windows, is the count, free of start-up and packing. It is read from the PMU where there is one, else
//! from Valgrind's callgrind, which cannot run AVX-512. Counts see neither memory nor threads nor clocks: they stand beside
//! times and never replace them.

use crate::interrupt;
use crate::suite::LayerShape;
use crate::worker::{ModelSource, Process, Reply, Request, WorkerError};
use bitbench_engine::cpu::{Cpu, Feature};
use bitbench_engine::kernels::KernelVariant;
use perf_event::Builder;
use perf_event::events::Hardware;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How much a count may grow, as a share.
pub const LIMIT: f64 = 0.01;

/// Set for a worker, which then packs a layer once and multiplies by that as often as by all its copies: counts do not depend on
/// where weights come from, and packing hundreds of copies under Valgrind takes minutes. Older builds pack them all.
pub const ONE_COPY: &str = "BITBENCH_ONE_COPY";

/// Seed of weights and activations.
const SEED: u64 = 1;
/// Windows of the two counts: several more, for what start-up takes differs by some thousand instructions.
const WINDOWS: [u32; 2] = [1, 4];
/// Longest time of one count.
const PATIENCE: Duration = Duration::from_secs(600);
/// Most bytes of replies and of a file of callgrind that are read.
const MOST_BYTES: u64 = 64 << 20;

/// What Valgrind cannot run.
const BEYOND_VALGRIND: [Feature; 6] = [
    Feature::AvxVnni,
    Feature::Avx512F,
    Feature::Avx512Bw,
    Feature::Avx512Vnni,
    Feature::Avx512Vbmi,
    Feature::Avx512Bf16,
];

/// What counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counter {
    /// Instructions retired in user mode, by the PMU.
    Pmu,
    /// Instructions that callgrind saw.
    Callgrind,
}

impl Counter {
    /// The best one of this machine.
    ///
    /// # Errors
    /// Why there is none, and what helps.
    pub fn find() -> Result<Counter, String> {
        let own = Builder::new(Hardware::INSTRUCTIONS)
            .exclude_kernel(true)
            .build();
        let Err(no_pmu) = own else {
            return Ok(Counter::Pmu);
        };
        let version = Command::new("valgrind")
            .arg("--version")
            .stdin(Stdio::null())
            .output();
        match version {
            Ok(output) if output.status.success() => Ok(Counter::Callgrind),
            Ok(output) => Err(format!("valgrind --version failed ({})", output.status)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(format!(
                "no PMU can be read here ({no_pmu}), and valgrind is not installed: apt-get install valgrind"
            )),
            Err(error) => Err(format!("valgrind cannot be started: {error}")),
        }
    }

    /// As it is printed.
    pub fn name(self) -> &'static str {
        match self {
            Counter::Pmu => "the PMU, in user mode",
            Counter::Callgrind => "callgrind",
        }
    }
}

/// What is multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// The layer.
    pub layer: LayerShape,
    /// Tokens at a time.
    pub batch: u32,
}

/// Why there is no count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoCount {
    /// It cannot be had on this machine.
    Impossible(String),
    /// It was tried and failed.
    Failed(String),
}

impl NoCount {
    /// The reason.
    pub fn reason(&self) -> &str {
        match self {
            NoCount::Impossible(reason) | NoCount::Failed(reason) => reason,
        }
    }
}

/// What two counts come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The new build takes more instructions than the limit allows.
    More,
    /// It takes fewer by as much.
    Fewer,
    /// Neither.
    Same,
}

impl Verdict {
    fn of(ratio: f64, limit: f64) -> Verdict {
        if ratio > 1.0 + limit {
            Verdict::More
        } else if ratio < 1.0 / (1.0 + limit) {
            Verdict::Fewer
        } else {
            Verdict::Same
        }
    }

    /// As it is printed.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::More => "more instructions",
            Verdict::Fewer => "fewer instructions",
            Verdict::Same => "the same",
        }
    }
}

/// One kernel in both builds.
#[derive(Debug, Clone, PartialEq)]
pub struct InstructionCell {
    /// Name of the kernel.
    pub kernel: &'static str,
    /// Instructions of a multiplication in the old build, in the new one, and the one over the other.
    pub counts: Result<(f64, f64, f64), NoCount>,
    /// What that comes to; nothing without counts.
    pub verdict: Option<Verdict>,
}

/// Counts the instructions of one multiplication for each kernel in two builds, which are the commands of their workers.
pub fn compare(
    counter: Counter,
    base: &[String],
    new: &[String],
    kernels: &[&'static KernelVariant],
    work: Work,
    limit: f64,
) -> Vec<InstructionCell> {
    let cell = |kernel: &&'static KernelVariant| {
        let counts = count(counter, base, kernel, work).and_then(|base| {
            let new = count(counter, new, kernel, work)?;
            Ok((base, new, new / base))
        });
        InstructionCell {
            kernel: kernel.name,
            verdict: counts
                .as_ref()
                .ok()
                .map(|(.., ratio)| Verdict::of(*ratio, limit)),
            counts,
        }
    };
    kernels.iter().map(cell).collect()
}

/// Instructions of one multiplication.
///
/// # Errors
/// Why it was not counted.
pub fn count(
    counter: Counter,
    build: &[String],
    kernel: &KernelVariant,
    work: Work,
) -> Result<f64, NoCount> {
    if let Err(missing) = Cpu::detect().require(kernel.requires) {
        return Err(NoCount::Impossible(missing.to_string()));
    }
    let (instructions, multiplications) = match counter {
        Counter::Pmu => by_pmu(build, kernel.name, work)?,
        Counter::Callgrind => {
            if kernel.requires.iter().any(|f| BEYOND_VALGRIND.contains(f)) {
                return Err(NoCount::Impossible(
                    "Valgrind cannot run AVX-512 and AVX-VNNI, and no PMU can be read here"
                        .to_owned(),
                ));
            }
            by_callgrind(build, kernel.name, work)?
        }
    };
    if instructions == 0 || multiplications == 0 {
        return Err(NoCount::Failed("nothing was counted".to_owned()));
    }
    Ok(instructions as f64 / f64::from(multiplications))
}

fn load(kernel: &str, work: Work) -> Request {
    Request::Load {
        model: ModelSource::Layer {
            rows: work.layer.rows,
            columns: work.layer.cols,
            seed: SEED,
        },
        kernel: kernel.to_owned(),
        head: bitbench_engine::heads::default().name.to_owned(),
        portable_head: false,
        threads: 1,
        sequences: work.batch,
        positions: 1,
        cpus: Vec::new(),
        burn_percent: None,
    }
}

/// One repetition, however short.
const MULTIPLY: Request = Request::Multiply { least_ns: 1 };

/// The multiplications of a window of one repetition.
fn multiplications(reply: &Reply) -> Result<u32, NoCount> {
    match reply {
        Reply::Window(window) if window.durations_ns.len() == 1 => {
            let matrices = window.matrices.filter(|count| *count > 0);
            matrices.ok_or_else(|| {
                NoCount::Failed("the worker does not say how often it multiplied".to_owned())
            })
        }
        other => Err(NoCount::Failed(format!("the worker answered {other:?}"))),
    }
}

/// Instructions in user mode of the second window, and its multiplications.
fn by_pmu(build: &[String], kernel: &str, work: Work) -> Result<(u64, u32), NoCount> {
    let failed = |error: WorkerError| NoCount::Failed(error.to_string());
    let lost = |error: io::Error| NoCount::Failed(format!("the PMU cannot be read: {error}"));
    let mut worker = Process::start(build).map_err(failed)?;
    let id = i32::try_from(worker.id()).map_err(|e| NoCount::Failed(e.to_string()))?;
    let mut counter = Builder::new(Hardware::INSTRUCTIONS)
        .observe_pid(id)
        .any_cpu()
        .inherit(true)
        .exclude_kernel(true)
        .build()
        .map_err(lost)?;
    counter.enable().map_err(lost)?;
    worker.ask(&load(kernel, work), PATIENCE).map_err(failed)?;
    worker.ask(&MULTIPLY, PATIENCE).map_err(failed)?;
    let before = counter.read_count_and_time().map_err(lost)?;
    let reply = worker.ask(&MULTIPLY, PATIENCE).map_err(failed)?;
    let after = counter.read_count_and_time().map_err(lost)?;
    let (enabled, running) = (
        after.time_enabled - before.time_enabled,
        after.time_running - before.time_running,
    );
    if running < enabled {
        // Others used it in between: an estimate is no count.
        return Err(NoCount::Failed(
            "the PMU was shared with other counters".to_owned(),
        ));
    }
    Ok((after.count - before.count, multiplications(&reply)?))
}

/// Instructions of a window, by what several took more than one, and its multiplications.
fn by_callgrind(build: &[String], kernel: &str, work: Work) -> Result<(u64, u32), NoCount> {
    let scratch = Scratch::new().map_err(|e| NoCount::Failed(format!("no scratch folder: {e}")))?;
    let mut totals = Vec::new();
    let mut of_window = None;
    for windows in WINDOWS {
        let (total, replies) = under_callgrind(build, kernel, work, windows, &scratch.0)?;
        totals.push(total);
        for reply in &replies {
            let count = multiplications(reply)?;
            if of_window
                .replace(count)
                .is_some_and(|before| before != count)
            {
                return Err(NoCount::Failed(
                    "its windows are of unequal length".to_owned(),
                ));
            }
        }
    }
    let more = totals[1].saturating_sub(totals[0]) / u64::from(WINDOWS[1] - WINDOWS[0]);
    Ok((more, of_window.unwrap_or(0)))
}

/// Runs a worker under callgrind, with all requests on its standard input, and gives all its instructions and the replies to the
/// last `windows` of them.
fn under_callgrind(
    build: &[String],
    kernel: &str,
    work: Work,
    windows: u32,
    scratch: &Path,
) -> Result<(u64, Vec<Reply>), NoCount> {
    let failed = |error: io::Error| NoCount::Failed(error.to_string());
    let mut requests = vec![Request::Hello, load(kernel, work)];
    requests.extend(std::iter::repeat_n(MULTIPLY, windows as usize));
    let lines: Result<Vec<String>, _> = requests.iter().map(serde_json::to_string).collect();
    let lines = lines.map_err(|e| NoCount::Failed(e.to_string()))?;
    let (input, output, errors) = (scratch.join("in"), scratch.join("out"), scratch.join("err"));
    fs::write(&input, lines.join("\n") + "\n").map_err(failed)?;
    // A build can be a script that starts another program: all are counted.
    let prefix = format!("callgrind.{windows}.");
    let out_file = scratch
        .join(&prefix)
        .display()
        .to_string()
        .replace('%', "%%");
    let mut child = Command::new("valgrind")
        .args(["--tool=callgrind", "--trace-children=yes", "--quiet"])
        .arg(format!("--callgrind-out-file={out_file}%p"))
        .args(build)
        .env(ONE_COPY, "1")
        // Threads that generate and pack weights look for work while they wait, as often as chance has it.
        .env("RAYON_NUM_THREADS", "1")
        .stdin(File::open(&input).map_err(failed)?)
        .stdout(File::create(&output).map_err(failed)?)
        .stderr(File::create(&errors).map_err(failed)?)
        .spawn()
        .map_err(failed)?;
    let begin = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            break status;
        }
        let stop = if interrupt::requested() {
            Some("interrupted".to_owned())
        } else {
            let late = begin.elapsed() > PATIENCE;
            late.then(|| format!("no count after {} s", PATIENCE.as_secs()))
        };
        if let Some(reason) = stop {
            // It may have ended by itself in the meantime, which is as good.
            let _ = child.kill();
            let _ = child.wait();
            return Err(NoCount::Failed(reason));
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let said = read(&errors).map_err(failed)?;
    if !status.success() {
        let last = said.lines().last().unwrap_or_default();
        return Err(NoCount::Failed(format!(
            "valgrind ended with {status}: {last}"
        )));
    }
    let replies: Result<Vec<Reply>, _> = read(&output)
        .map_err(failed)?
        .lines()
        .map(serde_json::from_str)
        .collect();
    let mut replies =
        replies.map_err(|e| NoCount::Failed(format!("a reply is not understood: {e}")))?;
    if let Some(message) = replies.iter().find_map(|reply| match reply {
        Reply::Error { message } => Some(message),
        _ => None,
    }) {
        return Err(NoCount::Failed(message.clone()));
    }
    if replies.len() != requests.len() {
        return Err(NoCount::Failed(format!(
            "{} replies to {} requests",
            replies.len(),
            requests.len()
        )));
    }
    let total = total(scratch, &prefix).map_err(failed)?;
    Ok((total, replies.split_off(2)))
}

/// The instructions of all processes.
fn total(scratch: &Path, prefix: &str) -> io::Result<u64> {
    let mut sum = 0_u64;
    for entry in fs::read_dir(scratch)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            let text = read(&entry.path())?;
            let line = text.lines().find_map(|line| line.strip_prefix("totals: "));
            let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
            let number: u64 = number.ok_or_else(|| io::Error::other("callgrind wrote no total"))?;
            sum = sum.saturating_add(number);
        }
    }
    Ok(sum)
}

fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A folder that goes with its owner.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> io::Result<Scratch> {
        let folder = std::env::temp_dir();
        let mut number = 0;
        loop {
            let name = format!("bitbench-count-{}-{number}", std::process::id());
            match fs::create_dir(folder.join(&name)) {
                Ok(()) => return Ok(Scratch(folder.join(name))),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && number < 1000 => number += 1,
                Err(e) => return Err(e),
            }
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left behind is in a folder for such things.
        let _ = fs::remove_dir_all(&self.0);
    }
}
