//! Reading forward through the head of a file, every length checked against what remains of it.

use std::path::Path;

use super::super::LoadError;
use super::value::Kind;

/// Arrays of arrays deeper than this are refused; no known file has any.
const DEEPEST_ARRAY: u32 = 4;

pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    path: &'a Path,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize, path: &'a Path) -> Self {
        Cursor { bytes, at, path }
    }

    /// Bytes read so far.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Bytes left.
    pub(super) fn remaining(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    pub(super) fn damaged(&self, detail: impl Into<String>) -> LoadError {
        LoadError::Damaged {
            path: self.path.to_owned(),
            detail: detail.into(),
        }
    }

    fn truncated(&self, what: &str, bytes: u64) -> LoadError {
        let start = self.at as u64;
        LoadError::Truncated {
            path: self.path.to_owned(),
            what: what.to_owned(),
            start,
            end: start.saturating_add(bytes),
            len: self.bytes.len() as u64,
        }
    }

    pub(super) fn take(&mut self, count: u64, what: &str) -> Result<&'a [u8], LoadError> {
        let taken = usize::try_from(count)
            .ok()
            .and_then(|count| self.bytes.get(self.at..)?.get(..count))
            .ok_or_else(|| self.truncated(what, count))?;
        self.at += taken.len();
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], LoadError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N as u64, what)?);
        Ok(out)
    }

    pub(super) fn u32(&mut self, what: &str) -> Result<u32, LoadError> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, what: &str) -> Result<u64, LoadError> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// A number of things of which each takes at least `smallest` bytes of the file.
    pub(super) fn count(&mut self, smallest: usize, what: &str) -> Result<usize, LoadError> {
        let count = self.u64(what)?;
        self.check_count(count, smallest, what)
    }

    fn check_count(&self, count: u64, smallest: usize, what: &str) -> Result<usize, LoadError> {
        let needed = count.saturating_mul(smallest as u64);
        if needed > self.remaining() as u64 {
            return Err(self.truncated(what, needed));
        }
        usize::try_from(count).map_err(|_| self.truncated(what, needed))
    }

    /// A string: its length in 8 bytes, then its bytes.
    pub(super) fn string(&mut self, what: &str) -> Result<&'a [u8], LoadError> {
        let len = self.u64(what)?;
        self.take(len, what)
    }

    /// A string that names something: UTF-8, not empty. Gives its place in the file too.
    pub(super) fn name(&mut self, what: &str) -> Result<(&'a str, usize), LoadError> {
        let bytes = self.string(what)?;
        let at = self.at - bytes.len();
        match std::str::from_utf8(bytes) {
            Ok("") => Err(self.damaged(format!("{what} at byte {at} is empty"))),
            Ok(name) => Ok((name, at)),
            Err(_) => Err(self.damaged(format!("{what} at byte {at} is not UTF-8"))),
        }
    }

    pub(super) fn kind(&mut self, what: &str) -> Result<Kind, LoadError> {
        let number = self.u32(what)?;
        Kind::from_number(number)
            .ok_or_else(|| self.damaged(format!("{what} has unknown value type {number}")))
    }

    /// Passes over a value of this kind, checking all lengths in it.
    pub(super) fn skip_value(&mut self, kind: Kind, what: &str) -> Result<(), LoadError> {
        self.skip(kind, what, 0)
    }

    fn skip(&mut self, kind: Kind, what: &str, depth: u32) -> Result<(), LoadError> {
        match (kind, kind.bytes()) {
            (Kind::Bool, _) => match self.array::<1>(what)? {
                [0 | 1] => Ok(()),
                [other] => Err(self.damaged(format!("{what} is a truth value of {other}"))),
            },
            (_, Some(bytes)) => self.take(bytes as u64, what).map(drop),
            (Kind::String, None) => self.string(what).map(drop),
            (_, None) => {
                if depth == DEEPEST_ARRAY {
                    return Err(self.damaged(format!("{what} is an array nested too deep")));
                }
                let element = self.kind(what)?;
                let count = self.u64(what)?;
                let count = self.check_count(count, element.smallest_bytes(), what)?;
                if let Some(bytes) = element.bytes() {
                    return self.take((count as u64) * (bytes as u64), what).map(drop);
                }
                (0..count).try_for_each(|_| self.skip(element, what, depth + 1))
            }
        }
    }
}
