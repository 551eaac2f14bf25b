//! One file of a model: its head read and checked, its tensors left where they are.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::cursor::Cursor;
use super::types::{self, Types};
use super::value::Kind;
use super::{MappedFile, Value};
use crate::model::LoadError;
use crate::model::formats::TensorFormat;

/// Where a file does not say otherwise (GGUF specification, `general.alignment`).
pub(super) const DEFAULT_ALIGNMENT: u64 = 32;
/// Files use 32; more than a large page is damage.
const LARGEST_ALIGNMENT: u64 = 1 << 21;
/// Key: length, a character, kind, value of a byte.
const SMALLEST_ENTRY: usize = 8 + 1 + 4 + 1;
/// Tensor: length, a character, count of dimensions, one dimension, type, offset.
const SMALLEST_TENSOR: usize = 8 + 1 + 4 + 8 + 4 + 8;

/// A file, all of whose lengths and offsets were checked.
pub(super) struct Shard {
    pub(super) file: Arc<MappedFile>,
    pub(super) version: u32,
    /// Sorted by key.
    entries: Vec<Entry>,
    /// Sorted by name.
    pub(super) tensors: Vec<TensorRecord>,
    /// What was decided that the file does not say.
    pub(super) notes: Vec<String>,
}

struct Entry {
    key: Name,
    kind: Kind,
    value_at: usize,
}

pub(super) struct TensorRecord {
    pub(super) name: Name,
    pub(super) dim_count: usize,
    pub(super) dims: [u64; 4],
    pub(super) format: &'static TensorFormat,
    pub(super) data: Range<usize>,
}

/// Where a name lies in the file, which was found to be UTF-8.
#[derive(Clone, Copy)]
pub(super) struct Name {
    at: usize,
    len: usize,
}

impl Name {
    pub(super) fn bytes(self, file: &[u8]) -> &[u8] {
        file.get(self.at..)
            .and_then(|rest| rest.get(..self.len))
            .unwrap_or_default()
    }

    pub(super) fn str(self, file: &[u8]) -> &str {
        std::str::from_utf8(self.bytes(file)).unwrap_or_default()
    }
}

/// What the head says of a tensor.
struct Description<'a> {
    name: &'a str,
    name_at: usize,
    dim_count: usize,
    dims: [u64; 4],
    type_id: u32,
    offset: u64,
}

impl Shard {
    pub(super) fn read(file: MappedFile) -> Result<Shard, LoadError> {
        let mut cursor = Cursor::new(&file, 0, file.path());
        let version = read_version(&mut cursor, &file)?;
        let tensor_count = cursor.count(SMALLEST_TENSOR, "the list of tensors")?;
        let entry_count = cursor.count(SMALLEST_ENTRY, "the metadata")?;
        let entries = read_entries(&mut cursor, &file, entry_count)?;
        let tensors_at = cursor.at();
        let mut shard = Shard {
            file: Arc::new(file),
            version,
            entries,
            tensors: Vec::new(),
            notes: Vec::new(),
        };
        (shard.tensors, shard.notes) = shard.read_tensors(tensors_at, tensor_count)?;
        Ok(shard)
    }

    pub(super) fn path(&self) -> &Path {
        self.file.path()
    }

    /// Whether a tensor is of this format.
    pub(super) fn holds(&self, format: &'static TensorFormat) -> bool {
        let of = |tensor: &TensorRecord| std::ptr::eq(tensor.format, format);
        self.tensors.iter().any(of)
    }

    pub(super) fn get(&self, key: &str) -> Option<Value<'_>> {
        let found = self
            .entries
            .binary_search_by(|entry| entry.key.bytes(&self.file).cmp(key.as_bytes()))
            .ok()?;
        self.value(self.entries.get(found)?)
    }

    pub(super) fn metadata(&self) -> impl Iterator<Item = (&str, Value<'_>)> {
        self.entries
            .iter()
            .filter_map(|entry| Some((entry.key.str(&self.file), self.value(entry)?)))
    }

    /// The kind and the bytes of each value, sorted by key.
    pub(super) fn stored_metadata(&self) -> impl Iterator<Item = (&str, Kind, &[u8])> {
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

    /// Reads the descriptions of the tensors, from byte `at` of the file, twice: what a type means can depend on where the next
    /// tensor begins.
    fn read_tensors(
        &self,
        at: usize,
        count: usize,
    ) -> Result<(Vec<TensorRecord>, Vec<String>), LoadError> {
        let alignment = self.alignment()?;
        let mut cursor = Cursor::new(&self.file, at, self.path());
        let mut types = Types::with_capacity(count);
        for _ in 0..count {
            let tensor = self.read_description(&mut cursor)?;
            types.see(tensor.type_id, &tensor.dims, tensor.offset);
        }
        let data_at = (cursor.at() as u64).next_multiple_of(alignment);
        types.close((self.file.len() as u64).saturating_sub(data_at));

        let mut cursor = Cursor::new(&self.file, at, self.path());
        let mut tensors = Vec::with_capacity(count);
        for _ in 0..count {
            let tensor = self.read_description(&mut cursor)?;
            tensors.push(self.place(&tensor, &types, alignment, data_at)?);
        }
        let notes = types.notes(&tensors);
        drop(types);
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
        Ok((tensors, notes))
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

    fn read_description<'a>(&self, cursor: &mut Cursor<'a>) -> Result<Description<'a>, LoadError> {
        let (name, name_at) = cursor.name("the name of a tensor")?;
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
        Ok(Description {
            name,
            name_at,
            dim_count,
            dims,
            type_id: cursor.u32("the type of a tensor")?,
            offset: cursor.u64("the offset of a tensor")?,
        })
    }

    /// Finds out what the type of a tensor is and that the file holds all of it; the data of all tensors begin at `data_at`.
    fn place(
        &self,
        tensor: &Description<'_>,
        types: &Types,
        alignment: u64,
        data_at: u64,
    ) -> Result<TensorRecord, LoadError> {
        let (name, dims) = (tensor.name, &tensor.dims);
        let format = types
            .format(tensor.type_id, dims, tensor.offset, alignment)
            .map_err(|reason| self.unsupported(format!("tensor {name} {reason}")))?;
        let bytes = types::stored_bytes(format, dims).ok_or_else(|| {
            self.damaged(format!(
                "tensor {name} has the shape {:?} (columns first), which type {} cannot have: no dimension may be 0 and \
                 a row must be a multiple of {}",
                &dims[..tensor.dim_count],
                format.name,
                format.block_elements
            ))
        })?;
        if !tensor.offset.is_multiple_of(alignment) {
            return Err(self.damaged(format!(
                "tensor {name} is at offset {}, which is not aligned to {alignment}",
                tensor.offset
            )));
        }
        let start = data_at.saturating_add(tensor.offset);
        let end = start.saturating_add(bytes);
        let data = usize::try_from(start).ok().zip(usize::try_from(end).ok());
        let (start, end) = data
            .filter(|(_, end)| *end <= self.file.len())
            .ok_or_else(|| LoadError::Truncated {
                path: self.path().to_owned(),
                what: format!("tensor {name}"),
                start,
                end,
                len: self.file.len() as u64,
            })?;
        Ok(TensorRecord {
            name: Name {
                at: tensor.name_at,
                len: name.len(),
            },
            dim_count: tensor.dim_count,
            dims: tensor.dims,
            format,
            data: start..end,
        })
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
