//! What becomes of lines that are not as they should be.

use crate::support::{self, ratio, row};
use bitbench_reports::compare::Against;
use bitbench_reports::record::*;
use bitbench_reports::report::Report;
use bitbench_reports::round::{Reading, Round};
use bitbench_reports::summary::{Ending, Figure, Status, Summary};

const ROW: &str = "700M/i2s-avx2/2";
const BASE: &str = "700M/f16-avx2/2";

fn measured() -> Vec<Record> {
    support::lines(support::counters(Provenance::MeasuredCounter))
}

fn report(lines: &[Record]) -> Report {
    Report::new(&support::read_back(lines))
}

fn summary(lines: &[Record], job: &str) -> Summary {
    let report = report(lines);
    let mut rows = report.rows.into_iter();
    rows.find(|row| row.summary.job.id == job).unwrap().summary
}

fn place(line: &Record) -> Option<&Place> {
    match line {
        Record::Loaded(loaded) => Some(&loaded.place),
        Record::Sample(sample) => Some(&sample.place),
        Record::Memory(memory) => Some(&memory.place),
        Record::Outcome(outcome) => Some(&outcome.place),
        _ => None,
    }
}

fn of_job(line: &Record, job: &str) -> bool {
    place(line).is_some_and(|place| place.job == job)
}

/// The samples of one job and phase, for a test to change.
fn phase<'a>(
    lines: &'a mut [Record],
    job: &'a str,
    phase: Phase,
) -> impl Iterator<Item = &'a mut Sample> {
    support::samples_mut(lines).filter(move |s| s.place.job == job && s.phase == phase)
}

fn decode(summary: &Summary) -> Figure {
    summary
        .figure(|round| &round.decode_tokens_per_second)
        .unwrap()
}

#[test]
fn repetitions_of_a_process_are_one_number() {
    let mut lines = measured();
    for sample in phase(&mut lines, ROW, Phase::Decode) {
        sample.tokens = 10;
        sample.durations_ns = vec![1_000_000_000, 2_000_000_000, 100_000_000_000];
    }
    let figure = decode(&summary(&lines, ROW));
    assert_eq!((figure.median, figure.n), (5.0, 3));
    assert_eq!(figure.mad, Some(0.0));
}

#[test]
fn shares_of_the_limits_are_those_of_the_same_round() {
    let mut lines = measured();
    for sample in support::samples_mut(&mut lines).filter(|s| s.place.job == ROW) {
        let (tokens, operations, duration_ns) = match sample.phase {
            // 679477248 weights, two operations each: 1.36 s for ten tokens at 10 GOP/s, half of a peak of 20.
            Phase::Prefill => (10, None, 1_358_954_496),
            Phase::Decode => (1, None, 1_358_954_496),
            Phase::ComputePeak => (0, Some(20_000_000_000), 1_000_000_000),
            _ => continue,
        };
        (sample.tokens, sample.operations) = (tokens, operations);
        sample.durations_ns = vec![duration_ns];
    }
    let of_row = summary(&lines, ROW);
    let median = |reading| of_row.figure(reading).unwrap().median;
    assert!((median(|r| &r.prefill_gop_per_second) - 10.0).abs() < 1e-9);
    assert!((median(|r| &r.compute_peak_gop_per_second) - 20.0).abs() < 1e-9);
    assert!((median(|r| &r.prefill_compute_share_percent) - 50.0).abs() < 1e-9);
    assert!((median(|r| &r.decode_compute_share_percent) - 5.0).abs() < 1e-9);
}

/// The text of one cell; nothing where there is no figure.
fn cell(lines: &[Record], id: &str) -> Option<String> {
    use bitbench_reports::columns::{COLUMNS, Cell};
    let column = COLUMNS.iter().find(|column| column.id == id).unwrap();
    let report = report(lines);
    let row = report.rows.iter().find(|row| row.summary.job.id == ROW);
    match (column.cell)(row.unwrap()) {
        Cell::Missing(_) => None,
        Cell::Text { text, .. } => Some(text),
        Cell::Number { value, .. } => Some(value.to_string()),
    }
}

