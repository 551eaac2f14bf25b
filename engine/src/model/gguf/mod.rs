//! The GGUF container, versions 2 and 3, little-endian: metadata and tensors of a memory-mapped file.
//!
//! Layout (ggml `docs/gguf.md`): magic `GGUF`, version u32, tensor count u64, metadata count u64; the metadata, each key a
//! string, a kind u32, a value; the tensor descriptions, each a name, a count of dimensions u32, the dimensions u64 from
//! the innermost, a type u32, an offset u64; padding to `general.alignment`; then the data that the offsets count from.
//!
//! A file is taken for hostile. Nothing is allocated but one small entry for each key and tensor, after their counts were
//! checked against the bytes that remain; strings, arrays and tensors stay in the file.

mod cursor;
mod map;
mod value;
mod write;

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::LoadError;
use super::formats::{self, TensorFormat};
use cursor::Cursor;
use value::Kind;

pub(super) use map::MappedFile;
pub use value::{Array, Value};
pub use write::{GgufFile, WriteError, Written};

/// Where a file does not say otherwise (GGUF specification, `general.alignment`).
const DEFAULT_ALIGNMENT: u64 = 32;
/// Files use 32; more than a large page is damage.
const LARGEST_ALIGNMENT: u64 = 1 << 21;
/// Key: length, a character, kind, value of a byte.
const SMALLEST_ENTRY: usize = 8 + 1 + 4 + 1;
/// Tensor: length, a character, count of dimensions, one dimension, type, offset.
const SMALLEST_TENSOR: usize = 8 + 1 + 4 + 8 + 4 + 8;

/// An open GGUF file, all of whose lengths and offsets were checked.
pub struct Gguf {
    file: Arc<MappedFile>,
    version: u32,
    /// Sorted by key.
    entries: Vec<Entry>,
    /// Sorted by name.
    tensors: Vec<TensorRecord>,
}

impl fmt::Debug for Gguf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (keys, tensors) = (self.entries.len(), self.tensors.len());
        write!(f, "Gguf({:?}, {keys} keys, {tensors} tensors)", self.path())
    }
}

struct Entry {
    key: Name,
    kind: Kind,
    value_at: usize,
}

struct TensorRecord {
    name: Name,
    dim_count: usize,
    dims: [u64; 4],
    format: &'static TensorFormat,
    data: Range<usize>,
}

/// Where a name lies in the file, which was found to be UTF-8.
#[derive(Clone, Copy)]
struct Name {
    at: usize,
    len: usize,
}

impl Name {
    fn bytes(self, file: &[u8]) -> &[u8] {
        file.get(self.at..)
            .and_then(|rest| rest.get(..self.len))
            .unwrap_or_default()
    }

    fn str(self, file: &[u8]) -> &str {
        std::str::from_utf8(self.bytes(file)).unwrap_or_default()
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
    /// Opens and checks a file: all of its head, and that every tensor lies inside it.
    ///
    /// The file is mapped, so nobody may truncate or rewrite it while this value, or a model made from it, lives.
    ///
    /// # Errors
    /// [`LoadError`]: unreadable, no GGUF, truncated, damaged, or with a tensor type that is not supported.
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

    fn read(file: MappedFile) -> Result<Gguf, LoadError> {
        let mut cursor = Cursor::new(&file, 0, file.path());
        let version = read_version(&mut cursor, &file)?;
        let tensor_count = cursor.count(SMALLEST_TENSOR, "the list of tensors")?;
        let entry_count = cursor.count(SMALLEST_ENTRY, "the metadata")?;
        let entries = read_entries(&mut cursor, &file, entry_count)?;
        let tensors_at = cursor.at();
        let mut gguf = Gguf {
            file: Arc::new(file),
            version,
            entries,
            tensors: Vec::new(),
        };
        gguf.tensors = gguf.read_tensors(tensors_at, tensor_count)?;
        Ok(gguf)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Version of the container: 2 or 3.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Bytes of the file.
    pub fn file_bytes(&self) -> u64 {
        self.file.len() as u64
    }

    /// The value of a key of the metadata.
    pub fn get(&self, key: &str) -> Option<Value<'_>> {
        let found = self
            .entries
            .binary_search_by(|entry| entry.key.bytes(&self.file).cmp(key.as_bytes()))
            .ok()?;
        self.value(self.entries.get(found)?)
    }

    /// The metadata, sorted by key.
    pub fn metadata(&self) -> impl Iterator<Item = (&str, Value<'_>)> {
        self.entries
            .iter()
            .filter_map(|entry| Some((entry.key.str(&self.file), self.value(entry)?)))
    }

    /// The metadata as stored, sorted by key: the kind and the bytes of each value.
    fn stored_metadata(&self) -> impl Iterator<Item = (&str, Kind, &[u8])> {
        self.entries.iter().filter_map(|entry| {
            let key = entry.key.str(&self.file);
            let mut cursor = Cursor::new(&self.file, entry.value_at, self.path());
            // It was passed over when the file was opened.
            cursor.skip_value(entry.kind, key).ok()?;
            let bytes = self.file.get(entry.value_at..cursor.at())?;
            Some((key, entry.kind, bytes))
        })
    }

    fn value(&self, entry: &Entry) -> Option<Value<'_>> {
        Value::read(entry.kind, self.file.get(entry.value_at..)?)
    }

