//! What the type numbers of one file stand for.
//!
//! llama.cpp and bitnet.cpp number some types alike: 39 is MXFP4 to the one and TL2 to the other, and 36 to 38 are bitnet.cpp's
//! where llama.cpp's were withdrawn. Which is meant shows in the bytes from a tensor to the next: MXFP4 takes 4.25 bits for a
//! weight, TL2 some 1.7. An I2_S tensor has blocks of 128 weights where x86 packed it and of 64 where ARM did; a file does not
//! say which, unless its rows are multiples of 64 alone.

use super::shard::TensorRecord;
use crate::model::formats::{self, TensorFormat};

const I2_S: u32 = 36;
const TL1: u32 = 38;
/// MXFP4 in files of llama.cpp, TL2 in files of bitnet.cpp.
const MXFP4_OR_TL2: u32 = 39;

/// What the tensors of a file say together.
pub(super) struct Types {
    /// Sorted; the last is the end of the file.
    offsets: Vec<u64>,
    i2_s_of_64: bool,
}

impl Types {
    pub(super) fn with_capacity(tensors: usize) -> Self {
        Types {
            offsets: Vec::with_capacity(tensors + 1),
            i2_s_of_64: false,
        }
    }

    pub(super) fn see(&mut self, type_id: u32, dims: &[u64; 4], offset: u64) {
        self.offsets.push(offset);
        self.i2_s_of_64 |= type_id == I2_S && dims[0] % 128 == 64;
    }

    /// All tensors were seen; the data end at offset `end`.
    pub(super) fn close(&mut self, end: u64) {
        self.offsets.push(end);
        self.offsets.sort_unstable();
    }

    /// Bytes from an offset to the next tensor or the end of the file.
    fn room(&self, offset: u64) -> u64 {
        let next = self.offsets.partition_point(|other| *other <= offset);
        self.offsets.get(next).map_or(0, |next| next - offset)
    }

    /// The format of a tensor.
    ///
    /// # Errors
    /// What it is that cannot be read, to follow the name of the tensor.
    pub(super) fn format(
        &self,
        type_id: u32,
        dims: &[u64; 4],
        offset: u64,
        alignment: u64,
    ) -> Result<&'static TensorFormat, String> {
        let tiles = |name: &str| {
            format!(
                "is stored as {name}, in tiles that bitnet.cpp generates for one model and one kind of CPU, and a file does not \
                 say which; use the I2_S file of the model (ggml-model-i2_s.gguf; `setup_env.py --quant-type i2_s` makes one)"
            )
        };
        match type_id {
            TL1 => Err(tiles("TL1")),
            MXFP4_OR_TL2 if self.holds_tl2(dims, offset, alignment) => Err(tiles("TL2")),
            I2_S if self.i2_s_of_64 => Ok(formats::I2_S_OF_64),
            _ => formats::by_id(type_id).ok_or_else(|| {
                let known: Vec<&str> = formats::FORMATS.iter().map(|format| format.name).collect();
                format!(
                    "has type {type_id}, which is not supported; supported are {}",
                    known.join(", ")
                )
            }),
        }
    }

    /// Whether the next tensor begins where one of TL2 would end.
    fn holds_tl2(&self, dims: &[u64; 4], offset: u64, alignment: u64) -> bool {
        let room = self.room(offset);
        tl2_bytes(dims).is_some_and(|bytes| (bytes..bytes + 2 * alignment).contains(&room))
    }

    /// What was decided about these tensors that the file does not say.
    pub(super) fn notes(&self, tensors: &[TensorRecord]) -> Vec<String> {
        let mut notes = Vec::new();
        if self.i2_s_of_64 {
            notes.push(
                "the rows of I2_S tensors are no multiples of 128, so they are read in blocks of 64, as bitnet.cpp packs them on \
                 ARM"
                    .to_owned(),
            );
        }
        let mxfp4 = |tensor: &&TensorRecord| tensor.format.gguf_type == MXFP4_OR_TL2;
        let count = tensors.iter().filter(mxfp4).count();
        if count > 0 {
            notes.push(format!(
                "{count} tensors of type 39 are read as llama.cpp's MXFP4, whose bytes they take; bitnet.cpp numbers its TL2 so"
            ));
        }
        notes
    }
}

/// Bytes of a TL2 tensor and its scale: all columns but 256 by threes in 5 bits, the others by pairs in 4 (bitnet.cpp,
/// `ggml_nbytes`).
fn tl2_bytes(dims: &[u64; 4]) -> Option<u64> {
    let threes = dims[0].checked_sub(256)?.checked_mul(dims[1])? / 3;
    let pairs = dims[1].checked_mul(128)?;
    let bytes = (threes.checked_mul(5)? / 8).checked_add(pairs / 2)?;
    bytes.checked_next_multiple_of(32)?.checked_add(32)
}

/// Bytes of a tensor; none where its shape is impossible.
pub(super) fn stored_bytes(format: &TensorFormat, dims: &[u64; 4]) -> Option<u64> {
    let block = format.block_elements as u64;
    let elements = dims
        .iter()
        .try_fold(1u64, |product, dim| product.checked_mul(*dim))?;
    if elements == 0 || !dims[0].is_multiple_of(block) {
        return None;
    }
    (elements / block)
        .checked_mul(format.block_bytes as u64)?
        .checked_add(format.trailer_bytes as u64)
}
