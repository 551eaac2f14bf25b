//! A stored run in memory: two models, three kernels, one and two threads, three rounds. Tests change its lines and read it
//! back through a file, as the harness would.

use bitbench_reports::columns::Row;
use bitbench_reports::compare::Against;
use bitbench_reports::paired::Paired;
use bitbench_reports::record::*;
use bitbench_reports::report::Report;
use std::fs;
use std::path::Path;

pub(crate) const ROUNDS: u32 = 3;
pub(crate) const PROMPT: u32 = 128;
pub(crate) const GENERATED: u32 = 32;

/// How the machine fares in each round, and how one job fares besides.
const JITTER: [f64; 3] = [1.0, 0.97, 1.02];
const OWN_JITTER: [f64; 3] = [1.004, 0.999, 0.996];

/// What the made-up machine gives for one job.
struct Speed {
    prefill: f64,
    decode: f64,
    watts: f64,
}

pub(crate) fn job(model: &ModelInfo, kernel: &str, threads: u32) -> Job {
    Job {
        id: format!("{}/{kernel}/{threads}", model.name),
        model: ModelInfo {
            ternarized: model.ternarized && !kernel.starts_with("f16"),
            ..model.clone()
        },
        layer: None,
        build: None,
        engine: EngineInfo {
            name: "bitbench".to_owned(),
            version: "0.1.0".to_owned(),
        },
        kernel: kernel.to_owned(),
        head: "f16".to_owned(),
        precision: if kernel.starts_with("f16") {
            Precision::Half
        } else {
            Precision::Ternary
        },
        threads,
        prefill_tokens: PROMPT,
        decode_tokens: GENERATED,
        batch: 1,
        rounds: ROUNDS,
        control_of: None,
        injected_percent: None,
    }
}

pub(crate) fn synthetic() -> ModelInfo {
    ModelInfo {
        name: "700M".to_owned(),
        weights: WeightsOrigin::Synthetic { seed: 7 },
        ternarized: false,
    }
}

pub(crate) fn from_file() -> ModelInfo {
    ModelInfo {
        name: "small-f16.gguf".to_owned(),
        weights: WeightsOrigin::File {
            path: "models/small-f16.gguf".to_owned(),
            hash: "blake3:0011223344556677".to_owned(),
        },
        ternarized: true,
    }
}

pub(crate) fn counters(provenance: Provenance) -> EnergySourceInfo {
    let domain = |name: &str, kind, counted| DomainInfo {
        name: name.to_owned(),
        kind,
        counted,
        range_uj: Some(262_143_328_850),
        joules_per_tick: None,
        origin: format!("/sys/class/powercap/{name}"),
    };
    EnergySourceInfo::Open {
        source: "powercap".to_owned(),
        provenance,
        domains: vec![
            domain("package-0", DomainKind::Package, true),
            domain("package-0/dram", DomainKind::Dram, true),
            domain("package-0/core", DomainKind::Cores, false),
        ],
        caveats: vec!["psys is left out: it contains the package".to_owned()],
    }
}

pub(crate) fn no_counters() -> EnergySourceInfo {
    EnergySourceInfo::Unavailable {
        reason: "no powercap zone: this is a virtual machine without energy counters".to_owned(),
        remedy: Some("run on the host itself".to_owned()),
    }
}

