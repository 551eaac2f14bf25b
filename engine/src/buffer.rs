//! Memory for packed weights: page-aligned, in huge pages where the system gives them; and scratch on cache lines.

use crate::kernels::PackError;
use memmap2::{Advice, MmapMut};
use rayon::prelude::*;

/// Bytes of a cache line.
const LINE: usize = 64;

/// Makes room for `length` times `value` that starts on a cache line, so that no vector lies across two.
pub(crate) fn on_lines<T: Copy>(room: &mut Vec<T>, length: usize, value: T) -> &mut [T] {
    room.resize(length + LINE / size_of::<T>(), value);
    let start = room.as_ptr().align_offset(LINE);
    &mut room[start..][..length]
}

/// Below this there is nothing to gain from a 2 MiB page.
const HUGE_PAGE_BYTES: usize = 2 << 20;

/// Zeroed bytes, aligned to a page.
#[derive(Debug)]
pub(crate) struct PackedBytes {
    map: MmapMut,
    length: usize,
}

impl PackedBytes {
    /// Allocates `length` bytes and fills them, `chunk` bytes at a time on all CPUs: `fill(index, bytes)`.
    pub(crate) fn fill(
        length: usize,
        chunk: usize,
        fill: impl Fn(usize, &mut [u8]) -> Result<(), PackError> + Sync + Send,
    ) -> Result<Self, PackError> {
        let mut bytes = PackedBytes::zeroed(length)?;
        bytes.map[..length]
            .par_chunks_mut(chunk)
            .enumerate()
            .try_for_each(|(index, bytes)| fill(index, bytes))?;
        Ok(bytes)
    }

    /// Fills several arrays of `chunks` parts together: `fill(index, parts)` gets one part of each, as long as `parts` says.
    pub(crate) fn fill_together<const N: usize>(
        chunks: usize,
        parts: [usize; N],
        fill: impl Fn(usize, [&mut [u8]; N]) -> Result<(), PackError> + Sync + Send,
    ) -> Result<[Self; N], PackError> {
        let mut arrays = Vec::with_capacity(N);
        for part in parts {
            arrays.push(PackedBytes::zeroed(chunks * part)?);
        }
        let mut arrays: [Self; N] = arrays
            .try_into()
            .unwrap_or_else(|_| unreachable!("one array for each part"));
        let mut rests = arrays
            .each_mut()
            .map(|array| &mut array.map[..array.length]);
        let shares: Vec<[&mut [u8]; N]> = (0..chunks)
            .map(|_| {
                let mut lengths = parts.iter();
                rests.each_mut().map(|rest| {
                    let length = lengths.next().copied().unwrap_or(0);
                    rest.split_off_mut(..length).unwrap_or_default()
                })
            })
            .collect();
        shares
            .into_par_iter()
            .enumerate()
            .try_for_each(|(index, share)| fill(index, share))?;
        Ok(arrays)
    }

    fn zeroed(length: usize) -> Result<Self, PackError> {
        let no_memory = |e: std::io::Error| PackError::NoMemory {
            bytes: length,
            reason: e.to_string(),
        };
        let map = MmapMut::map_anon(length.max(1)).map_err(no_memory)?;
        if length >= HUGE_PAGE_BYTES {
            advise_huge_pages(&map);
        }
        Ok(PackedBytes { map, length })
    }

    /// All bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.map[..self.length]
    }
}

#[cfg(target_os = "linux")]
fn advise_huge_pages(map: &MmapMut) {
    // A refusal (a kernel without huge pages) costs a few per cent of speed and nothing else.
    let _ = map.advise(Advice::HugePage);
}

#[cfg(not(target_os = "linux"))]
fn advise_huge_pages(_: &MmapMut) {}