    /// The tensor of this name.
    pub fn tensor(&self, name: &str) -> Option<Tensor<'_>> {
        let index = self
            .tensors
            .binary_search_by(|tensor| tensor.name.bytes(&self.file).cmp(name.as_bytes()))
            .ok()?;
        Some(self.tensor_at(index, self.tensors.get(index)?))
    }

    /// The tensors, sorted by name.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = Tensor<'_>> {
        let records = self.tensors.iter().enumerate();
        records.map(|(index, record)| self.tensor_at(index, record))
    }

    fn tensor_at<'a>(&'a self, index: usize, record: &'a TensorRecord) -> Tensor<'a> {
        Tensor {
            file: &self.file,
            index,
            record,
        }
    }

    pub(super) fn damaged(&self, detail: impl Into<String>) -> LoadError {
        LoadError::Damaged {
            path: self.path().to_owned(),
            detail: detail.into(),
        }
    }

    pub(super) fn unsupported(&self, detail: impl Into<String>) -> LoadError {
        LoadError::Unsupported {
            path: self.path().to_owned(),
            detail: detail.into(),
        }
    }

    /// Reads the descriptions of the tensors, from byte `at` of the file.
    fn read_tensors(&self, at: usize, count: usize) -> Result<Vec<TensorRecord>, LoadError> {
        let alignment = self.alignment()?;
        let mut cursor = Cursor::new(&self.file, at, self.path());
        let mut tensors = Vec::with_capacity(count);
        for _ in 0..count {
            tensors.push(self.read_tensor(&mut cursor, alignment)?);
        }
        let data_at = (cursor.at() as u64).next_multiple_of(alignment);
        for tensor in &mut tensors {
            self.place(tensor, data_at)?;
        }

        tensors.sort_unstable_by_key(|tensor| tensor.data.start);
        for pair in tensors.windows(2) {
            if pair[0].data.end > pair[1].data.start {
                let [first, second] = [pair[0].name, pair[1].name].map(|name| name.str(&self.file));
                return Err(self.damaged(format!("tensors {first} and {second} overlap")));
            }
        }
        let name = |tensor: &TensorRecord| tensor.name.bytes(&self.file);
        tensors.sort_unstable_by(|a, b| name(a).cmp(name(b)));
        for pair in tensors.windows(2) {
            if name(&pair[0]) == name(&pair[1]) {
                let name = pair[0].name.str(&self.file);
                return Err(self.damaged(format!("two tensors are named {name}")));
            }
        }
        Ok(tensors)
    }

    fn alignment(&self) -> Result<u64, LoadError> {
        let Some(value) = self.get("general.alignment") else {
            return Ok(DEFAULT_ALIGNMENT);
        };
        value
            .as_u64()
            .filter(|alignment| alignment.is_power_of_two() && *alignment <= LARGEST_ALIGNMENT)
            .ok_or_else(|| {
                self.damaged(format!(
                    "general.alignment is {value:?}; a power of two up to {LARGEST_ALIGNMENT} was expected"
                ))
            })
    }

    /// Reads one description; `data` holds its offset and size until [`Gguf::place`] knows where the data begins.
    fn read_tensor(
        &self,
        cursor: &mut Cursor<'_>,
        alignment: u64,
    ) -> Result<TensorRecord, LoadError> {
        let (name, at) = cursor.name("the name of a tensor")?;
        let dim_count = cursor.u32("the dimensions of a tensor")?;
        if !(1..=4).contains(&dim_count) {
            return Err(self.damaged(format!(
                "tensor {name} has {dim_count} dimensions; 1 to 4 were expected"
            )));
        }
        let mut dims = [1; 4];
        let dim_count = dim_count as usize;
        for dim in dims.iter_mut().take(dim_count) {
            *dim = cursor.u64("the dimensions of a tensor")?;
        }
        let type_id = cursor.u32("the type of a tensor")?;
        let offset = cursor.u64("the offset of a tensor")?;

        let format = formats::by_id(type_id).ok_or_else(|| {
            let known: Vec<&str> = formats::FORMATS.iter().map(|format| format.name).collect();
            self.unsupported(format!(
                "tensor {name} has type {type_id}, which is not supported; supported are {}",
                known.join(", ")
            ))
        })?;
        let bytes = stored_bytes(format, &dims).ok_or_else(|| {
            self.damaged(format!(
                "tensor {name} has the shape {:?} (columns first), which type {} cannot have: no dimension may be 0 and \
                 a row must be a multiple of {}",
                &dims[..dim_count],
                format.name,
                format.block_elements
            ))
        })?;
        if !offset.is_multiple_of(alignment) {
            return Err(self.damaged(format!(
                "tensor {name} is at offset {offset}, which is not aligned to {alignment}"
            )));
        }
        let outside = || LoadError::Truncated {
            path: self.path().to_owned(),
            what: format!("tensor {name}"),
            start: offset,
            end: offset.saturating_add(bytes),
            len: self.file_bytes(),
        };
        let end = offset.checked_add(bytes).ok_or_else(outside)?;
        Ok(TensorRecord {
            name: Name {
                at,
                len: name.len(),
            },
            dim_count,
            dims,
            format,
            data: usize::try_from(offset).map_err(|_| outside())?
                ..usize::try_from(end).map_err(|_| outside())?,
        })
    }

    /// Moves `data` from the start of all data to the start of the file.
    fn place(&self, tensor: &mut TensorRecord, data_at: u64) -> Result<(), LoadError> {
        let moved = |offset: usize| data_at.saturating_add(offset as u64);
        let (start, end) = (moved(tensor.data.start), moved(tensor.data.end));
        let truncated = || LoadError::Truncated {
            path: self.path().to_owned(),
            what: format!("tensor {}", tensor.name.str(&self.file)),
            start,
            end,
            len: self.file_bytes(),
        };
        if end > self.file_bytes() {
            return Err(truncated());
        }
        tensor.data = usize::try_from(start).map_err(|_| truncated())?
            ..usize::try_from(end).map_err(|_| truncated())?;
        Ok(())
    }
}

