//! Figures measured here beside published ones, which are held against the files that they were copied into.

use super::super::traced::Job;
use super::page::Table;
use super::quoted::saved;
use super::run::{Run, column, counted, decimals, spread, within};
use super::says::Says;
use super::{Expected, Tip};

/// A line of the files of published figures, field by field.
#[derive(Clone, Debug)]
struct Published(Vec<(String, String)>);

impl Published {
    fn all() -> Vec<Published> {
        let files = [
            include_str!("../../../../src/published/speed.csv"),
            include_str!("../../../../src/published/energy.csv"),
            include_str!("../../../../src/published/latency_memory.csv"),
        ];
        let mut all = Vec::new();
        for file in files {
            let mut reader = csv::Reader::from_reader(file.as_bytes());
            let heads = reader.headers().unwrap().clone();
            for line in reader.records() {
                let line = line.unwrap();
                let fields = heads.iter().zip(&line);
                let fields = fields.map(|(head, field)| (head.to_owned(), field.to_owned()));
                all.push(Published(fields.collect()));
            }
        }
        all
    }

    /// The only figure with these fields; nothing where there is none.
    fn find(wanted: &[(&str, &str)]) -> Option<Published> {
        let of = |figure: &Published| {
            wanted
                .iter()
                .all(|(name, value)| figure.field(name) == *value)
        };
        let found: Vec<Published> = Published::all().into_iter().filter(of).collect();
        assert!(found.len() < 2, "{wanted:?}: {found:?}");
        found.into_iter().next()
    }

    fn field(&self, name: &str) -> &str {
        let mut fields = self.0.iter();
        &fields.find(|(own, _)| own == name).unwrap().1
    }

    fn name(&self) -> String {
        match self.field("model") {
            "2B4T" => "BitNet b1.58 2B4T".to_owned(),
            other => other.to_owned(),
        }
    }

    /// Digits and ratio as printed.
    fn printed(&self, below: &str) -> Expected {
        if self.field("value").is_empty() {
            return Expected::missing("N/A");
        }
        let mut text = self.field("value").to_owned();
        match (self.field("ratio"), self.field("unit")) {
            ("", _) => {}
            (ratio, "tokens/s") => text.push_str(&format!(" ({ratio}x)")),
            (ratio, _) => text.push_str(&format!(" ({ratio} % less)")),
        }
        if !below.is_empty() {
            text.push_str(&format!(" {below}"));
        }
        Expected {
            tip: Tip::Says(Says::words(self.field("note"))),
            ..Expected::words(text)
        }
    }
}

const BITNET: &str = "arXiv 2410.16144";
const REPORT_2B4T: &str = "arXiv 2504.12285";
const BY_KERNEL: &str = "arXiv 2502.11880";
const HARDWARE: [&str; 2] = ["Intel Core i7-13700H", "Apple M2 Ultra"];
const SPEED: &str = "decode_tokens_per_second";

pub(super) fn table(run: &Run, table: &Table) -> Vec<Vec<Expected>> {
    match table.caption.as_str() {
        "Decode, tok/s: best number of threads" => of_paper(run, table, "Table 4", None),
        "Decode, tok/s: 2 threads" => of_paper(run, table, "Table 5", Some(2)),
        "Decode energy, J/token" => of_paper(run, table, "Table 6", None),
        "Decode by kernel, tok/s: best number of threads" => by_kernel(run),
        "BitNet b1.58 2B4T: latency and memory" => latency_and_memory(run),
        "Energy of the 2B4T report" => estimates(),
        other => panic!("nobody says how {other} is derived"),
    }
}

/// Jobs of one model at one sequence and the same sizes.
fn groups(run: &Run) -> Vec<Vec<Job>> {
    let mut groups: Vec<Vec<Job>> = Vec::new();
    for job in run.jobs.iter().filter(|job| job.batch == 1) {
        let key = |job: &Job| (job.model.clone(), job.prefill, job.decode);
        match groups.iter_mut().find(|group| key(&group[0]) == key(job)) {
            Some(group) => group.push(job.clone()),
            None => groups.push(vec![job.clone()]),
        }
    }
    groups
}

/// The fastest at decoding; of equal ones the first.
fn fastest<'a>(run: &Run, jobs: impl Iterator<Item = &'a Job>) -> Option<&'a Job> {
    let mut best: Option<(f64, &Job)> = None;
    for job in jobs {
        let speed = run.median(job, SPEED).unwrap_or(0.0);
        if best.is_none_or(|(fastest, _)| speed > fastest) {
            best = Some((speed, job));
        }
    }
    best.map(|(_, job)| job)
}

