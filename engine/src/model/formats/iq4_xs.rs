//! Blocks of 256 weights in 136 bytes: scale d (f16), 16 bits h (little-endian), 4 bytes l, then 8 times 16 bytes as in IQ4_NL.
//!
//! The k-th 32 weights have a scale of 6 bits: its lower 4 in l\[k / 2\] (the low half for an even k), its upper 2 in h at
//! bits 2k. With a scale t, a level v stands for (d * (t - 32)) * v.

use super::{LARGEST_BLOCK, TensorFormat, iq4_nl, read_f16};

const ELEMENTS: usize = LARGEST_BLOCK;
const HEAD: usize = 8;
const BYTES: usize = HEAD + ELEMENTS / 2;

pub(super) static FORMAT: TensorFormat = TensorFormat {
    name: "IQ4_XS",
    gguf_type: 23,
    block_elements: ELEMENTS,
    block_bytes: BYTES,
    trailer_bytes: 0,
    decode,
    ternary: None,
    encode: None,
};

fn decode(blocks: &[u8], _trailer: &[u8], out: &mut [f32]) {
    let out = out.as_chunks_mut::<ELEMENTS>().0;
    for (out, block) in out.iter_mut().zip(blocks.as_chunks::<BYTES>().0) {
        let d = read_f16([block[0], block[1]]);
        let parts = out.chunks_mut(32).zip(block[HEAD..].chunks(16)).enumerate();
        for (k, (weights, codes)) in parts {
            let low = block[4 + k / 2] >> (4 * (k % 2)) & 0x0f;
            let high = block[2 + k / 4] >> (2 * (k % 4)) & 3;
            let scale = d * (f32::from(low | high << 4) - 32.0);
            for (at, weight) in weights.iter_mut().enumerate() {
                *weight = scale * iq4_nl::level(codes, at);
            }
        }
    }
}
