//! The tables behind the plots.

use super::super::traced::Job;
use super::Expected;
use super::page::Table;
use super::run::{Run, counted, heading, label, plotted};
use super::says::Says;

pub(super) fn table(run: &Run, table: &Table) -> Vec<Vec<Expected>> {
    match table.heading.as_str() {
        "Speed" => speed(run, table),
        "Thread scaling" => scaling(run, table),
        "Roofline" => roofline(run, table),
        "Distribution of the samples" => samples(run, table),
        "Power and clock over time" => over_time(run, table),
        other => panic!("nobody says how the plot {other} is derived"),
    }
}

/// The phase that a caption begins with, and the heading behind it.
fn captioned(table: &Table) -> (&str, &str) {
    let mut parts = table.caption.splitn(3, ", ");
    let phase = parts.next().unwrap();
    parts.next().unwrap();
    (phase, parts.next().unwrap())
}

fn row(first: String, cells: Vec<Says>) -> Vec<Expected> {
    let cells = cells.into_iter().map(plotted);
    std::iter::once(Expected::words(first))
        .chain(cells)
        .collect()
}

fn two(value: f64) -> Says {
    Says::number(value, 2)
}

fn rate(phase: &str) -> &'static str {
    match phase {
        "decode" | "tok/s" => "decode_tokens_per_second",
        "prefill" => "prefill_tokens_per_second",
        "multiplication" | "GOP/s" => "multiply_gop_per_second",
        other => panic!("nobody says what the rate of {other} is"),
    }
}

fn speed(run: &Run, table: &Table) -> Vec<Vec<Expected>> {
    let (unit, of) = table.caption.split_once(", ").unwrap();
    let jobs = run.measured(|job| heading(job) == of);
    let rows = jobs.iter().filter_map(|job| {
        let numbers = run.traced.figure(job, rate(unit));
        let mut cells: Vec<Says> = ["", "min", "max"]
            .iter()
            .filter_map(|what| numbers.get(what).map(|value| two(*value)))
            .collect();
        cells.push(Says::fixed(*numbers.get("n")?, 0));
        Some(row(label(job), cells))
    });
    rows.collect()
}

fn scaling(run: &Run, table: &Table) -> Vec<Vec<Expected>> {
    let (phase, of) = captioned(table);
    let mut jobs = run.measured(|job| heading(job) == of);
    jobs.retain(|job| run.median(job, rate(phase)).is_some());
    let name = |job: &Job| {
        let mark = if job.ternarized { "*" } else { "" };
        format!("{}{mark}", job.kernel)
    };
    let mut names: Vec<String> = Vec::new();
    for job in &jobs {
        if !names.contains(&name(job)) {
            names.push(name(job));
        }
    }
    let mut rows = Vec::new();
    for line in names {
        let mut points: Vec<&Job> = jobs.iter().filter(|job| name(job) == line).collect();
        points.sort_by_key(|job| job.threads);
        let fewest = run.median(points[0], rate(phase)).unwrap();
        for job in points {
            let numbers = run.traced.figure(job, rate(phase));
            let mut cells = vec![Says::words(job.threads.to_string())];
            cells.extend(["", "min", "max"].map(|what| two(numbers[what])));
            cells.push(two(numbers[""] / fewest));
            rows.push(row(line.clone(), cells));
        }
    }
    rows
}

fn roofline(run: &Run, table: &Table) -> Vec<Vec<Expected>> {
    let of_table = |job: &Job| {
        format!("{}, {}", heading(job), counted(job.threads, "thread")) == table.caption
    };
    let jobs = run.measured(of_table);
    let rows = jobs.iter().filter_map(|job| {
        let told = |what: &str| {
            run.ask(&format!("SELECT {what} * 1.0 FROM told WHERE job = ?"), job)
        };
        let weights = told("linear_weights")?;
        let bandwidth = run.median(job, "read_bandwidth_gb_per_second")?;
        let packed = told("linear_bytes")?;
        let batch = job.batch as f64;
        let decode = run.median(job, "decode_tokens_per_second").and_then(|speed| {
            let bytes = run.median(job, "decode_bytes_per_token")?;
            Some((2.0 * weights / bytes, 2.0 * weights * speed / 1e9))
        });
        let alone = run.median(job, "multiply_gop_per_second");
        let alone = alone.map(|speed| (2.0 * weights * batch / packed, speed));
        let prefill = run.median(job, "prefill_gop_per_second");
        let prefill = prefill.map(|speed| (2.0 * weights * job.prefill as f64 * batch / packed, speed));
        let peak = run.median(job, "compute_peak_gop_per_second");
        let name = peak.and_then(|_| {
            let mut names = run
                .traced
                .connection
                .prepare("SELECT peak FROM sample WHERE job = ? AND phase = 'compute_peak' ORDER BY line DESC LIMIT 1")
                .unwrap();
            names.query_row([job.place], |row| row.get::<_, Option<String>>(0)).unwrap()
        });
        let known = |value: Option<f64>| value.map_or(Says::words("not known"), two);
        let mut cells = Vec::new();
        for point in [decode.or(alone), prefill] {
            cells.push(known(point.map(|p| p.0)));
            cells.push(known(point.map(|p| p.1)));
        }
        cells.push(two(bandwidth));
        cells.push(Says::words(name.unwrap_or_default()));
        cells.push(known(peak));
        Some(row(label(job), cells))
    });
    rows.collect()
}

