//! Blocks of 256 weights in 176 bytes: scale d and minimum m (f16), 12 bytes s, 32 bytes h, 128 bytes q.
//!
//! Scales, minimums and the lower 4 bits of a code are those of Q4_K; the fifth bit of weight 32g + j is bit g of h\[j\].

use super::{LARGEST_BLOCK, TensorFormat, q4_k, read_f16};

const ELEMENTS: usize = LARGEST_BLOCK;
const HIGH: usize = 32;
const LOW: usize = 128;
const BYTES: usize = 4 + q4_k::SCALES + HIGH + LOW;

pub(super) static FORMAT: TensorFormat = TensorFormat {
    name: "Q5_K",
    gguf_type: 13,
    block_elements: ELEMENTS,
    block_bytes: BYTES,
    trailer_bytes: 0,
    decode,
    ternary: None,
    encode: None,
};

fn decode(blocks: &[u8], _trailer: &[u8], out: &mut [f32]) {
    let out = out.as_chunks_mut::<ELEMENTS>().0;
    for (out, block) in out.iter_mut().zip(blocks.as_chunks::<BYTES>().0) {
        let d = read_f16([block[0], block[1]]);
        let m = read_f16([block[2], block[3]]);
        let (scales, rest) = block[4..].split_at(q4_k::SCALES);
        let (high, low) = rest.split_at(HIGH);
        for (k, weights) in out.chunks_mut(32).enumerate() {
            let (scale, minimum) = q4_k::scale_and_minimum(scales, k);
            let (scale, minimum) = (d * scale, m * minimum);
            for (at, weight) in (32 * k..).zip(weights) {
                let code = q4_k::code(low, at) | (high[at % 32] >> k & 1) << 4;
                *weight = scale * f32::from(code) - minimum;
            }
        }
    }
}
