//! Blocks of 32 weights in 24 bytes: scale d and minimum m (f16), then fifth bits and 16 bytes as in Q5_0; a code c stands for
//! d * c + m.

use super::{TensorFormat, q5_0, read_f16};

const ELEMENTS: usize = 32;
const BYTES: usize = 4 + 4 + ELEMENTS / 2;

pub(super) static FORMAT: TensorFormat = TensorFormat {
    name: "Q5_1",
    gguf_type: 7,
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
        let minimum = read_f16([block[2], block[3]]);
        let codes = q5_0::codes([block[4], block[5], block[6], block[7]], &block[8..]);
        for (weight, code) in out.iter_mut().zip(codes) {
            *weight = scale * f32::from(code) + minimum;
        }
    }
}
