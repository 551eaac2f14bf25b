//! Writing GGUF files, version 3: a description first, then the tensors, row by row from where they are.
//!
//! Nothing but the description is held in memory. The file is written under a temporary name beside its own and renamed when
//! it is whole, so that no reader ever meets half a file.

mod contents;
mod partial;

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::value::Kind;
use super::{DEFAULT_ALIGNMENT, Gguf, Tensor};
use crate::model::formats::{SINGLE, TensorFormat};
use crate::weights::LinearWeights;
use contents::Contents;
use partial::PartialFile;

/// Why a file cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// Something is there already.
    #[error("{path} is there already")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The place is taken by something that must not be replaced.
    #[error("{path} is not a regular file, and is not replaced")]
    NotAFile {
        /// What is there.
        path: PathBuf,
    },
    /// The system refuses; nothing was left behind.
    #[error("cannot write {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No tool has a name for such a network in a file.
    #[error(
        "GGUF files have no name for a network of this family ({family}), so none can be written"
    )]
    NoName {
        /// The family.
        family: String,
    },
    /// A format cannot hold a tensor.
    #[error("tensor {tensor} cannot be stored as {format}: {reason}")]
    Unfit {
        /// The tensor.
        tensor: String,
        /// The format.
        format: &'static str,
        /// Why not.
        reason: String,
    },
    /// It was asked to stop; nothing was left behind.
    #[error("stopped before {path} was whole; nothing was written")]
    Stopped {
        /// The file.
        path: PathBuf,
    },
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Written {
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Tensors in it.
    pub tensors: usize,
    /// How far a scale of ternary weights moved at most when it was rounded to what a format holds, relative to itself.
    pub scale_rounding: f32,
}

/// A file in the making: metadata, and where the weights of each tensor come from.
#[derive(Debug, Default)]
pub struct GgufFile<'a> {
    entries: u64,
    metadata: Vec<u8>,
    tensors: Vec<NewTensor<'a>>,
    scale_rounding: f32,
}

#[derive(Debug)]
struct NewTensor<'a> {
    name: String,
    /// Columns first.
    dims: Vec<u64>,
    format: &'static TensorFormat,
    contents: Contents<'a>,
    bytes: u64,
}

