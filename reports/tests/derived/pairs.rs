//! Ratios with their intervals, the A/A control, outliers and budgets, in what a report says.

use crate::support::{self, ratio, row};
use bitbench_reports::compare::Against;
use bitbench_reports::record::*;
use bitbench_reports::render::{csv, html, markdown, terminal};
use bitbench_reports::report::Report;

const ROW: &str = "700M/i2s-avx2/2";
const BASE: &str = "700M/f16-avx2/2";
const CONTROL: &str = "700M/f16-avx2/2/control";

/// A run of so many rounds: a ternary row, its baseline, and the control of that.
fn lines(rounds: u32) -> Vec<Record> {
    let source = support::counters(Provenance::MeasuredCounter);
    let mut run = support::run(source.clone());
    run.jobs
        .retain(|job| [ROW, BASE].contains(&job.id.as_str()));
    let baseline = run.jobs.iter().find(|job| job.id == BASE).unwrap();
    run.jobs.push(Job {
        id: CONTROL.to_owned(),
        control_of: Some(BASE.to_owned()),
        ..baseline.clone()
    });
    run.jobs.iter_mut().for_each(|job| job.rounds = rounds);
    run.design = Some(Design::MirroredRows);
    let mut lines = vec![Record::Run(Box::new(run.clone()))];
    for round in 0..rounds {
        for (number, job) in (0..).zip(&run.jobs) {
            lines.append(&mut support::round(&source, job, round, round * 3 + number));
        }
    }
    lines.push(support::end(false));
    lines
}

fn report(lines: &[Record]) -> Report {
    Report::new(&support::read_back(lines))
}

fn of_run(lines: &mut [Record]) -> &mut Run {
    let Record::Run(run) = &mut lines[0] else {
        panic!("the first line is the run");
    };
    run
}

fn control(report: &Report) -> String {
    let notes = report.notes();
    let lines: Vec<&String> = notes.iter().filter(|n| n.contains("A/A control")).collect();
    assert_eq!(lines.len(), 1, "{notes:?}");
    lines[0].clone()
}

#[test]
fn six_rounds_give_an_interval_and_five_a_range() {
    for (rounds, expected) in [(5, " in 5 rounds)"), (6, ", 96 %)"), (12, ", 95 %)")] {
        let report = report(&lines(rounds));
        let verdict = &report.verdicts()[0];
        assert!(verdict.contains(expected), "{verdict}");
        let row = row(&report, ROW);
        let figure = ratio(&row.comparison.decode_speedup);
        assert_eq!(
            (figure.n, figure.interval.is_ok()),
            (rounds as usize, rounds >= 6)
        );
        assert!(figure.min <= figure.estimate && figure.estimate <= figure.max);
        let saved = ratio(&row.comparison.energy_saved_percent);
        for figure in [figure, saved] {
            let (low, high) = match figure.interval {
                Ok(interval) => (interval.low, interval.high),
                Err(_) => (figure.min, figure.max),
            };
            assert!(
                low <= figure.estimate && figure.estimate <= high,
                "{figure:?}"
            );
        }
        let csv = csv::render(&report);
        let mut reader = csv_rows(&csv);
        let fields = reader.remove(ROW).unwrap();
        assert_eq!(fields["decode_speedup_low"].is_empty(), rounds < 6);
        assert_eq!(fields["decode_speedup_level"].is_empty(), rounds < 6);
        assert!(!fields["decode_speedup_of_medians_low"].is_empty());
        let page = html::render(&report).unwrap();
        assert_eq!(page.contains("exact signed-rank interval of"), rounds >= 6);
        assert!(page.contains("from the medians of both rows"));
        assert!(markdown::render(&report).contains(" to 3."));
        for width in [160, 200] {
            let text = terminal::render(&report, width, false);
            let table = text.split("figures are").next().unwrap();
            // Bars, which have a line of their own for each row, say it at any width.
            let lines = table.lines().filter(|line| !line.contains(['█', '▏']));
            let table: String = lines.collect();
            assert_eq!(table.contains(" to 3."), width == 200, "{table}");
        }
    }
}

fn csv_rows(
    text: &str,
) -> std::collections::HashMap<String, std::collections::HashMap<String, String>> {
    let mut lines = text
        .lines()
        .map(|line| line.split(',').map(ToOwned::to_owned));
    let header: Vec<String> = lines.next().unwrap().collect();
    lines
        .map(|fields| {
            let row: std::collections::HashMap<String, String> =
                header.iter().cloned().zip(fields).collect();
            (row["job"].clone(), row)
        })
        .collect()
}

