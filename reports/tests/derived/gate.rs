//! What a gate makes of stored runs.

use crate::support;
use bitbench_reports::gate::{
    Gate, Outcome, Verdict, WIDER, against_baseline, gate, id_of, name_of, open_after,
    open_after_confirming, render,
};
use bitbench_reports::record::*;
use bitbench_reports::versus::{Side, versus};
use std::collections::BTreeMap;

const JOB: &str = "700M/i2s-avx2/2";

/// How a run is made.
struct Made {
    stage: Stage,
    rounds: u32,
    /// Time of decode of the new build over that of the base, in each round.
    decode: fn(u32) -> f64,
    /// The same of the control.
    control: fn(u32) -> f64,
}

impl Default for Made {
    fn default() -> Made {
        Made {
            stage: Stage::Screen,
            rounds: 6,
            decode: |_| 1.0,
            control: |_| 1.0,
        }
    }
}

fn builds() -> Vec<BuildInfo> {
    [Build::Base, Build::New]
        .map(|build| BuildInfo {
            build,
            version: format!("0.1.0 ({})", build.word()),
            path: format!("target/{}/bitbench", build.word()),
            hash: Some(format!("blake3:{:0>64}", build.word().len())),
        })
        .to_vec()
}

/// All lines of a run of a gate.
fn lines(made: &Made) -> Vec<Record> {
    let source = support::no_counters();
    let mut run = support::run(source.clone());
    let twin = run.jobs.iter().find(|job| job.id == JOB).unwrap().clone();
    let of = |build| Job {
        id: id_of(JOB, build),
        build: Some(build),
        rounds: made.rounds,
        ..twin.clone()
    };
    let base = of(Build::Base);
    let control = Job {
        id: format!("{}/control", base.id),
        control_of: Some(base.id.clone()),
        ..base.clone()
    };
    run.jobs = vec![base, of(Build::New), control];
    run.design = Some(Design::MirroredRows);
    run.gate = Some(GateInfo {
        stage: made.stage,
        builds: builds(),
        policy: GatePolicy::default(),
        floors: BTreeMap::new(),
    });
    let mut lines = vec![Record::Run(Box::new(run.clone()))];
    for round in 0..made.rounds {
        for (number, job) in (0..).zip(&run.jobs) {
            lines.append(&mut support::round(&source, job, round, round * 3 + number));
        }
    }
    lines.push(support::end(false));
    support::slow(
        &mut lines,
        &id_of(JOB, Build::New),
        Phase::Decode,
        made.decode,
    );
    support::slow(
        &mut lines,
        &format!("{JOB}@base/control"),
        Phase::Decode,
        made.control,
    );
    lines
}

fn stored(made: &Made) -> Records {
    support::read_back(&lines(made))
}

/// A screening run and a confirming one, alike.
fn both(decode: fn(u32) -> f64) -> Vec<Records> {
    let screen = Made {
        decode,
        ..Made::default()
    };
    let confirm = Made {
        stage: Stage::Confirm,
        rounds: 12,
        decode,
        ..Made::default()
    };
    vec![stored(&screen), stored(&confirm)]
}

fn verdict_of(gate: &Gate, figure: &str) -> Verdict {
    let cells: Vec<_> = gate.cells.iter().filter(|c| c.figure == figure).collect();
    assert_eq!(cells.len(), 1, "{:#?}", gate.cells);
    assert_eq!(cells[0].job, JOB);
    cells[0].verdict
}

/// Some 0.4 % to both sides, other ones in each round.
fn noise(round: u32) -> f64 {
    1.0 + [0.004, -0.003, 0.001, -0.004, 0.002, 0.003, -0.002][round as usize % 7]
}

