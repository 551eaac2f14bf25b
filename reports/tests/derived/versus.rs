//! Stored runs of two builds, held against each other.

use crate::support;
use bitbench_reports::record::*;
use bitbench_reports::versus::{Cell, Side, Verdict, Versus, VersusError, versus};

const ROW: &str = "700M/i2s-avx2/2";
const BASE: &str = "700M/f16-avx2/2";

/// A run of eight rounds, with the windows of some phases longer.
fn records(slower: impl Fn(&Sample) -> f64) -> Records {
    let source = support::counters(Provenance::MeasuredCounter);
    let mut run = support::run(source.clone());
    run.jobs
        .retain(|job| [ROW, BASE].contains(&job.id.as_str()));
    run.jobs.iter_mut().for_each(|job| job.rounds = 8);
    let mut lines = vec![Record::Run(Box::new(run.clone()))];
    for round in 0..8 {
        for (number, job) in (0..).zip(&run.jobs) {
            lines.append(&mut support::round(&source, job, round, round * 2 + number));
        }
    }
    lines.push(support::end(false));
    for sample in support::samples_mut(&mut lines) {
        let factor = slower(sample);
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
}

fn side(name: &str, runs: Vec<Records>) -> Side {
    Side {
        name: name.to_owned(),
        runs,
    }
}

fn held(old: Records, new: Records) -> Result<Versus, VersusError> {
    versus(&side("old", vec![old]), &side("new", vec![new]), false)
}

fn cell<'a>(found: &'a Versus, job: &str, kind: &str) -> &'a Cell {
    let mut cells = found.cells.iter();
    cells
        .find(|cell| cell.job == job && cell.kind.name == kind)
        .unwrap()
}

fn plain(_: &Sample) -> f64 {
    1.0
}

#[test]
fn a_build_against_itself_is_the_same() {
    let found = held(records(plain), records(plain)).unwrap();
    // Decode, prefill, peak memory and energy of two jobs.
    assert_eq!(found.cells.len(), 8, "{found:#?}");
    for cell in &found.cells {
        assert!((cell.ratio - 1.0).abs() < 1e-12, "{cell:?}");
        assert!(
            !matches!(cell.verdict, Verdict::Better | Verdict::Worse),
            "{cell:?}"
        );
        assert_eq!((cell.old.1, cell.new.1), (8, 8));
    }
    assert_eq!(cell(&found, ROW, "peak memory").verdict, Verdict::Same);
    assert!(
        found
            .means
            .iter()
            .all(|(_, ratio, n)| (ratio - 1.0).abs() < 1e-12 && *n == 2)
    );
    assert!(found.left_out.is_empty());
}

#[test]
fn a_slower_decode_is_worse_and_nothing_else_is() {
    let slow = records(|s| {
        if s.place.job == ROW && s.phase == Phase::Decode {
            1.1
        } else {
            1.0
        }
    });
    let found = held(records(plain), slow).unwrap();
    let decode = cell(&found, ROW, "decode");
    assert!((decode.ratio - 1.0 / 1.1).abs() < 1e-6, "{decode:?}");
    assert_eq!(decode.verdict, Verdict::Worse);
    let interval = decode.interval.unwrap();
    assert!(
        interval.low <= decode.ratio && decode.ratio <= interval.high && interval.level >= 0.95
    );
    let others = found
        .cells
        .iter()
        .filter(|c| c.job != ROW || c.kind.name != "decode");
    assert!(others.clone().count() == 7 && others.clone().all(|c| c.verdict != Verdict::Worse));
    // The other way round it is better.
    let slow = records(|s| {
        if s.place.job == ROW && s.phase == Phase::Decode {
            1.1
        } else {
            1.0
        }
    });
    let found = held(slow, records(plain)).unwrap();
    assert_eq!(cell(&found, ROW, "decode").verdict, Verdict::Better);
    let mean = found
        .means
        .iter()
        .find(|(kind, ..)| *kind == "decode")
        .unwrap();
    assert!((mean.1 - 1.1f64.sqrt()).abs() < 1e-6, "{mean:?}");
}

#[test]
fn a_machine_that_slowed_down_is_no_slower_build() {
    let slow = |s: &Sample| match s.phase {
        Phase::Decode | Phase::ReadBandwidth => 1.1,
        _ => 1.0,
    };
    let found = held(records(plain), records(slow)).unwrap();
    let decode = cell(&found, ROW, "decode");
    assert_eq!(decode.verdict, Verdict::MachineChanged);
    assert!((decode.machine.unwrap().0 - 1.0 / 1.1).abs() < 1e-6);
}