/// The fastest half-precision job and the fastest ternary one, with the same head: that in half precision where there is one.
fn both<'a>(run: &Run, group: &'a [Job], threads: Option<i64>) -> [Option<&'a Job>; 2] {
    let jobs: Vec<&Job> = group
        .iter()
        .filter(|job| run.median(job, SPEED).is_some())
        .filter(|job| threads.is_none_or(|threads| job.threads == threads))
        .collect();
    let ternary = |head: Option<&str>| {
        let jobs = jobs.iter().copied();
        fastest(
            run,
            jobs.filter(|job| !job.half && head.is_none_or(|head| job.head == head)),
        )
    };
    let ternary = ternary(Some("f16")).or_else(|| ternary(None));
    let half = jobs
        .iter()
        .copied()
        .filter(|job| job.half && ternary.is_none_or(|ternary| ternary.head == job.head));
    [fastest(run, half), ternary]
}

fn sizes(job: &Job) -> String {
    format!("prompt {}, generated {}", job.prefill, job.decode)
}

fn of_row(job: &Job) -> String {
    format!("{}, {}", job.kernel, counted(job.threads, "thread"))
}

/// A figure measured here; `bracket` and what holds it stand before its spread.
fn here(
    run: &Run,
    job: Option<&Job>,
    what: &str,
    counters: bool,
    bracket: Option<(Says, Says)>,
) -> Expected {
    let Some(job) = job else {
        return Expected::missing("no row");
    };
    if counters && run.simulated {
        return Expected::missing("simulated");
    }
    let numbers = run.traced.figure(job, what);
    let Some(value) = numbers.get("").copied() else {
        return run.missing(job, counters);
    };
    let mut says = Says::number(value, decimals(column(what)));
    let mut below: Vec<Says> = Vec::new();
    if let Some((bracket, within)) = bracket {
        says = says.and_words(" (").and(bracket).and_words(")");
        below.push(within);
    }
    below.extend(spread(&numbers));
    below.push(Says::words(of_row(job)));
    Expected::text(says.and_words(" ").and(Says::list(below)))
}

fn of_paper(run: &Run, table: &Table, number: &str, threads: Option<i64>) -> Vec<Vec<Expected>> {
    let energy = number == "Table 6";
    // Which machine a column is of, from the heads above the heads.
    let spans = table.head[0].iter();
    let spans: Vec<&str> = spans
        .flat_map(|head| std::iter::repeat_n(head.text.as_str(), head.columns))
        .collect();
    let mut rows = Vec::new();
    for group in groups(run) {
        let [half, ternary] = both(run, &group, threads);
        let model = &group[0].model;
        let of_machine = |hardware: &str, kernel: &str| {
            Published::find(&[
                ("source", BITNET),
                ("table", number),
                ("hardware", hardware),
                ("model", model),
                ("kernel", kernel),
            ])
        };
        if of_machine(HARDWARE[0], "bitnet.cpp").is_none() || half.or(ternary).is_none() {
            continue;
        }
        let mut row = vec![Expected::words(format!("{model} {}", sizes(&group[0])))];
        if energy {
            for job in [half, ternary] {
                let ratio = job.map(|job| run.traced.ratio(job, "energy_saved_percent"));
                let bracket = ratio.filter(|ratio| ratio.contains_key("n"));
                let bracket = bracket.map(|ratio| (saved(ratio[""]), within(&ratio, 1)));
                row.push(here(run, job, "decode_joules_per_token", true, bracket));
            }
        } else {
            row.push(here(run, half, SPEED, false, None));
            let pairs = half
                .zip(ternary)
                .filter(|(half, ternary)| half.head == ternary.head);
            let pairs = pairs.map(|(half, ternary)| run.traced.pairs(ternary, half, SPEED));
            let ratio = pairs.map(|pairs| run.traced.of_pairs(&pairs, |ratio| ratio));
            let bracket = ratio.map(|ratio| {
                let times = Says::number(ratio[""], 2).and_words("x");
                (times, within(&ratio, 2))
            });
            row.push(here(run, ternary, SPEED, false, bracket));
        }
        let published = table.head[1].iter().zip(&spans).skip(3);
        for (head, hardware) in published {
            let hardware = hardware.strip_prefix("published: ").unwrap();
            row.push(of_machine(hardware, &head.text).unwrap().printed(""));
        }
        rows.push(row);
    }
    rows
}