#[test]
fn decode_is_bound_by_what_takes_longer() {
    let mut lines = measured();
    assert_eq!(cell(&lines, "decode_limit").as_deref(), Some("memory"));
    for sample in phase(&mut lines, ROW, Phase::ComputePeak) {
        sample.durations_ns.iter_mut().for_each(|ns| *ns *= 100);
    }
    assert_eq!(cell(&lines, "decode_limit").as_deref(), Some("compute"));
}

#[test]
fn a_run_of_the_first_format_is_read_and_what_it_did_not_store_is_missing() {
    let mut lines = measured();
    let complete = summary(&lines, ROW);
    lines.retain(|line| !matches!(line, Record::Sample(s) if s.phase == Phase::ComputePeak));
    let Record::Run(run) = &mut lines[0] else {
        panic!("the first line is the run");
    };
    run.schema = OLDEST_SCHEMA;
    assert_eq!(decode(&summary(&lines, ROW)), decode(&complete));
    for id in [
        "compute_peak_gop_per_second",
        "prefill_compute_share_percent",
        "decode_compute_share_percent",
        "decode_limit",
    ] {
        assert_eq!(cell(&lines, id), None, "{id}");
    }
    assert!(cell(&lines, "bandwidth_share_percent").is_some());
}

#[test]
fn what_a_head_looks_at_again_is_read_too() {
    let mut lines = measured();
    let before = summary(&lines, ROW);
    let mut tokens = 0.0;
    for sample in phase(&mut lines, ROW, Phase::Decode) {
        tokens = f64::from(sample.tokens) * sample.durations_ns.len() as f64;
        sample.rescored_bytes = Some(1_000_000_000);
    }
    let after = summary(&lines, ROW);
    let head = |summary: &Summary| {
        let figure = summary.figure(|round| &round.head_bytes_per_token);
        figure.unwrap().median
    };
    let more = head(&after) - head(&before);
    assert!((more - 1e9 / tokens).abs() < 1e-3, "{more}");
    let rate = |summary: &Summary| {
        let figure = summary.figure(|round| &round.decode_gb_per_second);
        figure.unwrap().median
    };
    let more = rate(&after) - rate(&before);
    let expected = decode(&after).median / tokens;
    assert!(
        (more / expected - 1.0).abs() < 0.05,
        "{more} and {expected}"
    );
}

#[test]
fn a_row_is_held_against_the_baseline_with_its_head() {
    let mut records = support::read_back(&measured());
    let baseline = |records: &Records| {
        let rows = Report::new(records).rows;
        let row = rows
            .into_iter()
            .find(|row| row.summary.job.id == ROW)
            .unwrap();
        row.comparison.decode_speedup
    };
    assert!(matches!(baseline(&records), Against::Baseline { .. }));
    let mut of_row = |id: &str| {
        let job = records
            .run
            .jobs
            .iter_mut()
            .find(|job| job.id == id)
            .unwrap();
        job.head = "screened".to_owned();
        records.clone()
    };
    let alone = of_row(ROW);
    assert!(!matches!(baseline(&alone), Against::Baseline { .. }));
    assert!(matches!(baseline(&of_row(BASE)), Against::Baseline { .. }));
}

/// Makes the two-thread jobs of the first model decode eight sequences together, at the pace of a step of one.
pub(crate) fn eight_sequences(lines: &mut [Record]) {
    let of_batch = |id: &str| id.starts_with("700M/") && id.ends_with("/2");
    for line in lines {
        match line {
            Record::Run(run) => {
                for job in run.jobs.iter_mut().filter(|job| of_batch(&job.id)) {
                    job.batch = 8;
                }
            }
            Record::Sample(sample) if of_batch(&sample.place.job) => sample.tokens *= 8,
            _ => {}
        }
    }
}

