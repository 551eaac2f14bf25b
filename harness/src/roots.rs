//! Where the files of the system are: `/sys` and `/proc`, or a tree in their place for tests.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Most bytes that are read of a file of the system.
const LONGEST: u64 = 256 << 10;
/// Most entries that are taken of a folder.
const ENTRIES: usize = 16384;

/// The roots of the system's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots {
    root: PathBuf,
}

impl Roots {
    /// Those of this machine.
    pub fn machine() -> Roots {
        Roots::at("/")
    }

    /// A tree with folders `sys` and `proc` in the place of the machine's own.
    pub fn at(root: impl Into<PathBuf>) -> Roots {
        Roots { root: root.into() }
    }

    /// A path from the root.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// A path under `/sys`.
    pub fn sys(&self, path: &str) -> PathBuf {
        self.root.join("sys").join(path)
    }

    /// A path under `/proc`.
    pub fn proc(&self, path: &str) -> PathBuf {
        self.root.join("proc").join(path)
    }
}

/// The text of a file without the blanks around it; nothing where it cannot be read or is empty.
pub fn read(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    let file = File::open(path).ok()?;
    file.take(LONGEST).read_to_end(&mut bytes).ok()?;
    let text = text(&bytes).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

/// The number that a file holds.
pub fn read_number<T: std::str::FromStr>(path: &Path) -> Option<T> {
    read(path)?.parse().ok()
}

/// Bytes as text; what is no text is replaced.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The entries of a folder whose names are `prefix` and a number, by that number.
pub fn numbered(folder: &Path, prefix: &str) -> Vec<(u32, PathBuf)> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut found: Vec<(u32, PathBuf)> = entries
        .take(ENTRIES)
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let digits = name.to_str()?.strip_prefix(prefix)?;
            let digits = digits
                .bytes()
                .all(|b| b.is_ascii_digit())
                .then_some(digits)?;
            Some((digits.parse().ok()?, entry.path()))
        })
        .collect();
    found.sort();
    found
}

/// The numbers that a list such as `0-3,8` names, in order; nothing for a list that is damaged or names too many.
pub fn list(text: &str) -> Option<Vec<u32>> {
    let mut numbers = Vec::new();
    for range in text.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        if last < first || (last - first) as usize + numbers.len() >= ENTRIES {
            return None;
        }
        numbers.extend(first..=last);
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_damaged_ones_refused() {
        assert_eq!(list("0-3,8\n"), Some(vec![0, 1, 2, 3, 8]));
        assert_eq!(list("5"), Some(vec![5]));
        for damaged in ["", "x", "3-1", "0-", "0,,1", "0-4294967295", "-1"] {
            assert_eq!(list(damaged), None, "{damaged}");
        }
    }
}