pub(crate) fn run(energy: EnergySourceInfo) -> Run {
    let mut jobs = Vec::new();
    for threads in [1, 2] {
        for kernel in ["f16-avx2", "i2s-avx2", "i2s-scalar"] {
            jobs.push(job(&synthetic(), kernel, threads));
        }
    }
    jobs.push(job(&synthetic(), "i2s-avx512-vnni", 2));
    for threads in [1, 2] {
        jobs.push(job(&from_file(), "f16-avx2", threads));
        jobs.push(job(&from_file(), "i2s-avx2", threads));
    }
    jobs.push(job(&from_file(), "i2s-scalar", 1));
    Run {
        schema: SCHEMA,
        started_at: "2026-01-02T03:04:05Z".to_owned(),
        bitbench: "0.1.0 (0123456)".to_owned(),
        command: ["bitbench", "run", "--suite", "x86-energy", "--model", "models/small-f16.gguf"]
            .map(ToOwned::to_owned)
            .to_vec(),
        suite: SuiteInfo {
            name: "x86-energy".to_owned(),
            about: "Ternary against half precision on one x86 machine, with energy where it can be read.".to_owned(),
            hash: "blake3:8899aabbccddeeff".to_owned(),
            quick: false,
            leads: None,
        },
        seed: 42,
        budget: None,
        design: None,
        gate: None,
        host: Host {
            cpu: Some("Example CPU 3000".to_owned()),
            arch: "x86_64".to_owned(),
            features: vec!["avx2".to_owned(), "fma".to_owned()],
            physical_cores: 2,
            logical_cpus: 4,
            memory_bytes: Some(16 << 30),
            last_level_cache_bytes: Some(12 << 20),
            os: Some("Linux 6.12".to_owned()),
            microcode: None,
            governor: Some("performance".to_owned()),
            transparent_huge_pages: Some("madvise".to_owned()),
            virtualisation: None,
            load_centi: Some(12),
            shared_isa: "avx2".to_owned(),
            ..Host::default()
        },
        energy,
        jobs,
    }
}

fn speed(job: &Job) -> Speed {
    let threads = f64::from(job.threads);
    let (prefill, decode) = match job.kernel.as_str() {
        "f16-avx2" => (40.0, 8.0),
        "i2s-avx2" => (95.0, 30.0),
        _ => (12.0, 7.0),
    };
    // The second thread helps prefill more than decode.
    let small = if job.model.name == "700M" { 1.0 } else { 11.0 };
    Speed {
        prefill: prefill * small * (0.1 + 0.9 * threads),
        decode: decode * small * (0.4 + 0.6 * threads),
        watts: 6.0 + 8.0 * threads,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "made-up durations and energies are small and positive"
)]
fn whole(value: f64) -> u64 {
    value.round() as u64
}

/// The energy of a window of `seconds` at `watts`, if a source is open for it.
pub(crate) fn energy(source: &EnergySourceInfo, seconds: f64, watts: f64) -> Energy {
    let EnergySourceInfo::Open {
        source,
        provenance,
        domains,
        ..
    } = source
    else {
        return Energy::Unavailable {
            reason: "no energy source".to_owned(),
        };
    };
    let of_domain = |info: &DomainInfo| {
        // Of the total, the memory takes a fifth; the cores are part of the package.
        let share = match info.kind {
            DomainKind::Package => 0.8,
            DomainKind::Dram => 0.2,
            _ => 0.6,
        };
        let energy_uj = whole(watts * seconds * share * 1e6);
        DomainEnergy {
            name: info.name.clone(),
            kind: info.kind,
            counted: info.counted,
            start_uj: 1_000_000,
            end_uj: Some(1_000_000 + energy_uj),
            start_ticks: None,
            end_ticks: None,
            wraps: 0,
            energy_uj: Some(MeasuredMicrojoules(energy_uj)),
            fault: None,
        }
    };
    Energy::Measured(WindowEnergy {
        source: source.clone(),
        provenance: *provenance,
        window_ns: whole(seconds * 1e9),
        polls: 0,
        domains: domains.iter().map(of_domain).collect(),
    })
}

/// The 700M shape of arXiv 2410.16144.
pub(crate) fn shape() -> NetworkShape {
    NetworkShape {
        layers: 24,
        hidden: 1536,
        ffn: 4096,
        ffn_matrices: 3,
        heads: 16,
        kv_heads: 16,
        head_dim: 96,
        vocab: 32_002,
    }
}