fn by_kernel(run: &Run) -> Vec<Vec<Expected>> {
    let of_paper = |figure: &Published| figure.field("source") == BY_KERNEL;
    let published: Vec<Published> = Published::all().into_iter().filter(of_paper).collect();
    let mut groups = groups(run);
    groups.retain(|group| {
        published.iter().any(|f| f.field("model") == group[0].model)
            && group.iter().any(|job| run.median(job, SPEED).is_some())
    });
    let mut kernels: Vec<&str> = Vec::new();
    for job in groups.iter().flatten() {
        if !kernels.contains(&job.kernel.as_str()) {
            kernels.push(&job.kernel);
        }
    }
    let mut rows = Vec::new();
    for kernel in kernels {
        let mut row = vec![Expected::words(format!("{kernel} measured here"))];
        for group in &groups {
            let best = fastest(run, group.iter().filter(|job| job.kernel == kernel));
            row.push(match best.map(|job| (job, run.median(job, SPEED))) {
                Some((job, Some(speed))) => Expected::text(
                    Says::number(speed, decimals(column(SPEED)))
                        .and_words(format!(" {}", counted(job.threads, "thread"))),
                ),
                other => here(run, other.map(|(job, _)| job), SPEED, false, None),
            });
        }
        rows.push(row);
    }
    for hardware in HARDWARE {
        let of_machine = |f: &&Published| f.field("hardware") == hardware;
        let of_first = published
            .iter()
            .filter(of_machine)
            .filter(|f| f.field("model") == groups[0][0].model);
        for kernel in of_first.map(|f| f.field("kernel")) {
            let mut row = vec![Expected::words(format!("{kernel} published: {hardware}"))];
            for group in &groups {
                let found = Published::find(&[
                    ("source", BY_KERNEL),
                    ("hardware", hardware),
                    ("kernel", kernel),
                    ("model", &group[0].model),
                ]);
                row.push(found.map_or_else(|| Expected::missing("N/A"), |f| f.printed("")));
            }
            rows.push(row);
        }
    }
    rows
}

fn latency_and_memory(run: &Run) -> Vec<Vec<Expected>> {
    let group = groups(run)
        .into_iter()
        .find(|group| group[0].model == "2B4T")
        .unwrap();
    let [half, ternary] = both(run, &group, None);
    let mut rows = Vec::new();
    for job in [ternary, half].into_iter().flatten() {
        let speed = run.traced.figure(job, SPEED);
        let milliseconds = |what: &str| Says::number(1000.0 / speed[what], 1);
        let rounds = speed["n"];
        let latency = milliseconds("")
            .and_words(" ")
            .and(milliseconds("max"))
            .and_words(" to ")
            .and(milliseconds("min"))
            .and_words(" in ")
            .and(Says::fixed(rounds, 0))
            .and_words(if rounds == 1.0 { " round" } else { " rounds" });
        let packed = run
            .ask("SELECT linear_bytes / 1e9 FROM told WHERE job = ?", job)
            .unwrap();
        let name = format!("2B4T measured here: {}, {}", of_row(job), sizes(job));
        rows.push(vec![
            Expected::words(name),
            Expected::text(latency),
            Expected::text(Says::number(packed, 3).and_words(" as packed")),
            here(run, Some(job), "decode_net_joules_per_token", true, None),
        ]);
    }
    let not_given = || Expected::words("not given");
    for memory in Published::all() {
        if memory.field("metric") != "weights without embedding" {
            continue;
        }
        let latency = Published::find(&[
            ("source", REPORT_2B4T),
            ("model", memory.field("model")),
            ("metric", "time of an output token"),
        ]);
        let latency = latency.unwrap();
        let name = format!(
            "{} published: {}, {}, {} threads",
            memory.name(),
            latency.field("kernel"),
            latency.field("hardware"),
            latency.field("threads")
        );
        rows.push(vec![
            Expected::words(name),
            latency.printed(""),
            memory.printed("computed"),
            not_given(),
        ]);
    }
    for energy in Published::all() {
        if energy.field("metric") != "decode of 128 tokens, net" {
            continue;
        }
        let name = format!(
            "{} published: {}, {}",
            energy.name(),
            energy.field("kernel"),
            energy.field("hardware")
        );
        rows.push(vec![
            Expected::words(name),
            not_given(),
            not_given(),
            energy.printed("RAPL, idle power taken off"),
        ]);
    }
    rows
}

fn estimates() -> Vec<Vec<Expected>> {
    let all = Published::all().into_iter();
    let estimates = all.filter(|figure| figure.field("kind") == "estimated");
    let rows = estimates.map(|figure| {
        vec![
            Expected::words(figure.name()),
            Expected::words(figure.field("kernel")),
            Expected {
                tip: Tip::Says(Says::words(figure.field("note"))),
                ..Expected::words(format!("~{}", figure.field("value")))
            },
        ]
    });
    rows.collect()
}