#[test]
fn rates_of_a_batch_count_all_sequences_and_weights_are_read_once_for_them() {
    let alone = summary(&measured(), ROW);
    let mut lines = measured();
    eight_sequences(&mut lines);
    let together = summary(&lines, ROW);
    let ratio = |reading: fn(&Round) -> &Reading| {
        let median = |summary: &Summary| summary.figure(reading).unwrap().median;
        median(&together) / median(&alone)
    };
    assert!((ratio(|r| &r.decode_tokens_per_second) - 8.0).abs() < 1e-9);
    assert!((ratio(|r| &r.prefill_tokens_per_second) - 8.0).abs() < 1e-9);
    assert!((ratio(|r| &r.first_token_ms) - 1.0).abs() < 1e-9);
    assert!((ratio(|r| &r.head_bytes_per_token) - 1.0 / 8.0).abs() < 1e-9);
    assert!((ratio(|r| &r.decode_energy.joules_per_token) - 1.0 / 8.0).abs() < 1e-9);
    assert!((ratio(|r| &r.decode_compute_share_percent) - 8.0).abs() < 1e-9);
    // A step reads the weights once and eight caches, each up to the same mean position.
    let loaded = alone.loaded.as_ref().unwrap();
    let cache = loaded.kv_bytes_per_position as f64 * (128.0 + 16.0);
    let weights = loaded.weights_bytes_per_token as f64;
    let expected = (weights + 8.0 * cache) / (weights + cache);
    assert!((ratio(|r| &r.decode_gb_per_second) / expected - 1.0).abs() < 1e-9);
    assert!((ratio(|r| &r.bandwidth_share_percent) / expected - 1.0).abs() < 1e-9);
    let each: f64 = cell(&lines, "decode_tokens_per_second_each")
        .unwrap()
        .parse()
        .unwrap();
    assert!((each / decode(&alone).median - 1.0).abs() < 1e-9);
    assert_eq!(cell(&measured(), "decode_tokens_per_second_each"), None);
}

#[test]
fn a_batch_is_held_against_the_baseline_with_as_many_sequences() {
    let mut lines = measured();
    eight_sequences(&mut lines);
    let of_row = |lines: &[Record]| {
        let rows = report(lines).rows.into_iter();
        let mut rows = rows.filter(|row| row.summary.job.id == ROW);
        rows.next().unwrap().comparison.decode_speedup
    };
    assert!(matches!(of_row(&lines), Against::Baseline { job, .. } if job == BASE));
    let Record::Run(run) = &mut lines[0] else {
        panic!("the first line is the run");
    };
    run.jobs
        .iter_mut()
        .find(|job| job.id == BASE)
        .unwrap()
        .batch = 1;
    assert!(matches!(of_row(&lines), Against::Missing(_)));
}

#[test]
fn a_run_of_format_1_is_read_with_half_precision_heads_and_one_sequence() {
    let stored = support::stored(&measured());
    let old = stored
        .replace("\"schema\":3", "\"schema\":1")
        .replace("\"head\":\"f16\",", "")
        .replace("\"batch\":1,", "");
    assert!(old.len() < stored.len() && !old.contains("batch"));
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("records.jsonl"), old).unwrap();
    let records = Records::read(folder.path()).unwrap();
    assert!(records.run.jobs.iter().all(|job| job.head == "f16"));
    assert!(records.run.jobs.iter().all(|job| job.batch == 1));
}

#[test]
fn a_single_round_has_no_spread() {
    assert_eq!(Figure::of(&[]), None);
    assert_eq!(Figure::of(&[4.0]).unwrap().mad, None);
    assert_eq!(Figure::of(&[4.0, 5.0]).unwrap().median, 4.5);
}

