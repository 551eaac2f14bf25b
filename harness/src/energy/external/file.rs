//! A CSV file that grows. Its times are those of this machine or of one that is kept to the same time (NTP).

use super::integral::{Integral, Reading};
use super::{
    FILE, LINE_BYTES, LONGEST_GAP, info, millionths, needs_argument, not_understood, reading,
};
use crate::energy::reading::{ReadFault, Snapshot};
use crate::energy::sysfs::SysFs;
use crate::energy::unavailable::Unavailable;
use crate::energy::{EnergySource, SourceInfo};
use rustix::fs::OFlags;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How much of the end of the file is read at first, and how much at a time.
const BLOCK_BYTES: u64 = 64 << 10;

struct MeterFile {
    info: SourceInfo,
    follower: Follower,
}

impl EnergySource for MeterFile {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn snapshot(&mut self) -> Snapshot {
        // Reading the lines is no part of the moment.
        let value = self.follower.value();
        Snapshot::take(|| vec![value])
    }
}

pub(super) fn open(sys: &SysFs, path: &str) -> Result<Box<dyn EnergySource>, Unavailable> {
    if path.is_empty() {
        return Err(needs_argument(&FILE));
    }
    let path = PathBuf::from(path);
    let broken = |fault| {
        let meter = path.display().to_string();
        match fault {
            ReadFault::Gone => Unavailable::NoSensor {
                missing: format!("no {meter}"),
            },
            fault => Unavailable::Meter { meter, fault },
        }
    };
    let mut follower = Follower::open(&path).map_err(broken)?;
    follower.value().map_err(broken)?;
    Ok(Box::new(MeterFile {
        info: info(sys, FILE.name, path.display().to_string()),
        follower,
    }))
}

/// Reads the lines that were added since the last look.
struct Follower {
    file: File,
    columns: Columns,
    /// The beginning of a line that is not complete.
    rest: Vec<u8>,
    integral: Integral,
}

/// Where the columns are.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Columns {
    time: usize,
    quantity: (usize, String),
}

impl Columns {
    fn parse(header: &str) -> Option<Columns> {
        let names: Vec<&str> = header.split(',').map(str::trim).collect();
        let place = |name| names.iter().position(|n| *n == name);
        let quantities = ["watts", "joules"].map(|name| Some((place(name)?, name.to_owned())));
        let quantity = match quantities {
            // Both would be two answers.
            [Some(quantity), None] | [None, Some(quantity)] => quantity,
            _ => return None,
        };
        let time = place("t_unix")?;
        Some(Columns { time, quantity })
    }
}

impl Follower {
    fn open(path: &Path) -> Result<Follower, ReadFault> {
        // Non-blocking, so that a pipe is an error and not an endless wait.
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
        let mut file = OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(path)?;
        let mut start = Vec::new();
        file.by_ref()
            .take(LINE_BYTES as u64)
            .read_to_end(&mut start)?;
        let end = start.iter().position(|b| *b == b'\n');
        let header = String::from_utf8_lossy(&start[..end.ok_or(ReadFault::Empty)?]).into_owned();
        let columns = Columns::parse(&header).ok_or_else(|| not_understood(&header))?;
        let length = file.seek(SeekFrom::End(0))?;
        let header_bytes = end.map_or(0, |end| end as u64 + 1);
        let from = length.saturating_sub(BLOCK_BYTES).max(header_bytes);
        file.seek(SeekFrom::Start(from))?;
        let mut follower = Follower {
            file,
            columns,
            rest: Vec::new(),
            integral: Integral::default(),
        };
        if from > header_bytes {
            follower.skip_line()?;
        }
        Ok(follower)
    }

    /// Leaves out the rest of a line that is not seen from its beginning.
    fn skip_line(&mut self) -> io::Result<()> {
        let mut byte = [0];
        for _ in 0..LINE_BYTES {
            if self.file.read(&mut byte)? == 0 || byte == *b"\n" {
                break;
            }
        }
        Ok(())
    }

    /// The energy up to the last line.
    fn value(&mut self) -> Result<u64, ReadFault> {
        loop {
            let mut block = Vec::new();
            let read = self
                .file
                .by_ref()
                .take(BLOCK_BYTES)
                .read_to_end(&mut block)?;
            for line in self.lines(&block) {
                match self.columns.read(&line) {
                    Ok((at, reading)) => self.integral.push(at, reading),
                    Err(fault) => self.integral.fail(fault),
                }
            }
            if read == 0 {
                break;
            }
        }
        let last = self.integral.last_at().ok_or(ReadFault::Empty)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let time = now.unwrap_or_default().abs_diff(last);
        if time > LONGEST_GAP {
            return Err(ReadFault::Silent { time });
        }
        self.integral.look()
    }

    /// The complete lines of what was read before and now.
    fn lines(&mut self, block: &[u8]) -> Vec<String> {
        self.rest.extend_from_slice(block);
        let Some(end) = self.rest.iter().rposition(|b| *b == b'\n') else {
            if self.rest.len() > LINE_BYTES {
                self.rest.clear();
                self.integral.fail(ReadFault::Empty);
            }
            return Vec::new();
        };
        let complete: Vec<u8> = self.rest.drain(..=end).collect();
        let text = String::from_utf8_lossy(&complete);
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        lines.map(str::to_owned).collect()
    }
}

impl Columns {
    fn read(&self, line: &str) -> Result<(Duration, Reading), ReadFault> {
        let cells: Vec<&str> = line.split(',').collect();
        let cell = |place: usize| cells.get(place).copied().unwrap_or_default();
        let at = Duration::from_micros(millionths(cell(self.time))?);
        let (place, name) = &self.quantity;
        let reading = reading(name, cell(*place)).unwrap_or(Err(ReadFault::Empty))?;
        Ok((at, reading))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_names_a_time_and_one_quantity() {
        let columns = |time, place, name: &str| {
            let quantity = (place, name.to_owned());
            Some(Columns { time, quantity })
        };
        assert_eq!(Columns::parse("t_unix,watts\r"), columns(0, 1, "watts"));
        assert_eq!(
            Columns::parse("phase, joules ,t_unix"),
            columns(2, 1, "joules")
        );
        for odd in ["t_unix,watts,joules", "watts", "t_unix", "time,watts", ""] {
            assert_eq!(Columns::parse(odd), None, "{odd}");
        }
    }
}
