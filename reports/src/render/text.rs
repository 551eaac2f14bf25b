//! Numbers and names as text.

use crate::columns::{Cell, Kind, Spread};

/// What stands where there is no figure.
pub(super) const MISSING: &str = "-";

/// A cell as people read it: its text, its spread and its mark.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Shown {
    pub(super) text: String,
    pub(super) spread: Option<String>,
    pub(super) mark: Option<&'static str>,
}

impl Shown {
    pub(super) fn of(cell: &Cell, kind: Kind) -> Shown {
        match cell {
            Cell::Text { text, mark } => Shown {
                text: plain(text),
                spread: None,
                mark: *mark,
            },
            Cell::Number {
                value,
                spread,
                mark,
            } => Shown {
                text: number(*value, decimals(kind)),
                spread: match kind {
                    Kind::Measured {
                        spread_shown: true, ..
                    } => spread.and_then(|spread| relative(*value, spread)),
                    Kind::Ratio { decimals } => spread.and_then(|spread| range(spread, decimals)),
                    _ => None,
                },
                mark: *mark,
            },
            Cell::Missing(_) => Shown {
                text: MISSING.to_owned(),
                ..Shown::default()
            },
        }
    }

    /// The parts in one line: `41.23 ±0.4% (simulated)`.
    pub(super) fn line(&self) -> String {
        let mut line = self.text.clone();
        if let Some(spread) = &self.spread {
            line.push_str(&format!(" {spread}"));
        }
        if let Some(mark) = self.mark {
            line.push_str(&format!(" ({mark})"));
        }
        line
    }
}

pub(crate) fn decimals(kind: Kind) -> usize {
    match kind {
        Kind::Text => 0,
        Kind::Fact { decimals } | Kind::Measured { decimals, .. } | Kind::Ratio { decimals } => {
            decimals
        }
    }
}

/// A number with at most that many decimals, and no more than four significant digits where it has decimals.
pub fn number(value: f64, decimals: usize) -> String {
    let whole_digits = if value.abs() >= 1.0 {
        format!("{:.0}", value.abs().floor()).len()
    } else {
        0
    };
    let decimals = decimals.min(4_usize.saturating_sub(whole_digits));
    format!("{value:.decimals$}")
}

/// The spread as a share of the median, such as `±0.4%`; nothing for a single round.
fn relative(median: f64, spread: Spread) -> Option<String> {
    let mad = spread.mad?;
    if median == 0.0 {
        return None;
    }
    let percent = mad / median.abs() * 100.0;
    let decimals = usize::from(percent < 9.95);
    Some(format!("±{percent:.decimals$}%"))
}

/// The interval of a ratio, such as `(3.99 to 4.17)`, or the range of its rounds; nothing for a single round.
fn range(spread: Spread, decimals: usize) -> Option<String> {
    let (low, high) = match spread.interval {
        Some(interval) => (interval.low, interval.high),
        None if spread.n == 1 => return None,
        None => (spread.min, spread.max),
    };
    Some(format!(
        "({} to {})",
        number(low, decimals),
        number(high, decimals)
    ))
}

/// The text in one line without control characters, so that a name from a file cannot steer a terminal or hide itself.
pub(crate) fn plain(text: &str) -> String {
    let cleaned: String = text
        .chars()
        .map(|c| match c {
            '\n' | '\r' | '\t' => ' ',
            // Marks that reorder or hide the text around them, and line separators.
            '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}' => '?',
            c if c.is_control() => '?',
            c => c,
        })
        .collect();
    cleaned.trim().to_owned()
}

/// Breaks a text at spaces into lines of at most `width` characters; a longer word has a line of its own.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// A command line that can be pasted into a shell.
pub(crate) fn command_line(arguments: &[String]) -> String {
    let quoted: Vec<String> = arguments.iter().map(|a| quoted(&plain(a))).collect();
    quoted.join(" ")
}

fn quoted(argument: &str) -> String {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !argument.is_empty() && argument.chars().all(harmless) {
        return argument.to_owned();
    }
    format!("'{}'", argument.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_four_digits() {
        for (value, decimals, expected) in [
            (0.123_456, 4, "0.1235"),
            (1.0, 2, "1.00"),
            (41.234, 2, "41.23"),
            (412.34, 2, "412.3"),
            (4_123.4, 2, "4123"),
            (123_456.7, 1, "123457"),
            (-12.34, 1, "-12.3"),
            (0.0, 2, "0.00"),
        ] {
            assert_eq!(number(value, decimals), expected, "{value} {decimals}");
        }
    }

    #[test]
    fn a_single_round_has_no_spread() {
        let spread = Spread {
            mad: None,
            min: 1.0,
            max: 1.0,
            n: 1,
            interval: None,
            of_medians: None,
        };
        assert_eq!(relative(1.0, spread), None);
        assert_eq!(range(spread, 2), None);
        let spread = Spread {
            max: 1.126,
            n: 2,
            ..spread
        };
        assert_eq!(range(spread, 2).as_deref(), Some("(1.00 to 1.13)"));
        let interval = Some(crate::stats::Interval {
            low: 1.05,
            high: 123.4,
            level: 0.95,
        });
        let spread = Spread { interval, ..spread };
        assert_eq!(range(spread, 1).as_deref(), Some("(1.1 to 123.4)"));
    }

    #[test]
    fn control_characters_do_not_pass() {
        assert_eq!(plain("a\u{1b}[31mb\u{7}\r\nc\u{202e}d"), "a?[31mb?  c?d");
    }

    #[test]
    fn long_texts_are_broken_at_spaces() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("a-very-long-word b", 4), ["a-very-long-word", "b"]);
        assert!(wrap("", 10).is_empty());
    }

    #[test]
    fn commands_are_quoted_for_a_shell() {
        let command = ["bitbench", "run", "--model", "my model's.gguf", ""];
        let command: Vec<String> = command.iter().map(ToString::to_string).collect();
        assert_eq!(
            command_line(&command),
            r"bitbench run --model 'my model'\''s.gguf' ''"
        );
    }
}