#[test]
fn of_a_resumed_round_the_newest_process_counts_phase_by_phase() {
    let mut lines = measured();
    let newer = |sample: &Sample, factor: u64| {
        let mut sample = sample.clone();
        sample.place.process = 1000;
        sample.durations_ns.iter_mut().for_each(|ns| *ns *= factor);
        sample
    };
    let before = summary(&lines, ROW);
    // The first process of round 0 was killed; the newer one had finished its prefill when it was killed too.
    let again = phase(&mut lines, ROW, Phase::Prefill)
        .next()
        .map(|s| newer(s, 2))
        .unwrap();
    lines.insert(1, Record::Sample(Box::new(again)));
    let after = summary(&lines, ROW);
    let prefill = |summary: &Summary| {
        summary.rounds[0]
            .prefill_tokens_per_second
            .clone()
            .unwrap()
            .unwrap()
    };
    assert_eq!(prefill(&after), prefill(&before) / 2.0);
    assert_eq!(decode(&after), decode(&before));
    // The newer process has no idle window, and those of another process do not stand in for it.
    let net = &after.rounds[0].prefill_energy.net_joules_per_token;
    assert_eq!(
        net.clone().unwrap().unwrap_err(),
        "no idle window in this round"
    );
    assert!(
        after.rounds[0]
            .prefill_energy
            .joules_per_token
            .clone()
            .unwrap()
            .is_ok()
    );
}

#[test]
fn finished_windows_of_an_unfinished_round_count() {
    let mut lines = measured();
    let last_round = |line: &Record| place(line).is_some_and(|p| p.job == ROW && p.round == 2);
    lines.retain(|line| {
        !(last_round(line) && matches!(line, Record::Outcome(_) | Record::Memory(_)))
    });
    let summary = summary(&lines, ROW);
    assert_eq!(summary.status, Status::Measured);
    assert_eq!((summary.finished_rounds, decode(&summary).n), (2, 3));
    assert!(
        summary.notes[0].starts_with("2 of 3 rounds finished"),
        "{:?}",
        summary.notes
    );
    assert_eq!(summary.figure(|round| &round.peak_bytes).unwrap().n, 2);
}

#[test]
fn a_job_that_was_planned_with_fewer_rounds_is_not_unfinished() {
    let mut lines = measured();
    lines.retain(|line| place(line).is_none_or(|p| p.job != ROW || p.round < 2));
    for line in &mut lines {
        if let Record::Run(run) = line {
            let of_row = run.jobs.iter_mut().filter(|job| job.id == ROW);
            of_row.for_each(|job| job.rounds = 2);
        }
    }
    let summary = summary(&lines, ROW);
    assert_eq!((summary.finished_rounds, decode(&summary).n), (2, 2));
    let unfinished = |note: &String| note.contains("rounds finished");
    assert!(!summary.notes.iter().any(unfinished), "{:?}", summary.notes);
}

#[test]
fn one_failed_round_withholds_every_figure() {
    let summary = summary(&measured(), "small-f16.gguf/i2s-scalar/1");
    let Status::Failed {
        reason,
        finished_rounds,
    } = &summary.status
    else {
        panic!("{:?}", summary.status);
    };
    assert_eq!(*finished_rounds, 1);
    assert!(reason.contains("signal 9"));
    assert!(summary.rounds.is_empty() && summary.loaded.is_none());
    let figure = summary.figure(|round| &round.decode_tokens_per_second);
    assert!(figure.unwrap_err().starts_with("failed: "));
}

#[test]
fn rounds_that_disagree_about_the_tokens_are_a_failure() {
    for which in [Phase::Prefill, Phase::Decode, Phase::Request] {
        let mut lines = measured();
        phase(&mut lines, BASE, which).last().unwrap().digest = Some("blake3:other".to_owned());
        let summary = summary(&lines, BASE);
        let reason = summary.status.reason().unwrap();
        assert!(
            reason.starts_with("rounds disagree about the tokens: "),
            "{reason}"
        );
        assert_eq!(summary.status.word(), "failed");
    }
}