/// All lines of one whole round of one job.
pub(crate) fn round(source: &EnergySourceInfo, job: &Job, round: u32, process: u32) -> Vec<Record> {
    let place = Place {
        job: job.id.clone(),
        round,
        process,
    };
    let own = (round as usize
        + job.kernel.bytes().map(usize::from).sum::<usize>()
        + job.threads as usize)
        % OWN_JITTER.len();
    let jitter = JITTER[round as usize % JITTER.len()] * OWN_JITTER[own];
    let speed = speed(job);
    let linear_weights: u64 = if job.model.name == "700M" {
        679_477_248
    } else {
        61_865_984
    };
    let others: u64 = linear_weights / 10;
    let linear_bytes = match job.precision {
        Precision::Half => linear_weights * 2,
        Precision::Ternary => linear_weights / 4 + linear_weights / 512,
    };
    let sample = |phase, tokens: u32, bytes, seconds: &[f64], watts: f64| {
        let durations_ns: Vec<u64> = seconds.iter().map(|s| whole(s * 1e9)).collect();
        Record::Sample(Box::new(Sample {
            place: place.clone(),
            phase,
            slice: None,
            at_ns: 1_000_000_000,
            tokens,
            matrices: None,
            bytes,
            operations: (phase == Phase::ComputePeak).then_some(2_000_000_000),
            peak: (phase == Phase::ComputePeak).then(|| "int8-avx2".to_owned()),
            rescored_bytes: None,
            token_durations_ns: Vec::new(),
            digest: (tokens > 0).then(|| format!("blake3:{}", job.model.name)),
            energy: energy(source, seconds.iter().sum(), watts),
            surroundings: None,
            counters: None,
            durations_ns,
        }))
    };
    let prefill = f64::from(PROMPT) / (speed.prefill * jitter);
    let decode = f64::from(GENERATED) / (speed.decode * jitter);
    let bandwidth = linear_bytes as f64 / (20e9 * jitter);
    // 200 GOP/s for each thread.
    let peak = 0.01 / (f64::from(job.threads) * jitter);
    let mut lines = vec![
        Record::Loaded(Loaded {
            place: place.clone(),
            duration_ns: whole(linear_bytes as f64 / jitter),
            parameters: linear_weights + others,
            linear_weights,
            linear_bytes,
            weights_bytes: linear_bytes + others * 2,
            weights_bytes_per_token: linear_bytes + others,
            head_bytes_per_token: Some(others),
            kv_bytes_per_position: 147_456,
            head_kernel: "f16-avx2".to_owned(),
            shape: Some(shape()),
            cpus: Some((0..job.threads).collect()),
            harness_cpus: None,
        }),
        sample(Phase::Idle, 0, None, &[2.0], 4.0),
        sample(
            Phase::ReadBandwidth,
            0,
            Some(linear_bytes),
            &[bandwidth, bandwidth * 1.01, bandwidth * 0.99],
            10.0,
        ),
        sample(
            Phase::ComputePeak,
            0,
            None,
            &[peak, peak * 1.01, peak * 0.99],
            speed.watts,
        ),
        sample(
            Phase::Prefill,
            PROMPT,
            None,
            &[prefill * 1.001, prefill, prefill * 0.999],
            speed.watts,
        ),
        sample(
            Phase::Decode,
            GENERATED,
            None,
            &[decode * 0.998, decode * 1.002],
            speed.watts,
        ),
        sample(
            Phase::Request,
            GENERATED,
            None,
            &[prefill + decode],
            speed.watts,
        ),
        sample(Phase::Idle, 0, None, &[2.0], 4.08),
        Record::Memory(Memory {
            place: place.clone(),
            peak_bytes: Some(linear_bytes + 250_000_000),
            anonymous_bytes: Some(linear_bytes + 210_000_000),
            file_bytes: Some(9_000_000),
            allocated_peak_bytes: Some(linear_bytes * 2),
        }),
    ];
    // Short windows that come and go, before those that count.
    for jitter in [1.0, 1.02, 0.99, 1.01, 1.0] {
        let warm_up = sample(
            Phase::WarmUp,
            2,
            None,
            &[decode / 16.0 * jitter],
            speed.watts,
        );
        lines.insert(2, warm_up);
    }
    lines.push(Record::Outcome(JobOutcome {
        place,
        outcome: Outcome::Measured,
    }));
    lines
}

pub(crate) fn outcome(job: &str, round: u32, process: u32, outcome: Outcome) -> Record {
    Record::Outcome(JobOutcome {
        place: Place {
            job: job.to_owned(),
            round,
            process,
        },
        outcome,
    })
}

