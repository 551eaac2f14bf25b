//! Raw readings: the text of a counter file as a number, and all counters at one moment.

use super::power::PowerFault;
use rustix::time::{ClockId, clock_gettime};
use std::io;
use std::time::Duration;

/// All counters of a source at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// `CLOCK_MONOTONIC` just before the first counter was read.
    pub before: Duration,
    /// `CLOCK_MONOTONIC` just after the last counter was read.
    pub after: Duration,
    /// Time the machine has spent suspended since it booted: `CLOCK_BOOTTIME` less `CLOCK_MONOTONIC`.
    pub asleep: Duration,
    /// Raw values, one for each domain of the source, in the unit of the domain.
    pub values: Vec<Result<u64, ReadFault>>,
}

impl Snapshot {
    /// Calls `read` for the counters and takes the times around it.
    pub fn take(read: impl FnOnce() -> Vec<Result<u64, ReadFault>>) -> Snapshot {
        let asleep = asleep();
        let before = monotonic();
        let values = read();
        Snapshot {
            before,
            after: monotonic(),
            asleep,
            values,
        }
    }

    /// The middle of the reading.
    pub fn at(&self) -> Duration {
        self.before + self.took() / 2
    }

    /// How long the reading took; long only when the thread was preempted in its middle.
    pub fn took(&self) -> Duration {
        self.after.saturating_sub(self.before)
    }
}

/// Why a counter could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadFault {
    /// The counter is no longer there: its last CPU went offline, or its driver was unloaded.
    #[error("the counter is gone (CPU taken offline, or driver unloaded?)")]
    Gone,
    /// The counter may not be read by this user.
    #[error("permission denied")]
    Denied,
    /// The kernel gave an error.
    #[error("read error: {message}")]
    Io {
        /// What the kernel said.
        message: String,
    },
    /// The file holds nothing.
    #[error("the counter file is empty")]
    Empty,
    /// The file holds something else than a non-negative whole number.
    #[error("the counter file holds \"{text}\", not a whole number")]
    NotANumber {
        /// The beginning of what it holds, printable.
        text: String,
    },
    /// The number has more than 64 bits.
    #[error("the counter file holds {text}, more than 64 bits")]
    TooLarge {
        /// The digits.
        text: String,
    },
    /// The columns or keys of an external meter are not understood.
    #[error(
        "\"{text}\" is not understood: t_unix and one of watts and joules are needed, or a line 'watts 12.3' or 'joules 45.6'"
    )]
    NotUnderstood {
        /// The beginning of the line, printable.
        text: String,
    },
    /// An external meter has not written for long, or its clock is another one.
    #[error("the last reading of the meter is {:.1} s away from now", time.as_secs_f64())]
    Silent {
        /// Time between the reading and now.
        time: Duration,
    },
    /// Readings of an external meter go back in time or energy.
    #[error("the readings of the meter are not in the order of their times, or its joules fell")]
    Unordered,
    /// Two readings of an external meter have no energy between them.
    #[error(transparent)]
    Power(#[from] PowerFault),
    /// A battery is not discharging, so what leaves it is not what the machine takes.
    #[error("the battery is {status}, not discharging")]
    NotDischarging {
        /// What its file says.
        status: String,
    },
}

impl From<io::Error> for ReadFault {
    fn from(error: io::Error) -> ReadFault {
        const ENODEV: i32 = rustix::io::Errno::NODEV.raw_os_error();
        const ENXIO: i32 = rustix::io::Errno::NXIO.raw_os_error();
        match (error.kind(), error.raw_os_error()) {
            (io::ErrorKind::NotFound, _) | (_, Some(ENODEV | ENXIO)) => ReadFault::Gone,
            (io::ErrorKind::PermissionDenied, _) => ReadFault::Denied,
            _ => ReadFault::Io {
                message: error.to_string(),
            },
        }
    }
}

/// Reads the text of a counter file: decimal digits, then white space or NUL bytes.
///
/// # Errors
/// [`ReadFault::Empty`], [`ReadFault::NotANumber`] or [`ReadFault::TooLarge`].
pub fn parse_counter(bytes: &[u8]) -> Result<u64, ReadFault> {
    let padding = |b: &u8| b.is_ascii_whitespace() || *b == 0;
    let end = bytes.iter().rposition(|b| !padding(b)).map_or(0, |i| i + 1);
    let digits = bytes[..end].trim_ascii_start();
    if digits.is_empty() {
        return Err(ReadFault::Empty);
    }
    let text = printable(digits);
    // `u64::from_str` takes a leading plus; no kernel counter has one.
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(ReadFault::NotANumber { text });
    }
    text.parse().map_err(|_| ReadFault::TooLarge { text })
}

/// Text from a file made safe to print: what is not printable ASCII becomes `?`.
pub(super) fn printable(bytes: &[u8]) -> String {
    let safe = |&b: &u8| match b {
        b' '..=b'~' => char::from(b),
        _ => '?',
    };
    bytes.iter().map(safe).collect()
}

/// `CLOCK_MONOTONIC`.
pub(super) fn monotonic() -> Duration {
    clock(ClockId::Monotonic)
}

/// `CLOCK_BOOTTIME` less `CLOCK_MONOTONIC`. The two cannot be read at once, so a thread that is preempted between them sees a
/// difference that is not there; the tightest of a few tries is taken.
fn asleep() -> Duration {
    const TIGHT: Duration = Duration::from_micros(50);
    let mut best = (Duration::MAX, Duration::ZERO);
    for _ in 0..4 {
        let before = monotonic();
        let boot = clock(ClockId::Boottime);
        let gap = monotonic().saturating_sub(before);
        if gap < best.0 {
            best = (gap, boot.saturating_sub(before));
        }
        if gap < TIGHT {
            break;
        }
    }
    best.1
}

fn clock(id: ClockId) -> Duration {
    let time = clock_gettime(id);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counter_files_are_read_strictly() {
        let not = |text: &str| {
            Err(ReadFault::NotANumber {
                text: text.to_owned(),
            })
        };
        let cases: &[(&[u8], Result<u64, ReadFault>)] = &[
            (b"0\n", Ok(0)),
            (b"262143328850\n", Ok(262_143_328_850)),
            (b"00000000262143328850\n", Ok(262_143_328_850)),
            (b" 12 \n", Ok(12)),
            (b"12\0\0", Ok(12)),
            (b"12\n\0", Ok(12)),
            (b"18446744073709551615", Ok(u64::MAX)),
            (b"", Err(ReadFault::Empty)),
            (b" \n\0", Err(ReadFault::Empty)),
            (b"abc\n", not("abc")),
            (b"-5\n", not("-5")),
            (b"+5\n", not("+5")),
            (b"1.5\n", not("1.5")),
            (b"1 2\n", not("1 2")),
            (b"1\x002\n", not("1?2")),
            (b"\xff\x1b[2J", not("??[2J")),
            (
                b"99999999999999999999\n",
                Err(ReadFault::TooLarge {
                    text: "9".repeat(20),
                }),
            ),
        ];
        for (bytes, expected) in cases {
            assert_eq!(&parse_counter(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn time_asleep_does_not_change_while_awake() {
        let first = Snapshot::take(Vec::new);
        let second = Snapshot::take(Vec::new);
        assert!(second.before >= first.after);
        assert!(first.asleep.abs_diff(second.asleep) < Duration::from_millis(100));
    }
}
