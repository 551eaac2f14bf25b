//! What the tables for people have in common: which columns and rows they show, and what stands below them.

use super::text::{Shown, plain};
use crate::columns::{Better, COLUMNS, Cell, Column, Kind, Row, Section};
use crate::compare::Against;
use crate::record::{EnergySourceInfo, Host, ModelInfo, Precision, Topic, WeightsOrigin};
use crate::report::{Group, Report, count};
use crate::summary::Status;

/// The rows with figures.
pub(super) fn measured<'a>(rows: &[&'a Row]) -> Vec<&'a Row> {
    let measured = rows.iter().copied().filter(|row| row.summary.measured());
    measured.collect()
}

/// The columns that have something to show for these rows, in their order. Only the CSV has all.
pub(super) fn columns(rows: &[&Row], section: impl Fn(Section) -> bool) -> Vec<&'static Column> {
    let shown = |column: &&&Column| {
        column.rank.is_some() && section(column.section) && has_something_to_say(column, rows)
    };
    COLUMNS.iter().filter(shown).copied().collect()
}

/// The section that the suite of a run is about.
pub(super) fn leading(report: &Report) -> Section {
    match report.run.suite.leads {
        None | Some(Topic::Speed) => Section::Speed,
        Some(Topic::Energy) => Section::Energy,
        Some(Topic::Memory) => Section::Memory,
    }
}

fn has_something_to_say(column: &Column, rows: &[&Row]) -> bool {
    let mut cells = rows.iter().map(|row| (column.cell)(row));
    let Some(first) = cells.next() else {
        return false;
    };
    if column.section == Section::Job && column.kind == Kind::Text && column.rank != Some(0) {
        // The same word in every row tells nothing.
        return cells.any(|cell| cell != first);
    }
    std::iter::once(first)
        .chain(cells)
        .any(|cell| !matches!(cell, Cell::Missing(_)))
}

/// The text that a cell must show to be among the best of its column; nothing where there is no contest.
pub(super) fn best(column: &Column, rows: &[&Row]) -> Option<String> {
    let mut best: Option<(f64, Cell)> = None;
    let mut entrants = 0;
    for row in rows {
        let cell = (column.cell)(row);
        let Cell::Number { value, mark, .. } = cell else {
            continue;
        };
        // A simulated figure wins nothing.
        if mark == Some("simulated") {
            continue;
        }
        entrants += 1;
        let better = best.as_ref().is_none_or(|(leader, _)| match column.better {
            Better::Higher => value > *leader,
            Better::Lower => value < *leader,
            Better::Neither => false,
        });
        if better {
            best = Some((value, cell));
        }
    }
    if entrants < 2 || column.better == Better::Neither {
        return None;
    }
    best.map(|(_, cell)| Shown::of(&cell, column.kind).text)
}

/// The heading of a group: `2B4T: prompt 512, generated 128 tokens`, and `, 8 sequences together` where there are several.
pub(super) fn heading(group: &Group<'_>) -> String {
    if group.layer {
        let tokens = count(group.batch as usize, "token");
        return format!(
            "{}: one layer (rows x columns), {tokens} at a time",
            plain(group.model)
        );
    }
    let mut heading = format!(
        "{}: prompt {}, generated {} tokens",
        plain(group.model),
        group.prefill_tokens,
        group.decode_tokens
    );
    if group.batch != 1 {
        heading.push_str(&format!(", {} sequences together", group.batch));
    }
    heading
}

/// Where the weights of a model come from, with their hash or seed.
pub(super) fn origin(model: &ModelInfo) -> String {
    match &model.weights {
        WeightsOrigin::Synthetic { seed } => {
            format!("synthetic weights in its shape, seed {seed}: speed, memory and energy only")
        }
        WeightsOrigin::File { path, hash } => format!("file {}, {}", plain(path), plain(hash)),
    }
}

/// The origins of the models of a group, each once.
pub(super) fn origins(group: &Group<'_>) -> Vec<String> {
    let mut origins: Vec<String> = Vec::new();
    for row in &group.rows {
        let origin = origin(&row.summary.job.model);
        if !origins.contains(&origin) {
            origins.push(origin);
        }
    }
    origins
}