#[test]
fn nothing_changed_is_ok_after_screening() {
    let screen = stored(&Made {
        decode: noise,
        control: |round| noise(round + 3),
        ..Made::default()
    });
    assert_eq!(open_after(&screen).unwrap(), Vec::<String>::new());
    let gate = gate(&[screen]).unwrap();
    assert_eq!(gate.outcome, Outcome::Ok, "{:#?}", gate.reasons);
    for figure in ["decode", "prefill", "peak memory", "weights"] {
        assert_eq!(verdict_of(&gate, figure), Verdict::Ok, "{figure}");
    }
    // Energy was not measured, so it is no cell, and no zero.
    assert!(gate.cells.iter().all(|cell| cell.figure != "decode energy"));
    assert!(
        gate.cells.iter().all(|cell| cell.p.is_none()),
        "no test was made"
    );
}

#[test]
fn a_slow_down_is_open_after_screening_and_a_regression_after_confirming() {
    let runs = both(|round| 1.05 * noise(round));
    assert_eq!(open_after(&runs[0]).unwrap(), [JOB]);
    let screened = gate(&runs[..1]).unwrap();
    assert_eq!(
        screened.outcome,
        Outcome::Inconclusive,
        "no test was made yet"
    );
    let gate = gate(&runs).unwrap();
    assert_eq!(gate.outcome, Outcome::Regressed);
    let cell = &gate.cells[0];
    assert_eq!(
        (cell.verdict, cell.stage),
        (Verdict::Regressed, Stage::Confirm)
    );
    let (ratio, interval, rounds) = cell.ratio.unwrap();
    assert!((ratio - 1.0 / 1.05).abs() < 0.003, "{ratio}");
    let interval = interval.unwrap();
    assert!(interval.low < ratio && ratio < interval.high && interval.high < 0.96);
    assert_eq!(rounds, 12, "those of the confirming run alone");
    assert_eq!(cell.p, Some(0.5_f64.powi(12)), "one cell was tested");
    assert_eq!(verdict_of(&gate, "prefill"), Verdict::Ok);
    assert!(gate.reasons[0].contains("-4.8 %"), "{:?}", gate.reasons);
    assert!(
        gate.reasons[0].contains("limit 3.0 %"),
        "{:?}",
        gate.reasons
    );
}

#[test]
fn what_is_certain_and_small_is_ok_and_what_is_faster_is_improved() {
    let small = gate(&both(|round| 1.016 * noise(round))).unwrap();
    assert_eq!(small.outcome, Outcome::Ok, "{:?}", small.reasons);
    let cell = &small.cells[0];
    assert!(cell.p.unwrap() < 0.001, "certain, and below the limit");
    let screened = stored(&Made {
        decode: |round| 0.9 * noise(round),
        ..Made::default()
    });
    assert_eq!(gate(&[screened]).unwrap().outcome, Outcome::Ok);
}

#[test]
fn restless_rounds_are_inconclusive_and_ask_for_more() {
    let restless = |round: u32| if round.is_multiple_of(2) { 1.15 } else { 0.88 };
    let runs = both(restless);
    let gate_of_two = gate(&runs).unwrap();
    assert_eq!(gate_of_two.outcome, Outcome::Inconclusive);
    assert_eq!(open_after_confirming(&runs[0], &runs[1]).unwrap(), [JOB]);
    let reason = gate_of_two.cells[0].reason.as_ref().unwrap();
    assert!(reason.contains("rounds would tell"), "{reason}");
    let mut more = runs;
    more.push(stored(&Made {
        stage: Stage::Extend,
        rounds: 4,
        decode: restless,
        ..Made::default()
    }));
    let gate = gate(&more).unwrap();
    assert_eq!(gate.cells[0].stage, Stage::Extend);
    assert_eq!(gate.cells[0].ratio.unwrap().2, 16, "both runs together");
}

