//! The limits of a machine as `bitbench roofline` stores them, and the table made of them.
//!
//! As in a record, what is stored is what was read: bytes or operations, and nanoseconds. Rates are derived here.

use crate::record::Host;
use crate::report::count;
use crate::summary::Figure;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Number of the stored format.
pub const SCHEMA: u32 = 1;

/// The name of the file inside a results folder.
pub const FILE_NAME: &str = "roofline.json";

/// Width of the names in the table.
const NAME_WIDTH: usize = 18;
/// Width of a figure with its spread, the gap before it included.
const FIGURE_WIDTH: usize = 15;

/// The limits of one machine, all measured in one process, in turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Roofline {
    /// [`SCHEMA`] of the writer.
    pub schema: u32,
    /// Start, RFC 3339, UTC.
    pub started_at: String,
    /// Version of bitbench, with the git revision it was built from where that is known.
    pub bitbench: String,
    /// The machine.
    pub host: Host,
    /// Its caches, as far as the system tells.
    pub caches: Vec<Cache>,
    /// Seed of the order within the rounds.
    pub seed: u64,
    /// Rounds; each measures every limit once, in a random order.
    pub rounds: u32,
    /// The limits.
    pub limits: Vec<Limit>,
}

/// A cache that holds data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cache {
    /// Level, from 1.
    pub level: u32,
    /// Size in bytes.
    pub bytes: u64,
    /// Hardware threads that share it; absent where the system does not tell.
    pub shared_by: Option<u32>,
}

/// One limit with one number of threads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Limit {
    /// Name, such as `memory`, `L2` or `int8-avx2`.
    pub name: String,
    /// What it limits.
    pub kind: LimitKind,
    /// Threads.
    pub threads: u32,
    /// How it was measured: the instructions, the size of the set.
    pub about: String,
    /// One sample for each round; none where it could not be measured.
    pub samples: Vec<Sample>,
    /// Why it could not be measured.
    pub missing: Option<String>,
}

/// What a limit limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitKind {
    /// Bytes read per second.
    ReadBandwidth,
    /// Operations per second; a multiply-add is two.
    ComputePeak,
}

/// One reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Bytes or operations, all threads together.
    pub amount: u64,
    /// How long they took.
    pub duration_ns: u64,
}

/// Why a stored roofline could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RooflineError {
    /// The file could not be opened or read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// It is something else.
    #[error("{path}: not a bitbench roofline: {message}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        message: String,
    },
}

impl Limit {
    /// 10^9 bytes or operations per second, over the rounds.
    ///
    /// # Errors
    /// Why there is no figure.
    pub fn figure(&self) -> Result<Figure, String> {
        if let Some(reason) = &self.missing {
            return Err(reason.clone());
        }
        let rates: Vec<f64> = self
            .samples
            .iter()
            .filter(|sample| sample.duration_ns > 0)
            .map(|sample| sample.amount as f64 / sample.duration_ns as f64)
            .collect();
        Figure::of(&rates).ok_or_else(|| "not measured".to_owned())
    }
}

impl Roofline {
    /// Reads `roofline.json` from a results folder (or the file itself).
    ///
    /// # Errors
    /// See [`RooflineError`].
    pub fn read(path: &Path) -> Result<Roofline, RooflineError> {
        let path = if path.is_dir() {
            path.join(FILE_NAME)
        } else {
            path.to_owned()
        };
        let text = fs::read_to_string(&path).map_err(|source| RooflineError::Io {
            path: path.clone(),
            source,
        })?;
        let content = |message: String| RooflineError::Content {
            path: path.clone(),
            message,
        };
        let roofline: Roofline =
            serde_json::from_str(&text).map_err(|error| content(error.to_string()))?;
        if roofline.schema != SCHEMA {
            return Err(content(format!(
                "written in format {}; this bitbench reads format {SCHEMA}",
                roofline.schema
            )));
        }
        Ok(roofline)
    }

    /// The limit of this name with so many threads.
    pub fn limit(&self, name: &str, threads: u32) -> Option<&Limit> {
        let mut limits = self.limits.iter();
        limits.find(|limit| limit.name == name && limit.threads == threads)
    }

