//! Blocks of 256 weights in 210 bytes: 128 bytes of low halves, 64 bytes of upper bit pairs, 16 signed scales, d (f16).
//!
//! A block is two spans of 128 weights, each with 64 low bytes l, 32 high bytes h and 8 scales. Weight 32g + j of a span
//! (g in 0..4, j in 0..32) has its lower 4 bits in l\[32(g % 2) + j\] (the low half for g < 2, else the high half), its
//! upper 2 bits in h\[j\] at bits 2g, and the scale s\[2g + j/16\]; a code c stands for d * s * (c - 32).

use super::{LARGEST_BLOCK, TensorFormat, read_f16};

const ELEMENTS: usize = LARGEST_BLOCK;
const LOW: usize = 128;
const HIGH: usize = 64;
const SCALES: usize = 16;
const BYTES: usize = LOW + HIGH + SCALES + 2;

pub(super) static FORMAT: TensorFormat = TensorFormat {
    name: "Q6_K",
    gguf_type: 14,
    block_elements: ELEMENTS,
    block_bytes: BYTES,
    trailer_bytes: 0,
    decode,
    ternary: None,
};

fn decode(blocks: &[u8], _trailer: &[u8], out: &mut [f32]) {
    let out = out.as_chunks_mut::<ELEMENTS>().0;
    for (out, block) in out.iter_mut().zip(blocks.as_chunks::<BYTES>().0) {
        let (low, rest) = block.split_at(LOW);
        let (high, rest) = rest.split_at(HIGH);
        let (scales, d) = rest.split_at(SCALES);
        let d = read_f16([d[0], d[1]]);
        for (span, out) in out.chunks_mut(128).enumerate() {
            let low = &low[64 * span..][..64];
            let high = &high[32 * span..][..32];
            for (g, out) in out.chunks_mut(32).enumerate() {
                let low = &low[32 * (g % 2)..][..32];
                let low_shift = 4 * (g / 2);
                for (half, out) in out.chunks_mut(16).enumerate() {
                    let scale = d * f32::from(scales[8 * span + 2 * g + half].cast_signed());
                    let codes = low[16 * half..].iter().zip(&high[16 * half..]);
                    for (weight, (low, high)) in out.iter_mut().zip(codes) {
                        let code = ((low >> low_shift) & 0x0f) | (((high >> (2 * g)) & 3) << 4);
                        *weight = scale * (f32::from(code) - 32.0);
                    }
                }
            }
        }
    }
}