#[test]
fn what_the_first_look_decided_stands() {
    let mut runs = both(|round| 1.05 * noise(round));
    // More rounds are made where the other figure of the job is open; in these, decode is fast.
    runs.push(stored(&Made {
        stage: Stage::Extend,
        rounds: 4,
        decode: |round| 0.6 * noise(round),
        ..Made::default()
    }));
    let gate = gate(&runs).unwrap();
    let cell = &gate.cells[0];
    assert_eq!(
        (cell.verdict, cell.stage),
        (Verdict::Regressed, Stage::Confirm)
    );
    assert_eq!(cell.ratio.unwrap().2, 12);
}

#[test]
fn a_control_that_moves_contaminates_the_last_run_and_no_build_is_blamed() {
    let slow = |round: u32| 1.05 * noise(round);
    let mut runs = both(slow);
    runs[1] = stored(&Made {
        stage: Stage::Confirm,
        rounds: 12,
        decode: slow,
        control: |round| 1.04 * noise(round),
    });
    let contaminated = gate(&runs).unwrap();
    assert_eq!(contaminated.outcome, Outcome::Contaminated);
    assert!(contaminated.reasons[0].contains("differs from itself"));
    assert!(render::junit(&contaminated).contains("failures=\"0\""));
    // While only the screening run is contaminated, the confirming one decides, of every cell.
    let screen = stored(&Made {
        control: |round| 1.04 * noise(round),
        ..Made::default()
    });
    assert_eq!(open_after(&screen).unwrap(), [JOB]);
    assert_eq!(
        gate(std::slice::from_ref(&screen)).unwrap().outcome,
        Outcome::Contaminated
    );
    let confirm = both(|_| 1.0).remove(1);
    let confirmed = gate(&[screen, confirm]).unwrap();
    assert_eq!(confirmed.outcome, Outcome::Ok);
    let stages = confirmed.cells.iter().filter(|cell| cell.p.is_some());
    assert_eq!(stages.count(), 3, "decode, prefill and memory anew");
}

#[test]
fn bigger_weights_regress_whatever_the_noise_and_smaller_ones_do_not() {
    for (factor, outcome) in [(1.01, Outcome::Regressed), (0.9, Outcome::Ok)] {
        let mut lines = lines(&Made {
            control: |round| 1.2 * noise(round),
            ..Made::default()
        });
        for line in &mut lines {
            if let Record::Loaded(loaded) = line
                && loaded.place.job == id_of(JOB, Build::New)
            {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "bytes of a small model"
                )]
                let bytes = (loaded.weights_bytes as f64 * factor) as u64;
                loaded.weights_bytes = bytes;
            }
        }
        let gate = gate(&[support::read_back(&lines)]).unwrap();
        if outcome == Outcome::Ok {
            assert_eq!(verdict_of(&gate, "weights"), Verdict::Improved);
            assert_eq!(gate.outcome, Outcome::Contaminated, "the control moved");
        } else {
            assert_eq!(gate.outcome, Outcome::Regressed);
        }
    }
}

#[test]
fn other_tokens_and_failures_of_the_new_build_are_incorrect() {
    let mut other = lines(&Made::default());
    for sample in support::samples_mut(&mut other) {
        if sample.place.job == id_of(JOB, Build::New) && sample.phase == Phase::Decode {
            sample.digest = Some("blake3:other".to_owned());
        }
    }
    let told = gate(&[support::read_back(&other)]).unwrap();
    assert_eq!(told.outcome, Outcome::Incorrect);
    assert!(
        told.reasons[0].contains("other tokens"),
        "{:?}",
        told.reasons
    );
    assert_eq!(
        open_after(&support::read_back(&other)).unwrap(),
        Vec::<String>::new()
    );
    for (build, outcome) in [
        (Build::New, Outcome::Incorrect),
        (Build::Base, Outcome::Inconclusive),
    ] {
        let mut failed = lines(&Made::default());
        let reason = "the worker was ended by signal 11".to_owned();
        failed.insert(
            failed.len() - 1,
            support::outcome(
                &id_of(JOB, build),
                5,
                99,
                bitbench_reports::record::Outcome::Failed { reason },
            ),
        );
        let told = gate(&[support::read_back(&failed)]).unwrap();
        assert_eq!(told.outcome, outcome, "{build:?}");
        assert!(told.reasons[0].contains("signal 11"), "{:?}", told.reasons);
    }
}

