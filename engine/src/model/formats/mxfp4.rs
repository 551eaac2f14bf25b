//! Blocks of 32 weights in 17 bytes (OCP Microscaling Formats, MXFP4): an exponent e, then 16 bytes q; the low half of q\[j\] is
//! weight j, the high half weight j + 16. A half is a sign and one of 0, 0.5, 1, 1.5, 2, 3, 4, 6, multiplied by 2^(e - 127).

use super::TensorFormat;

const ELEMENTS: usize = 32;
const BYTES: usize = 1 + ELEMENTS / 2;

/// Twice what the codes stand for.
const LEVELS: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

pub(super) static FORMAT: TensorFormat = TensorFormat {
    name: "MXFP4",
    gguf_type: 39,
    block_elements: ELEMENTS,
    block_bytes: BYTES,
    trailer_bytes: 0,
    decode,
    ternary: None,
    encode: None,
};

/// 2^(e - 128), half of the block's scale; the two smallest are subnormal in single precision.
fn half_scale(exponent: u8) -> f32 {
    match exponent {
        0 | 1 => f32::from_bits(1 << (21 + exponent)),
        _ => f32::from_bits(u32::from(exponent - 1) << 23),
    }
}

fn decode(blocks: &[u8], _trailer: &[u8], out: &mut [f32]) {
    let out = out.as_chunks_mut::<ELEMENTS>().0;
    for (out, block) in out.iter_mut().zip(blocks.as_chunks::<BYTES>().0) {
        let half = half_scale(block[0]);
        for (at, weight) in out.iter_mut().enumerate() {
            let code = block[1 + at % 16] >> (at / 16 * 4) & 0x0f;
            *weight = half * f32::from(LEVELS[usize::from(code)]);
        }
    }
}