#[test]
fn energy_that_is_missing_once_is_missing_altogether() {
    let mut lines = measured();
    let Energy::Measured(window) =
        &mut phase(&mut lines, ROW, Phase::Decode).next().unwrap().energy
    else {
        panic!("the run has energy");
    };
    window.domains[1].energy_uj = None;
    window.domains[1].fault = Some("the counter went backwards".to_owned());
    let summary = summary(&lines, ROW);
    let figure = summary.figure(|round| &round.decode_energy.joules_per_token);
    assert_eq!(
        figure.unwrap_err(),
        "package-0/dram: the counter went backwards"
    );
    assert!(
        summary
            .figure(|round| &round.prefill_energy.joules_per_token)
            .is_ok()
    );
    assert_eq!(decode(&summary).n, 3);
}

#[test]
fn a_fault_of_a_domain_that_is_not_counted_costs_nothing() {
    let mut lines = measured();
    let Energy::Measured(window) =
        &mut phase(&mut lines, ROW, Phase::Decode).next().unwrap().energy
    else {
        panic!("the run has energy");
    };
    window.domains[2].energy_uj = None;
    assert!(
        summary(&lines, ROW)
            .figure(|round| &round.decode_energy.joules_per_token)
            .is_ok()
    );
}

#[test]
fn net_energy_is_what_the_idle_worker_does_not_take() {
    let summary = summary(&measured(), ROW);
    let round = &summary.rounds[0].decode_energy;
    let read = |reading: &Option<Result<f64, String>>| reading.clone().unwrap().unwrap();
    // The made-up machine takes 22 W at work, and 4.00 W and 4.08 W idle.
    assert!((read(&round.watts) - 22.0).abs() < 1e-3);
    let share = read(&round.net_joules_per_token) / read(&round.joules_per_token);
    assert!((share - (22.0 - 4.04) / 22.0).abs() < 1e-4, "{share}");
    assert!(summary.notes.is_empty(), "{:?}", summary.notes);
}

#[test]
fn idle_power_that_moves_taints_net_energy() {
    let mut lines = measured();
    let source = support::counters(Provenance::MeasuredCounter);
    let moved = phase(&mut lines, ROW, Phase::Idle).nth(3).unwrap();
    moved.energy = support::energy(&source, 2.0, 4.4);
    let notes = summary(&lines, ROW).notes;
    assert_eq!(
        notes,
        ["net energy is tainted: idle power moved by 10 % within round 2"]
    );
}

#[test]
fn idle_power_above_that_of_the_window_gives_no_net_energy() {
    let mut lines = measured();
    let source = support::counters(Provenance::MeasuredCounter);
    for idle in phase(&mut lines, ROW, Phase::Idle) {
        idle.energy = support::energy(&source, 2.0, 23.0);
    }
    let summary = summary(&lines, ROW);
    assert!(
        summary
            .figure(|round| &round.decode_energy.net_joules_per_token)
            .is_err()
    );
    assert!(
        summary
            .figure(|round| &round.decode_energy.joules_per_token)
            .is_ok()
    );
    assert!(
        summary.notes[0].contains("idle power is 105 %"),
        "{:?}",
        summary.notes
    );
}

#[test]
fn rounds_on_different_counters_have_no_energy() {
    let mut lines = measured();
    let Energy::Measured(window) =
        &mut phase(&mut lines, ROW, Phase::Decode).next().unwrap().energy
    else {
        panic!("the run has energy");
    };
    window.domains.remove(1);
    let summary = summary(&lines, ROW);
    let figure = summary.figure(|round| &round.decode_energy.joules_per_token);
    assert_eq!(
        figure.unwrap_err(),
        "rounds were read from different counters"
    );
    assert_eq!(summary.energy_basis, None);
}