/// A row in words: `2B4T, i2s-avx2, 2 threads`.
pub(super) fn name(row: &Row) -> String {
    let job = &row.summary.job;
    format!(
        "{}, {}, {}{}",
        plain(&job.model.name),
        plain(&job.kernel_and_head()),
        count(job.threads as usize, "thread"),
        job.of_sequences()
    )
}

/// Jobs without figures that share what happened and why.
pub(super) struct WithoutFigures {
    pub(super) names: Vec<String>,
    pub(super) word: &'static str,
    pub(super) reason: String,
}

/// The jobs without figures, failures first.
pub(super) fn without_figures(report: &Report) -> Vec<WithoutFigures> {
    let mut list: Vec<WithoutFigures> = Vec::new();
    for word in ["failed", "skipped", "not run"] {
        let rows = report.rows.iter();
        for row in rows.filter(|row| row.summary.status.word() == word) {
            let reason = reason(&row.summary.status);
            match list
                .iter_mut()
                .find(|w| w.word == word && w.reason == reason)
            {
                Some(same) => same.names.push(name(row)),
                None => list.push(WithoutFigures {
                    names: vec![name(row)],
                    word,
                    reason,
                }),
            }
        }
    }
    list
}

fn reason(status: &Status) -> String {
    let reason = plain(status.reason().unwrap_or_default());
    match status {
        Status::Failed {
            finished_rounds, ..
        } if *finished_rounds > 0 => format!(
            "{reason} ({} had finished; no figures are given)",
            count(*finished_rounds, "round")
        ),
        _ => reason,
    }
}

/// What a reader must know of single rows, each remark once.
pub(super) fn row_notes(report: &Report) -> Vec<String> {
    let of_row = |row: &Row| {
        let notes = row.summary.notes.iter();
        let named: Vec<(String, String)> = notes.map(|note| (plain(note), name(row))).collect();
        named
    };
    let notes = by_text(report.rows.iter().flat_map(of_row));
    let line = |(note, names): (String, Vec<String>)| format!("{}: {note}", names.join("; "));
    notes.into_iter().map(line).collect()
}

/// The names under each text, texts in the order in which they first come.
fn by_text(named: impl Iterator<Item = (String, String)>) -> Vec<(String, Vec<String>)> {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for (text, name) in named {
        match groups.iter_mut().find(|(known, _)| *known == text) {
            Some((_, names)) => names.push(name),
            None => groups.push((text, vec![name])),
        }
    }
    groups
}

/// Says that ternarized rows are about speed alone; nothing where there are none.
pub(super) fn ternarized_note(report: &Report) -> Option<&'static str> {
    let ternarized = |row: &Row| row.summary.measured() && row.summary.job.model.ternarized;
    report.rows.iter().any(ternarized).then_some(
        "ternarized: speed only, quality destroyed. Half-precision layers were rounded to three values; \
         such a model answers nonsense",
    )
}

/// Names the baselines that figures stand against.
pub(super) fn baseline_note(report: &Report) -> String {
    let mut kernels: Vec<String> = Vec::new();
    for row in &report.rows {
        let sides = [
            &row.comparison.prefill_speedup,
            &row.comparison.decode_speedup,
            &row.comparison.multiply_speedup,
        ];
        if row.summary.job.precision == Precision::Half
            && sides.into_iter().any(|side| *side == Against::IsBaseline)
        {
            let kernel = plain(&row.summary.job.kernel);
            if !kernels.contains(&kernel) {
                kernels.push(kernel);
            }
        }
    }
    if kernels.is_empty() {
        return "baseline: none; no half-precision row was measured, so there is no speed-up"
            .to_owned();
    }
    format!(
        "baseline (1.00): {}, the fastest half-precision row of the same model, threads and sizes; ratios are Hodges-Lehmann \
         estimates from equal rounds, held by their exact interval of 95 % or more from six rounds on, else by the smallest \
         and the largest",
        kernels.join(" or ")
    )
}

