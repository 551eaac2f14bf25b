//! Rows that something else touched say so; the others do not.

use crate::support;
use bitbench_reports::columns::{COLUMNS, Cell};
use bitbench_reports::disturbance::DISTURBED;
use bitbench_reports::record::*;
use bitbench_reports::render::{csv, html, markdown, terminal};
use bitbench_reports::report::Report;

const ROW: &str = "700M/i2s-avx2/2";
const MS: u64 = 1_000_000;

/// A window of a second in which the worker had two cores and others next to nothing.
fn quiet() -> Surroundings {
    Surroundings {
        span_ns: 1000 * MS,
        looks_ns: MS / 4,
        worker_cpu_ns: Some(1990 * MS),
        worker_system_ns: Some(10 * MS),
        harness_cpu_ns: Some(0),
        others_cpu_ns: Some(30 * MS),
        steal_ns: Some(0),
        major_faults: Some(0),
        minor_faults: Some(64),
        voluntary_switches: Some(9),
        involuntary_switches: Some(3),
        throttles: Some(0),
        ..Surroundings::default()
    }
}

/// The whole run with surroundings in every window, those of [`ROW`] by round and phase.
fn lines(of_row: impl Fn(u32, Phase) -> Surroundings) -> Vec<Record> {
    let mut lines = support::lines(support::no_counters());
    for sample in support::samples_mut(&mut lines) {
        let around = if sample.place.job == ROW {
            of_row(sample.place.round, sample.phase)
        } else {
            quiet()
        };
        sample.surroundings = Some(around);
    }
    lines
}

fn report(lines: &[Record]) -> Report {
    Report::new(&support::read_back(lines))
}

fn notes_of(report: &Report, job: &str) -> Vec<String> {
    let rows = report.rows.iter();
    let of_job = rows.filter(|row| row.summary.job.id == job);
    of_job.flat_map(|row| row.summary.notes.clone()).collect()
}

/// The mark of one cell.
fn mark(report: &Report, job: &str, column: &str) -> Option<&'static str> {
    let row = report.rows.iter().find(|row| row.summary.job.id == job);
    let column = COLUMNS.iter().find(|c| c.id == column).unwrap();
    match (column.cell)(row.unwrap()) {
        Cell::Number { mark, .. } => mark,
        other => panic!("{other:?}"),
    }
}

fn line_of_run(report: &Report) -> String {
    let notes = report.notes().into_iter();
    let mut found = notes.filter(|note| note.contains("disturbed"));
    found.next().unwrap_or_default()
}

#[test]
fn other_processes_are_noted_at_the_rounds_they_touched() {
    let lines = lines(|round, phase| match (round, phase) {
        (1 | 2, Phase::Decode) => Surroundings {
            others_cpu_ns: Some(if round == 1 { 520 } else { 930 } * MS),
            ..quiet()
        },
        _ => quiet(),
    });
    let report = report(&lines);
    assert_eq!(
        notes_of(&report, ROW),
        [
            "other processes took up to 0.9 of a core during 2 of 3 decode windows (rounds 2, 3): these figures are of a shared \
          machine"
        ]
    );
    assert_eq!(
        mark(&report, ROW, "decode_tokens_per_second"),
        Some(DISTURBED)
    );
    assert_eq!(mark(&report, ROW, "prefill_tokens_per_second"), None);
    for row in &report.rows {
        let job = &row.summary.job.id;
        if job != ROW && row.summary.measured() {
            assert_eq!(row.summary.notes, Vec::<String>::new(), "{job}");
            assert_eq!(
                mark(&report, job, "decode_tokens_per_second"),
                None,
                "{job}"
            );
        }
    }
    let of_run = line_of_run(&report);
    let expected = "disturbed (!): 2 of 60 windows of prefill and decode; other processes took up to 0.9 of a core. ";
    assert!(of_run.starts_with(expected), "{of_run}");
    // Every page has it.
    let pages = [
        terminal::render(&report, 200, false),
        markdown::render(&report),
        html::render(&report).unwrap(),
    ];
    for page in pages {
        assert!(
            page.contains("took up to 0.9 of a core during 2 of 3 decode"),
            "{page}"
        );
    }
    let page = terminal::render(&report, 80, false);
    assert!(
        page.lines()
            .any(|line| line.contains("i2s-avx2") && line.contains(" !")),
        "{page}"
    );
    assert!(csv::render(&report).contains("decode_others_cores"));
}

#[test]
fn both_phases_and_every_cause_are_told() {
    let lines = lines(|round, phase| match (round, phase) {
        (0, Phase::Prefill | Phase::Decode) => Surroundings {
            others_cpu_ns: Some(400 * MS),
            steal_ns: Some(250 * MS),
            throttles: Some(2),
            major_faults: Some(17),
            ..quiet()
        },
        _ => quiet(),
    });
    let expected = [
        "other processes took up to 0.4 of a core during 1 of 3 prefill and 1 of 3 decode windows (round 1): ",
        "the hypervisor kept up to 0.2 of a core for others (steal) during 1 of 3 prefill and 1 of 3 decode windows (round 1): ",
        "the CPU slowed down for heat during 1 of 3 prefill and 1 of 3 decode windows (round 1): ",
        "the worker waited for a disk (17 major page faults) during 1 of 3 prefill and 1 of 3 decode windows (round 1): ",
    ];
    let notes = notes_of(&report(&lines), ROW);
    assert_eq!(notes.len(), expected.len(), "{notes:?}");
    for (note, expected) in notes.iter().zip(expected) {
        assert!(note.starts_with(expected), "{note}");
    }
}

#[test]
fn a_quiet_run_says_how_quiet_it_was_and_marks_nothing() {
    let quiet_report = report(&lines(|_, _| quiet()));
    assert_eq!(
        line_of_run(&quiet_report),
        "undisturbed: in each of 60 windows of prefill and decode other processes took at most 0.03 of a core"
    );
    assert_eq!(notes_of(&quiet_report, ROW), Vec::<String>::new());
    assert_eq!(mark(&quiet_report, ROW, "decode_tokens_per_second"), None);
    // A record of an earlier format does not know, and does not claim to.
    let unknown = report(&support::lines(support::no_counters()));
    assert_eq!(line_of_run(&unknown), "");
}

#[test]
fn what_the_ticks_leave_in_doubt_touches_nothing() {
    // A window of 40 ms: three ticks of others are within the doubt of five.
    let short = |others_ns| Surroundings {
        span_ns: 40 * MS,
        worker_cpu_ns: Some(40 * MS),
        others_cpu_ns: Some(others_ns),
        ..Surroundings::default()
    };
    let row = |others_ns| report(&lines(|_, _| short(others_ns)));
    assert_eq!(notes_of(&row(30 * MS), ROW), Vec::<String>::new());
    assert_eq!(notes_of(&row(80 * MS), ROW).len(), 1);
    // A span of nothing divides nothing.
    let nothing = Surroundings {
        others_cpu_ns: Some(1),
        steal_ns: Some(1),
        ..Surroundings::default()
    };
    assert_eq!(nothing.others_cores(), None);
    assert_eq!(
        notes_of(&report(&lines(|_, _| nothing)), ROW),
        Vec::<String>::new()
    );
    // Nor do figures from a damaged file overflow.
    let most = Surroundings {
        span_ns: 1,
        worker_cpu_ns: Some(u64::MAX),
        others_cpu_ns: Some(u64::MAX),
        harness_cpu_ns: Some(u64::MAX),
        steal_ns: Some(u64::MAX),
        ..Surroundings::default()
    };
    report(&lines(|_, _| most));
}