#[test]
fn jobs_that_were_not_reached_say_why() {
    for (last, ending, words) in [
        (
            Some(support::end(true)),
            Ending::Interrupted,
            "the run was interrupted",
        ),
        (None, Ending::Missing, "the run was killed"),
        (
            Some(support::end(false)),
            Ending::Complete,
            "the run ended and stored no window",
        ),
    ] {
        let mut lines = measured();
        lines.pop();
        lines.retain(|line| !of_job(line, ROW));
        lines.extend(last);
        assert_eq!(report(&lines).ending, ending);
        let summary = summary(&lines, ROW);
        assert_eq!(summary.status.word(), "not run");
        assert!(
            summary.status.reason().unwrap().contains(words),
            "{:?}",
            summary.status
        );
    }
}

#[test]
fn a_run_that_was_resumed_and_killed_again_has_no_end() {
    let mut lines = measured();
    lines.push(Record::Resumed(Resumed {
        at: "2026-01-02T04:00:00Z".to_owned(),
        bitbench: "0.1.0".to_owned(),
        command: Vec::new(),
    }));
    let report = report(&lines);
    assert_eq!((report.ending, report.resumed.len()), (Ending::Missing, 1));
}

#[test]
fn the_baseline_is_the_fastest_half_precision_row_for_each_phase() {
    let mut lines = measured();
    let Record::Run(run) = &mut lines[0] else {
        panic!("the first line is the run");
    };
    let other = support::job(&support::synthetic(), "f16-scalar", 2);
    run.jobs.push(other.clone());
    let source = run.energy.clone();
    // Slower at prefill, faster at decode than f16-avx2.
    for number in 0..support::ROUNDS {
        lines.append(&mut support::round(&source, &other, number, 500 + number));
    }
    for sample in phase(&mut lines, &other.id, Phase::Decode) {
        sample.durations_ns.iter_mut().for_each(|ns| *ns /= 4);
    }
    let report = report(&lines);
    let row = |id: &str| {
        report
            .rows
            .iter()
            .find(|row| row.summary.job.id == id)
            .unwrap()
    };
    let kernel = |against: &Against| match against {
        Against::Baseline { kernel, .. } => kernel.clone(),
        other => format!("{other:?}"),
    };
    assert_eq!(kernel(&row(ROW).comparison.prefill_speedup), "f16-avx2");
    assert_eq!(kernel(&row(ROW).comparison.decode_speedup), "f16-scalar");
    assert_eq!(row(BASE).comparison.prefill_speedup, Against::IsBaseline);
    assert_eq!(kernel(&row(BASE).comparison.decode_speedup), "f16-scalar");
    assert_eq!(
        row(&other.id).comparison.decode_speedup,
        Against::IsBaseline
    );
}

#[test]
fn only_rounds_that_both_have_are_compared() {
    let mut lines = measured();
    lines.retain(|line| !place(line).is_some_and(|p| p.job == BASE && p.round == 0));
    let report = report(&lines);
    let row = row(&report, ROW);
    assert_eq!(ratio(&row.comparison.decode_speedup).n, 2);
}

#[test]
fn without_a_baseline_there_is_no_speedup() {
    let mut lines = measured();
    lines.push(support::outcome(
        BASE,
        2,
        99,
        Outcome::Failed {
            reason: "it crashed".to_owned(),
        },
    ));
    let report = report(&lines);
    let row = report
        .rows
        .iter()
        .find(|row| row.summary.job.id == ROW)
        .unwrap();
    assert!(
        matches!(&row.comparison.decode_speedup, Against::Missing(reason) if reason.contains("half-precision"))
    );
}

#[test]
fn simulated_energy_is_flagged_and_never_compared() {
    let report = report(&support::lines(support::counters(Provenance::Simulated)));
    assert!(report.simulated());
    let row = report
        .rows
        .iter()
        .find(|row| row.summary.job.id == ROW)
        .unwrap();
    assert!(row.summary.simulated);
    assert_eq!(
        row.comparison.energy_saved_percent,
        Against::Missing("simulated energy is never compared".to_owned())
    );
    assert!(
        report
            .verdicts()
            .iter()
            .all(|verdict| !verdict.contains("energy"))
    );
}
