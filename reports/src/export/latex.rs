//! Tables for papers, in the layout that the BitNet papers use: a row for each model, a column for each kernel.

use super::Format;
use crate::columns::{Better, Cell, Column, Row, Section};
use crate::disturbance::DISTURBED;
use crate::render::{Layout, Setting, Threads, decimals, energy_lines, layouts, number, plain};
use crate::report::{Report, count};

pub(super) static FORMAT: Format = Format {
    name: "latex",
    file: "results.tex",
    about: "speed and energy tables for papers (\\input it; needs the package booktabs)",
    always: false,
    make: |_, report| Ok(make(report).into_bytes()),
};

/// What a table shows: a figure, and in brackets how it stands against the baseline.
struct Shown {
    /// Column of the figure.
    figure: &'static str,
    /// Column of what stands in brackets.
    against: &'static str,
    /// What comes behind the number in brackets.
    unit: &'static str,
    /// Part of the label.
    label: &'static str,
    /// Begin of the caption.
    caption: &'static str,
}

const TABLES: [Shown; 5] = [
    Shown {
        figure: "prefill_tokens_per_second",
        against: "prefill_speedup",
        unit: "$\\times$",
        label: "prefill",
        caption: "Prefill speed in tokens/s, in brackets over the fastest half-precision kernel",
    },
    Shown {
        figure: "decode_tokens_per_second",
        against: "decode_speedup",
        unit: "$\\times$",
        label: "decode",
        caption: "Decode speed in tokens/s, in brackets over the fastest half-precision kernel",
    },
    Shown {
        figure: "decode_joules_per_token",
        against: "energy_saved_percent",
        unit: "\\,\\%",
        label: "energy",
        caption: "Decode energy in J/token, in brackets what is saved of the half-precision kernel's",
    },
    Shown {
        figure: "prefill_joules_per_token",
        against: "prefill_energy_saved_percent",
        unit: "\\,\\%",
        label: "prefill-energy",
        caption: "Prefill energy in J/token, in brackets what is saved of the half-precision kernel's",
    },
    Shown {
        figure: "multiply_us",
        against: "multiply_speedup",
        unit: "$\\times$",
        label: "layer",
        caption: "Time of a multiplication by one layer (rows by columns) in microseconds, in brackets the speed over the fastest \
                  half-precision kernel",
    },
];

/// Makes a table as narrow as the line, where the package for it is loaded.
const FIT: &str = "\\ifdefined\\resizebox\n  \
     \\def\\bitbenchfit#1{\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{#1}}\n\\else\n  \
     \\def\\bitbenchfit#1{#1}\n\\fi\n";

fn make(report: &Report) -> String {
    let run = &report.run;
    let mut tex = format!(
        "% bitbench {}, suite {}, started {}\n% needs \\usepackage{{booktabs}}; with \\usepackage{{graphicx}}, a table that is wider \
         than the line is made to fit\n{FIT}",
        comment(&run.bitbench),
        comment(&run.suite.name),
        comment(&run.started_at)
    );
    for layout in layouts(report, Threads::Lines) {
        for shown in &TABLES {
            if let Some(table) = table(report, &layout, shown) {
                tex.push('\n');
                tex.push_str(&table);
            }
        }
    }
    tex
}

