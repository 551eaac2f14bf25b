//! Layers alone: their figures, their baseline, their control, and what they are called.

use crate::support;
use bitbench_reports::compare::Against;
use bitbench_reports::record::*;
use bitbench_reports::render::{csv, html, markdown, terminal};
use bitbench_reports::report::Report;

const ROUNDS: u32 = 3;
/// A repetition multiplies by four copies.
const MATRICES: u32 = 4;

/// One kernel on a layer of 1000 by 2000, eight tokens at a time.
fn job(kernel: &str) -> Job {
    let model = ModelInfo {
        name: "1000x2000".to_owned(),
        ..support::synthetic()
    };
    let mut job = support::job(&model, kernel, 2);
    job.layer = Some(Layer {
        rows: 1000,
        columns: 2000,
    });
    job.id.push_str("/b8");
    (job.prefill_tokens, job.decode_tokens, job.batch) = (0, 0, 8);
    job
}

/// The windows of a round: a repetition takes `us` microseconds for each copy.
fn round(job: &Job, round: u32, us: u64) -> Vec<Record> {
    let source = support::no_counters();
    let lines = support::round(
        &source,
        &support::job(&support::synthetic(), &job.kernel, 2),
        round,
        round,
    );
    let place = Place {
        job: job.id.clone(),
        round,
        process: round,
    };
    lines
        .into_iter()
        .filter_map(|line| match line {
            Record::Loaded(loaded) => Some(Record::Loaded(Loaded {
                place: place.clone(),
                linear_weights: 2_000_000,
                linear_bytes: if job.precision == Precision::Half {
                    4_000_000
                } else {
                    500_000
                },
                ..loaded
            })),
            Record::Sample(mut sample) => {
                sample.place = place.clone();
                match sample.phase {
                    Phase::Decode => {
                        sample.phase = Phase::Multiply;
                        sample.tokens = job.batch;
                        sample.matrices = Some(MATRICES);
                        sample.durations_ns = vec![us * 1000 * u64::from(MATRICES); 5];
                    }
                    // 10 GB/s and 1000 GOP/s.
                    Phase::ReadBandwidth => {
                        sample.bytes = Some(10_000_000);
                        sample.durations_ns = vec![1_000_000];
                    }
                    Phase::ComputePeak => {
                        sample.operations = Some(1_000_000_000);
                        sample.durations_ns = vec![1_000_000];
                    }
                    Phase::WarmUp | Phase::Idle => {}
                    _ => return None,
                }
                Some(Record::Sample(sample))
            }
            Record::Memory(memory) => Some(Record::Memory(Memory {
                place: place.clone(),
                ..memory
            })),
            Record::Outcome(outcome) => Some(Record::Outcome(JobOutcome {
                place: place.clone(),
                ..outcome
            })),
            _ => None,
        })
        .collect()
}

/// A half-precision kernel, a ternary one four times as fast, and the former again as control.
pub(crate) fn lines() -> Vec<Record> {
    let mut run = support::run(support::no_counters());
    let (half, ternary) = (job("f16-avx2"), job("i2s-avx2"));
    let mut control = half.clone();
    control.control_of = Some(half.id.clone());
    control.id.push_str("/control");
    run.jobs = vec![half.clone(), ternary.clone(), control.clone()];
    let mut lines = vec![Record::Run(Box::new(run))];
    for (job, us) in [(half, 400), (ternary, 100), (control, 404)] {
        for number in 0..ROUNDS {
            lines.extend(round(&job, number, us));
        }
    }
    lines.push(Record::End(End {
        at: "2026-01-02T03:04:05Z".to_owned(),
        interrupted: false,
        stopped_by: None,
    }));
    lines
}

#[test]
fn figures_are_those_of_one_multiplication() {
    let report = Report::new(&support::read_back(&lines()));
    let row = &report.rows[1];
    let figure = |of: fn(&bitbench_reports::round::Round) -> &bitbench_reports::round::Reading| {
        row.summary.figure(of).unwrap().median
    };
    let close = |found: f64, expected: f64| {
        assert!(
            (found / expected - 1.0).abs() < 1e-9,
            "{found} is not {expected}"
        );
    };
    close(figure(|r| &r.multiply_us), 100.0);
    // 0.5 MB in 100 us.
    close(figure(|r| &r.multiply_gb_per_second), 5.0);
    close(figure(|r| &r.multiply_bandwidth_share_percent), 50.0);
    // 2 x 2 million x 8 operations in 100 us.
    close(figure(|r| &r.multiply_gop_per_second), 320.0);
    close(figure(|r| &r.multiply_compute_share_percent), 32.0);
    // What is no figure of a layer alone.
    for none in [
        row.summary.figure(|r| &r.decode_tokens_per_second),
        row.summary.figure(|r| &r.peak_bytes),
        row.summary.figure(|r| &r.load_seconds),
    ] {
        assert!(none.is_err(), "{none:?}");
    }
    let Against::Baseline { kernel, figure, .. } = &row.comparison.multiply_speedup else {
        panic!("{:?}", row.comparison.multiply_speedup);
    };
    assert_eq!(kernel, "f16-avx2");
    close(figure.estimate, 4.0);
}

#[test]
fn the_control_is_held_against_its_twin() {
    let report = Report::new(&support::read_back(&lines()));
    let judged = report.controls[0].judged.as_ref().unwrap();
    assert_eq!(judged.len(), 1);
    assert_eq!(judged[0].what, "multiplication");
    assert!((judged[0].paired.estimate - 400.0 / 404.0).abs() < 1e-9);
}

#[test]
fn equal_work_gives_equal_products_or_the_row_has_failed() {
    let mut lines = lines();
    let other = lines.iter_mut().find_map(|line| match line {
        Record::Sample(s) if s.phase == Phase::Multiply && s.place.job.contains("i2s") => Some(s),
        _ => None,
    });
    other.unwrap().digest = Some("blake3:other".to_owned());
    let report = Report::new(&support::read_back(&lines));
    let reason = report.rows[1].summary.status.reason().unwrap();
    assert!(
        reason.contains("rounds disagree about the products"),
        "{reason}"
    );
}

#[test]
fn every_form_calls_it_a_layer() {
    let report = Report::new(&support::read_back(&lines()));
    let text = terminal::render(&report, 80, false);
    insta::assert_snapshot!("terminal_layer", text);
    assert!(
        text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
    let heading = "1000x2000: one layer (rows x columns), 8 tokens at a time";
    for text in [
        text,
        html::render(&report).unwrap(),
        markdown::render(&report),
    ] {
        assert!(text.contains(heading), "{text}");
        assert!(!text.contains("prompt 0"), "{text}");
    }
    assert!(csv::render(&report).contains("multiply_us"));
}

#[test]
fn a_run_of_both_shows_each_with_its_own_columns() {
    let mut both = support::lines(support::no_counters());
    let of_layers = lines();
    let (Record::Run(networks), Record::Run(layers)) = (&mut both[0], &of_layers[0]) else {
        panic!("the first lines are the runs");
    };
    networks.jobs.extend(layers.jobs.clone());
    both.splice(1..1, of_layers[1..of_layers.len() - 1].iter().cloned());
    let report = Report::new(&support::read_back(&both));
    let text = terminal::render(&report, 80, false);
    let headers: Vec<&str> = text.lines().filter(|l| l.starts_with("kernel ")).collect();
    assert_eq!(headers.len(), 3, "{text}");
    for header in headers {
        assert!(
            header.contains("tok/s") != header.contains("GOP/s"),
            "{text}"
        );
    }
}
