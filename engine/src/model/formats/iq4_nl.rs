//! Blocks of 32 weights in 18 bytes: scale d (f16), then 16 bytes q; the low half of q\[j\] is weight j, the high half
//! weight j + 16, and a half h stands for d times the h-th of sixteen levels that are dense around zero.

use super::{TensorFormat, read_f16};

const ELEMENTS: usize = 32;
const BYTES: usize = 2 + ELEMENTS / 2;

/// What the codes stand for (ggml `kvalues_iq4nl`).
const LEVELS: [i8; 16] = [
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
];

pub(super) static FORMAT: TensorFormat = TensorFormat {
    name: "IQ4_NL",
    gguf_type: 20,
    block_elements: ELEMENTS,
    block_bytes: BYTES,
    trailer_bytes: 0,
    decode,
    ternary: None,
    encode: None,
};

/// The level of a weight among 32, whose codes are these 16 bytes.
pub(super) fn level(codes: &[u8], at: usize) -> f32 {
    let code = codes[at % 16] >> (at / 16 * 4) & 0x0f;
    f32::from(LEVELS[usize::from(code)])
}

fn decode(blocks: &[u8], _trailer: &[u8], out: &mut [f32]) {
    let out = out.as_chunks_mut::<ELEMENTS>().0;
    for (out, block) in out.iter_mut().zip(blocks.as_chunks::<BYTES>().0) {
        let scale = read_f16([block[0], block[1]]);
        for (at, weight) in out.iter_mut().enumerate() {
            *weight = scale * level(&block[2..], at);
        }
    }
}
