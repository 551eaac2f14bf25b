//! Brain float: the upper 2 bytes of a little-endian f32.

use super::TensorFormat;

pub(super) static FORMAT: TensorFormat = TensorFormat {
    name: "BF16",
    gguf_type: 30,
    block_elements: 1,
    block_bytes: 2,
    trailer_bytes: 0,
    decode,
    ternary: None,
};

fn decode(blocks: &[u8], _trailer: &[u8], out: &mut [f32]) {
    for (weight, bytes) in out.iter_mut().zip(blocks.as_chunks().0) {
        *weight = f32::from_bits(u32::from(u16::from_le_bytes(*bytes)) << 16);
    }
}