#[test]
fn the_noise_of_a_host_is_the_limit_where_it_is_above_the_policy() {
    let mut lines = lines(&Made {
        decode: |round| 1.05 * noise(round),
        ..Made::default()
    });
    let Record::Run(run) = &mut lines[0] else {
        panic!("the first line is the run");
    };
    let floor = NoiseFloor {
        percent: 12.0,
        controls: 40,
    };
    let floors = &mut run.gate.as_mut().unwrap().floors;
    floors.insert("decode".to_owned(), floor);
    let gate = gate(&[support::read_back(&lines)]).unwrap();
    let cell = &gate.cells[0];
    assert_eq!(cell.verdict, Verdict::Ok);
    assert!(cell.limit_is_noise && (cell.limit_percent - 12.0).abs() < 1e-9);
    assert!(
        !gate.cells[1].limit_is_noise,
        "prefill has a floor of its own"
    );
}

#[test]
fn every_form_says_the_same_and_nothing_in_it_does_harm() {
    let mut runs = both(|round| 1.05 * noise(round));
    for run in &mut runs {
        let builds = &mut run.run.gate.as_mut().unwrap().builds;
        builds[1].path = "</script>|`\u{1b}[31m\n::error::".to_owned();
        builds[1].version = "a|b\u{1b}]0;x\u{7}<b>".to_owned();
    }
    let gate = gate(&runs).unwrap();
    for (name, make) in &render::FILES {
        let text = make(&gate);
        assert!(
            !text.contains('\u{1b}') && !text.contains('\u{7}'),
            "{name}: {text}"
        );
    }
    let terminal = render::terminal(&gate);
    assert!(!terminal.contains('\u{1b}'));
    assert!(terminal.contains("REGRESSED"));
    for line in terminal.lines().filter(|line| line.contains(" tok/s")) {
        assert!(line.chars().count() <= 80, "{line}");
    }
    let xml = render::junit(&gate);
    let document = roxmltree::Document::parse(&xml).unwrap();
    let cases = document
        .descendants()
        .filter(|n| n.has_tag_name("testcase"));
    assert_eq!(cases.count(), gate.cells.len());
    let failures = document.descendants().filter(|n| n.has_tag_name("failure"));
    assert_eq!(failures.count(), 1);
    let json = render::json(&gate);
    assert_eq!(json["outcome"], "REGRESSED");
    assert_eq!(json["cells"].as_array().unwrap().len(), gate.cells.len());
    let annotations = render::annotations(&gate);
    assert!(annotations.starts_with("::error title=bitbench REGRESSED::"));
    assert!(annotations.contains("%25") && !annotations.contains(" % "));
    let markdown = render::markdown(&gate);
    assert!(markdown.contains("| **REGRESSED** |"));
    let metrics = render::metrics(&gate);
    assert!(metrics.ends_with("# EOF\n"));
    let ratio = format!("bitbench_ratio{{job=\"{JOB}\",figure=\"decode\"}} 0.9");
    assert!(metrics.contains(&ratio), "{metrics}");
}

