//! Makes a record of ten thousand samples, writes it in every format, and prints what each took and how large it is.
//!
//! ```sh
//! cargo run --release -p bitbench-reports --example large_record [FOLDER OF A RUN TO MULTIPLY]
//! ```
//!
//! The record is a stored run of the tests with its rounds and jobs many times over, each time a little slower.

use bitbench_reports::export::FORMATS;
use bitbench_reports::record::{FILE_NAME, Place, Record, Records};
use bitbench_reports::report::Report;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Samples that the record is to have at least.
const SAMPLES: usize = 10_000;
/// Rounds of each job.
const ROUNDS: u32 = 12;

fn main() -> Result<(), Box<dyn Error>> {
    let stored = std::env::args_os().nth(1).map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/run"),
        PathBuf::from,
    );
    let large = multiplied(&Records::read(&stored)?);
    let folder = std::env::temp_dir().join(format!("bitbench-large-record-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let text: Result<String, serde_json::Error> = large
        .iter()
        .map(|line| serde_json::to_string(line).map(|line| line + "\n"))
        .collect();
    std::fs::write(folder.join(FILE_NAME), text?)?;

    let start = Instant::now();
    let records = Records::read(&folder);
    let read = start.elapsed();
    std::fs::remove_dir_all(&folder)?;
    let records = records?;
    let start = Instant::now();
    let report = Report::new(&records);
    let derived = start.elapsed();
    let samples = records.lines.iter();
    let samples = samples.filter(|line| matches!(line, Record::Sample(_)));
    println!(
        "{} samples of {} jobs",
        samples.count(),
        records.run.jobs.len()
    );
    println!("{:<28} {:>8.3} s", "reading the record", read.as_secs_f64());
    println!(
        "{:<28} {:>8.3} s",
        "deriving figures",
        derived.as_secs_f64()
    );
    let mut always = read + derived;
    for format in FORMATS {
        let start = Instant::now();
        let bytes = (format.make)(&records, &report)?;
        let took = start.elapsed();
        always += if format.always { took } else { Duration::ZERO };
        println!(
            "{:<28} {:>8.3} s {:>8.2} MB",
            format.file,
            took.as_secs_f64(),
            bytes.len() as f64 / 1e6
        );
    }
    println!(
        "{:<28} {:>8.3} s",
        "all that a run writes",
        always.as_secs_f64()
    );
    Ok(())
}

/// The lines of a run with its jobs copied under other names and its rounds repeated, until there are enough samples.
fn multiplied(records: &Records) -> Vec<Record> {
    let mut run = records.run.clone();
    run.jobs.clear();
    let mut lines = Vec::new();
    let mut samples = 0;
    let mut copy = 0;
    while samples < SAMPLES {
        for job in &records.run.jobs {
            let mut job = job.clone();
            job.id = format!("{}/{copy}", job.id);
            job.model.name = format!("{} {copy}", job.model.name);
            job.rounds = ROUNDS;
            run.jobs.push(job);
        }
        let rounds = records.run.jobs.iter().map(|job| job.rounds).max();
        let rounds = rounds.unwrap_or(1).max(1);
        for again in 0..ROUNDS.div_ceil(rounds) {
            for line in &records.lines {
                let mut line = line.clone();
                let Some(place) = place(&mut line) else {
                    continue;
                };
                place.job = format!("{}/{copy}", place.job);
                place.round += again * rounds;
                if place.round >= ROUNDS {
                    continue;
                }
                if let Record::Sample(sample) = &mut line {
                    samples += 1;
                    let slower = u64::from(again * 7 + copy);
                    sample
                        .durations_ns
                        .iter_mut()
                        .for_each(|ns| *ns += *ns / 1000 * slower);
                }
                lines.push(line);
            }
        }
        copy += 1;
    }
    lines.insert(0, Record::Run(Box::new(run)));
    lines
}

fn place(line: &mut Record) -> Option<&mut Place> {
    match line {
        Record::Loaded(loaded) => Some(&mut loaded.place),
        Record::Sample(sample) => Some(&mut sample.place),
        Record::Memory(memory) => Some(&mut memory.place),
        Record::ColdStart(cold) => Some(&mut cold.place),
        Record::Outcome(outcome) => Some(&mut outcome.place),
        Record::Run(_) | Record::Resumed(_) | Record::End(_) => None,
    }
}