impl<'a> GgufFile<'a> {
    /// A file without anything in it.
    pub fn new() -> GgufFile<'a> {
        GgufFile::default()
    }

    /// Adds a string to the metadata. No key may be added twice.
    pub fn string(&mut self, key: &str, value: &str) {
        self.entry(key, Kind::String);
        self.put_string(value);
    }

    /// Adds an integer.
    pub fn u32(&mut self, key: &str, value: u32) {
        self.entry(key, Kind::U32);
        self.metadata.extend(value.to_le_bytes());
    }

    /// Adds a number in single precision.
    pub fn f32(&mut self, key: &str, value: f32) {
        self.entry(key, Kind::F32);
        self.metadata.extend(value.to_le_bytes());
    }

    /// Adds a truth value.
    pub fn bool(&mut self, key: &str, value: bool) {
        self.entry(key, Kind::Bool);
        self.metadata.push(u8::from(value));
    }

    /// Adds a list of strings.
    pub fn strings<'s>(&mut self, key: &str, values: impl ExactSizeIterator<Item = &'s str>) {
        self.array(key, Kind::String, values.len());
        values.for_each(|value| self.put_string(value));
    }

    /// Adds a list of integers.
    pub fn i32s(&mut self, key: &str, values: impl ExactSizeIterator<Item = i32>) {
        self.array(key, Kind::I32, values.len());
        self.metadata.extend(values.flat_map(i32::to_le_bytes));
    }

    /// Adds a list of numbers in single precision.
    pub fn f32s(&mut self, key: &str, values: impl ExactSizeIterator<Item = f32>) {
        self.array(key, Kind::F32, values.len());
        self.metadata.extend(values.flat_map(f32::to_le_bytes));
    }

    /// Copies what `wanted` says yes to from the metadata of another file, kind and bytes as they are.
    pub fn copy_metadata(&mut self, from: &Gguf, mut wanted: impl FnMut(&str) -> bool) {
        for (key, kind, bytes) in from.stored_metadata().filter(|(key, _, _)| wanted(key)) {
            self.entry(key, kind);
            self.metadata.extend(bytes);
        }
    }

    fn entry(&mut self, key: &str, kind: Kind) {
        self.entries += 1;
        self.put_string(key);
        self.metadata.extend(kind.number().to_le_bytes());
    }

    fn array(&mut self, key: &str, element: Kind, len: usize) {
        self.entry(key, Kind::Array);
        self.metadata.extend(element.number().to_le_bytes());
        self.metadata.extend((len as u64).to_le_bytes());
    }

    fn put_string(&mut self, text: &str) {
        put_string(&mut self.metadata, text);
    }

    /// Adds a tensor of another file, byte for byte. No name may be added twice.
    pub fn stored(&mut self, tensor: &Tensor<'a>) {
        let contents = Contents::Stored(tensor.data());
        self.tensors.push(NewTensor {
            name: tensor.name().to_owned(),
            dims: tensor.dims().to_vec(),
            format: tensor.format(),
            bytes: tensor.data().len() as u64,
            contents,
        });
    }

    /// Adds a vector of numbers in single precision.
    pub fn vector(&mut self, name: &str, numbers: &'a [f32]) {
        self.tensors.push(NewTensor {
            name: name.to_owned(),
            dims: vec![numbers.len() as u64],
            format: SINGLE,
            bytes: (size_of_val(numbers)) as u64,
            contents: Contents::Vector(numbers),
        });
    }

    /// Adds a matrix, to be stored in a format that has an encoder.
    ///
    /// # Errors
    /// [`WriteError::Unfit`] where the format has no encoder, takes rows of other lengths, takes ternary weights only and
    /// these are not, or cannot hold the scale of these.
    pub fn matrix(
        &mut self,
        name: &str,
        weights: &LinearWeights,
        format: &'static TensorFormat,
    ) -> Result<(), WriteError> {
        let unfit = |reason| WriteError::Unfit {
            tensor: name.to_owned(),
            format: format.name,
            reason,
        };
        let (rows, cols) = (weights.rows(), weights.cols());
        let contents = Contents::encoded(weights, format).map_err(unfit)?;
        if let LinearWeights::Ternary(matrix) = weights {
            let moved = contents::scale_rounding(matrix.scale(), format).map_err(unfit)?;
            self.scale_rounding = self.scale_rounding.max(moved);
        }
        let blocks = rows as u64 * (cols / format.block_elements) as u64;
        self.tensors.push(NewTensor {
            name: name.to_owned(),
            dims: vec![cols as u64, rows as u64],
            format,
            bytes: blocks * format.block_bytes as u64 + format.trailer_bytes as u64,
            contents,
        });
        Ok(())
    }

    /// Writes the file. Where `replace` is false nothing may be there; `go_on` is asked every few megabytes.
    ///
    /// # Errors
    /// See [`WriteError`]. After an error the place is as it was.
    pub fn write(
        &self,
        path: &Path,
        replace: bool,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Written, WriteError> {
        let io_error = |source| WriteError::Io {
            path: path.to_owned(),
            source,
        };
        let partial = PartialFile::create(path, replace)?;
        let mut out = Counted {
            out: BufWriter::with_capacity(1 << 20, partial.file()),
            bytes: 0,
        };
        out.write_all(&self.head()).map_err(io_error)?;
        out.align().map_err(io_error)?;
        for tensor in &self.tensors {
            let unfit = |reason| WriteError::Unfit {
                tensor: tensor.name.clone(),
                format: tensor.format.name,
                reason,
            };
            let end = out.bytes + tensor.bytes;
            let mut write = |piece: &[u8]| {
                if go_on() {
                    return out.write_all(piece).map_err(io_error);
                }
                Err(WriteError::Stopped {
                    path: path.to_owned(),
                })
            };
            tensor
                .contents
                .each_piece(tensor.format, &mut write, &unfit)?;
            debug_assert_eq!(out.bytes, end, "{}", tensor.name);
            out.align().map_err(io_error)?;
        }
        out.flush().map_err(io_error)?;
        let file_bytes = out.bytes;
        drop(out);
        partial.finish()?;
        Ok(Written {
            file_bytes,
            tensors: self.tensors.len(),
            scale_rounding: self.scale_rounding,
        })
    }

    /// The bytes of a file with this metadata and no tensors.
    pub fn without_tensors(&self) -> Vec<u8> {
        let metadata_only = GgufFile {
            entries: self.entries,
            metadata: self.metadata.clone(),
            ..GgufFile::default()
        };
        let mut bytes = metadata_only.head();
        while !(bytes.len() as u64).is_multiple_of(DEFAULT_ALIGNMENT) {
            bytes.push(0);
        }
        bytes
    }

    /// All that comes before the data.
    fn head(&self) -> Vec<u8> {
        let mut head = b"GGUF".to_vec();
        head.extend(3u32.to_le_bytes());
        head.extend((self.tensors.len() as u64).to_le_bytes());
        head.extend(self.entries.to_le_bytes());
        head.extend(&self.metadata);
        let mut offset = 0u64;
        for tensor in &self.tensors {
            put_string(&mut head, &tensor.name);
            #[expect(clippy::cast_possible_truncation, reason = "at most four")]
            let dim_count = tensor.dims.len() as u32;
            head.extend(dim_count.to_le_bytes());
            head.extend(tensor.dims.iter().flat_map(|dim| dim.to_le_bytes()));
            head.extend(tensor.format.gguf_type.to_le_bytes());
            head.extend(offset.to_le_bytes());
            offset = (offset + tensor.bytes).next_multiple_of(DEFAULT_ALIGNMENT);
        }
        head
    }
}

fn put_string(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

/// What counts the bytes that go through it.
struct Counted<W> {
    out: W,
    bytes: u64,
}

impl<W: Write> Counted<W> {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    fn align(&mut self) -> io::Result<()> {
        while !self.bytes.is_multiple_of(DEFAULT_ALIGNMENT) {
            self.write_all(&[0])?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
