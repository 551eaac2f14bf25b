//! Runs that are stored beside the tests, each with what makes it different.

use crate::support;
use bitbench_reports::record::*;
use std::fs;
use std::path::{Path, PathBuf};

/// A folder under `tests/golden`, and what must be in it.
pub(super) struct Stored {
    pub(super) folder: &'static str,
    /// Nothing for the run that has a test of its own.
    lines: Option<fn() -> Vec<Record>>,
}

pub(super) static STORED: [Stored; 6] = [
    Stored {
        folder: "run",
        lines: None,
    },
    Stored {
        folder: "simulated",
        lines: Some(simulated),
    },
    Stored {
        folder: "without-energy",
        lines: Some(without_energy),
    },
    Stored {
        folder: "rounds",
        lines: Some(rounds),
    },
    Stored {
        folder: "layers",
        lines: Some(layers),
    },
    Stored {
        folder: "slices",
        lines: Some(slices),
    },
];

impl Stored {
    fn path(&self) -> PathBuf {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        golden.join(self.folder).join(FILE_NAME)
    }

    pub(super) fn read(&self) -> Records {
        Records::read(&self.path()).unwrap()
    }

    pub(super) fn text(&self) -> String {
        fs::read_to_string(self.path()).unwrap()
    }
}

/// Compares the stored runs to what the builders write; `BITBENCH_UPDATE_GOLDEN=1` writes them anew.
#[test]
fn the_stored_runs_are_what_the_builders_write() {
    for stored in &STORED {
        let Some(lines) = stored.lines else {
            continue;
        };
        let text = support::stored(&lines());
        let path = stored.path();
        if std::env::var_os("BITBENCH_UPDATE_GOLDEN").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &text).unwrap();
        }
        assert_eq!(stored.text(), text, "{}", stored.folder);
    }
}

fn run_of(lines: &mut [Record]) -> &mut Run {
    match &mut lines[0] {
        Record::Run(run) => run,
        other => panic!("the first line is the run, not {other:?}"),
    }
}

fn place_of(line: &Record) -> Option<&Place> {
    match line {
        Record::Loaded(loaded) => Some(&loaded.place),
        Record::Sample(sample) => Some(&sample.place),
        Record::Memory(memory) => Some(&memory.place),
        Record::ColdStart(cold) => Some(&cold.place),
        Record::Outcome(outcome) => Some(&outcome.place),
        Record::Run(_) | Record::Resumed(_) | Record::End(_) => None,
    }
}

/// The jobs that pass, and their lines.
fn only(mut lines: Vec<Record>, wanted: fn(&str) -> bool) -> Vec<Record> {
    run_of(&mut lines).jobs.retain(|job| wanted(&job.id));
    lines.retain(|line| place_of(line).is_none_or(|place| wanted(&place.job)));
    lines
}

/// A quick run on counters that are none.
fn simulated() -> Vec<Record> {
    let lines = support::lines(support::counters(Provenance::Simulated));
    let mut lines = only(lines, |id| {
        [
            "700M/f16-avx2/2",
            "700M/i2s-avx2/2",
            "700M/i2s-avx512-vnni/2",
        ]
        .contains(&id)
    });
    run_of(&mut lines).suite.quick = true;
    lines
}

/// A run without counters that was interrupted: one job is skipped, one failed, one was not reached.
fn without_energy() -> Vec<Record> {
    let lines = support::lines(support::no_counters());
    let mut lines = only(lines, |id| {
        id.starts_with("small") && !id.ends_with("f16-avx2/1") || id.contains("vnni")
    });
    lines.retain(|line| place_of(line).is_none_or(|place| !place.job.ends_with("gguf/i2s-avx2/1")));
    lines.pop();
    lines.push(support::end(true));
    lines
}