/// One table; nothing where no row has the figure.
fn table(report: &Report, layout: &Layout<'_>, shown: &Shown) -> Option<String> {
    let figure = Column::find(shown.figure)?;
    let against = Column::find(shown.against)?;
    let has_figure = |row: &&Row| matches!((figure.cell)(row), Cell::Number { .. });
    layout.rows().find(has_figure)?;
    let mut marks = Marks::default();
    let mut body = String::new();
    for line in &layout.lines {
        let cells = line.cells.iter().map(|rows| rows.first().copied());
        let cells: Vec<Option<&Row>> = cells.collect();
        let best = best(figure, &cells);
        let cells: Vec<String> = cells
            .iter()
            .map(|row| cell(*row, figure, against, shown, best, &mut marks))
            .collect();
        body.push_str(&format!(
            "    {} & {} & {} \\\\\n",
            escaped(&line.model.name),
            line.threads.unwrap_or_default(),
            cells.join(" & ")
        ));
    }
    let heads = layout.columns.iter().map(|column| {
        let mut head = escaped(&column.kernel);
        if layout.several_engines() {
            head.push_str(&format!(" ({})", escaped(&column.engine)));
        }
        head
    });
    let heads: Vec<String> = heads.collect();
    let setting = &layout.setting;
    let first = if setting.layer { "layer" } else { "model" };
    let below = below(report, figure, &marks);
    Some(format!(
        "\\begin{{table}}\n  \\centering\n  \\caption{{{}}}\n  \\label{{tab:bitbench-{}-{}-{}-{}}}\n  \
         \\bitbenchfit{{\\begin{{tabular}}{{lr{}}}\n    \\toprule\n    {first} & threads & {} \\\\\n    \\midrule\n{body}    \
         \\bottomrule\n  \\end{{tabular}}}}\n  \\par\\smallskip\n  \\parbox{{\\linewidth}}{{\\footnotesize {below}}}\n\\end{{table}}\n",
        caption(report, setting, shown),
        shown.label,
        setting.prefill_tokens,
        setting.decode_tokens,
        setting.batch,
        "r".repeat(heads.len()),
        heads.join(" & "),
    ))
}

fn caption(report: &Report, setting: &Setting, shown: &Shown) -> String {
    let mut caption = if setting.layer {
        let tokens = count(setting.batch as usize, "token");
        format!("{}: {tokens} at a time", shown.caption)
    } else {
        format!(
            "{}: prompt of {}, {} generated",
            shown.caption,
            count(setting.prefill_tokens as usize, "token"),
            setting.decode_tokens
        )
    };
    if setting.batch != 1 && !setting.layer {
        caption.push_str(&format!(", {} sequences together", setting.batch));
    }
    let cpu = report.run.host.cpu.as_deref();
    caption.push_str(&format!(
        "; {}, medians of up to {}, the best of a line in bold.",
        escaped(cpu.unwrap_or("CPU not known")),
        count(report.rounds() as usize, "round")
    ));
    caption
}

/// Signs behind figures that a line below the table must explain.
#[derive(Default)]
struct Marks {
    disturbed: bool,
    simulated: bool,
    ternarized: bool,
    /// Whether a cell is empty.
    unplanned: bool,
    /// Why there is no figure, with the rows that it is so for.
    missing: Vec<(String, Vec<String>)>,
    /// The largest spread of a figure, as a share of it.
    spread: Option<f64>,
}

impl Marks {
    fn missing(&mut self, reason: String, row: &Row) {
        let job = &row.summary.job;
        let name = format!(
            "{}, {}, {}",
            escaped(&job.model.name),
            escaped(&job.kernel_and_head()),
            count(job.threads as usize, "thread")
        );
        match self.missing.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, names)) => names.push(name),
            None => self.missing.push((reason, vec![name])),
        }
    }
}

/// The best number of a line, simulated ones left out; nothing where there is no contest.
fn best(figure: &Column, cells: &[Option<&Row>]) -> Option<f64> {
    let numbers = cells
        .iter()
        .flatten()
        .filter_map(|row| match (figure.cell)(row) {
            Cell::Number { value, mark, .. } if mark != Some("simulated") => Some(value),
            _ => None,
        });
    let numbers: Vec<f64> = numbers.collect();
    if numbers.len() < 2 {
        return None;
    }
    numbers.into_iter().reduce(match figure.better {
        Better::Lower => f64::min,
        _ => f64::max,
    })
}

