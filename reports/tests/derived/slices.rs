//! Windows that contenders took turns at.

use crate::support::{self, ratio, row};
use bitbench_reports::record::*;
use bitbench_reports::report::Report;
use bitbench_reports::slices::{self, Slices};

const ROW: &str = "700M/i2s-avx2/2";
const BASE: &str = "700M/f16-avx2/2";

/// How long the same work takes at the time of a slice: the machine halves its speed again and again.
const MACHINE: [f64; 8] = [1.0, 1.0, 2.0, 2.0, 1.0, 2.0, 2.0, 1.0];

/// A stored run of six rounds whose decode windows are slices: `own` times what the baseline takes, on a machine that is as
/// slow as `machine` says.
fn lines(own: f64, machine: impl Fn(&str, usize) -> f64) -> Vec<Record> {
    let source = support::no_counters();
    let mut run = support::run(source.clone());
    run.jobs
        .retain(|job| [ROW, BASE].contains(&job.id.as_str()));
    run.jobs.iter_mut().for_each(|job| job.rounds = 6);
    let mut lines = vec![Record::Run(Box::new(run.clone()))];
    for round in 0..6 {
        for (number, job) in (0..).zip(&run.jobs) {
            for line in support::round(&source, job, round, round * 2 + number) {
                let Record::Sample(sample) = &line else {
                    lines.push(line);
                    continue;
                };
                if sample.phase != Phase::Decode {
                    lines.push(line);
                    continue;
                }
                for slice in 0..MACHINE.len() {
                    let seconds = if job.id == ROW { own } else { 1.0 } * machine(&job.id, slice);
                    #[expect(
                        clippy::cast_possible_truncation,
                        clippy::cast_sign_loss,
                        reason = "small and positive"
                    )]
                    let ns = (seconds * 1e7).round() as u64;
                    let sample = Sample {
                        slice: u32::try_from(slice).ok(),
                        durations_ns: vec![ns, ns * 3, ns],
                        surroundings: Some(Surroundings {
                            span_ns: 5 * ns,
                            others_cpu_ns: Some(TICK_NS),
                            worker_cpu_ns: Some(5 * ns),
                            harness_cpu_ns: Some(0),
                            ..Surroundings::default()
                        }),
                        ..Sample::clone(sample)
                    };
                    lines.push(Record::Sample(Box::new(sample)));
                }
            }
        }
    }
    lines.push(support::end(false));
    lines
}

fn report(lines: &[Record]) -> Report {
    Report::new(&support::read_back(lines))
}

#[test]
fn a_machine_that_changes_its_speed_does_it_to_both() {
    // The row meets the fast machine in three slices more than the baseline, so that the median of all its repetitions is fast.
    let lucky = |job: &str, slice: usize| match (job, slice) {
        (ROW, 2 | 3 | 5) => 1.0,
        _ => MACHINE[slice],
    };
    let report = report(&lines(0.95, lucky));
    let speedup = ratio(&row(&report, ROW).comparison.decode_speedup);
    assert!((speedup.estimate - 1.0 / 0.95).abs() < 1e-6, "{speedup:?}");
    assert_eq!(speedup.n, 6);
    let of_medians = speedup.of_medians.unwrap();
    assert!(
        (of_medians.ratio - 1.0 / 0.95).abs() > 0.1,
        "{of_medians:?}"
    );
    assert!(
        report
            .notes()
            .iter()
            .any(|note| note.contains("took turns"))
    );
}

#[test]
fn a_process_is_one_number_from_all_its_slices() {
    let report = report(&lines(1.0, |_, slice| MACHINE[slice]));
    let round = &row(&report, BASE).summary.rounds[0];
    assert_eq!(round.decode_slices.len(), MACHINE.len());
    // The median of 24 repetitions: 1 and 2 eight times each, 3 and 6 four times each.
    let tokens = f64::from(support::GENERATED);
    let speed = round.decode_tokens_per_second.clone().unwrap().unwrap();
    assert!((speed - tokens / 0.02).abs() < 1e-6, "{speed}");
    let around = round.decode_around.surroundings.unwrap();
    assert_eq!(around.further_spans, 7);
    assert_eq!(around.others_cpu_ns, Some(8 * TICK_NS));
    assert_eq!(around.span_ns, 5 * 12 * 10_000_000);
    // Of eight spans that are each in doubt by so much, the sum is in doubt by the root of eight times that.
    let once = Surroundings {
        further_spans: 0,
        ..around
    };
    let grown = around.others_doubt_ns() as f64 / once.others_doubt_ns() as f64;
    assert!((grown - 8f64.sqrt()).abs() < 1e-6, "{grown}");
}

#[test]
fn a_ratio_is_of_slices_that_both_have() {
    let slices = |rates: &[(u32, f64)]| rates.iter().copied().collect::<Slices>();
    let own = slices(&[(0, 3.0), (1, 1.0), (2, 4.0), (7, 100.0)]);
    let other = slices(&[(0, 2.0), (1, 1.0), (2, 2.0), (9, 1.0)]);
    assert!((slices::ratio(&own, &other).unwrap() - 1.5).abs() < 1e-12);
    let back = slices::ratio(&other, &own).unwrap();
    assert!(
        (back * 1.5 - 1.0).abs() < 1e-12,
        "the same either way round"
    );
    assert_eq!(slices::ratio(&own, &Slices::new()), None);
    assert_eq!(
        slices::ratio(&slices(&[(1, 1.0)]), &slices(&[(2, 1.0)])),
        None
    );
}

#[test]
fn counters_in_slices_give_no_energy() {
    let mut lines = lines(1.0, |_, slice| MACHINE[slice]);
    let source = support::counters(Provenance::MeasuredCounter);
    for sample in support::samples_mut(&mut lines) {
        if sample.slice.is_some() {
            sample.energy = support::energy(&source, 0.05, 10.0);
        }
    }
    let report = report(&lines);
    let round = &row(&report, ROW).summary.rounds[0];
    let joules = round.decode_energy.joules_per_token.clone().unwrap();
    assert!(joules.unwrap_err().contains("too short for counters"));
}
