//! A plain read of memory, to learn its bandwidth.

#[inline(always)]
pub(super) fn sum_bytes(bytes: &[u8]) -> u64 {
    let mut lanes = [0u64; 16];
    for line in bytes.as_chunks::<128>().0 {
        for (lane, word) in lanes.iter_mut().zip(line.as_chunks::<8>().0) {
            *lane = lane.wrapping_add(u64::from_ne_bytes(*word));
        }
    }
    lanes.iter().fold(0, |sum, lane| sum.wrapping_add(*lane))
}
