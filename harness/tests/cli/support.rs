//! Running the binary: folders, suites, small shapes, and waiting for what happens in another process.

use bitbench_engine::cpu::Cpu;
use bitbench_engine::kernels;
use bitbench_reports::record::{Job, Outcome, Phase, Place, Record, Records, Sample};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

/// Nothing here takes a tenth of it on a machine that is not overloaded.
const PATIENCE: Duration = Duration::from_secs(240);

static QUIET: RwLock<()> = RwLock::new(());

/// How a test shares the machine with the other tests; held for its drop.
#[derive(Debug)]
enum Turn {
    Beside(#[expect(dead_code, reason = "held")] RwLockReadGuard<'static, ()>),
    Alone(#[expect(dead_code, reason = "held")] RwLockWriteGuard<'static, ()>),
}

/// A folder to run bitbench in, with shapes of its own: `tiny`, `small`, `medium` and `enormous`.
#[derive(Debug)]
pub(crate) struct Bench {
    folder: tempfile::TempDir,
    _turn: Turn,
}

/// What a finished process left.
#[derive(Debug)]
pub(crate) struct Ran {
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
}

/// A process that goes on while the test does.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

/// The parts of a suite that tests vary.
#[derive(Debug, Clone)]
pub(crate) struct Suite {
    pub(crate) models: &'static [&'static str],
    pub(crate) kernels: &'static str,
    pub(crate) threads: &'static str,
    pub(crate) rounds: u32,
    pub(crate) window_s: f64,
    pub(crate) energy: &'static str,
    pub(crate) energy_window_s: f64,
    pub(crate) idle_s: f64,
    pub(crate) prefill: u32,
    pub(crate) decode: u32,
}

impl Default for Suite {
    fn default() -> Self {
        Suite {
            models: &["tiny"],
            kernels: r#""i2s-scalar", "f16-scalar""#,
            threads: "1",
            rounds: 2,
            window_s: 0.05,
            energy: "off",
            energy_window_s: 0.3,
            idle_s: 0.1,
            prefill: 16,
            decode: 8,
        }
    }
}

impl Suite {
    pub(crate) fn text(&self) -> String {
        let mut text = format!(
            "about = \"a test\"\nkernels = [{}]\nthreads = [{}]\nrounds = {}\nenergy = \"{}\"\nwindow_s = {:?}\n\
             energy_window_s = {:?}\nidle_s = {:?}\nround_limit_s = 600.0\nprefill = {}\ndecode = {}\n",
            self.kernels,
            self.threads,
            self.rounds,
            self.energy,
            self.window_s,
            self.energy_window_s,
            self.idle_s,
            self.prefill,
            self.decode
        );
        for model in self.models {
            text.push_str(&format!("[[case]]\nmodel = \"{model}\"\nquick = true\n"));
        }
        text.push_str(
            "[quick]\nrounds = 1\nwindow_s = 0.02\nenergy_window_s = 0.2\nidle_s = 0.1\nprefill = 8\ndecode = 4\n",
        );
        text
    }
}

fn shape(name: &str, hidden: usize, ffn: usize, layers: usize) -> String {
    let heads = hidden / 64;
    format!(
        "[[shape]]\nname = \"{name}\"\nabout = \"for tests\"\narchitecture = \"bitnet\"\nhidden = {hidden}\nffn = {ffn}\n\
         layers = {layers}\nheads = {heads}\nkv_heads = {heads}\nhead_dim = 64\nvocab = 64\ntied_head = true\n\
         context_length = 4096\nrms_epsilon = 1e-5\nrope_base = 10000.0\nsource = \"none\"\n"
    )
}

impl Bench {
    /// A test that does not mind others at the same time.
    pub(crate) fn beside() -> Bench {
        let turn = QUIET.read().unwrap_or_else(PoisonError::into_inner);
        Bench::with(Turn::Beside(turn))
    }

    /// A test that times or kills something: no other test of this binary runs meanwhile.
    pub(crate) fn alone() -> Bench {
        let turn = QUIET.write().unwrap_or_else(PoisonError::into_inner);
        Bench::with(Turn::Alone(turn))
    }

