//! Blocks of 32 weights in 20 bytes: scale d and minimum m (f16), then 16 bytes q; the low half of q\[j\] is weight j, the
//! high half weight j + 16, and a half h stands for d * h + m.

use super::{TensorFormat, read_f16};

const ELEMENTS: usize = 32;
const BYTES: usize = 4 + ELEMENTS / 2;

pub(super) static FORMAT: TensorFormat = TensorFormat {
    name: "Q4_1",
    gguf_type: 3,
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
        let weight = |half: u8| scale * f32::from(half) + minimum;
        let (low, high) = out.split_at_mut(ELEMENTS / 2);
        for ((low, high), q) in low.iter_mut().zip(high).zip(&block[4..]) {
            *low = weight(q & 0x0f);
            *high = weight(q >> 4);
        }
    }
}
