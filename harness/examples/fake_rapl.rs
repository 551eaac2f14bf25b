//! A live fake of the kernel's RAPL counters, to test meters against a known power.
//!
//! ```text
//! fake_rapl --root DIR --zone package-0=45 --zone dram=3 --zone psys=60 [--mmio]
//!           [--square LOW,HIGH,PERIOD_MS] [--vendor intel|amd] [--period-us 1000] [--unit-nj 61035]
//!           [--range-uj 262143328850] [--start UJ|near-wrap] [--wrap-after-seconds S]
//!           [--duration S] [--stdin] [--wait]
//! ```
//!
//! It makes `DIR/class/powercap` as the kernel does (flat links to nested folders) and moves the counters. Zones named
//! `core`, `uncore` and `dram` lie in the package named before them. The energy is computed from `CLOCK_MONOTONIC` and not
//! summed up, so it does not drift: E(t) = W t, or the integral of the square wave, which replaces the power of all packages.
//! The hardware's part is played faithfully: E is taken at multiples of the period, cut to whole units of a counter that
//! starts again at 0 after its range, and written in place at constant width, so that a reader with an open file never sees
//! half a number.
//!
//! `ready` is printed once the tree stands. The end comes with `--duration`, SIGTERM, SIGINT, or (`--stdin`) the end of
//! standard input. `--wait` (with `--stdin`) holds the counters still until the first line of standard input. At the end the
//! counters are brought up to date and the ledger is printed, one line a zone:
//! `ZONE joules J seconds S watts W late_us U`, where U is the longest time the writer was late.
#![forbid(unsafe_code)]

use rustix::time::{ClockId, clock_gettime};
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, Write};
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Power over time, in milliwatts.
#[derive(Debug, Clone, Copy)]
enum Power {
    Constant { mw: u64 },
    Square { low: u64, high: u64, period_ns: u64 },
}

impl Power {
    /// Energy in nanojoules spent in the first `ns` nanoseconds.
    fn energy_nj(self, ns: u64) -> u128 {
        // Milliwatts times nanoseconds are picojoules.
        let pj = match self {
            Power::Constant { mw } => u128::from(mw) * u128::from(ns),
            Power::Square {
                low,
                high,
                period_ns,
            } => {
                let (whole, rest) = (ns / period_ns, ns % period_ns);
                let half = period_ns / 2;
                let low_ns = whole * half + rest.min(half);
                u128::from(low) * u128::from(low_ns) + u128::from(high) * u128::from(ns - low_ns)
            }
        };
        pj / 1000
    }
}

#[derive(Debug)]
struct Options {
    root: PathBuf,
    zones: Vec<(String, u64)>,
    square: Option<Power>,
    mmio: bool,
    vendor: Option<String>,
    period_us: u64,
    unit_nj: u64,
    range_uj: u64,
    start: Option<String>,
    wrap_after: Option<f64>,
    duration: Option<Duration>,
    stdin: bool,
    wait: bool,
}

/// One counter and the files that show it: one, or two with an mmio twin.
struct Zone {
    label: String,
    power: Power,
    start_ticks: u64,
    files: Vec<File>,
}

fn main() {
    if let Err(error) = run() {
        eprintln!("fake_rapl: {error}");
        std::process::exit(1);
    }
}

fn run() -> Result<()> {
    let options = parse(std::env::args().skip(1))?;
    // The largest value shown is a whole number of units, cut to microjoules by the kernel: round, do not cut again.
    let modulus = (options.range_uj * 1000 + options.unit_nj / 2) / options.unit_nj + 1;
    let mut zones = build(&options, modulus)?;
    let stop = Arc::new(AtomicBool::new(false));
    let on_signal = Arc::clone(&stop);
    ctrlc::set_handler(move || on_signal.store(true, Ordering::Relaxed))?;
    let lines = options.stdin.then(read_lines);
    write_all(&mut zones, &options, modulus, 0)?;
    say("ready")?;
    if let (true, Some(lines)) = (options.wait, &lines) {
        while !stop.load(Ordering::Relaxed) {
            match lines.recv_timeout(Duration::from_millis(10)) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) => break,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }

    let begin = monotonic_ns();
    // A test computes what it expects from the same clock.
    say(&format!("started {begin}"))?;
    let period_ns = options.period_us * 1000;
    let mut late_ns = 0;
    let mut due = period_ns;
    loop {
        let now = monotonic_ns() - begin;
        let over = options
            .duration
            .is_some_and(|d| u128::from(now) >= d.as_nanos());
        let ended = lines.as_ref().is_some_and(disconnected);
        let updates = now / period_ns;
        late_ns = late_ns.max(now.saturating_sub(due));
        write_all(&mut zones, &options, modulus, updates * period_ns)?;
        if over || ended || stop.load(Ordering::Relaxed) {
            return ledger(&zones, updates * period_ns, late_ns / 1000);
        }
        due = (updates + 1) * period_ns;
        std::thread::sleep(Duration::from_nanos(
            due.saturating_sub(monotonic_ns() - begin),
        ));
    }
}