#[test]
fn a_control_is_a_line_and_neither_row_nor_baseline() {
    let mut lines = lines(12);
    // Were it a row, it would be the faster baseline.
    support::slow(&mut lines, CONTROL, Phase::Decode, |round| {
        0.99 - 0.001 * f64::from(round % 3)
    });
    let report = report(&lines);
    assert_eq!(report.rows.len(), 2);
    let row = report
        .rows
        .iter()
        .find(|row| row.summary.job.id == ROW)
        .unwrap();
    let Against::Baseline { job, .. } = &row.comparison.decode_speedup else {
        panic!("{:?}", row.comparison);
    };
    assert_eq!(job, BASE);
    let line = control(&report);
    assert!(
        line.starts_with(
            "A/A control (700M, f16-avx2, 2 threads): decode 1.011 (1.01 to 1.01, 95 %)"
        ),
        "{line}"
    );
    assert!(
        line.ends_with("the same build against itself; differences smaller than that are noise"),
        "{line}"
    );
    for text in [
        terminal::render(&report, 100, false),
        csv::render(&report),
        markdown::render(&report),
        html::render(&report).unwrap(),
    ] {
        assert!(!text.contains("/control"), "{text}");
    }
    assert!(markdown::render(&report).contains("A/A control"));
}

#[test]
fn a_control_that_moved_is_said_aloud() {
    let mut moved = lines(12);
    support::slow(&mut moved, CONTROL, Phase::Decode, |round| {
        1.05 + 0.001 * f64::from(round % 3)
    });
    let found = report(&moved);
    assert!(found.controls[0].flagged());
    let line = control(&found);
    assert!(line.starts_with("A/A control FLAGGED"), "{line}");
    assert!(line.contains("trust no difference of this run"), "{line}");

    // Six rounds cannot say so of two figures, however far apart they are.
    let mut few = lines(6);
    support::slow(&mut few, CONTROL, Phase::Decode, |_| 2.0);
    let line = control(&report(&few));
    assert!(line.ends_with("(too few rounds to judge it)"), "{line}");

    // A slow-down that was asked for is a test, whatever comes of it.
    of_run(&mut moved).jobs[2].injected_percent = Some(5.0);
    let line = control(&report(&moved));
    assert!(
        line.starts_with("TEST, not a result") && line.ends_with(": FLAGGED"),
        "{line}"
    );

    let mut failed = lines(12);
    let reason = "it crashed".to_owned();
    failed.push(support::outcome(CONTROL, 3, 99, Outcome::Failed { reason }));
    let found = report(&failed);
    assert!(found.controls[0].failed && !found.controls[0].flagged());
    let line = control(&found);
    assert!(line.ends_with("none - failed: it crashed"), "{line}");
}

#[test]
fn outliers_are_counted_and_kept() {
    let mut lines = lines(12);
    let before = report(&lines);
    let of_row = |report: &Report| {
        let row = report
            .rows
            .iter()
            .find(|row| row.summary.job.id == ROW)
            .unwrap();
        row.summary.clone()
    };
    assert_eq!(of_row(&before).notes, [""; 0]);
    support::slow(&mut lines, ROW, Phase::Decode, |round| {
        if round == 4 { 2.0 } else { 1.0 }
    });
    let after = of_row(&report(&lines));
    assert_eq!(
        after.notes,
        ["1 of 12 rounds lies outside Tukey's fences in decode tokens/s, and counts all the same"]
    );
    let figure = after
        .figure(|round| &round.decode_tokens_per_second)
        .unwrap();
    assert_eq!(figure.n, 12);
}

#[test]
fn a_report_says_which_budget_stopped_the_run() {
    let mut lines = lines(8);
    let budget = Budget {
        time_s: Some(300.0),
        target_precision_percent: Some(20.0),
    };
    of_run(&mut lines).budget = Some(budget);
    of_run(&mut lines)
        .jobs
        .iter_mut()
        .for_each(|job| job.rounds = 5);
    for (stopped_by, expected) in [
        (None, "no budget stopped the run"),
        (
            Some(StoppedBy::TimeBudget),
            "the time budget of 300 s stopped the run",
        ),
        (
            Some(StoppedBy::TargetPrecision),
            "the target precision stopped the run",
        ),
    ] {
        let Some(Record::End(end)) = lines.last_mut() else {
            panic!("the last line is the end");
        };
        end.stopped_by = stopped_by;
        let report = report(&lines);
        let notes = report.notes();
        let note = notes.iter().find(|note| note.contains(expected));
        let note = note.unwrap_or_else(|| panic!("{notes:?}"));
        assert!(
            note.contains("figures rest on 8 rounds, 5 were planned"),
            "{note}"
        );
        assert!(
            note.contains("every decode figure is known within 20 %"),
            "{note}"
        );
    }
    of_run(&mut lines).budget = Some(Budget {
        target_precision_percent: Some(0.001),
        ..budget
    });
    let notes = report(&lines).notes();
    let missed = format!("the target of 0.001 % was not reached by {ROW} (within ");
    assert!(notes.iter().any(|note| note.contains(&missed)), "{notes:?}");
}