    /// The table, in lines of at most `width` characters (at least 48).
    pub fn render(&self, width: usize) -> String {
        let mut text = String::new();
        let cpu = self.host.cpu.as_deref().unwrap_or("CPU not known");
        let mut lines = vec![format!(
            "{cpu}, {}",
            count(self.host.physical_cores as usize, "physical core")
        )];
        for (kind, title) in [
            (
                LimitKind::ReadBandwidth,
                "Read bandwidth in GB/s (10^9 bytes per second), all threads together",
            ),
            (
                LimitKind::ComputePeak,
                "Multiply-adds in registers in GOP/s (10^9 operations per second, a multiply-add \
                 being two), all threads together",
            ),
        ] {
            lines.push(String::new());
            lines.push(title.to_owned());
            self.table(kind, width, &mut lines);
            self.legend(kind, &mut lines);
        }
        lines.push(String::new());
        lines.push(format!(
            "Medians of {} rounds, every limit once in each, in a random order (seed {}); ± is the \
             median absolute deviation times 1.4826, in percent of the median. A kernel that looks \
             up tables beside its multiply-adds can pass their peak.",
            self.rounds, self.seed
        ));
        for line in lines {
            if line.len() <= width || line.starts_with(' ') {
                text.push_str(line.trim_end());
                text.push('\n');
                continue;
            }
            for (number, part) in crate::render::wrap(&line, width.saturating_sub(2).max(10))
                .iter()
                .enumerate()
            {
                text.push_str(if number == 0 { "" } else { "  " });
                text.push_str(part);
                text.push('\n');
            }
        }
        text
    }

    /// Rows are limits, columns numbers of threads, as many beside each other as there is room for.
    fn table(&self, kind: LimitKind, width: usize, lines: &mut Vec<String>) {
        let of_kind: Vec<&Limit> = self.limits.iter().filter(|l| l.kind == kind).collect();
        let mut names: Vec<&str> = Vec::new();
        let mut threads: Vec<u32> = Vec::new();
        for limit in &of_kind {
            if !names.contains(&limit.name.as_str()) {
                names.push(&limit.name);
            }
            if !threads.contains(&limit.threads) {
                threads.push(limit.threads);
            }
        }
        let beside = (width.saturating_sub(NAME_WIDTH) / FIGURE_WIDTH).max(1);
        for threads in threads.chunks(beside) {
            let mut head = format!("  {:<1$}", "", NAME_WIDTH - 2);
            for threads in threads {
                head.push_str(&format!(
                    "{:>FIGURE_WIDTH$}",
                    count(*threads as usize, "thread")
                ));
            }
            lines.push(head);
            for name in &names {
                let measured = |l: &&Limit| l.name == *name && l.figure().is_ok();
                if !of_kind.iter().any(measured) {
                    continue;
                }
                let mut row = format!("  {name:<0$}", NAME_WIDTH - 2);
                for threads in threads {
                    let figure = self.limit(name, *threads).map(Limit::figure);
                    let shown = figure
                        .and_then(Result::ok)
                        .map_or_else(|| "-".to_owned(), |figure| with_spread(&figure));
                    row.push_str(&format!("{shown:>FIGURE_WIDTH$}"));
                }
                lines.push(row);
            }
        }
    }

    /// How each was measured, and why it was not.
    fn legend(&self, kind: LimitKind, lines: &mut Vec<String>) {
        let mut told: Vec<String> = Vec::new();
        let mut missing: Vec<(&str, Vec<String>)> = Vec::new();
        for limit in self.limits.iter().filter(|limit| limit.kind == kind) {
            let Some(reason) = &limit.missing else {
                let line = format!("{}: {}", limit.name, limit.about);
                if !told.contains(&line) {
                    told.push(line);
                }
                continue;
            };
            let mut of_name = self.limits.iter().filter(|l| l.name == limit.name);
            let name = if of_name.all(|l| l.missing == limit.missing) {
                limit.name.clone()
            } else {
                let threads = count(limit.threads as usize, "thread");
                format!("{} ({threads})", limit.name)
            };
            match missing.iter_mut().find(|(known, _)| known == reason) {
                Some((_, names)) if names.contains(&name) => {}
                Some((_, names)) => names.push(name),
                None => missing.push((reason, vec![name])),
            }
        }
        lines.append(&mut told);
        for (reason, names) in missing {
            lines.push(format!("not measured, {reason}: {}", names.join(", ")));
        }
    }
}

