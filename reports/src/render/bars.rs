//! Ratios of a group as bars from zero, so that their lengths are in the proportion of the speeds.

use super::text::{number, plain};
use crate::compare::Against;
use crate::report::Group;

/// Longest bar, in characters: on a wide terminal more would only be further from its number.
const LONGEST: usize = 48;
/// Shortest bar that is worth its line.
const SHORTEST: usize = 8;
/// Longest name of a kernel.
const LONGEST_NAME: usize = 26;

/// Most bars of a block: a table of more rows is not read at a glance anyway.
const MOST: usize = 24;

/// A line of the block: what is measured, its length over the longest, and the figure behind it.
struct Bar {
    name: String,
    ratio: f64,
    figure: String,
}

/// The lines of a group within `width`: a heading, and a bar for each row that has a ratio. Nothing where no row is held against
/// another, or too many are.
pub(super) fn bars(group: &Group<'_>, width: usize) -> Vec<String> {
    let mut compared = false;
    let mut list = Vec::new();
    for row in group.rows.iter().filter(|row| row.summary.measured()) {
        let (ratio, figure) = match row.speedup() {
            Against::Missing(_) => continue,
            Against::IsBaseline => (1.0, "baseline".to_owned()),
            Against::Baseline { figure, .. } => {
                compared = true;
                let value = number(figure.estimate, 2);
                (figure.estimate, format!("{value} ({})", figure.within(2)))
            }
        };
        let job = &row.summary.job;
        let mut name: String = plain(&job.kernel_and_head());
        if name.chars().count() > LONGEST_NAME {
            name = name.chars().take(LONGEST_NAME - 1).collect();
            name.push('…');
        }
        list.push(Bar {
            name: format!("{name} x{}", job.threads),
            ratio,
            figure,
        });
    }
    if !compared || list.len() > MOST {
        return Vec::new();
    }
    let longest = |of: fn(&Bar) -> &str| {
        let lengths = list.iter().map(|bar| of(bar).chars().count());
        lengths.max().unwrap_or(0)
    };
    let (names, figures) = (longest(|b| &b.name), longest(|b| &b.figure));
    // Two spaces before the name, and two more between the parts.
    let room = width.saturating_sub(2 + names + 1 + 1 + figures);
    if room < SHORTEST {
        return Vec::new();
    }
    let room = room.min(LONGEST);
    let largest = list.iter().map(|bar| bar.ratio).fold(1.0, f64::max);
    let heading = match group.layer {
        true => "multiplications a second, baseline 1.00 (kernel x threads):",
        false => "decode speed-up, baseline 1.00 (kernel x threads):",
    };
    let mut lines = vec![heading.to_owned()];
    for bar in &list {
        let drawn = draw(bar.ratio / largest, room);
        lines.push(format!("  {:<names$} {drawn} {}", bar.name, bar.figure));
    }
    lines
}

/// A share of `room` characters in eighths of one, never nothing.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a line"
)]
fn draw(share: f64, room: usize) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (share.clamp(0.0, 1.0) * room as f64 * 8.0).round().max(1.0) as usize;
    format!("{}{}", "█".repeat(eighths / 8), PARTS[eighths % 8])
}

#[cfg(test)]
mod tests {
    use super::draw;

    #[test]
    fn a_bar_is_as_long_as_its_share() {
        assert_eq!(draw(1.0, 4), "████");
        assert_eq!(draw(0.5, 4), "██");
        assert_eq!(draw(0.28, 4), "█▏");
        assert_eq!(draw(0.0, 4), "▏");
        assert_eq!(draw(f64::NAN, 4), "▏");
        assert_eq!(draw(7.0, 2), "██");
    }
}