/// Nine rounds, so that ratios have intervals, with all that a record can have: batches, a head that reads again, event
/// counters, surroundings, cold starts, a round of two processes, a control, and an energy fault in another job.
fn rounds() -> Vec<Record> {
    const ROUNDS: u32 = 9;
    let source = support::counters(Provenance::MeasuredCounter);
    let mut run = support::run(source.clone());
    run.design = Some(Design::MirroredRows);
    let model = support::from_file();
    let mut jobs: Vec<Job> = ["f16-avx2", "f16-scalar", "i2s-avx2", "i2s-scalar"]
        .iter()
        .map(|kernel| support::job(&model, kernel, 2))
        .collect();
    let mut control = jobs[2].clone();
    control.id.push_str("/control");
    control.control_of = Some(jobs[2].id.clone());
    jobs.push(control);
    for job in &mut jobs {
        job.batch = 4;
        job.head = "screened".to_owned();
        job.rounds = ROUNDS;
    }
    run.jobs.clone_from(&jobs);
    let mut lines = vec![Record::Run(Box::new(run))];
    let mut process = 0;
    for number in 0..ROUNDS {
        for (index, job) in (0..).zip(&jobs) {
            let mut of_round = support::round(&source, job, number, process);
            disturb(&mut of_round, job, number * 5 + index);
            lines.append(&mut of_round);
            process += 1;
        }
    }
    // The first process of the last round had finished its windows when the run was killed.
    let last = process - 1;
    lines.retain(|line| {
        !matches!(line, Record::Outcome(_)) || place_of(line).is_none_or(|p| p.process != last)
    });
    lines.push(Record::Resumed(Resumed {
        at: "2026-01-02T03:24:05Z".to_owned(),
        bitbench: "0.1.0 (0123456)".to_owned(),
        command: vec![
            "bitbench".to_owned(),
            "run".to_owned(),
            "--resume".to_owned(),
        ],
    }));
    let mut again = support::round(&source, &jobs[4], ROUNDS - 1, process);
    disturb(&mut again, &jobs[4], 3);
    lines.append(&mut again);
    // A round has two more windows of decode in the same process: the last one counts.
    let twice: Vec<Record> = lines
        .iter()
        .filter(|line| matches!(line, Record::Sample(s) if s.phase == Phase::Decode && s.place.process == 2))
        .cloned()
        .collect();
    for (index, mut line) in (1..).zip(twice.into_iter().cycle().take(2)) {
        if let Record::Sample(sample) = &mut line {
            sample
                .durations_ns
                .iter_mut()
                .for_each(|ns| *ns += index * 1_000_003);
        }
        lines.push(line);
    }
    lines.push(support::end(false));
    lines
}

/// Layers alone, each round a little slower than the one before, with counters.
fn layers() -> Vec<Record> {
    let mut lines = crate::layers::lines();
    let source = support::counters(Provenance::MeasuredCounter);
    run_of(&mut lines).energy = source.clone();
    for sample in support::samples_mut(&mut lines) {
        let slower = u64::from(sample.place.round) * 7 + sample.place.job.len() as u64 % 5;
        for (ns, own) in sample.durations_ns.iter_mut().zip([3, 1, 0, 4, 2]) {
            *ns += *ns / 1000 * (slower + own);
        }
        let seconds = sample.durations_ns.iter().sum::<u64>() as f64 * 1e-9;
        let watts = 20.0 + f64::from(sample.place.round);
        sample.energy = support::energy(&source, seconds, watts);
    }
    lines
}

/// Two contenders that took turns at their windows in three slices each; one slice is missing.
fn slices() -> Vec<Record> {
    const SLICES: u32 = 3;
    let lines = support::lines(support::no_counters());
    let mut lines = only(lines, |id| {
        ["700M/f16-avx2/2", "700M/i2s-avx2/2"].contains(&id)
    });
    for line in std::mem::take(&mut lines) {
        let Record::Sample(window) = &line else {
            lines.push(line);
            continue;
        };
        if !matches!(window.phase, Phase::Prefill | Phase::Decode) {
            lines.push(line);
            continue;
        }
        for number in 0..SLICES {
            let mut slice = window.clone();
            slice.slice = Some(number);
            let own = u64::from(number * 11 + slice.place.process * 3) % 17;
            for ns in &mut slice.durations_ns {
                *ns += *ns / 1000 * own;
            }
            let span_ns = slice.durations_ns.iter().sum();
            slice.surroundings = Some(Surroundings {
                span_ns,
                looks_ns: 90_000,
                worker_cpu_ns: Some(span_ns * 2),
                worker_system_ns: Some(own * 1_000_000),
                others_cpu_ns: Some(own * 10_000),
                steal_ns: Some(own * 1_000),
                major_faults: Some(0),
                minor_faults: Some(own),
                voluntary_switches: Some(own * 2),
                involuntary_switches: Some(1),
                ..Surroundings::default()
            });
            if !(number == 1 && slice.place.round == 2 && slice.place.job.contains("i2s")) {
                lines.push(Record::Sample(slice));
            }
        }
    }
    lines
}

