//! Blocks of 256 weights in 66 bytes: 64 bytes of 2-bit codes, scale d (f16).
//!
//! Two spans of 32 bytes with 128 weights each: weight 32n + m of a span is in byte m at bits 2n+1..2n. Codes 0, 1, 2
//! stand for -1, 0, +1, multiplied by d; 3 is not written by any encoder.

use super::{Encode, Encoder, LARGEST_BLOCK, Scale, TensorFormat, TernaryView, code, read_f16};

const ELEMENTS: usize = LARGEST_BLOCK;
const CODES: usize = ELEMENTS / 4;
const BYTES: usize = CODES + 2;

pub(super) static FORMAT: TensorFormat = TensorFormat {
    name: "TQ2_0",
    gguf_type: 35,
    block_elements: ELEMENTS,
    block_bytes: BYTES,
    trailer_bytes: 0,
    decode,
    ternary: Some(TernaryView {
        decode: decode_ternary,
        has_invalid_code,
        scale: Scale::Block(block_scale),
    }),
    encode: Some(Encoder {
        file_type: 37,
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

fn has_invalid_code(blocks: &[u8]) -> bool {
    let both = |block: &[u8; BYTES]| {
        block[..CODES]
            .iter()
            .fold(0, |seen, byte| seen | (byte & (byte >> 1) & 0x55))
    };
    blocks.as_chunks().0.iter().any(|block| both(block) != 0)
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
    for (out, bytes) in out.chunks_mut(128).zip(block[..CODES].chunks(32)) {
        for (out, shift) in out.chunks_mut(32).zip([0, 2, 4, 6]) {
            for (weight, byte) in out.iter_mut().zip(bytes) {
                // An invalid code, refused at load, would be +1.
                *weight = ((byte >> shift) & 3).min(2).cast_signed() - 1;
            }
        }
    }
}

fn encode(weights: &[i8], scale: f32, blocks: &mut [u8]) {
    let d = half::f16::from_f32(scale).to_le_bytes();
    let weights = weights.as_chunks::<ELEMENTS>().0;
    for (block, weights) in blocks.as_chunks_mut::<BYTES>().0.iter_mut().zip(weights) {
        let (codes, scale) = block.split_at_mut(CODES);
        codes.fill(0);
        for (bytes, weights) in codes.chunks_mut(32).zip(weights.chunks(128)) {
            for (weights, shift) in weights.chunks(32).zip([0, 2, 4, 6]) {
                for (byte, weight) in bytes.iter_mut().zip(weights) {
                    *byte |= code(*weight) << shift;
                }
            }
        }
        scale.copy_from_slice(&d);
    }
}