/// Writes the value of every counter as of `ns` after the start.
fn write_all(zones: &mut [Zone], options: &Options, modulus: u64, ns: u64) -> Result<()> {
    for zone in zones {
        let ticks = zone.power.energy_nj(ns) / u128::from(options.unit_nj);
        let raw = (u128::from(zone.start_ticks) + ticks) % u128::from(modulus);
        let text = format!("{:020}\n", raw * u128::from(options.unit_nj) / 1000);
        for file in &zone.files {
            file.write_all_at(text.as_bytes(), 0)?;
        }
    }
    Ok(())
}

fn ledger(zones: &[Zone], ns: u64, late_us: u64) -> Result<()> {
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds of a test")]
    let seconds = ns as f64 * 1e-9;
    for zone in zones {
        #[expect(clippy::cast_precision_loss, reason = "nanojoules of a test")]
        let joules = zone.power.energy_nj(ns) as f64 * 1e-9;
        let watts = joules / seconds;
        let label = &zone.label;
        say(&format!(
            "{label} joules {joules:.6} seconds {seconds:.6} watts {watts:.6} late_us {late_us}"
        ))?;
    }
    Ok(())
}

/// Makes the tree and opens its counters.
fn build(options: &Options, modulus: u64) -> Result<Vec<Zone>> {
    let class = options.root.join("class/powercap");
    fs::create_dir_all(&class)?;
    if let Some(vendor) = &options.vendor {
        let id = match vendor.as_str() {
            "amd" => "AuthenticAMD",
            "intel" => "GenuineIntel",
            other => return Err(format!("--vendor: intel or amd, not {other}").into()),
        };
        fs::write(
            options.root.join("cpuinfo"),
            format!("vendor_id\t: {id}\nflags\t\t: fpu\n"),
        )?;
    }
    let mut zones: Vec<Zone> = Vec::new();
    let mut parents = Vec::new();
    let mut children = 0;
    let mut labels = BTreeSet::new();
    for (name, mw) in &options.zones {
        let package = name.starts_with("package-");
        let child = ["core", "uncore", "dram"].contains(&name.as_str());
        let path = if child {
            let parent = parents
                .len()
                .checked_sub(1)
                .ok_or("a child zone before its package")?;
            children += 1;
            format!(
                "intel-rapl:{parent:x}/intel-rapl:{parent:x}:{:x}",
                children - 1
            )
        } else {
            children = 0;
            parents.push(name.clone());
            format!("intel-rapl:{:x}", parents.len() - 1)
        };
        let label = match (child, parents.last()) {
            (true, Some(parent)) => format!("{parent}/{name}"),
            _ => name.clone(),
        };
        if !labels.insert(label.clone()) {
            return Err(format!("two zones {label}").into());
        }
        let power = match options.square {
            Some(square) if package => square,
            _ => Power::Constant { mw: *mw },
        };
        let mut files = vec![zone(options, &class, "intel-rapl", &path, name)?];
        if options.mmio && package {
            let twin = path.replace("intel-rapl", "intel-rapl-mmio");
            files.push(zone(options, &class, "intel-rapl-mmio", &twin, name)?);
        }
        zones.push(Zone {
            label,
            power,
            start_ticks: start(options, power, modulus)?,
            files,
        });
    }
    Ok(zones)
}