/// The state of the energy source in a sentence or two.
pub(crate) fn energy_lines(report: &Report) -> Vec<String> {
    match &report.run.energy {
        EnergySourceInfo::Unavailable { reason, remedy } => {
            let mut line = format!("energy: unavailable - {}", plain(reason));
            if let Some(remedy) = remedy {
                line.push_str(&format!(". To help: {}", plain(remedy)));
            }
            vec![line]
        }
        EnergySourceInfo::Open {
            source,
            domains,
            caveats,
            ..
        } => {
            let counted = domains.iter().filter(|domain| domain.counted);
            let names: Vec<String> = counted.map(|domain| plain(&domain.name)).collect();
            let what = if report.simulated() {
                "SIMULATED counters"
            } else {
                "counters"
            };
            let mut lines = vec![format!(
                "energy: {what} of {}, {}, idle power included",
                plain(source),
                names.join(" + ")
            )];
            lines.extend(
                caveats
                    .iter()
                    .map(|caveat| format!("energy: {}", plain(caveat))),
            );
            lines.extend(energy_gaps(report));
            lines
        }
    }
}

/// Measured rows that have no energy although a source was open, by reason.
fn energy_gaps(report: &Report) -> Vec<String> {
    let gap = |row: &Row| {
        let summary = &row.summary;
        let figure = summary.figure(match summary.job.layer {
            None => |round| &round.decode_energy.joules_per_token,
            Some(_) => |round| &round.multiply_uj,
        });
        figure.err().map(|reason| (plain(&reason), name(row)))
    };
    let measured = report.rows.iter().filter(|row| row.summary.measured());
    let line = |(reason, names): (String, Vec<String>)| {
        format!("no energy for {}: {reason}", names.join("; "))
    };
    by_text(measured.filter_map(gap))
        .into_iter()
        .map(line)
        .collect()
}

/// The banner of a run on simulated counters.
pub(super) const SIMULATED: &str = "SIMULATED: energy was read from counters under another root, not from this machine. \
     A test of the tool, never a result.";

/// What the ± stands for.
pub(super) const SPREAD: &str = "figures are medians over rounds, one number for each process; ± is the median absolute \
     deviation times 1.4826, in percent of the median";

/// The machine as label and value; what could not be read is said to be unknown.
pub(super) fn host(host: &Host) -> Vec<(&'static str, String)> {
    let known = |text: &Option<String>| text.as_deref().map_or("not known".to_owned(), plain);
    let gib = |bytes: Option<u64>| {
        bytes.map_or("not known".to_owned(), |bytes| {
            format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
        })
    };
    let mib = |bytes: Option<u64>| {
        bytes.map_or("not known".to_owned(), |bytes| {
            format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
        })
    };
    let mut lines = vec![
        ("CPU", known(&host.cpu)),
        (
            "cores",
            format!(
                "{} physical, {} hardware threads for this process",
                host.physical_cores, host.logical_cpus
            ),
        ),
        (
            "instruction set",
            format!("{}: {}", plain(&host.arch), plain(&host.features.join(" "))),
        ),
        ("outside the linear layers", plain(&host.shared_isa)),
        ("memory", gib(host.memory_bytes)),
        ("last-level cache", mib(host.last_level_cache_bytes)),
        ("system", known(&host.os)),
        ("microcode", known(&host.microcode)),
        ("governor", known(&host.governor)),
        (
            "transparent huge pages",
            known(&host.transparent_huge_pages),
        ),
        (
            "virtualisation",
            host.virtualisation
                .as_deref()
                .map_or("none seen".to_owned(), plain),
        ),
        (
            "load at the start",
            host.load_centi.map_or("not known".to_owned(), |load| {
                format!("{:.2}", f64::from(load) / 100.0)
            }),
        ),
    ];
    // The rest of what stays, as far as the record has it.
    let shown = [
        "CPU",
        "architecture",
        "microcode",
        "CPU features",
        "physical cores for this process",
        "hardware threads for this process",
        "operating system",
        "hypervisor or container",
        "frequency governor",
        "transparent huge pages",
    ];
    let rest = host.stable_facts().into_iter();
    let rest = rest.filter(|(name, _)| !shown.contains(name));
    lines.extend(rest.map(|(name, fact)| (name, plain(&fact))));
    lines
}