/// Makes the lines of a round differ from those of every other one, and adds what a plain round does not have.
fn disturb(lines: &mut Vec<Record>, job: &Job, seed: u32) {
    let mut state = u64::from(seed) * 7919 + 17;
    // A small generator of whole numbers below `below`.
    let mut draw = |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for sample in support::samples_mut(lines) {
        for ns in &mut sample.durations_ns {
            *ns += *ns / 1000 * draw(60);
        }
        if !matches!(sample.phase, Phase::Prefill | Phase::Decode) {
            continue;
        }
        sample.tokens *= job.batch;
        let span_ns = sample.durations_ns.iter().sum::<u64>() + 1_000_000;
        sample.surroundings = Some(Surroundings {
            span_ns,
            looks_ns: 100_000 + draw(9_000),
            worker_cpu_ns: Some(span_ns * 2 - draw(span_ns / 50)),
            worker_system_ns: Some(span_ns / 200),
            harness_cpu_ns: Some(0),
            others_cpu_ns: Some(draw(40_000_000)),
            steal_ns: Some(draw(20_000_000)),
            major_faults: Some(0),
            minor_faults: Some(draw(900)),
            voluntary_switches: Some(draw(70)),
            involuntary_switches: Some(draw(30)),
            temperature_millicelsius: Some(45_000),
            throttles: Some(0),
            cpufreq_khz: Some(3_400_000),
            ..Surroundings::default()
        });
        if sample.phase != Phase::Decode {
            continue;
        }
        sample.rescored_bytes = Some(40_000_000 + draw(9_000_000));
        let count = |count, running_ns, user_only| Count {
            count,
            enabled_ns: span_ns,
            running_ns,
            user_only,
        };
        let mut counts = std::collections::BTreeMap::new();
        counts.insert(
            "cycles".to_owned(),
            count(6_000_000_000 + draw(90_000_000), span_ns, true),
        );
        counts.insert(
            "instructions".to_owned(),
            count(9_000_000_000 + draw(90_000_000), span_ns / 2, true),
        );
        counts.insert(
            "task_clock_ns".to_owned(),
            count(span_ns * 2, span_ns, false),
        );
        let mut missing = std::collections::BTreeMap::new();
        if job.kernel == "i2s-scalar" {
            missing.insert(
                "cache_misses".to_owned(),
                "this CPU does not count it".to_owned(),
            );
        } else {
            counts.insert(
                "cache_misses".to_owned(),
                count(20_000_000 + draw(900_000), span_ns, false),
            );
        }
        sample.counters = Some(CounterReadings { counts, missing });
        // One counter of one window of one job is faulty.
        if job.kernel == "i2s-scalar"
            && sample.place.round == 4
            && let Energy::Measured(window) = &mut sample.energy
        {
            window.domains[0].energy_uj = None;
            window.domains[0].end_uj = None;
            window.domains[0].fault = Some("the counter vanished".to_owned());
        }
    }
    let place = place_of(&lines[0]).unwrap().clone();
    lines.insert(
        0,
        Record::ColdStart(ColdStart {
            place,
            duration_ns: 2_000_000_000 + draw(90_000_000),
            file_bytes: 136_000_000,
            // The disk was not asked for all of the slowest kernel's.
            storage_bytes: Some(if job.kernel == "f16-scalar" {
                4096
            } else {
                136_000_000
            }),
        }),
    );
}
