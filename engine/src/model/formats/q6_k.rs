//! Blocks of 256 weights in 210 bytes: 128 bytes of low halves, 64 bytes of upper bit pairs, 16 signed scales, d (f16).
//!
//! A block is two spans of 128 weights, each with 64 low bytes l, 32 high bytes h and 8 scales. Weight 32g + j of a span
//! (g in 0..4, j in 0..32) has its lower 4 bits in l\[32(g % 2) + j\] (the low half for g < 2, else the high half), its
//! upper 2 bits in h\[j\] at bits 2g, and the scale s\[2g + j/16\]; a code c stands for d * s * (c - 32).

use super::{LARGEST_BLOCK, TensorFormat};

pub(crate) const ELEMENTS: usize = LARGEST_BLOCK;
const LOW: usize = 128;
const HIGH: usize = 64;
const SCALES: usize = 16;
pub(crate) const BYTES: usize = LOW + HIGH + SCALES + 2;

pub(crate) static FORMAT: TensorFormat = TensorFormat {
    name: "Q6_K",
    gguf_type: 14,
    block_elements: ELEMENTS,
    block_bytes: BYTES,
    trailer_bytes: 0,
    decode,
    ternary: None,
    encode: None,
};

/// A block taken apart.
pub(crate) struct Codes {
    pub(crate) d: half::f16,
    /// One for 16 weights.
    pub(crate) scales: [i8; SCALES],
    /// 0 to 63; 32 stands for zero.
    pub(crate) codes: [u8; ELEMENTS],
}

/// Takes a block apart.
pub(crate) fn codes(block: &[u8; BYTES]) -> Codes {
    let (low, rest) = block.split_at(LOW);
    let (high, rest) = rest.split_at(HIGH);
    let (scales, d) = rest.split_at(SCALES);
    let mut out = Codes {
        d: half::f16::from_le_bytes([d[0], d[1]]),
        scales: std::array::from_fn(|at| scales[at].cast_signed()),
        codes: [0; ELEMENTS],
    };
    for (at, code) in out.codes.iter_mut().enumerate() {
        let (span, g, j) = (at / 128, at / 32 % 4, at % 32);
        let low = low[64 * span + 32 * (g % 2) + j] >> (4 * (g / 2));
        let high = high[32 * span + j] >> (2 * g);
        *code = (low & 0x0f) | ((high & 3) << 4);
    }
    out
}

fn decode(blocks: &[u8], _trailer: &[u8], out: &mut [f32]) {
    let out = out.as_chunks_mut::<ELEMENTS>().0;
    for (out, block) in out.iter_mut().zip(blocks.as_chunks::<BYTES>().0) {
        let block = codes(block);
        let d = block.d.to_f32();
        for (index, (out, codes)) in out.chunks_mut(16).zip(block.codes.chunks(16)).enumerate() {
            let scale = d * f32::from(block.scales[index]);
            for (weight, code) in out.iter_mut().zip(codes) {
                *weight = scale * (f32::from(*code) - 32.0);
            }
        }
    }
}
