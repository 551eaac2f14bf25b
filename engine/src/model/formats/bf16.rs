//! Brain float: the upper 2 bytes of a little-endian f32.

use super::{Encode, Encoder, TensorFormat};
use crate::weights::round_bf16;

pub(super) static FORMAT: TensorFormat = TensorFormat {
    name: "BF16",
    gguf_type: 30,
    block_elements: 1,
    block_bytes: 2,
    trailer_bytes: 0,
    decode,
    ternary: None,
    encode: Some(Encoder {
        file_type: 32,
        encode: Encode::Numbers {
            blocks: encode,
            // The largest bfloat16: what is larger would round to infinity, or to this number at best.
            largest: f32::from_bits(0x7f7f_0000),
        },
    }),
};

fn decode(blocks: &[u8], _trailer: &[u8], out: &mut [f32]) {
    for (weight, bytes) in out.iter_mut().zip(blocks.as_chunks().0) {
        *weight = f32::from_bits(u32::from(u16::from_le_bytes(*bytes)) << 16);
    }
}

fn encode(weights: &[f32], blocks: &mut [u8]) {
    for (bytes, weight) in blocks.as_chunks_mut().0.iter_mut().zip(weights) {
        *bytes = round_bf16(*weight).to_le_bytes();
    }
}