    fn with(turn: Turn) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("suites")).unwrap();
        let bench = Bench {
            folder,
            _turn: turn,
        };
        let shapes = [
            shape("tiny", 256, 512, 2),
            shape("small", 256, 512, 3),
            shape("medium", 768, 3072, 8),
            shape("enormous", 32768, 131_072, 64),
        ];
        bench.file("suites/models.toml", shapes.concat());
        bench
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file and gives its path.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Writes `mine.toml`.
    pub(crate) fn suite(&self, suite: &Suite) {
        self.file("mine.toml", suite.text());
    }

    pub(crate) fn read(&self, name: &str) -> String {
        let path = self.path().join(name);
        fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.path().join(name).exists()
    }

    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.path()).stdin(Stdio::null());
        command
    }

    /// Starts `bitbench` with these arguments, separated by spaces.
    pub(crate) fn start(&self, arguments: &str) -> Running {
        let mut command = self.command(BITBENCH);
        command.args(arguments.split_whitespace());
        Running::start(command)
    }

    /// Runs `bitbench` with these arguments, separated by spaces.
    pub(crate) fn run(&self, arguments: &str) -> Ran {
        self.start(arguments).end()
    }

    /// Runs a command of the shell, which finds bitbench as `$0`.
    pub(crate) fn shell(&self, script: &str, arguments: &[&str]) -> Ran {
        let mut command = self.command("sh");
        command.arg("-c").arg(script).arg(BITBENCH).args(arguments);
        Running::start(command).end()
    }

    /// The whole lines of a results folder, parsed.
    pub(crate) fn records(&self, folder: &str) -> Records {
        Records::read(&self.path().join(folder)).unwrap()
    }

    /// The records so far of a run that goes on; nothing before its first line.
    pub(crate) fn records_so_far(&self, folder: &str) -> Vec<Record> {
        Records::read(&self.path().join(folder)).map_or(Vec::new(), |records| records.lines)
    }

    /// `results.csv` as one map a row, by job.
    pub(crate) fn csv(&self, folder: &str) -> HashMap<String, HashMap<String, String>> {
        let path = self.path().join(folder).join("results.csv");
        let mut reader = csv::Reader::from_path(path).unwrap();
        let rows = reader.deserialize::<HashMap<String, String>>();
        rows.map(|row| {
            let row = row.unwrap();
            (row["job"].clone(), row)
        })
        .collect()
    }
}

/// The binary under test.
pub(crate) const BITBENCH: &str = env!("CARGO_BIN_EXE_bitbench");

