//! Every kernel measured here, and every one that arXiv 2502.11880 measured.

use super::{APPLE, Compared, INTEL, here, printed, sizes, speed_of};
use crate::published::{Published, all};
use crate::render::page::grid::{Grid, Head, Line};
use crate::render::text::plain;
use crate::report::{Group, Report, count};

const BY_KERNEL: &str = "arXiv 2502.11880";

/// Every kernel here, and every kernel that arXiv 2502.11880 measured, for the models of this run.
pub(super) fn by_kernel(report: &Report) -> Option<Compared> {
    let published = |model: &str| {
        let mut figures = all().iter();
        figures.any(|f| f.source == BY_KERNEL && f.model == model)
    };
    let groups = report.groups().into_iter();
    let groups: Vec<Group<'_>> = groups
        .filter(|g| {
            g.batch == 1 && published(g.model) && g.rows.iter().any(|row| speed_of(row) > 0.0)
        })
        .collect();
    let first = groups.first()?;
    let mut grid = Grid {
        title: "Decode by kernel, tok/s: best number of threads".to_owned(),
        head: vec![Head::new("kernel", "")],
        ..Grid::default()
    };
    for group in &groups {
        grid.head.push(Head::new(plain(group.model), sizes(group)));
    }
    let mut kernels: Vec<String> = Vec::new();
    for row in groups.iter().flat_map(|group| &group.rows) {
        let kernel = row.summary.job.kernel_and_head();
        if !kernels.contains(&kernel) {
            kernels.push(kernel);
        }
    }
    for kernel in kernels {
        let mut cells = Vec::new();
        for group in &groups {
            let rows = group.rows.iter().copied();
            let rows = rows.filter(|row| row.summary.job.kernel_and_head() == kernel);
            let best = rows.reduce(|a, b| if speed_of(b) > speed_of(a) { b } else { a });
            let mut cell = here("decode_tokens_per_second", best, false, &mut grid);
            if let (Some(row), false) = (best, cell.missing) {
                cell.below = count(row.summary.job.threads as usize, "thread");
            }
            cells.push(cell);
        }
        grid.rows.push(Line {
            name: plain(&kernel),
            below: "measured here".to_owned(),
            cells,
        });
    }
    for hardware in [INTEL, APPLE] {
        let of = |f: &&Published| f.source == BY_KERNEL && f.hardware == hardware;
        let of_first = all().iter().filter(of).filter(|f| f.model == first.model);
        for kernel in of_first.map(|f| &f.kernel) {
            let cells = groups.iter().map(|group| {
                let mut figures = all().iter().filter(of);
                figures.find(|f| f.model == group.model && f.kernel == *kernel)
            });
            let cells: Vec<Option<&Published>> = cells.collect();
            let cells = cells.into_iter().map(|figure| match figure {
                Some(figure) => printed(figure, &mut grid),
                None => grid.missing("N/A", "not in the paper"),
            });
            let cells = cells.collect();
            grid.rows.push(Line {
                name: kernel.clone(),
                below: format!("published: {hardware}"),
                cells,
            });
        }
    }
    Some(Compared {
        grid,
        source: format!("{BY_KERNEL}, Table 7; means of ten tests, digits as printed"),
        differs: "Threads: here the fastest of those measured; there the fastest of those that its authors tried, which they do \
                  not name."
            .to_owned(),
        folded: true,
    })
}
