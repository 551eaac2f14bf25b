//! Several runs side by side.

use super::super::traced::Job;
use super::page::{Table, tables};
use super::quoted::cell;
use super::run::{Run, column, counted, decimals, spread};
use super::says::Says;
use super::{Expected, STORED, Stored, hold};
use bitbench_reports::export::Format;
use bitbench_reports::record::{FILE_NAME, Records};
use bitbench_reports::render::html;
use bitbench_reports::report::Report;
use serde_json::Value;

/// A run, its data base, and whether its host is like that of the first.
struct Joined {
    report: Report,
    run: Run,
    alike: bool,
}

/// A stored run whose windows took so many percent as long, with this CPU.
fn other(stored: &Stored, percent: u64, cpu: Option<&str>) -> Joined {
    let folder = tempfile::tempdir().unwrap();
    let mut text = String::new();
    for line in stored.text().lines() {
        // A torn last line stays one.
        let Ok(mut line) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        if let Some(durations) = line.get_mut("durations_ns").and_then(Value::as_array_mut) {
            for duration in durations {
                *duration = (duration.as_u64().unwrap() * percent / 100).into();
            }
        }
        if let (Some(cpu), Some(host)) = (cpu, line.get_mut("host")) {
            host["cpu"] = cpu.into();
        }
        text.push_str(&format!("{line}\n"));
    }
    std::fs::write(folder.path().join(FILE_NAME), text).unwrap();
    let records = Records::read(folder.path()).unwrap();
    let report = Report::new(&records);
    let data_base = (Format::find("sqlite").unwrap().make)(&records, &report).unwrap();
    Joined {
        report,
        run: Run::new(&data_base),
        alike: cpu.is_none(),
    }
}

fn table(runs: &[Joined], table: &Table) -> Vec<Vec<Expected>> {
    let (what, counters) = match table.caption.trim_end_matches(" SIMULATED") {
        "Decode, tok/s" => ("decode_tokens_per_second", false),
        "Prefill, tok/s" => ("prefill_tokens_per_second", false),
        "Decode energy, J/token" => ("decode_joules_per_token", true),
        "Peak memory, MB" => ("peak_mb", false),
        "Multiplication by a layer, us" => ("multiply_us", false),
        other => panic!("nobody says how {other} is derived"),
    };
    let rows = runs[0].run.jobs.iter().map(|job| {
        let mut row = vec![Expected::words(name(job))];
        for joined in runs {
            row.push(figure(joined, &runs[0], job, what, counters));
        }
        row
    });
    rows.collect()
}

fn name(job: &Job) -> String {
    let together = match (job.batch, job.layer) {
        (1, _) => String::new(),
        (batch, true) => format!(", {batch} tokens"),
        (batch, false) => format!(", {batch} sequences"),
    };
    let sizes = if job.layer {
        String::new()
    } else {
        format!(", prompt {}, generated {}", job.prefill, job.decode)
    };
    let threads = counted(job.threads, "thread");
    format!("{} {}, {threads}{together}{sizes}", job.model, job.kernel)
}

fn figure(joined: &Joined, first: &Joined, job: &Job, what: &str, counters: bool) -> Expected {
    let numbers = joined.run.traced.figure(job, what);
    let Some(value) = numbers.get("").copied() else {
        return joined.run.missing(job, counters);
    };
    let simulated = counters && joined.run.simulated;
    let mut below: Vec<Says> = spread(&numbers).into_iter().collect();
    if simulated {
        below = vec![Says::words("simulated")];
    }
    let mut bracket = None;
    if joined.alike && !std::ptr::eq(joined, first) && !simulated {
        let other = first.run.traced.figure(job, what);
        bracket = Some(Says::number(value / other[""], 2).and_words("x of A"));
        below.push(
            Says::number(numbers["min"] / other["max"], 2)
                .and_words(" to ")
                .and(Says::number(numbers["max"] / other["min"], 2)),
        );
    }
    cell(value, decimals(column(what)), bracket, below)
}

#[test]
fn every_cell_of_runs_side_by_side_follows_from_their_records() {
    let mut derived = 0;
    for stored in &STORED {
        let runs = [
            other(stored, 100, None),
            other(stored, 107, None),
            other(stored, 93, Some("Other CPU 9")),
        ];
        let reports: Vec<Report> = runs.iter().map(|joined| joined.report.clone()).collect();
        let page = html::render_joined(&reports).unwrap();
        let mut side_by_side = 0;
        for found in tables(&page) {
            if found.section == "Side by side" {
                derived += hold(&found, &table(&runs, &found), stored.folder);
                side_by_side += 1;
            }
        }
        assert!(side_by_side > 0, "{}", stored.folder);
    }
    assert!(derived > 500, "{derived}");
    println!("{derived} numbers");
}