fn read_version(cursor: &mut Cursor<'_>, file: &MappedFile) -> Result<u32, LoadError> {
    let not_gguf = |detail: String| LoadError::NotGguf {
        path: file.path().to_owned(),
        detail,
    };
    if file.is_empty() {
        return Err(not_gguf("the file is empty; download it again".into()));
    }
    if !file.starts_with(b"GGUF") {
        return Err(not_gguf(
            "this is not a GGUF file: it does not begin with GGUF".into(),
        ));
    }
    cursor.take(4, "the head of the file")?;
    let version = cursor.u32("the head of the file")?;
    match version {
        2 | 3 => Ok(version),
        // The version of a big-endian file, read in the wrong order.
        _ if version & 0xffff == 0 => Err(not_gguf(
            "this is a big-endian GGUF file, and only little-endian ones are supported; convert it"
                .into(),
        )),
        _ => Err(not_gguf(format!(
            "this is a GGUF file of version {version}, and versions 2 and 3 are supported; convert the model again"
        ))),
    }
}

fn read_entries(
    cursor: &mut Cursor<'_>,
    file: &MappedFile,
    count: usize,
) -> Result<Vec<Entry>, LoadError> {
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        let (key, at) = cursor.name("a key of the metadata")?;
        let kind = cursor.kind(key)?;
        let value_at = cursor.at();
        cursor.skip_value(kind, key)?;
        entries.push(Entry {
            key: Name { at, len: key.len() },
            kind,
            value_at,
        });
    }
    let key = |entry: &Entry| entry.key.bytes(file);
    entries.sort_unstable_by(|a, b| key(a).cmp(key(b)));
    for pair in entries.windows(2) {
        if key(&pair[0]) == key(&pair[1]) {
            let key = pair[0].key.str(file);
            return Err(cursor.damaged(format!("the metadata has the key {key} twice")));
        }
    }
    Ok(entries)
}

/// Bytes of a tensor; none where its shape is impossible.
fn stored_bytes(format: &TensorFormat, dims: &[u64; 4]) -> Option<u64> {
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
