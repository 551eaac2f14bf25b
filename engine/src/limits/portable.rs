//! Plain reads in portable Rust.

use super::Reader;

pub(super) static READER: Reader = Reader {
    name: "portable loads",
    requires: &[],
    run: |_, bytes, passes, _| Ok(read(bytes, passes)),
};

/// Bytes that a turn of the loop takes.
const TURN: usize = 128;

fn read(bytes: &[u8], passes: u64) -> u64 {
    let mut lanes = [0u64; TURN / 8];
    for _ in 0..passes {
        for turn in std::hint::black_box(bytes).as_chunks::<TURN>().0 {
            for (lane, word) in lanes.iter_mut().zip(turn.as_chunks::<8>().0) {
                *lane |= u64::from_ne_bytes(*word);
            }
        }
    }
    lanes.into_iter().fold(0, |all, lane| all | lane)
}
