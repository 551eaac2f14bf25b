//! Asking for memory before it is needed.
//!
//! A panel's weights are unpacked between long runs of multiplications, and its products are written to as many places as
//! there are tokens, so that no hardware prefetcher sees either coming. The register tiles in between ask for both.
#![expect(unsafe_code, reason = "prefetch instructions")]

/// The share of `bytes` that the tile at `index` of `tiles` asks for, so that all of it is on its way when the last is done.
#[inline(always)]
pub(crate) fn share(bytes: &[u8], index: usize, tiles: usize) -> &[u8] {
    let each = bytes.len().div_ceil(tiles).next_multiple_of(LINE);
    let rest = bytes.get(index * each..).unwrap_or_default();
    &rest[..rest.len().min(each)]
}

/// Bytes of a cache line.
const LINE: usize = 64;

/// Asks for the cache lines of `bytes`, to read them.
#[inline(always)]
pub(crate) fn ask_to_read(bytes: &[u8]) {
    for line in bytes.chunks(LINE) {
        ask::<false>(line.as_ptr());
    }
}

/// Asks for the cache lines of `values`, to write them.
#[inline(always)]
pub(crate) fn ask_to_write(values: &mut [f32]) {
    for line in values.chunks(LINE / size_of::<f32>()) {
        ask::<true>(line.as_ptr().cast());
    }
}

#[inline(always)]
#[cfg_attr(
    not(any(target_arch = "x86_64", target_arch = "aarch64")),
    expect(unused_variables, reason = "a hint that may be left out")
)]
fn ask<const WRITE: bool>(line: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_ET0, _MM_HINT_T0, _mm_prefetch};
        if WRITE {
            // SAFETY: a prefetch changes nothing that the program could see and cannot fault, whatever the address.
            unsafe { _mm_prefetch::<_MM_HINT_ET0>(line.cast()) }
        } else {
            // SAFETY: as above.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) }
        }
    }
    #[cfg(target_arch = "aarch64")]
    {
        use std::arch::asm;
        if WRITE {
            // SAFETY: as above.
            unsafe {
                asm!("prfm pstl1keep, [{0}]", in(reg) line, options(readonly, nostack, preserves_flags))
            }
        } else {
            // SAFETY: as above.
            unsafe {
                asm!("prfm pldl1keep, [{0}]", in(reg) line, options(readonly, nostack, preserves_flags))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_whole_lines_and_cover_everything() {
        for (length, tiles) in [(0, 3), (64, 1), (8192, 43), (8192, 3), (100, 7)] {
            let bytes: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
            let all: Vec<u8> = (0..tiles)
                .flat_map(|index| share(&bytes, index, tiles).to_vec())
                .collect();
            assert_eq!(all, bytes);
        }
    }
}
