//! Blocks of 256 weights in 54 bytes, five to a byte in base 3: 48 bytes of five, 4 bytes of four, scale d (f16).
//!
//! Weight n of a byte b (n in 0..5) is the digit floor(3 * (b * 3^n mod 256) / 256), less 1: a byte holds its digits as the
//! fraction b / 256. The first 32 bytes hold weights 32n + m, m the byte; the next 16 weights 160 + 16n + m; the 4 bytes
//! weights 240 + 4n + m, n in 0..4. Weights are multiplied by d.

use super::{Encode, Encoder, LARGEST_BLOCK, Scale, TensorFormat, TernaryView, code, read_f16};

const ELEMENTS: usize = LARGEST_BLOCK;
const CODES: usize = 48 + 4;
const BYTES: usize = CODES + 2;
const POWERS: [u8; 5] = [1, 3, 9, 27, 81];

pub(super) static FORMAT: TensorFormat = TensorFormat {
    name: "TQ1_0",
    gguf_type: 34,
    block_elements: ELEMENTS,
    block_bytes: BYTES,
    trailer_bytes: 0,
    decode,
    ternary: Some(TernaryView {
        decode: decode_ternary,
        // Every byte reads as five digits.
        has_invalid_code: |_| false,
        scale: Scale::Block(block_scale),
    }),
    encode: Some(Encoder {
        file_type: 36,
        encode: Encode::Ternary {
            blocks: encode,
            trailer: |_, _| {},
        },
    }),
};

fn block_scale(block: &[u8]) -> f32 {
    block
        .as_chunks::<BYTES>()
        .0
        .first()
        .map_or(0.0, |block| read_f16([block[CODES], block[CODES + 1]]))
}

fn decode(blocks: &[u8], _trailer: &[u8], out: &mut [f32]) {
    let mut weights = [0; ELEMENTS];
    let out = out.as_chunks_mut::<ELEMENTS>().0;
    for (out, block) in out.iter_mut().zip(blocks.as_chunks::<BYTES>().0) {
        let scale = block_scale(block);
        decode_block(block, &mut weights);
        for (out, weight) in out.iter_mut().zip(weights) {
            *out = scale * f32::from(weight);
        }
    }
}

fn decode_ternary(blocks: &[u8], out: &mut [i8]) {
    let out = out.as_chunks_mut::<ELEMENTS>().0;
    for (out, block) in out.iter_mut().zip(blocks.as_chunks::<BYTES>().0) {
        decode_block(block, out);
    }
}

fn decode_block(block: &[u8; BYTES], out: &mut [i8; ELEMENTS]) {
    let (first, rest) = out.split_at_mut(160);
    let (second, third) = rest.split_at_mut(80);
    for (bytes, out) in [
        (&block[..32], first),
        (&block[32..48], second),
        (&block[48..CODES], third),
    ] {
        for (out, power) in out.chunks_mut(bytes.len()).zip(POWERS) {
            for (weight, byte) in out.iter_mut().zip(bytes) {
                let fraction = u16::from(byte.wrapping_mul(power));
                let digit = ((fraction * 3) >> 8) as i8;
                *weight = digit - 1;
            }
        }
    }
}

fn encode(weights: &[i8], scale: f32, blocks: &mut [u8]) {
    let d = half::f16::from_f32(scale).to_le_bytes();
    let weights = weights.as_chunks::<ELEMENTS>().0;
    for (block, weights) in blocks.as_chunks_mut::<BYTES>().0.iter_mut().zip(weights) {
        let (first, rest) = block.split_at_mut(32);
        let (second, rest) = rest.split_at_mut(16);
        let (third, scale) = rest.split_at_mut(CODES - 48);
        encode_part(&weights[..160], first);
        encode_part(&weights[160..240], second);
        encode_part(&weights[240..], third);
        scale.copy_from_slice(&d);
    }
}

/// Five weights to a byte, or fewer: then the last digits are 0. A number of five digits becomes the smallest fraction of 256
/// that is not below it.
fn encode_part(weights: &[i8], bytes: &mut [u8]) {
    let len = bytes.len();
    for (m, byte) in bytes.iter_mut().enumerate() {
        let digit = |n: usize| weights.get(n * len + m).map_or(0, |weight| code(*weight));
        let number = (0..POWERS.len()).fold(0, |number, n| 3 * number + u32::from(digit(n)));
        *byte = (number * 256).div_ceil(243).to_le_bytes()[0];
    }
}
