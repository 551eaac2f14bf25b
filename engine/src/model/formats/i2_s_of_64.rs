//! I2_S as bitnet.cpp writes it on ARM: blocks of 64 weights in 16 bytes; weight j of a block is in byte j % 16 at bits
//! 7-2(j/16) and the one below. Codes and scale are those of I2_S (bitnet.cpp `src/ggml-bitnet-mad.cpp`, `QK_I2_S`).

use super::{Scale, TensorFormat, TernaryView, i2_s};

const ELEMENTS: usize = 64;
const BYTES: usize = ELEMENTS / 4;

pub(super) static FORMAT: TensorFormat = TensorFormat {
    name: "I2_S of ARM",
    gguf_type: 36,
    block_elements: ELEMENTS,
    block_bytes: BYTES,
    trailer_bytes: 32,
    decode: i2_s::decode::<BYTES>,
    ternary: Some(TernaryView {
        decode: i2_s::decode_ternary::<BYTES>,
        has_invalid_code: i2_s::has_invalid_code,
        scale: Scale::Tensor(i2_s::tensor_scale),
    }),
    encode: None,
};
