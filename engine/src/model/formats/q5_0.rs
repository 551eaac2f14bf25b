//! Blocks of 32 weights in 22 bytes: scale d (f16), 32 bits h (little-endian u32), 16 bytes q. Weight j has its lower 4 bits
//! in q\[j\] (the low half), weight j + 16 in the high half, and weight k its fifth bit in bit k of h; a code c stands for
//! d * (c - 16).

use super::{TensorFormat, read_f16};

const ELEMENTS: usize = 32;
const BYTES: usize = 2 + 4 + ELEMENTS / 2;

pub(super) static FORMAT: TensorFormat = TensorFormat {
    name: "Q5_0",
    gguf_type: 6,
    block_elements: ELEMENTS,
    block_bytes: BYTES,
    trailer_bytes: 0,
    decode,
    ternary: None,
    encode: None,
};

/// The codes 0 to 31 that the last 20 bytes of a block hold.
pub(super) fn codes(high: [u8; 4], low: &[u8]) -> [u8; ELEMENTS] {
    let high = u32::from_le_bytes(high);
    std::array::from_fn(|at| {
        let low = low[at % 16] >> (4 * (at / 16)) & 0x0f;
        low | u8::from(high >> at & 1 == 1) << 4
    })
}

fn decode(blocks: &[u8], _trailer: &[u8], out: &mut [f32]) {
    let out = out.as_chunks_mut::<ELEMENTS>().0;
    for (out, block) in out.iter_mut().zip(blocks.as_chunks::<BYTES>().0) {
        let scale = read_f16([block[0], block[1]]);
        let codes = codes([block[2], block[3], block[4], block[5]], &block[6..]);
        for (weight, code) in out.iter_mut().zip(codes) {
            *weight = scale * (f32::from(code) - 16.0);
        }
    }
}
