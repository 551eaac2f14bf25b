//! The validity box: the numbers of its sentences, in their order. Its words are not held against anything.

use super::super::statistics;
use super::super::traced::Job;
use super::page::Table;
use super::run::{CAUSES, Run, counted, within};
use super::says::Says;

/// Holds the sentences of the box; gives how many numbers were derived.
pub(super) fn hold(run: &Run, table: &Table, context: &str) -> usize {
    let mut derived = 0;
    for row in &table.rows {
        let [name, _, sentence] = &row[..] else {
            panic!("{context}: a row of {} cells", row.len());
        };
        let (expected, words) = match name.text.as_str() {
            "the run as a whole" => (Says::nothing(), String::new()),
            "right answers" => (answers(run), String::new()),
            "rounds" => (rounds(run), String::new()),
            "A/A control" => control(run),
            "noise" => (noise(run), String::new()),
            "drift" => (drift(run), String::new()),
            "warm-up" => (warm_up(run), String::new()),
            "other load" => (around(run, CAUSES[0]), String::new()),
            "steal" => (around(run, CAUSES[1]), String::new()),
            "throttling" => (around(run, CAUSES[2]), String::new()),
            "waits for a disk" => (around(run, CAUSES[3]), String::new()),
            "energy" => energy(run),
            other => panic!("{context}: nobody says how the check `{other}` is derived"),
        };
        // Names of the record, which have digits of their own.
        assert!(
            sentence.text.contains(&words),
            "{context}: {}",
            sentence.text
        );
        let text = if words.is_empty() {
            sentence.text.clone()
        } else {
            sentence.text.replace(&words, "")
        };
        assert_eq!(
            expected.numbers_differ(&text),
            None,
            "{context}: {}",
            name.text
        );
        derived += expected.derived();
    }
    derived
}

fn answers(run: &Run) -> Says {
    let failed = run.jobs.iter().filter(|job| job.status == "failed").count();
    if failed == 0 {
        Says::nothing()
    } else {
        Says::count(failed)
    }
}

fn rounds(run: &Run) -> Says {
    let finished = run.measured(|_| true).into_iter().map(|job| {
        let finished = run.ask(
            "SELECT count(DISTINCT round) * 1.0 FROM outcome WHERE job = ? AND outcome = 'measured'",
            &job,
        );
        finished.unwrap()
    });
    let finished: Vec<f64> = finished.collect();
    let Some(fewest) = finished.iter().copied().reduce(f64::min) else {
        return Says::nothing();
    };
    let most = finished.iter().copied().fold(0.0, f64::max);
    let mut numbers = Says::fixed(fewest, 0);
    if fewest < most {
        numbers = numbers.and(Says::fixed(most, 0));
    }
    // The level of an interval, and before it from how many rounds on there is one.
    match fewest {
        fewest if fewest <= 1.0 => numbers,
        fewest if fewest < 6.0 => numbers.and(Says::count(6)).and(Says::count(95)),
        _ => numbers.and(Says::count(95)),
    }
}

fn control(run: &Run) -> (Says, String) {
    let controls = run.traced.all_jobs().into_iter();
    let controls: Vec<Job> = controls.filter(|job| job.control_of.is_some()).collect();
    let [control] = &controls[..] else {
        assert!(
            controls.is_empty(),
            "more than one control: say which is which"
        );
        return (Says::nothing(), String::new());
    };
    let twin = run
        .jobs
        .iter()
        .find(|job| Some(&job.id) == control.control_of.as_ref());
    let twin = twin.unwrap();
    let rates: &[&str] = if control.layer {
        &["multiply_gop_per_second"]
    } else {
        &["decode_tokens_per_second", "prefill_tokens_per_second"]
    };
    let mut numbers = Says::nothing();
    for rate in rates {
        let pairs = run.traced.pairs(control, twin, rate);
        let ratio = run.traced.of_pairs(&pairs, |ratio| ratio);
        numbers = numbers
            .and(Says::fixed(ratio[""], 3))
            .and(within(&ratio, 2));
    }
    let together = match (control.batch, control.layer) {
        (1, _) => String::new(),
        (batch, true) => format!(", {batch} tokens"),
        (batch, false) => format!(", {batch} sequences"),
    };
    let threads = counted(control.threads, "thread");
    let name = format!(
        "({}, {}, {threads}{together})",
        control.model, control.kernel
    );
    (numbers, name)
}

fn rate(job: &Job) -> &'static str {
    if job.layer {
        "multiply_gop_per_second"
    } else {
        "decode_tokens_per_second"
    }
}

fn noise(run: &Run) -> Says {
    let spreads = run.measured(|_| true).into_iter().filter_map(|job| {
        let numbers = run.traced.figure(&job, rate(&job));
        Some(numbers.get("mad")? / numbers[""] * 100.0)
    });
    let spreads: Vec<f64> = spreads.collect();
    if spreads.is_empty() {
        return Says::nothing();
    }
    let worst = spreads.iter().copied().fold(0.0, f64::max);
    Says::number(statistics::median(spreads), 1).and(Says::number(worst, 1))
}

