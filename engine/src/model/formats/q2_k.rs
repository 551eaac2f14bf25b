//! Blocks of 256 weights in 84 bytes: 16 bytes s, 64 bytes q, scale d and minimum m (f16).
//!
//! Weight 128n + 32g + j (n in 0..2, g in 0..4, j in 0..32) has its code c in q\[32n + j\] at bits 2g. Weights go by sixteens:
//! byte k of s holds their scale in its low half and their minimum in its high half, and c stands for
//! (d * low) * c - m * high.

use super::{LARGEST_BLOCK, TensorFormat, read_f16};

const ELEMENTS: usize = LARGEST_BLOCK;
const SCALES: usize = 16;
const CODES: usize = 64;
const BYTES: usize = SCALES + CODES + 4;

pub(super) static FORMAT: TensorFormat = TensorFormat {
    name: "Q2_K",
    gguf_type: 10,
    block_elements: ELEMENTS,
    block_bytes: BYTES,
    trailer_bytes: 0,
    decode,
    ternary: None,
    encode: None,
};

/// The code of 2 bits of a weight.
pub(super) fn code(codes: &[u8], at: usize) -> u8 {
    codes[at / 128 * 32 + at % 32] >> (at / 32 % 4 * 2) & 3
}

fn decode(blocks: &[u8], _trailer: &[u8], out: &mut [f32]) {
    let out = out.as_chunks_mut::<ELEMENTS>().0;
    for (out, block) in out.iter_mut().zip(blocks.as_chunks::<BYTES>().0) {
        let (scales, rest) = block.split_at(SCALES);
        let (codes, rest) = rest.split_at(CODES);
        let d = read_f16([rest[0], rest[1]]);
        let m = read_f16([rest[2], rest[3]]);
        for (at, weight) in out.iter_mut().enumerate() {
            let both = scales[at / 16];
            let (scale, minimum) = (d * f32::from(both & 0x0f), m * f32::from(both >> 4));
            *weight = scale * f32::from(code(codes, at)) - minimum;
        }
    }
}
