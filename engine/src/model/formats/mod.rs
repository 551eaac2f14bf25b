//! Formats of stored tensors: a registry, one file for each.
//!
//! Type numbers are those of ggml's `enum ggml_type`, and 36 that of bitnet.cpp. In each layout "f16" is a little-endian
//! half-precision number.

mod bf16;
mod f16;
mod f32;
mod i2_s;
mod i2_s_of_64;
mod iq4_nl;
mod iq4_xs;
mod mxfp4;
mod q2_k;
mod q3_k;
mod q4_0;
mod q4_1;
mod q4_k;
mod q5_0;
mod q5_1;
mod q5_k;
pub(crate) mod q6_k;
mod q8_0;
mod tq1_0;
mod tq2_0;

/// How the weights of a tensor are stored. A row is a whole number of blocks, and rows follow each other.
#[derive(Debug)]
pub struct TensorFormat {
    /// As ggml names it.
    pub name: &'static str,
    /// Its number in a GGUF file.
    pub gguf_type: u32,
    /// Weights of a block; divides [`LARGEST_BLOCK`].
    pub block_elements: usize,
    /// Bytes of a block.
    pub block_bytes: usize,
    /// Bytes that follow the last row of the tensor.
    pub trailer_bytes: usize,
    /// Writes the weights of whole blocks: `(blocks, trailer, out)`, `out` as long as the blocks have weights.
    pub decode: fn(&[u8], &[u8], &mut [f32]),
    /// How to read it as {-1, 0, +1}, where it stores nothing else.
    pub ternary: Option<TernaryView>,
    /// How to write it, where files can be made in it.
    pub encode: Option<Encoder>,
}

/// The weights {-1, 0, +1} of a ternary format, without their scale.
#[derive(Debug)]
pub struct TernaryView {
    /// Writes the weights of whole blocks.
    pub decode: fn(&[u8], &mut [i8]),
    /// Whether whole blocks hold a code that stands for no weight; such a code decodes to some weight all the same.
    pub has_invalid_code: fn(&[u8]) -> bool,
    /// Where the scale is.
    pub scale: Scale,
}

/// Where a ternary format keeps what its weights are multiplied by.
#[derive(Debug)]
pub enum Scale {
    /// One for the tensor, read from the trailer.
    Tensor(fn(&[u8]) -> f32),
    /// One for each block, read from that block.
    Block(fn(&[u8]) -> f32),
}

/// How tensors are written.
#[derive(Debug)]
pub struct Encoder {
    /// `general.file_type` of a file whose linear layers are stored in this format.
    pub file_type: u32,
    /// Which weights it takes, and how.
    pub encode: Encode,
}

/// How weights become blocks.
#[derive(Debug)]
pub enum Encode {
    /// Numbers of any kind.
    Numbers {
        /// Writes whole blocks, each number rounded to the nearest that the format has: `(numbers, blocks)`.
        blocks: fn(&[f32], &mut [u8]),
        /// The largest magnitude that can be written.
        largest: f32,
    },
    /// -1, 0 and +1, with one scale for the tensor.
    Ternary {
        /// Writes whole blocks: `(weights, scale, blocks)`.
        blocks: fn(&[i8], f32, &mut [u8]),
        /// Writes what follows the last row, over [`TensorFormat::trailer_bytes`]: `(scale, trailer)`.
        trailer: fn(f32, &mut [u8]),
    },
}

/// Every format has blocks of this many weights, or fewer that divide it.
pub const LARGEST_BLOCK: usize = 256;

/// All formats, by their number.
pub static FORMATS: &[&TensorFormat] = &[
    &f32::FORMAT,
    &f16::FORMAT,
    &q4_0::FORMAT,
    &q4_1::FORMAT,
    &q5_0::FORMAT,
    &q5_1::FORMAT,
    &q8_0::FORMAT,
    &q2_k::FORMAT,
    &q3_k::FORMAT,
    &q4_k::FORMAT,
    &q5_k::FORMAT,
    &q6_k::FORMAT,
    &iq4_nl::FORMAT,
    &iq4_xs::FORMAT,
    &bf16::FORMAT,
    &tq1_0::FORMAT,
    &tq2_0::FORMAT,
    &i2_s::FORMAT,
    &mxfp4::FORMAT,
];

/// What vectors are written in.
pub(crate) static SINGLE: &TensorFormat = &f32::FORMAT;
/// What embeddings and heads are written in where nothing asks for another.
pub(crate) static HALF: &TensorFormat = &f16::FORMAT;
/// I2_S as bitnet.cpp writes it on ARM; it has the number that it has elsewhere.
pub static I2_S_OF_64: &TensorFormat = &i2_s_of_64::FORMAT;

/// The format of this number.
pub fn by_id(gguf_type: u32) -> Option<&'static TensorFormat> {
    FORMATS
        .iter()
        .copied()
        .find(|format| format.gguf_type == gguf_type)
}

/// The format of this name, written in either case, where files can be made in it.
pub fn writable(name: &str) -> Option<&'static TensorFormat> {
    let named = |format: &&TensorFormat| format.name.eq_ignore_ascii_case(name);
    FORMATS
        .iter()
        .copied()
        .find(|format| named(format) && format.encode.is_some())
}

/// The code of -1, 0 or +1 in the formats that have one: 0, 1 or 2.
fn code(weight: i8) -> u8 {
    (weight + 1).cast_unsigned()
}

/// The half-precision number in the first two bytes.
fn read_f16(bytes: [u8; 2]) -> f32 {
    half::f16::from_le_bytes(bytes).to_f32()
}