/// A model that another tool made.
pub(crate) fn fixture(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/tests/fixtures");
    folder.join(name).canonicalize().unwrap()
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Running {
        // Files and not pipes: a pipe that nobody empties would stop the process. They are outside the current folder, for
        // tests that look whether anything was written there.
        let folder = tempfile::tempdir().unwrap().keep();
        let (out, err) = (folder.join("out"), folder.join("err"));
        let child = command
            .stdout(File::create(&out).unwrap())
            .stderr(File::create(&err).unwrap())
            .spawn()
            .unwrap();
        Running { child, out, err }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has said on standard error so far.
    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.err).unwrap()).into_owned()
    }

    /// What it has said on standard output so far.
    pub(crate) fn printed(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.out).unwrap()).into_owned()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        send(self.id(), signal);
    }

    /// Waits for a condition, which a process that has ended can fulfil too.
    pub(crate) fn wait_for<T>(&mut self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            let ended = self.child.try_wait().unwrap();
            if let Some(found) = look() {
                return found;
            }
            assert!(
                ended.is_none() && start.elapsed() < PATIENCE,
                "waited for {what}; ended: {ended:?}; stderr: {}",
                self.said()
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits for the end.
    pub(crate) fn end(mut self) -> Ran {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "still running; stderr: {}",
                self.said()
            );
            std::thread::sleep(Duration::from_millis(5));
        };
        let read = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
        Ran {
            status,
            out: read(&self.out),
            err: read(&self.err),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has usually ended; a failed test leaves nothing running and no files behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(folder) = self.out.parent() {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

impl Ran {
    /// Fails the test unless the exit code is this one and nothing panicked.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Ran {
        assert_eq!(
            self.status.code(),
            Some(code),
            "signal {:?}\nstdout: {}\nstderr: {}",
            self.status.signal(),
            self.out,
            self.err
        );
        assert!(!self.err.contains("panicked"), "{}", self.err);
        self
    }

    /// Fails the test unless standard error has all of these.
    #[track_caller]
    pub(crate) fn says(self, words: &[&str]) -> Ran {
        for word in words {
            assert!(self.err.contains(word), "no `{word}` in: {}", self.err);
        }
        self
    }
}

/// Sends a signal to a process that may be gone.
pub(crate) fn send(id: u32, signal: rustix::process::Signal) {
    let id = rustix::process::Pid::from_raw(id.try_into().unwrap()).unwrap();
    let _ = rustix::process::kill_process(id, signal);
}

/// The living children of a process.
pub(crate) fn children(of: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|id| parent_of_living(*id) == Some(of))
        .collect()
}

/// The parent of a process; nothing for one that is gone or waits for its parent to notice its end.
pub(crate) fn parent_of_living(id: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name stands in brackets and can hold anything; state and parent follow.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    (state != "Z" && state != "X").then(|| fields.next()?.parse().ok())?
}

pub(crate) fn samples(records: &[Record]) -> impl Iterator<Item = &Sample> {
    records.iter().filter_map(|record| match record {
        Record::Sample(sample) => Some(&**sample),
        _ => None,
    })
}

pub(crate) fn samples_of(records: &[Record], phase: Phase) -> impl Iterator<Item = &Sample> {
    samples(records).filter(move |sample| sample.phase == phase)
}

pub(crate) fn outcomes(records: &[Record]) -> Vec<(&Place, &Outcome)> {
    let outcomes = records.iter().filter_map(|record| match record {
        Record::Outcome(outcome) => Some((&outcome.place, &outcome.outcome)),
        _ => None,
    });
    outcomes.collect()
}

/// Whether this CPU has a kernel variant of the engine.
pub(crate) fn runs_here(kernel: &str) -> bool {
    let kernel = kernels::find(kernel).unwrap_or_else(|| panic!("no kernel {kernel}"));
    Cpu::detect().require(kernel.requires).is_ok()
}

/// Whether this is why a job was skipped: the CPU lacks what its kernel needs.
pub(crate) fn lacks_a_feature(reason: &str) -> bool {
    reason.contains("this CPU has no")
}

/// The jobs of a run that this CPU has kernels for, and how their rounds ended. The others must be skipped, once and for that
/// reason.
pub(crate) fn measurable(records: &Records) -> (Vec<&Job>, Vec<&Outcome>) {
    let (jobs, lacking): (Vec<&Job>, Vec<&Job>) = records
        .run
        .jobs
        .iter()
        .partition(|job| runs_here(&job.kernel));
    let (skipped, ended): (Vec<_>, Vec<_>) = outcomes(&records.lines)
        .into_iter()
        .partition(|(place, _)| lacking.iter().any(|job| job.id == place.job));
    assert_eq!(skipped.len(), lacking.len(), "{skipped:?}");
    for (place, outcome) in skipped {
        let expected = matches!(outcome, Outcome::Skipped { reason } if lacks_a_feature(reason));
        assert!(expected, "{place:?}: {outcome:?}");
    }
    (
        jobs,
        ended.into_iter().map(|(_, outcome)| outcome).collect(),
    )
}

/// Prints why a check was not made; `BITBENCH_TEST_EVERY_VARIANT` makes it a failure.
pub(crate) fn skip(reason: &str) {
    assert!(
        std::env::var_os("BITBENCH_TEST_EVERY_VARIANT").is_none(),
        "skipped: {reason}"
    );
    println!("skipped: {reason}");
}