/// The whole run: every job measured but one that is skipped and one that fails in its second round. Energy is read for the
/// first model; then the counter vanishes.
pub(crate) fn lines(energy: EnergySourceInfo) -> Vec<Record> {
    let run = run(energy);
    let mut lines = vec![Record::Run(Box::new(run.clone()))];
    lines.push(outcome(
        "700M/i2s-avx512-vnni/2",
        0,
        0,
        Outcome::Skipped {
            reason: "this CPU lacks avx512-vnni".to_owned(),
        },
    ));
    let mut process = 0;
    for number in 0..ROUNDS {
        for index in 0..run.jobs.len() {
            // Another order in every round, as the harness draws it.
            let job = &run.jobs[(index * 7 + number as usize) % run.jobs.len()];
            if job.kernel == "i2s-avx512-vnni" {
                continue;
            }
            let vanished = match &run.energy {
                EnergySourceInfo::Open { .. } if job.model.name != "700M" => {
                    EnergySourceInfo::Unavailable {
                        reason: "package-0: the counter vanished".to_owned(),
                        remedy: None,
                    }
                }
                source => source.clone(),
            };
            if job.id == "small-f16.gguf/i2s-scalar/1" && number > 0 {
                if number == 1 {
                    let reason = "the worker was killed by signal 9 (out of memory?)".to_owned();
                    lines.push(outcome(
                        &job.id,
                        number,
                        process,
                        Outcome::Failed { reason },
                    ));
                    process += 1;
                }
                continue;
            }
            let mut of_round = round(&vanished, job, number, process);
            if let EnergySourceInfo::Unavailable { reason, .. } = &vanished {
                without_energy(&mut of_round, reason);
            }
            lines.append(&mut of_round);
            process += 1;
        }
    }
    lines.push(end(false));
    lines
}

/// Withdraws the energy of all windows.
pub(crate) fn without_energy(lines: &mut [Record], reason: &str) {
    for sample in samples_mut(lines) {
        sample.energy = Energy::Unavailable {
            reason: reason.to_owned(),
        };
    }
}

pub(crate) fn samples_mut(lines: &mut [Record]) -> impl Iterator<Item = &mut Sample> {
    lines.iter_mut().filter_map(|line| match line {
        Record::Sample(sample) => Some(&mut **sample),
        _ => None,
    })
}

pub(crate) fn end(interrupted: bool) -> Record {
    Record::End(End {
        at: "2026-01-02T03:34:05Z".to_owned(),
        interrupted,
        stopped_by: None,
    })
}

/// The lines as the harness stores them.
pub(crate) fn stored(lines: &[Record]) -> String {
    let lines = lines
        .iter()
        .map(|line| serde_json::to_string(line).unwrap() + "\n");
    lines.collect()
}

/// Writes the lines into a folder and reads them back.
pub(crate) fn read_back(lines: &[Record]) -> Records {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(FILE_NAME), stored(lines)).unwrap();
    Records::read(dir.path()).unwrap()
}

/// The row of a job.
pub(crate) fn row<'a>(report: &'a Report, job: &str) -> &'a Row {
    let mut rows = report.rows.iter();
    rows.find(|row| row.summary.job.id == job).unwrap()
}

/// What a row has against its baseline.
pub(crate) fn ratio(against: &Against) -> &Paired {
    match against {
        Against::Baseline { figure, .. } => figure,
        other => panic!("no baseline: {other:?}"),
    }
}

/// The stored run of the golden tests.
pub(crate) fn golden() -> Records {
    Records::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/run")).unwrap()
}

/// A page without its own script, which it must have.
pub(crate) fn without_script(page: &str) -> String {
    let script = include_str!("../../src/render/page/script.js");
    let element = format!("<script>{script}</script>");
    assert_eq!(page.matches(&element).count(), 1, "the script of the page");
    page.replace(&element, "")
}

/// Makes the windows of a phase of a job longer, by a factor for each round.
pub(crate) fn slow(lines: &mut [Record], job: &str, phase: Phase, factor: impl Fn(u32) -> f64) {
    for sample in samples_mut(lines).filter(|s| s.place.job == job && s.phase == phase) {
        for ns in &mut sample.durations_ns {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "small and positive"
            )]
            let longer = (*ns as f64 * factor(sample.place.round)).round() as u64;
            *ns = longer;
        }
    }
}
