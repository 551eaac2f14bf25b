//! Single precision: 4 bytes a weight, little-endian.

use super::{Encode, Encoder, TensorFormat};

pub(super) static FORMAT: TensorFormat = TensorFormat {
    name: "F32",
    gguf_type: 0,
    block_elements: 1,
    block_bytes: 4,
    trailer_bytes: 0,
    decode,
    ternary: None,
    encode: Some(Encoder {
        file_type: 0,
        encode: Encode::Numbers {
            blocks: encode,
            largest: f32::MAX,
        },
    }),
};

fn decode(blocks: &[u8], _trailer: &[u8], out: &mut [f32]) {
    for (weight, bytes) in out.iter_mut().zip(blocks.as_chunks().0) {
        *weight = f32::from_le_bytes(*bytes);
    }
}

fn encode(weights: &[f32], blocks: &mut [u8]) {
    for (bytes, weight) in blocks.as_chunks_mut().0.iter_mut().zip(weights) {
        *bytes = weight.to_le_bytes();
    }
}
