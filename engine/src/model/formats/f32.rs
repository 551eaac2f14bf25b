//! Single precision: 4 bytes a weight, little-endian.

use super::TensorFormat;

pub(super) static FORMAT: TensorFormat = TensorFormat {
    name: "F32",
    gguf_type: 0,
    block_elements: 1,
    block_bytes: 4,
    trailer_bytes: 0,
    decode,
    ternary: None,
};

fn decode(blocks: &[u8], _trailer: &[u8], out: &mut [f32]) {
    for (weight, bytes) in out.iter_mut().zip(blocks.as_chunks().0) {
        *weight = f32::from_le_bytes(*bytes);
    }
}
