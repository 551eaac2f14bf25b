//! bitnet.cpp's format: blocks of 128 weights in 32 bytes of 2-bit codes; one f32 scale after the last block.
//!
//! Weight j of a block is in byte j % 32 at bits 7-2(j/32) and the one below: byte m holds weights m, m+32, m+64, m+96 from
//! the top. Codes 0, 1, 2 stand for -1, 0, +1, multiplied by the scale; 3 is invalid. The blocks run over the row-major
//! tensor; a row is a multiple of 128 here. 32 bytes are reserved for the scale, which fills the first 4 (bitnet.cpp
//! `src/ggml-bitnet-mad.cpp`, `ggml_nbytes`).

use super::{Encode, Encoder, Scale, TensorFormat, TernaryView, code};

const ELEMENTS: usize = 128;
const BYTES: usize = ELEMENTS / 4;

pub(super) static FORMAT: TensorFormat = TensorFormat {
    name: "I2_S",
    gguf_type: 36,
    block_elements: ELEMENTS,
    block_bytes: BYTES,
    trailer_bytes: 32,
    decode: decode::<BYTES>,
    ternary: Some(TernaryView {
        decode: decode_ternary::<BYTES>,
        has_invalid_code,
        scale: Scale::Tensor(tensor_scale),
    }),
    encode: Some(Encoder {
        // bitnet.cpp's number; upstream has given it to another format since.
        file_type: 40,
        encode: Encode::Ternary {
            blocks: |weights, _, blocks| encode(weights, blocks),
            trailer: encode_trailer,
        },
    }),
};

pub(super) fn has_invalid_code(blocks: &[u8]) -> bool {
    blocks
        .chunks(4096)
        .any(|bytes| bytes.iter().fold(0, |seen, b| seen | (b & (b >> 1) & 0x55)) != 0)
}

pub(super) fn tensor_scale(trailer: &[u8]) -> f32 {
    trailer
        .first_chunk()
        .map_or(0.0, |bytes| f32::from_le_bytes(*bytes))
}

/// The weights of blocks of `BLOCK` bytes.
pub(super) fn decode<const BLOCK: usize>(blocks: &[u8], trailer: &[u8], out: &mut [f32]) {
    let scale = tensor_scale(trailer);
    let mut weights = [0; ELEMENTS];
    let weights = &mut weights[..4 * BLOCK];
    let out = out.chunks_exact_mut(4 * BLOCK);
    for (out, block) in out.zip(blocks.as_chunks::<BLOCK>().0) {
        decode_block(block, weights);
        for (out, weight) in out.iter_mut().zip(&*weights) {
            *out = scale * f32::from(*weight);
        }
    }
}

pub(super) fn decode_ternary<const BLOCK: usize>(blocks: &[u8], out: &mut [i8]) {
    let out = out.chunks_exact_mut(4 * BLOCK);
    for (out, block) in out.zip(blocks.as_chunks::<BLOCK>().0) {
        decode_block(block, out);
    }
}

fn decode_block<const BLOCK: usize>(block: &[u8; BLOCK], out: &mut [i8]) {
    for (out, shift) in out.chunks_mut(BLOCK).zip([6, 4, 2, 0]) {
        for (weight, byte) in out.iter_mut().zip(block) {
            // An invalid code, refused at load, would be +1.
            *weight = ((byte >> shift) & 3).min(2).cast_signed() - 1;
        }
    }
}

fn encode(weights: &[i8], blocks: &mut [u8]) {
    let weights = weights.as_chunks::<ELEMENTS>().0;
    for (block, weights) in blocks.as_chunks_mut::<BYTES>().0.iter_mut().zip(weights) {
        block.fill(0);
        for (weights, shift) in weights.chunks(32).zip([6, 4, 2, 0]) {
            for (byte, weight) in block.iter_mut().zip(weights) {
                *byte |= code(*weight) << shift;
            }
        }
    }
}

fn encode_trailer(scale: f32, trailer: &mut [u8]) {
    trailer.fill(0);
    if let Some(bytes) = trailer.first_chunk_mut() {
        *bytes = scale.to_le_bytes();
    }
}
