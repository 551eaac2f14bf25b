//! Half precision (IEEE 754 binary16): 2 bytes a weight, little-endian.

use half::f16;
use half::slice::HalfFloatSliceExt;

use super::{LARGEST_BLOCK, TensorFormat};

pub(super) static FORMAT: TensorFormat = TensorFormat {
    name: "F16",
    gguf_type: 1,
    block_elements: 1,
    block_bytes: 2,
    trailer_bytes: 0,
    decode,
    ternary: None,
};

/// By way of a small aligned buffer, since `half` converts slices with the CPU's own instruction where it has one.
fn decode(blocks: &[u8], _trailer: &[u8], out: &mut [f32]) {
    let mut halves = [f16::ZERO; LARGEST_BLOCK];
    for (out, bytes) in out
        .chunks_mut(LARGEST_BLOCK)
        .zip(blocks.chunks(2 * LARGEST_BLOCK))
    {
        for (half, bytes) in halves.iter_mut().zip(bytes.as_chunks().0) {
            *half = f16::from_le_bytes(*bytes);
        }
        halves[..out.len()].convert_to_f32_slice(out);
    }
}
