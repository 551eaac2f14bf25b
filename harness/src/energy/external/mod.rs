//! External meters: at the wall or on a supply rail, read by another program. What it writes is followed (`meter-file`) or
//! what it prints (`meter-command`). The only sources that can be ground truth, and only when named.

mod command;
mod file;
mod integral;

use super::reading::{ReadFault, printable};
use super::sysfs::SysFs;
use super::tick::Tick;
use super::unavailable::Unavailable;
use super::{Domain, Reads, SourceInfo, SourceKind};
use bitbench_reports::record::{DomainInfo, DomainKind, Provenance};
use integral::Reading;
use std::time::Duration;

pub(super) static FILE: SourceKind = SourceKind {
    name: "meter-file",
    about: "a CSV file that a meter goes on writing, with columns t_unix (seconds) and watts or joules",
    auto: false,
    argument: Some("FILE"),
    open: file::open,
};

pub(super) static COMMAND: SourceKind = SourceKind {
    name: "meter-command",
    about: "a command that prints 'watts 12.3' or 'joules 456.7', once or line after line",
    auto: false,
    argument: Some("COMMAND"),
    open: command::open,
};

/// Longest time between two readings of a meter that is bridged, and after which a silent meter has no figure.
const LONGEST_GAP: Duration = Duration::from_secs(5);
/// A hundred of these are a minute, the least for a power that is sampled (MLPerf Power has the same minimum).
const UPDATE_PERIOD: Duration = Duration::from_millis(600);
/// What a socket gives, on two phases.
const MAX_WATTS: u32 = 10_000;
/// Longest line that is read of a meter.
const LINE_BYTES: usize = 4096;

/// The source of one meter.
fn info(sys: &SysFs, name: &'static str, origin: String) -> SourceInfo {
    let simulated = sys.is_overridden();
    let mut caveats = vec![
        "external meter: everything that hangs on it is in the figures; its readings are taken as they come".to_owned(),
    ];
    if simulated {
        caveats.insert(
            0,
            "SIMULATED (--sysfs-root): the figures cannot be published".to_owned(),
        );
    }
    SourceInfo {
        name,
        provenance: match simulated {
            true => Provenance::Simulated,
            false => Provenance::MeasuredExternal,
        },
        domains: vec![Domain {
            info: DomainInfo {
                name: "meter".to_owned(),
                kind: DomainKind::Wall,
                counted: true,
                range_uj: None,
                joules_per_tick: None,
                origin,
            },
            reads: Reads::Counter(Tick::MICROJOULE),
            range: None,
            update_period: UPDATE_PERIOD,
            max_watts: MAX_WATTS,
            min_window: UPDATE_PERIOD * 100,
        }],
        caveats,
    }
}

/// The beginning of a text, safe to print.
fn beginning(text: &str) -> String {
    let bytes = text.as_bytes();
    printable(bytes.get(..60).unwrap_or(bytes))
}

fn not_understood(line: &str) -> ReadFault {
    ReadFault::NotUnderstood {
        text: beginning(line),
    }
}

fn needs_argument(kind: &SourceKind) -> Unavailable {
    Unavailable::NeedsArgument {
        usage: kind.usage(),
    }
}

/// A decimal number in millionths, exact: `12.5` is 12 500 000.
fn millionths(text: &str) -> Result<u64, ReadFault> {
    let not = || ReadFault::NotANumber {
        text: beginning(text),
    };
    let text = text.trim();
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(part) {
        return Err(not());
    }
    let digits = part.get(..6).unwrap_or(part);
    let part: u64 = format!("{digits:0<6}").parse().map_err(|_| not())?;
    let whole: u64 = whole.parse().map_err(|_| not())?;
    let whole = whole.checked_mul(1_000_000);
    whole.and_then(|w| w.checked_add(part)).ok_or_else(not)
}

/// One quantity by the name of its key.
fn reading(key: &str, value: &str) -> Option<Result<Reading, ReadFault>> {
    match key.trim() {
        "watts" => Some(millionths(value).map(Reading::Microwatts)),
        "joules" => Some(millionths(value).map(Reading::Microjoules)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact_or_refused() {
        let cases = [
            ("12.5", Some(12_500_000)),
            (" 0.0000019 ", Some(1)),
            ("7", Some(7_000_000)),
            ("7.", Some(7_000_000)),
            ("18446744073709.551615", Some(u64::MAX)),
            ("18446744073709.551616", None),
            ("-1", None),
            ("1e3", None),
            (".5", None),
            ("", None),
            ("1.2.3", None),
            ("NaN", None),
            ("12,5", None),
        ];
        for (text, expected) in cases {
            assert_eq!(millionths(text).ok(), expected, "{text:?}");
        }
    }
}
