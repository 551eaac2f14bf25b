//! A history as lines of JSON: a line that says what it is, one for each run, one for each session of a build against itself.

use super::{AddedRun, ControlRow, FORMAT, History, HistoryError, StoredRun, put_control, put_run};
use serde::{Deserialize, Serialize};
use std::io::{BufRead, Read, Write};
use std::path::Path;

/// Longest line that is read: far above a run of thousands of jobs.
const LONGEST_LINE: u64 = 16 << 20;
/// Longest text in it.
const LONGEST_TEXT: usize = 4096;

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
enum Entry {
    History { format: i64 },
    Run(StoredRun),
    Control(OfHost),
}

/// A session of a build against itself, and where it was.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfHost {
    host_key: String,
    control: ControlRow,
}

/// What an import brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Imported {
    /// Runs that were new or had more lines than before.
    pub runs: usize,
    /// Sessions of a build against itself that were new.
    pub controls: usize,
    /// Runs and sessions that were there already.
    pub known: usize,
}

impl History {
    /// Writes everything as lines of JSON; [`History::import`] gives back the same history.
    ///
    /// # Errors
    /// See [`HistoryError`]. `to` is the name of what is written to.
    pub fn export(&self, mut out: impl Write, to: &Path) -> Result<(), HistoryError> {
        let mut line = |entry: &Entry| {
            serde_json::to_writer(&mut out, entry)
                .map_err(std::io::Error::from)
                .and_then(|()| out.write_all(b"\n"))
                .map_err(|source| HistoryError::Io {
                    path: to.to_owned(),
                    source,
                })
        };
        line(&Entry::History { format: FORMAT })?;
        for run in self.runs()? {
            line(&Entry::Run(run))?;
        }
        for (host_key, control) in self.controls()? {
            line(&Entry::Control(OfHost { host_key, control }))?;
        }
        Ok(())
    }

    /// Adds what is in such lines and not here yet, all of it or, where a line is wrong, nothing.
    ///
    /// # Errors
    /// See [`HistoryError`]. `from` is the name of what is read.
    pub fn import(
        &mut self,
        mut lines: impl BufRead,
        from: &Path,
    ) -> Result<Imported, HistoryError> {
        let path = self.path.clone();
        let sqlite = |source| HistoryError::of(&path, source);
        let transaction = self.write()?;
        let mut imported = Imported::default();
        let mut text = Vec::new();
        for number in 1_u64.. {
            text.clear();
            let length = lines
                .by_ref()
                .take(LONGEST_LINE)
                .read_until(b'\n', &mut text)
                .map_err(|source| HistoryError::Io {
                    path: from.to_owned(),
                    source,
                })?;
            let wrong = |message: String| HistoryError::Line {
                line: number,
                message,
            };
            if length == 0 && number > 1 {
                break;
            }
            if length as u64 == LONGEST_LINE {
                return Err(wrong(format!("it is longer than {LONGEST_LINE} bytes")));
            }
            if text.iter().all(u8::is_ascii_whitespace) && number > 1 {
                continue;
            }
            let entry = serde_json::from_slice(&text);
            match (number, entry) {
                (1, Ok(Entry::History { format })) if (1..=FORMAT).contains(&format) => {}
                (1, Ok(Entry::History { format })) => {
                    return Err(wrong(format!(
                        "it is of history format {format}, and this bitbench knows formats up to {FORMAT}"
                    )));
                }
                (1, _) => {
                    return Err(wrong(
                        "it does not say that this is a history: {\"entry\":\"history\",\"format\":1}".to_owned(),
                    ));
                }
                (_, Err(error)) => return Err(wrong(error.to_string())),
                (_, Ok(Entry::History { .. })) => {
                    return Err(wrong("a history begins a second time".to_owned()));
                }
                (_, Ok(Entry::Run(run))) => {
                    check_run(&run).map_err(wrong)?;
                    let added = put_run(&transaction, &run).map_err(|source| match source {
                        rusqlite::Error::SqliteFailure(e, _)
                            if e.code == rusqlite::ErrorCode::ConstraintViolation =>
                        {
                            wrong("two rows of it have the same job and figure".to_owned())
                        }
                        source => sqlite(source),
                    })?;
                    match added.run {
                        AddedRun::Same => imported.known += 1,
                        AddedRun::New | AddedRun::Grown => imported.runs += 1,
                    }
                }
                (_, Ok(Entry::Control(OfHost { host_key, control }))) => {
                    check_control(&host_key, &control).map_err(wrong)?;
                    let new = put_control(&transaction, &host_key, &control).map_err(sqlite)?;
                    imported.controls += new;
                    imported.known += 1 - new;
                }
            }
        }
        transaction.commit().map_err(sqlite)?;
        Ok(imported)
    }
}

/// # Errors
/// What no run can be.
fn check_run(run: &StoredRun) -> Result<(), String> {
    check_key("key", &run.key)?;
    check_key("host_key", &run.host_key)?;
    check_time(&run.at)?;
    let commit = run.commit.as_deref().unwrap_or("none");
    for text in [
        commit,
        &run.bitbench,
        &run.host,
        &run.suite,
        &run.suite_hash,
    ] {
        check_text(text)?;
    }
    for row in &run.rows {
        let basis = row.basis.as_deref().unwrap_or("none");
        for text in [
            &row.job,
            &row.model,
            &row.kernel,
            &row.figure,
            &row.unit,
            basis,
        ] {
            check_text(text)?;
        }
        let ordered = row.low <= row.median && row.median <= row.high;
        if !ordered || !row.low.is_finite() || !row.high.is_finite() || row.rounds == 0 {
            return Err(format!(
                "the {} of {} is no median of rounds between a lowest and a highest one",
                row.figure, row.job
            ));
        }
    }
    Ok(())
}

fn check_control(host_key: &str, control: &ControlRow) -> Result<(), String> {
    check_key("host_key", host_key)?;
    check_time(&control.at)?;
    for text in [&control.suite, &control.job, &control.figure] {
        check_text(text)?;
    }
    if control.ratio.is_finite() && control.ratio > 0.0 {
        Ok(())
    } else {
        Err("a ratio is a number above zero".to_owned())
    }
}

fn check_key(name: &str, key: &str) -> Result<(), String> {
    let hash = key.strip_prefix("blake3:").unwrap_or_default();
    if hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit()) {
        Ok(())
    } else {
        Err(format!(
            "`{name}` is no hash: `blake3:` and 64 hexadecimal digits"
        ))
    }
}

/// A time in UTC, so that the order of texts is that of times.
fn check_time(at: &str) -> Result<(), String> {
    let pattern = b"0000-00-00T00:00:00";
    let fits = at.len() <= 40
        && at.len() > pattern.len()
        && at.ends_with('Z')
        && at.bytes().zip(pattern).all(|(byte, like)| match like {
            b'0' => byte.is_ascii_digit(),
            other => byte == *other,
        });
    if fits {
        Ok(())
    } else {
        Err("`at` is no time in UTC, such as 2026-01-02T03:04:05Z".to_owned())
    }
}

fn check_text(text: &str) -> Result<(), String> {
    if text.is_empty() || text.len() > LONGEST_TEXT {
        return Err(format!(
            "a text is empty or longer than {LONGEST_TEXT} bytes"
        ));
    }
    Ok(())
}