#[test]
fn other_tokens_are_not_a_faster_build() {
    let mut fast = records(|s| if s.phase == Phase::Decode { 0.5 } else { 1.0 });
    for sample in support::samples_mut(&mut fast.lines) {
        if sample.phase == Phase::Decode {
            sample.digest = Some("blake3:of other tokens".to_owned());
        }
    }
    let found = held(records(plain), fast).unwrap();
    assert_eq!(cell(&found, ROW, "decode").verdict, Verdict::OtherAnswer);
    // Half precision may round otherwise.
    assert_eq!(cell(&found, BASE, "decode").verdict, Verdict::Better);
}

#[test]
fn too_few_rounds_decide_nothing_and_more_runs_help() {
    let few = |factor: f64| {
        let mut records = records(move |s| {
            if s.phase == Phase::Decode {
                factor
            } else {
                1.0
            }
        });
        records.lines.retain(|line| match line {
            Record::Sample(sample) => sample.place.round < 3,
            Record::Outcome(outcome) => outcome.place.round < 3,
            Record::Loaded(loaded) => loaded.place.round < 3,
            Record::Memory(memory) => memory.place.round < 3,
            _ => true,
        });
        for job in &mut records.run.jobs {
            job.rounds = 3;
        }
        records
    };
    let found = held(few(1.0), few(1.2)).unwrap();
    let decode = cell(&found, ROW, "decode");
    assert_eq!(
        (decode.verdict, decode.interval),
        (Verdict::Undecided, None)
    );
    let many = |factor| (0..4).map(|_| few(factor)).collect::<Vec<_>>();
    let found = versus(&side("old", many(1.0)), &side("new", many(1.2)), false).unwrap();
    let decode = cell(&found, ROW, "decode");
    assert_eq!((decode.verdict, decode.old.1), (Verdict::Worse, 12));
}

#[test]
fn unlike_hosts_and_suites_are_refused_unless_somebody_insists() {
    type Change = fn(&mut Run);
    let changes: [(Change, &str); 4] = [
        (
            |run| run.host.cpu = Some("Another CPU".to_owned()),
            "Another CPU",
        ),
        (
            |run| run.suite.name = "smoke".to_owned(),
            "suites x86-energy and smoke",
        ),
        (
            |run| run.suite.hash = "blake3:other".to_owned(),
            "another text",
        ),
        (|run| run.suite.quick = true, "quick"),
    ];
    for (change, word) in changes {
        let changed = || {
            let mut other = records(plain);
            change(&mut other.run);
            other
        };
        let refused = held(records(plain), changed()).unwrap_err();
        assert!(matches!(refused, VersusError::Unlike(_)));
        assert!(refused.to_string().contains(word), "{refused}");
        let sides = [
            side("old", vec![records(plain)]),
            side("new", vec![changed()]),
        ];
        let found = versus(&sides[0], &sides[1], true).unwrap();
        assert!(
            found.differences.iter().any(|d| d.contains(word)),
            "{:?}",
            found.differences
        );
    }
}

#[test]
fn energy_of_other_counters_and_simulated_energy_are_left_out() {
    for (provenance, word) in [
        (Provenance::Simulated, "simulated energy is never compared"),
        (Provenance::MeasuredVirtualised, "other counters"),
    ] {
        let mut new = records(plain);
        for sample in support::samples_mut(&mut new.lines) {
            if let Energy::Measured(window) = &mut sample.energy {
                window.provenance = provenance;
            }
        }
        let found = held(records(plain), new).unwrap();
        assert!(
            found
                .cells
                .iter()
                .all(|cell| cell.kind.name != "decode energy")
        );
        assert!(
            found.left_out.iter().any(|reason| reason.contains(word)),
            "{:?}",
            found.left_out
        );
    }
}

#[test]
fn jobs_of_one_side_are_told() {
    let mut new = records(plain);
    new.run.jobs.retain(|job| job.id == ROW);
    let found = held(records(plain), new).unwrap();
    assert!(
        found
            .left_out
            .iter()
            .any(|reason| reason == &format!("{BASE}: only old has it")),
        "{:?}",
        found.left_out
    );
    let mut new = records(plain);
    new.run.jobs.clear();
    assert!(matches!(
        held(records(plain), new),
        Err(VersusError::NothingInCommon(_))
    ));
}
