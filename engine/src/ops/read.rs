//! A plain read of memory, to learn its bandwidth: as fast as a read can be made, since decode is held against it.

/// How far ahead lines are asked for, in bytes.
#[cfg(target_arch = "x86_64")]
const AHEAD: usize = 8 << 10;

#[inline(always)]
pub(super) fn sum_bytes(bytes: &[u8]) -> u64 {
    let mut lanes = [0u64; 16];
    for line in bytes.as_chunks::<128>().0 {
        #[cfg(target_arch = "x86_64")]
        {
            crate::cpu::x86_64::prefetch(line, AHEAD);
            crate::cpu::x86_64::prefetch(line, AHEAD + 64);
        }
        for (lane, word) in lanes.iter_mut().zip(line.as_chunks::<8>().0) {
            *lane = lane.wrapping_add(u64::from_ne_bytes(*word));
        }
    }
    lanes.iter().fold(0, |sum, lane| sum.wrapping_add(*lane))
}