/// Makes the folder of one zone, nested, and the flat link to it; gives its open counter.
fn zone(options: &Options, class: &Path, control: &str, path: &str, name: &str) -> Result<File> {
    let nested = format!("devices/virtual/powercap/{control}/{path}");
    let folder = options.root.join(&nested);
    fs::create_dir_all(&folder)?;
    let id = folder
        .file_name()
        .ok_or("a zone without a name")?
        .to_owned();
    let control_folder = format!("devices/virtual/powercap/{control}");
    fs::write(options.root.join(&control_folder).join("enabled"), "1\n")?;
    link(&format!("../../{control_folder}"), &class.join(control))?;
    link(&format!("../../{nested}"), &class.join(&id))?;
    fs::write(folder.join("name"), format!("{name}\n"))?;
    fs::write(
        folder.join("max_energy_range_uj"),
        format!("{}\n", options.range_uj),
    )?;
    // As on healthy machines: children say 0, which is about limits and not about counters.
    fs::write(folder.join("enabled"), "0\n")?;
    let counter = folder.join("energy_uj");
    Ok(OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(counter)?)
}

fn link(target: &str, path: &Path) -> io::Result<()> {
    match symlink(target, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
}

/// The first value of a counter, in units.
fn start(options: &Options, power: Power, modulus: u64) -> Result<u64> {
    let ahead = |seconds: f64| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "seconds of a test"
        )]
        let ns = (seconds.max(0.0) * 1e9) as u64;
        let ticks = power.energy_nj(ns) / u128::from(options.unit_nj) % u128::from(modulus);
        u64::try_from(ticks).map(|ticks| (modulus - ticks) % modulus)
    };
    Ok(match (options.wrap_after, options.start.as_deref()) {
        (Some(seconds), _) => ahead(seconds)?,
        (None, Some("near-wrap")) => ahead(0.5)?,
        (None, Some(uj)) => uj.parse::<u64>()?.saturating_mul(1000) / options.unit_nj % modulus,
        (None, None) => 1_000_000_000 / options.unit_nj % modulus,
    })
}

/// Sends one message for each line of standard input, and hangs up at its end.
fn read_lines() -> Receiver<()> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for _ in io::stdin().lock().lines().map_while(io::Result::ok) {
            if sender.send(()).is_err() {
                break;
            }
        }
    });
    receiver
}

fn disconnected(lines: &Receiver<()>) -> bool {
    matches!(lines.try_recv(), Err(mpsc::TryRecvError::Disconnected))
}

fn say(line: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

fn monotonic_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Options> {
    let mut options = Options {
        root: PathBuf::new(),
        zones: Vec::new(),
        square: None,
        mmio: false,
        vendor: None,
        period_us: 1000,
        unit_nj: 61_035,
        range_uj: 262_143_328_850,
        start: None,
        wrap_after: None,
        duration: None,
        stdin: false,
        wait: false,
    };
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--root" => options.root = value()?.into(),
            "--zone" => {
                let zone = value()?;
                let (name, watts) = zone.split_once('=').ok_or("--zone NAME=WATTS")?;
                options.zones.push((name.to_owned(), milli(watts)?));
            }
            "--square" => {
                let square = value()?;
                let parts: Vec<u64> = square.split(',').map(milli).collect::<Result<_>>()?;
                let [low, high, period] = parts[..] else {
                    return Err("--square LOW,HIGH,PERIOD_MS".into());
                };
                // Thousandths of a millisecond.
                let period_ns = (period * 1000).max(2);
                options.square = Some(Power::Square {
                    low,
                    high,
                    period_ns,
                });
            }
            "--mmio" => options.mmio = true,
            "--vendor" => options.vendor = Some(value()?),
            "--period-us" => options.period_us = value()?.parse::<u64>()?.max(1),
            "--unit-nj" => options.unit_nj = value()?.parse::<u64>()?.max(1),
            "--range-uj" => options.range_uj = value()?.parse()?,
            "--start" => options.start = Some(value()?),
            "--wrap-after-seconds" => options.wrap_after = Some(value()?.parse()?),
            "--duration" => {
                options.duration = Some(Duration::try_from_secs_f64(value()?.parse()?)?)
            }
            "--stdin" => options.stdin = true,
            "--wait" => options.wait = true,
            other => return Err(format!("unknown argument {other}").into()),
        }
    }
    if options.root.as_os_str().is_empty() || options.zones.is_empty() {
        return Err("--root DIR and --zone NAME=WATTS are needed".into());
    }
    Ok(options)
}

/// A decimal number in thousandths.
fn milli(text: &str) -> Result<u64> {
    let number: f64 = text.parse()?;
    if !(0.0..=1e9).contains(&number) {
        return Err(format!("{text}: not a plausible number").into());
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be 0 to 1e12"
    )]
    let thousandths = (number * 1000.0).round() as u64;
    Ok(thousandths)
}