/// `21.43 ±0.4%`: four digits and the spread.
fn with_spread(figure: &Figure) -> String {
    let decimals = match figure.median {
        value if value < 10.0 => 2,
        value if value < 1000.0 => 1,
        _ => 0,
    };
    match figure.mad {
        Some(mad) if figure.median > 0.0 => format!(
            "{:.decimals$} ±{:.1}%",
            figure.median,
            mad / figure.median * 100.0
        ),
        _ => format!("{:.decimals$}", figure.median),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(name: &str, kind: LimitKind, threads: u32, rates: &[u64]) -> Limit {
        let sample = |rate: &u64| Sample {
            amount: rate * 1_000_000,
            duration_ns: 1_000_000,
        };
        Limit {
            name: name.to_owned(),
            kind,
            threads,
            about: format!("how {name} was measured"),
            samples: rates.iter().map(sample).collect(),
            missing: rates.is_empty().then(|| "no such thing here".to_owned()),
        }
    }

    fn roofline(thread_counts: &[u32]) -> Roofline {
        let mut limits = Vec::new();
        for &threads in thread_counts {
            let n = u64::from(threads);
            limits.extend([
                limit(
                    "memory",
                    LimitKind::ReadBandwidth,
                    threads,
                    &[20 * n, 22 * n, 24 * n],
                ),
                limit("L3", LimitKind::ReadBandwidth, threads, &[]),
                limit(
                    "bf16-avx512-bf16",
                    LimitKind::ComputePeak,
                    threads,
                    &[20_000 * n; 5],
                ),
            ]);
        }
        Roofline {
            schema: SCHEMA,
            started_at: "2026-01-02T03:04:05Z".to_owned(),
            bitbench: "0.1.0 (0123456)".to_owned(),
            host: Host {
                cpu: Some("Example CPU 3000".to_owned()),
                physical_cores: 2,
                ..Host::default()
            },
            caches: vec![Cache {
                level: 1,
                bytes: 32768,
                shared_by: None,
            }],
            seed: 1,
            rounds: 5,
            limits,
        }
    }

    #[test]
    fn figures_are_medians_over_rounds() {
        let roofline = roofline(&[1, 2]);
        let memory = roofline.limit("memory", 2).expect("it is there");
        assert_eq!(memory.figure().expect("measured").median, 44.0);
        let missing = roofline.limit("L3", 1).expect("it is there").figure();
        assert_eq!(missing.unwrap_err(), "no such thing here");
        assert!(roofline.limit("L2", 1).is_none());
    }

    #[test]
    fn what_is_stored_is_read_again_and_nothing_else() {
        let folder = tempfile::tempdir().expect("temp dir");
        let path = folder.path().join(FILE_NAME);
        let stored = roofline(&[1]);
        fs::write(&path, serde_json::to_string(&stored).expect("json")).expect("write");
        assert_eq!(Roofline::read(folder.path()).expect("read"), stored);
        fs::write(&path, "{}").expect("write");
        let error = Roofline::read(&path).unwrap_err().to_string();
        assert!(
            error.contains("roofline.json: not a bitbench roofline"),
            "{error}"
        );
        let newer = Roofline {
            schema: 9,
            ..stored
        };
        fs::write(&path, serde_json::to_string(&newer).expect("json")).expect("write");
        let error = Roofline::read(&path).unwrap_err().to_string();
        assert!(error.contains("format 9"), "{error}");
    }

    #[test]
    fn the_table_keeps_to_its_width_and_shows_every_number_of_threads() {
        for counts in [&[1][..], &[1, 2], &[1, 2, 4, 8, 16, 32, 64, 128, 192]] {
            for width in [60, 80, 120] {
                let text = roofline(counts).render(width);
                for line in text.lines() {
                    assert!(line.chars().count() <= width, "{width}: {line}");
                }
                for threads in counts {
                    let head = count(*threads as usize, "thread");
                    assert!(text.matches(&head).count() >= 2, "{head}:\n{text}");
                }
                assert!(
                    text.contains("not measured, no such thing here: L3"),
                    "{text}"
                );
                assert!(text.contains("22.0 ±13.5%"), "{text}");
            }
        }
    }
}
