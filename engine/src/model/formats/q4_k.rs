//! Blocks of 256 weights in 144 bytes: scale d and minimum m (f16), 12 bytes s, 128 bytes q.
//!
//! Weight 64n + j (n in 0..4, j in 0..64) has its code c in q\[32n + j % 32\]: the low half for j < 32, else the high half.
//! Weights go by 32 with a scale and a minimum of 6 bits each. Those of k < 4 are the lower 6 bits of s\[k\] and s\[k + 4\]; those
//! of k >= 4 have their lower 4 bits in the low and the high half of s\[k + 4\], and their upper 2 in the upper 2 of s\[k - 4\] and
//! s\[k\]. With scale t and minimum u, c stands for (d * t) * c - m * u.

use super::{LARGEST_BLOCK, TensorFormat, read_f16};

const ELEMENTS: usize = LARGEST_BLOCK;
pub(super) const SCALES: usize = 12;
const CODES: usize = 128;
const BYTES: usize = 4 + SCALES + CODES;

pub(super) static FORMAT: TensorFormat = TensorFormat {
    name: "Q4_K",
    gguf_type: 12,
    block_elements: ELEMENTS,
    block_bytes: BYTES,
    trailer_bytes: 0,
    decode,
    ternary: None,
    encode: None,
};

/// Scale and minimum of 32 weights, 0 to 63 each.
pub(super) fn scale_and_minimum(packed: &[u8], k: usize) -> (f32, f32) {
    let (scale, minimum) = if k < 4 {
        (packed[k] & 0x3f, packed[k + 4] & 0x3f)
    } else {
        let (low, high) = (packed[k + 4] & 0x0f, packed[k + 4] >> 4);
        (low | packed[k - 4] >> 6 << 4, high | packed[k] >> 6 << 4)
    };
    (f32::from(scale), f32::from(minimum))
}

/// The code of 4 bits of a weight.
pub(super) fn code(codes: &[u8], at: usize) -> u8 {
    codes[at / 64 * 32 + at % 32] >> (at / 32 % 2 * 4) & 0x0f
}

fn decode(blocks: &[u8], _trailer: &[u8], out: &mut [f32]) {
    let out = out.as_chunks_mut::<ELEMENTS>().0;
    for (out, block) in out.iter_mut().zip(blocks.as_chunks::<BYTES>().0) {
        let d = read_f16([block[0], block[1]]);
        let m = read_f16([block[2], block[3]]);
        let (scales, codes) = block[4..].split_at(SCALES);
        for (k, weights) in out.chunks_mut(32).enumerate() {
            let (scale, minimum) = scale_and_minimum(scales, k);
            let (scale, minimum) = (d * scale, m * minimum);
            for (at, weight) in (32 * k..).zip(weights) {
                *weight = scale * f32::from(code(codes, at)) - minimum;
            }
        }
    }
}
