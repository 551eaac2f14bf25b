//! Blocks of 256 weights in 110 bytes: 32 bytes h, 64 bytes q, 12 bytes s, scale d (f16).
//!
//! The lower 2 bits of a weight's code c lie in q as in Q2_K; the third bit of weight 32g + j is bit g of h\[j\]. Sixteen weights
//! share a scale of 6 bits: the lower 4 of scale k are in s\[k % 8\] (the low half for k < 8, else the high half), the upper 2
//! in s\[8 + k % 4\] at bits 2(k / 4). With a scale t, c stands for (d * (t - 32)) * (c - 4).

use super::{LARGEST_BLOCK, TensorFormat, q2_k, read_f16};

const ELEMENTS: usize = LARGEST_BLOCK;
const HIGH: usize = 32;
const LOW: usize = 64;
const SCALES: usize = 12;
const BYTES: usize = HIGH + LOW + SCALES + 2;

pub(super) static FORMAT: TensorFormat = TensorFormat {
    name: "Q3_K",
    gguf_type: 11,
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
        let (high, rest) = block.split_at(HIGH);
        let (low, rest) = rest.split_at(LOW);
        let (scales, d) = rest.split_at(SCALES);
        let d = read_f16([d[0], d[1]]);
        let scale = |k: usize| {
            let low = scales[k % 8] >> (4 * (k / 8)) & 0x0f;
            let high = scales[8 + k % 4] >> (2 * (k / 4)) & 3;
            d * (f32::from(low | high << 4) - 32.0)
        };
        for (k, weights) in out.chunks_mut(16).enumerate() {
            let scale = scale(k);
            for (at, weight) in (16 * k..).zip(weights) {
                let code = q2_k::code(low, at) | (high[at % 32] >> (at / 32) & 1) << 2;
                *weight = scale * (f32::from(code) - 4.0);
            }
        }
    }
}
