//! The GGUF container, versions 2 and 3, little-endian: metadata and tensors of memory-mapped files.
//!
//! Layout (ggml `docs/gguf.md`): magic `GGUF`, version u32, tensor count u64, metadata count u64; the metadata, each key a
//! string, a kind u32, a value; the tensor descriptions, each a name, a count of dimensions u32, the dimensions u64 from
//! the innermost, a type u32, an offset u64; padding to `general.alignment`; then the data that the offsets count from.
//!
//! A file is taken for hostile. Nothing is allocated but one small entry for each key and tensor, after their counts were
//! checked against the bytes that remain; strings, arrays and tensors stay in the file.

mod cursor;
mod map;
mod shard;
mod split;
mod types;
mod value;
mod write;

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::LoadError;
use super::formats::{self, TensorFormat};
use shard::{DEFAULT_ALIGNMENT, Shard, TensorRecord};
use value::Kind;

pub(super) use map::MappedFile;
pub use value::{Array, Value};
pub use write::{GgufFile, WriteError, Written};

/// How many weights a block of I2_S tensors has: 128 or 64. A key of ours; files of bitnet.cpp do not say.
pub(super) const I2_S_BLOCK: &str = "bitbench.i2_s.block";

/// An open model in GGUF, all of whose lengths and offsets were checked: one file, or the parts of a split one.
pub struct Gguf {
    /// At least one; the first holds the metadata.
    shards: Vec<Shard>,
    /// The shard of each tensor and its number there, sorted by name.
    tensors: Vec<(u32, u32)>,
}

impl fmt::Debug for Gguf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (files, tensors) = (self.shards.len(), self.tensors.len());
        write!(
            f,
            "Gguf({:?}, {files} files, {tensors} tensors)",
            self.path()
        )
    }
}

/// A tensor of an open file.
#[derive(Clone, Copy)]
pub struct Tensor<'a> {
    pub(super) file: &'a Arc<MappedFile>,
    pub(super) index: usize,
    record: &'a TensorRecord,
}

impl<'a> Tensor<'a> {
    /// Its name.
    pub fn name(&self) -> &'a str {
        self.record.name.str(self.file)
    }

    /// Its dimensions, the innermost (the columns of a matrix) first: 1 to 4, none 0.
    pub fn dims(&self) -> &'a [u64] {
        self.record
            .dims
            .get(..self.record.dim_count)
            .unwrap_or_default()
    }

    /// How its weights are stored.
    pub fn format(&self) -> &'static TensorFormat {
        self.record.format
    }

    /// Its bytes: the blocks of all rows, then what the format has after them.
    pub fn data(&self) -> &'a [u8] {
        self.file.get(self.range()).unwrap_or_default()
    }

    pub(super) fn range(&self) -> Range<usize> {
        self.record.data.clone()
    }
}

impl Gguf {
    /// Opens and checks a file: all of its head, and that every tensor lies inside it. Where the file is part of a split model,
    /// whichever, all parts are opened.
    ///
    /// Files are mapped, so nobody may truncate or rewrite them while this value, or a model made from it, lives.
    ///
    /// # Errors
    /// [`LoadError`]: unreadable, no GGUF, truncated, damaged, with a tensor type that is not supported, or a part is missing.
    pub fn open(path: impl AsRef<Path>) -> Result<Gguf, LoadError> {
        Self::read(MappedFile::open(path.as_ref())?)
    }