/// The value at a share of the way through sorted values, between two where it falls between them.
fn at_share(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let mut below = 0;
    while (below + 1) as f64 <= place {
        below += 1;
    }
    let next = sorted[(below + 1).min(sorted.len() - 1)];
    sorted[below] + (next - sorted[below]) * (place - below as f64)
}

fn samples(run: &Run, table: &Table) -> Vec<Vec<Expected>> {
    let (phase, of) = captioned(table);
    let phase = if phase == "multiplication" {
        "multiply"
    } else {
        phase
    };
    let mut repetitions = run
        .traced
        .connection
        .prepare(
            "SELECT ifnull(c.matrices, c.tokens) * 1e9 / r.duration_ns AS speed
             FROM chosen c JOIN piece p ON p.window = c.line JOIN repetition r ON r.line = p.line
             WHERE c.job = ? AND c.phase = ? ORDER BY speed",
        )
        .unwrap();
    let mut rows = Vec::new();
    for job in run.measured(|job| heading(job) == of) {
        let speeds = repetitions
            .query_map((job.place, phase), |row| row.get(0))
            .unwrap();
        let speeds: Vec<f64> = speeds.map(Result::unwrap).collect();
        if speeds.is_empty() {
            continue;
        }
        let mut cells = vec![Says::count(speeds.len())];
        cells.extend([0.0, 0.25, 0.5, 0.75, 1.0].map(|share| two(at_share(&speeds, share))));
        rows.push(row(label(&job), cells));
    }
    rows
}

/// A stored window, or that a later process went on.
struct Stored {
    job: Option<i64>,
    phase: String,
    round: i64,
    at: f64,
    seconds: f64,
    watts: Option<f64>,
    mhz: Option<f64>,
}

fn stored(run: &Run) -> Vec<Stored> {
    let mut stored = run
        .traced
        .connection
        .prepare(
            "SELECT s.job, s.phase, s.round, s.at_ns / 1e9,
                CASE WHEN s.energy_window_ns > 0 THEN s.energy_window_ns / 1e9
                    ELSE (SELECT sum(duration_ns) / 1e9 FROM repetition r WHERE r.line = s.line) END,
                t.joules / t.seconds,
                coalesce(
                    CASE WHEN NOT cy.user_only OR s.worker_system_ns * 1.0 / s.worker_cpu_ns <= 0.02
                        THEN cy.count * cy.up / (ck.count * ck.up) * 1e3 END,
                    s.cpufreq_khz / 1e3),
                s.line
             FROM sample s LEFT JOIN total t USING (line)
             LEFT JOIN (SELECT *, CASE WHEN running_ns >= enabled_ns THEN 1.0 WHEN running_ns > 0
                THEN enabled_ns * 1.0 / running_ns END AS up FROM event WHERE name = 'cycles') cy ON cy.line = s.line
             LEFT JOIN (SELECT *, CASE WHEN running_ns >= enabled_ns THEN 1.0 WHEN running_ns > 0
                THEN enabled_ns * 1.0 / running_ns END AS up FROM event WHERE name = 'task_clock_ns') ck ON ck.line = s.line
             UNION ALL SELECT NULL, '', 0, 0.0, 0.0, NULL, NULL, line FROM resumed
             ORDER BY 8",
        )
        .unwrap();
    let stored = stored.query_map((), |row| {
        Ok(Stored {
            job: row.get(0)?,
            phase: row.get(1)?,
            round: row.get(2)?,
            at: row.get(3)?,
            seconds: row.get::<_, Option<f64>>(4)?.unwrap_or(0.0),
            watts: row.get(5)?,
            mhz: row.get(6)?,
        })
    });
    stored.unwrap().map(Result::unwrap).collect()
}

fn over_time(run: &Run, table: &Table) -> Vec<Vec<Expected>> {
    let power = match table.caption.as_str() {
        "SIMULATED power" if run.simulated => true,
        "power" if !run.simulated => true,
        "clock" => false,
        other => panic!("nobody says how {other} is derived"),
    };
    let (mut offset, mut end) = (0.0, 0.0_f64);
    let mut rows = Vec::new();
    for window in stored(run) {
        let Some(place) = window.job else {
            offset = end;
            continue;
        };
        let start = offset + window.at;
        end = end.max(start + window.seconds);
        let Some(value) = (if power { window.watts } else { window.mhz }) else {
            continue;
        };
        let job = run.jobs.iter().find(|job| job.place == place);
        let name = job.map_or("A/A control".to_owned(), |job| {
            let together = match (job.batch, job.layer) {
                (1, _) => String::new(),
                (batch, true) => format!(", {batch} tokens"),
                (batch, false) => format!(", {batch} sequences"),
            };
            let threads = counted(job.threads, "thread");
            format!("{}, {}, {threads}{together}", job.model, job.kernel)
        });
        let phase = match window.phase.as_str() {
            "warm_up" => "warm-up",
            "request" => "whole requests",
            "read_bandwidth" => "read bandwidth",
            "compute_peak" => "compute peak",
            "multiply" => "multiplication",
            other => other,
        };
        let cells = vec![
            Says::words(phase),
            Says::words((window.round + 1).to_string()),
            Says::number(start, 1),
            two(window.seconds),
            Says::number(value, 1),
        ];
        rows.push(row(name, cells));
    }
    // Of more than 200, every so many-th.
    let step = rows.len().div_ceil(200).max(1);
    rows.into_iter().step_by(step).collect()
}
