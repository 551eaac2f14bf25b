//! Blocks of 32 weights in 34 bytes: scale d (f16), then 32 signed bytes q; weight j is d * q\[j\].

use super::{TensorFormat, read_f16};

const ELEMENTS: usize = 32;
const BYTES: usize = 2 + ELEMENTS;

pub(super) static FORMAT: TensorFormat = TensorFormat {
    name: "Q8_0",
    gguf_type: 8,
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
        let scale = read_f16([block[0], block[1]]);
        for (weight, q) in out.iter_mut().zip(&block[2..]) {
            *weight = scale * f32::from(q.cast_signed());
        }
    }
}