    /// Checks, as [`Gguf::open`] does, a file that is part of the program. Messages call it `name`.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn from_static(name: impl AsRef<Path>, bytes: &'static [u8]) -> Result<Gguf, LoadError> {
        Self::read(MappedFile::from_static(name.as_ref(), bytes))
    }

    /// Checks, as [`Gguf::open`] does, a file that is held in memory. Messages call it `name`.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn from_bytes(name: impl AsRef<Path>, bytes: Vec<u8>) -> Result<Gguf, LoadError> {
        Self::read(MappedFile::from_bytes(name.as_ref(), bytes))
    }

    fn read(file: MappedFile) -> Result<Gguf, LoadError> {
        let shards = split::open_all(Shard::read(file)?)?;
        let mut tensors = Vec::with_capacity(shards.iter().map(|shard| shard.tensors.len()).sum());
        for (at, shard) in (0u32..).zip(&shards) {
            tensors.extend((0u32..).zip(&shard.tensors).map(|(index, _)| (at, index)));
        }
        let mut gguf = Gguf { shards, tensors };
        if gguf.shards.len() > 1 {
            gguf.sort()?;
        }
        let of_64 = |shard: &Shard| shard.holds(formats::I2_S_OF_64);
        match gguf.get(I2_S_BLOCK).map(|value| value.as_u64()) {
            Some(Some(64)) => gguf.read_i2_s_of_arm(),
            None | Some(Some(128)) if gguf.shards.iter().any(of_64) => gguf.read_i2_s_of_arm(),
            None | Some(Some(128)) => (),
            _ => return Err(gguf.damaged(format!("{I2_S_BLOCK} is neither 64 nor 128"))),
        }
        Ok(gguf)
    }

    /// Reads all I2_S tensors in blocks of 64 weights, as bitnet.cpp packs them on ARM, instead of 128, as it does on x86. A file
    /// does not say where it was packed; [`Gguf::notes`] tells what was assumed.
    pub fn read_i2_s_of_arm(&mut self) {
        for tensor in self.shards.iter_mut().flat_map(|shard| &mut shard.tensors) {
            if tensor.format.gguf_type == formats::I2_S_OF_64.gguf_type {
                tensor.format = formats::I2_S_OF_64;
            }
        }
    }

    /// Brings the tensors of several files, each of which has its own sorted, into one order.
    fn sort(&mut self) -> Result<(), LoadError> {
        let mut tensors = std::mem::take(&mut self.tensors);
        let name = |at: &(u32, u32)| {
            let found = self.record(*at);
            found.map_or(&[][..], |(shard, record)| record.name.bytes(&shard.file))
        };
        tensors.sort_unstable_by(|a, b| name(a).cmp(name(b)));
        for pair in tensors.windows(2) {
            if name(&pair[0]) == name(&pair[1]) {
                let name = String::from_utf8_lossy(name(&pair[0])).into_owned();
                return Err(self.damaged(format!("two files of this model have a tensor {name}")));
            }
        }
        self.tensors = tensors;
        Ok(())
    }

    fn record(&self, (shard, index): (u32, u32)) -> Option<(&Shard, &TensorRecord)> {
        let shard = self.shards.get(shard as usize)?;
        Some((shard, shard.tensors.get(index as usize)?))
    }

    fn first(&self) -> &Shard {
        &self.shards[0]
    }

    /// The file; the first of a split model.
    pub fn path(&self) -> &Path {
        self.first().path()
    }

    /// The files, in order.
    pub fn paths(&self) -> impl ExactSizeIterator<Item = &Path> {
        self.shards.iter().map(Shard::path)
    }

    /// Version of the container: 2 or 3.
    pub fn version(&self) -> u32 {
        self.first().version
    }

    /// Bytes of all files.
    pub fn file_bytes(&self) -> u64 {
        self.shards.iter().map(|s| s.file.len() as u64).sum()
    }

    /// What was decided about the files that they do not say themselves, in sentences for the user.
    pub fn notes(&self) -> Vec<String> {
        let mut notes: Vec<String> = self.shards.iter().flat_map(|s| s.notes.clone()).collect();
        let i2_s = formats::by_id(formats::I2_S_OF_64.gguf_type);
        let holds_i2_s = |shard: &Shard| i2_s.is_some_and(|i2_s| shard.holds(i2_s));
        if self.get(I2_S_BLOCK).is_none() && self.shards.iter().any(holds_i2_s) {
            notes.push(
                "I2_S weights are read in blocks of 128, as bitnet.cpp packs them on x86 and published files have them; a file \
                 that was packed on ARM has blocks of 64, does not say so, and gives nonsense until `bitbench model convert \
                 --i2s-of-arm` has made one of it that does"
                    .to_owned(),
            );
        }
        notes
    }

    /// The value of a key of the metadata.
    pub fn get(&self, key: &str) -> Option<Value<'_>> {
        self.first().get(key)
    }

    /// The metadata, sorted by key.
    pub fn metadata(&self) -> impl Iterator<Item = (&str, Value<'_>)> {
        self.first().metadata()
    }

    /// The metadata as stored, sorted by key: the kind and the bytes of each value.
    fn stored_metadata(&self) -> impl Iterator<Item = (&str, Kind, &[u8])> {
        self.first().stored_metadata()
    }

    /// The tensor of this name.
    pub fn tensor(&self, name: &str) -> Option<Tensor<'_>> {
        let order = |at: &(u32, u32)| {
            let found = self.record(*at);
            let found = found.map_or(&[][..], |(shard, record)| record.name.bytes(&shard.file));
            found.cmp(name.as_bytes())
        };
        self.tensor_at(self.tensors.binary_search_by(order).ok()?)
    }

    /// The tensors, sorted by name.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = Tensor<'_>> {
        let tensors = self.tensors.iter().enumerate();
        tensors.map(|(index, (shard, at))| {
            let shard = &self.shards[*shard as usize];
            Tensor {
                file: &shard.file,
                index,
                record: &shard.tensors[*at as usize],
            }
        })
    }

    fn tensor_at(&self, index: usize) -> Option<Tensor<'_>> {
        let (shard, record) = self.record(*self.tensors.get(index)?)?;
        Some(Tensor {
            file: &shard.file,
            index,
            record,
        })
    }

    pub(super) fn damaged(&self, detail: impl Into<String>) -> LoadError {
        self.first().damaged(detail)
    }

    pub(super) fn unsupported(&self, detail: impl Into<String>) -> LoadError {
        self.first().unsupported(detail)
    }
}
