//! The tables of the 2B4T report: latency and memory, and the energy that nobody measured.

use super::{Compared, Fastest, fastest, here, of_row, printed, sizes};
use crate::columns::Row;
use crate::published::{Kind, all};
use crate::render::page::grid::{Grid, GridCell, Head, Line};
use crate::render::text::number;
use crate::report::{Group, Report, count};

const REPORT_2B4T: &str = "arXiv 2504.12285";

/// The table of the 2B4T report: memory and latency, with the row measured here.
pub(super) fn latency_and_memory(report: &Report) -> Option<Compared> {
    let fastest = fastest(report, None);
    let own: Fastest<'_> = fastest.into_iter().find(|f| f.group.model == "2B4T")?;
    let mut grid = Grid {
        title: "BitNet b1.58 2B4T: latency and memory".to_owned(),
        head: vec![
            Head::new("model", ""),
            Head::new("time of an output token", "ms"),
            Head::new("weights without embedding", "GB"),
            Head::new("net decode energy", "J/token"),
        ],
        ..Grid::default()
    };
    for row in [own.ternary, own.half].into_iter().flatten() {
        let line = measured_2b4t(row, &own.group, &mut grid);
        grid.rows.push(line);
    }
    let figure_of = |model: &str, metric: &str| {
        let mut figures = all().iter().filter(|f| f.source == REPORT_2B4T);
        figures.find(|f| f.model == model && f.metric == metric)
    };
    let models = all()
        .iter()
        .filter(|f| f.source == REPORT_2B4T && f.metric == "weights without embedding");
    for memory in models {
        let latency = figure_of(&memory.model, "time of an output token");
        let below = latency.map_or(String::new(), |f| {
            format!(
                "published: {}, {}, {} threads",
                f.kernel, f.hardware, f.threads
            )
        });
        let latency = latency.map_or_else(GridCell::default, |f| printed(f, &mut grid));
        let mut weights = printed(memory, &mut grid);
        weights.below = "computed".to_owned();
        let name = if memory.model == "2B4T" {
            "BitNet b1.58 2B4T"
        } else {
            &memory.model
        };
        grid.rows.push(Line {
            name: name.to_owned(),
            below,
            cells: vec![latency, weights, absent_there()],
        });
    }
    for figure in all()
        .iter()
        .filter(|f| f.metric == "decode of 128 tokens, net")
    {
        let mut energy = printed(figure, &mut grid);
        energy.below = "RAPL, idle power taken off".to_owned();
        let name = if figure.model == "2B4T" {
            "BitNet b1.58 2B4T"
        } else {
            &figure.model
        };
        grid.rows.push(Line {
            name: name.to_owned(),
            below: format!("published: {}, {}", figure.kernel, figure.hardware),
            cells: vec![absent_there(), absent_there(), energy],
        });
    }
    Some(Compared {
        grid,
        source: format!(
            "{REPORT_2B4T}, Table 1 (mean over 128 generated tokens; kernel not stated); energy: zenn.dev/keison8864, \
             bitnet-energy-article, June 2026, taken from a summary of the article"
        ),
        differs: "Threads: those of the row here; eight in the report, not said for the energy. Memory: here the packed linear \
                  layers as they lie in memory; the report multiplies weights by 2 bytes, or by 1.58 bits for BitNet, which no \
                  kernel stores."
            .to_owned(),
        folded: false,
    })
}

fn absent_there() -> GridCell {
    GridCell {
        text: "not given".to_owned(),
        missing: true,
        published: true,
        ..GridCell::default()
    }
}

fn measured_2b4t(row: &Row, group: &Group<'_>, grid: &mut Grid) -> Line {
    let speed = row
        .summary
        .figure(|round| &round.decode_tokens_per_second)
        .ok();
    let latency = speed.map_or_else(GridCell::default, |figure| GridCell {
        text: number(1000.0 / figure.median, 1),
        below: format!(
            "{} to {} in {}",
            number(1000.0 / figure.max, 1),
            number(1000.0 / figure.min, 1),
            count(figure.n, "round")
        ),
        ..GridCell::default()
    });
    let weights = row
        .summary
        .loaded
        .as_ref()
        .map(|loaded| loaded.linear_bytes);
    let weights = weights.map_or_else(GridCell::default, |bytes| GridCell {
        text: number(bytes as f64 * 1e-9, 3),
        below: "as packed".to_owned(),
        ..GridCell::default()
    });
    let id = "decode_net_joules_per_token";
    let energy = if row.summary.simulated {
        grid.missing(
            "simulated",
            "simulated energy stands beside no published figure",
        )
    } else {
        here(id, Some(row), true, grid)
    };
    Line {
        name: "2B4T".to_owned(),
        below: format!("measured here: {}, {}", of_row(row), sizes(group)),
        cells: vec![latency, weights, energy],
    }
}

/// The energy column of the 2B4T report, which is arithmetic.
pub(super) fn estimates() -> Grid {
    let mut grid = Grid {
        title: "Energy of the 2B4T report".to_owned(),
        head: vec![
            Head::new("model", ""),
            Head::new("weights", ""),
            Head::new("estimate for a pass of 512 tokens", "J"),
        ],
        ..Grid::default()
    };
    for figure in all().iter().filter(|f| f.kind == Kind::Estimated) {
        let name = if figure.model == "2B4T" {
            "BitNet b1.58 2B4T"
        } else {
            &figure.model
        };
        let kernel = GridCell {
            text: figure.kernel.clone(),
            ..GridCell::default()
        };
        let mut estimate = printed(figure, &mut grid);
        estimate.text = format!("~{}", estimate.text);
        grid.rows.push(Line {
            name: name.to_owned(),
            below: String::new(),
            cells: vec![kernel, estimate],
        });
    }
    grid
}