#[test]
fn energy_is_gated_where_it_was_measured_and_nowhere_else() {
    let cells = |provenance, watts: f64| {
        let made = Made {
            decode: noise,
            control: |round| noise(round + 3),
            ..Made::default()
        };
        let source = support::counters(provenance);
        let mut lines = lines(&made);
        let Record::Run(run) = &mut lines[0] else {
            panic!("the first line is the run");
        };
        run.energy = source.clone();
        for sample in support::samples_mut(&mut lines) {
            let seconds = sample.durations_ns.iter().sum::<u64>() as f64 * 1e-9;
            let new = sample.place.job == id_of(JOB, Build::New);
            let watts = if new { watts } else { 20.0 };
            sample.energy = support::energy(&source, seconds, watts);
        }
        let gate = gate(&[support::read_back(&lines)]).unwrap();
        let cells = gate.cells.into_iter();
        cells
            .filter(|cell| cell.figure == "decode energy")
            .collect::<Vec<_>>()
    };
    let same = cells(Provenance::MeasuredCounter, 20.0);
    assert_eq!(same.len(), 1);
    assert_eq!(same[0].verdict, Verdict::Ok, "{same:#?}");
    assert!((same[0].limit_percent - 5.0).abs() < 1e-9);
    let more = cells(Provenance::MeasuredCounter, 23.0);
    assert_eq!(
        more[0].verdict,
        Verdict::Inconclusive,
        "until it is confirmed"
    );
    assert!(more[0].ratio.unwrap().0 > 1.1);
    assert!(cells(Provenance::Simulated, 23.0).is_empty());
}

#[test]
fn against_a_stored_run_limits_are_wider_and_a_machine_that_changed_decides_nothing() {
    // Runs of a plain suite, one after the other.
    let stored = |decode: f64, bandwidth: f64| {
        let source = support::no_counters();
        let mut run = support::run(source.clone());
        run.jobs.retain(|job| job.id == JOB);
        run.jobs[0].rounds = 12;
        let job = run.jobs[0].clone();
        let mut lines = vec![Record::Run(Box::new(run))];
        for round in 0..12 {
            lines.append(&mut support::round(&source, &job, round, round));
        }
        lines.push(support::end(false));
        for sample in support::samples_mut(&mut lines) {
            let factor = match sample.phase {
                Phase::Decode => decode,
                Phase::ReadBandwidth => bandwidth,
                _ => 1.0,
            };
            for ns in &mut sample.durations_ns {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "small and positive"
                )]
                let longer = (*ns as f64 * factor).round() as u64;
                *ns = longer;
            }
        }
        support::read_back(&lines)
    };
    let old = stored(1.0, 1.0);
    let side = |records: &Records| Side {
        name: "a run".to_owned(),
        runs: vec![records.clone()],
    };
    let held = |decode, bandwidth| {
        let new = stored(decode, bandwidth);
        let found = versus(&side(&old), &side(&new), false).unwrap();
        against_baseline(&found, &GatePolicy::default(), &old, &new)
    };
    let decode = |gate: &Gate| {
        gate.cells
            .iter()
            .find(|c| c.figure == "decode")
            .unwrap()
            .clone()
    };
    let same = held(1.0, 1.0);
    assert_eq!(same.outcome, Outcome::Ok, "{:#?}", same.reasons);
    assert!((decode(&same).limit_percent - 3.0 * WIDER).abs() < 1e-9);
    assert!(same.notes[0].contains("stored run"), "{:?}", same.notes);
    // Above the limit of builds that are measured together, and below the wider one.
    assert_eq!(held(1.04, 1.0).outcome, Outcome::Ok);
    let slow = held(1.3, 1.0);
    assert_eq!(slow.outcome, Outcome::Regressed, "{:#?}", slow.reasons);
    let moved = held(1.3, 1.3);
    assert_eq!(moved.outcome, Outcome::Contaminated, "{:#?}", moved.reasons);
    assert_eq!(decode(&moved).verdict, Verdict::Inconclusive);
}

#[test]
fn runs_of_no_gate_are_refused_and_names_have_no_build() {
    let plain = support::read_back(&support::lines(support::no_counters()));
    let error = gate(&[plain]).unwrap_err();
    assert!(error.to_string().contains("of no gate"), "{error}");
    assert!(gate(&[]).is_err());
    let run = stored(&Made::default()).run;
    assert!(run.jobs.iter().all(|job| name_of(job) == JOB));
}