fn drift(run: &Run) -> Says {
    let mut of_job = run
        .traced
        .connection
        .prepare("SELECT value FROM whole WHERE job = ? AND what = ? ORDER BY round")
        .unwrap();
    let mut changes: Vec<f64> = Vec::new();
    for job in run.measured(|_| true) {
        let speeds = of_job
            .query_map((job.place, rate(&job)), |row| row.get(0))
            .unwrap();
        let speeds: Vec<f64> = speeds.map(Result::unwrap).collect();
        let half = speeds.len() / 2;
        if half > 0 {
            let first = statistics::median(speeds[..half].to_vec());
            let second = statistics::median(speeds[speeds.len() - half..].to_vec());
            changes.push((second / first - 1.0) * 100.0);
        }
    }
    if changes.is_empty() {
        return Says::nothing();
    }
    let ends = [f64::min, f64::max].map(|end| changes.iter().copied().reduce(end).unwrap());
    Says::number(statistics::median(changes).abs(), 1)
        .and(Says::number(ends[0], 1))
        .and(Says::number(ends[1], 1))
}

/// Whether five numbers have no trend: of ten pairs at least eight more rise than fall or the other way round, and the line
/// through them rises or falls by a hundredth or more.
fn flat(all: &[f64]) -> bool {
    if all.len() < 5 {
        return false;
    }
    let newest = &all[all.len() - 5..];
    let mut surplus = 0.0;
    let mut slopes = Vec::new();
    for i in 0..5 {
        for j in i + 1..5 {
            let rise = newest[j] - newest[i];
            surplus += if rise == 0.0 { 0.0 } else { rise.signum() };
            slopes.push(rise / (j - i) as f64);
        }
    }
    let change = statistics::median(slopes) * 4.0;
    let middle = statistics::median(newest.to_vec());
    f64::abs(surplus) < 8.0 || change.abs() < 0.01 * middle.abs()
}

fn warm_up(run: &Run) -> Says {
    let mut windows = run
        .traced
        .connection
        .prepare(
            "SELECT s.round, s.tokens * (SELECT count(*) * 1e9 / sum(duration_ns) FROM repetition r WHERE r.line = s.line),
                t.joules / t.seconds
             FROM sample s LEFT JOIN total t USING (line)
             WHERE s.job = ? AND s.phase = 'warm_up' AND s.process =
                (SELECT max(process) FROM sample n WHERE n.job = s.job AND n.round = s.round AND n.phase = 'warm_up')
             ORDER BY s.round, s.line",
        )
        .unwrap();
    let (mut all, mut unsettled) = (0, 0);
    for job in run.measured(|_| true) {
        let rows = windows
            .query_map([job.place], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .unwrap();
        let rows: Vec<(i64, f64, Option<f64>)> = rows.map(Result::unwrap).collect();
        for of_round in rows.chunk_by(|a, b| a.0 == b.0) {
            let speeds: Vec<f64> = of_round.iter().map(|window| window.1).collect();
            let powers: Option<Vec<f64>> = of_round.iter().map(|window| window.2).collect();
            all += 1;
            if !flat(&speeds) || powers.is_some_and(|powers| !flat(&powers)) {
                unsettled += 1;
            }
        }
    }
    match (all, unsettled) {
        (0, _) => Says::nothing(),
        (_, 0) => Says::count(all),
        _ => Says::count(unsettled).and(Says::count(all)),
    }
}

fn around(run: &Run, cause: &str) -> Says {
    let windows = run.windows();
    let amounts: Vec<f64> = windows.iter().filter_map(|w| w.amount(cause)).collect();
    let Some(most) = amounts.into_iter().reduce(f64::max) else {
        return Says::nothing();
    };
    let decimals = if ["others", "steal"].contains(&cause) {
        2
    } else {
        0
    };
    let touched = windows.iter().filter(|w| w.touched_by(cause)).count();
    let numbers = Says::number(most, decimals);
    if touched == 0 {
        numbers.and(Says::count(windows.len()))
    } else {
        numbers
            .and(Says::count(touched))
            .and(Says::count(windows.len()))
    }
}

fn energy(run: &Run) -> (Says, String) {
    let (source, reason): (Option<String>, Option<String>) = run
        .traced
        .connection
        .query_row("SELECT energy_source, energy_reason FROM run", (), |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    if run.simulated {
        return (Says::nothing(), String::new());
    }
    let Some(source) = source else {
        return (Says::nothing(), reason.unwrap());
    };
    let rows = run.measured(|_| true);
    let with = rows
        .iter()
        .filter(|job| run.ask("SELECT agreed * 1.0 FROM basis WHERE job = ?", job) == Some(1.0));
    (
        Says::count(with.count()).and(Says::count(rows.len())),
        source,
    )
}