fn cell(
    row: Option<&Row>,
    figure: &Column,
    against: &Column,
    shown: &Shown,
    best: Option<f64>,
    marks: &mut Marks,
) -> String {
    let Some(row) = row else {
        marks.unplanned = true;
        return String::new();
    };
    let (value, spread, mark) = match (figure.cell)(row) {
        Cell::Number {
            value,
            spread,
            mark,
        } => (value, spread, mark),
        Cell::Missing(reason) => {
            marks.missing(reason, row);
            return "--".to_owned();
        }
        Cell::Text { .. } => return "--".to_owned(),
    };
    if let Some(mad) = spread.and_then(|spread| spread.mad).filter(|_| value > 0.0) {
        marks.spread = Some(marks.spread.unwrap_or(0.0).max(mad / value));
    }
    let mut text = number(value, decimals(figure.kind));
    if best == Some(value) {
        text = format!("\\textbf{{{text}}}");
    }
    let mut signs = String::new();
    if mark == Some(DISTURBED) {
        marks.disturbed = true;
        signs.push('!');
    }
    if mark == Some("simulated") {
        marks.simulated = true;
        signs.push('s');
    }
    if row.summary.job.model.ternarized {
        marks.ternarized = true;
        signs.push('t');
    }
    if !signs.is_empty() {
        text.push_str(&format!("$^{{\\mathrm{{{signs}}}}}$"));
    }
    if let Cell::Number {
        value, mark: None, ..
    } = (against.cell)(row)
    {
        let ratio = number(value, decimals(against.kind)).replace('-', "$-$");
        text.push_str(&format!(" ({ratio}{})", shown.unit));
    }
    text
}

/// What must be known of the table, as sentences.
fn below(report: &Report, figure: &Column, marks: &Marks) -> String {
    let mut below = vec![
        "Ratios are Hodges-Lehmann estimates from equal rounds.".to_owned(),
        match marks.spread {
            Some(spread) => format!(
                "The median absolute deviation over rounds (times 1.4826) is at most {:.1}\\,\\% of a median.",
                spread * 100.0
            ),
            None => "No figure has a spread.".to_owned(),
        },
    ];
    if figure.section == Section::Energy {
        // What is missing is told below, of this table alone.
        let lines = energy_lines(report).into_iter();
        let lines = lines.filter_map(|line| Some(escaped(line.strip_prefix("energy: ")?)));
        below.push(format!("Energy: {}.", lines.collect::<Vec<_>>().join("; ")));
    }
    if report.run.suite.quick {
        below.push(
            "A quick run with shortened windows: a first look, not a result to quote.".to_owned(),
        );
    }
    if marks.simulated || report.simulated() {
        below.push("s: SIMULATED counters, a test and never a result.".to_owned());
    }
    if marks.disturbed {
        below.push("!: something else ran on the machine meanwhile.".to_owned());
    }
    if marks.ternarized {
        below.push("t: ternarized, speed only, quality destroyed.".to_owned());
    }
    if marks.unplanned {
        below.push("An empty cell is a job that was not planned.".to_owned());
    }
    for (reason, names) in &marks.missing {
        let names = names.join("; ");
        below.push(format!("--: no figure for {names}: {}.", escaped(reason)));
    }
    for control in report.controls.iter().filter(|control| control.flagged()) {
        below.push(format!("{}.", escaped(&control.line())));
    }
    below.push(format!(
        "Measured with bitbench {}.",
        escaped(&report.run.bitbench)
    ));
    below.join(" ")
}

/// Text for a comment, which ends with its line.
fn comment(text: &str) -> String {
    plain(text)
}

/// Text without meaning to LaTeX.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in plain(text).chars() {
        match c {
            '\\' => escaped.push_str("\\textbackslash{}"),
            '^' => escaped.push_str("\\textasciicircum{}"),
            '~' => escaped.push_str("\\textasciitilde{}"),
            '<' => escaped.push_str("\\textless{}"),
            '>' => escaped.push_str("\\textgreater{}"),
            '|' => escaped.push_str("\\textbar{}"),
            '"' => escaped.push_str("\\textquotedbl{}"),
            '`' => escaped.push_str("\\textasciigrave{}"),
            '\'' => escaped.push_str("\\textquotesingle{}"),
            '{' | '}' | '$' | '&' | '#' | '%' | '_' => {
                escaped.push('\\');
                escaped.push(c);
            }
            // Behind `\\` these would be its arguments, and two dashes would be one.
            '-' if !escaped.ends_with('-') => escaped.push('-'),
            '[' | ']' | '*' | '-' => {
                escaped.push('{');
                escaped.push(c);
                escaped.push('}');
            }
            c => escaped.push(c),
        }
    }
    escaped
}
