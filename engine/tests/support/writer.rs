//! A writer of GGUF files (ggml `docs/gguf.md`), which also writes what a reader must refuse.

use std::path::Path;

/// Values of the metadata that tests need.
#[derive(Clone)]
pub(crate) enum Kv {
    U16(u16),
    U32(u32),
    F32(f32),
    Bool(bool),
    Str(String),
    Strs(Vec<String>),
    I32s(Vec<i32>),
    F32s(Vec<f32>),
}

/// Name, dimensions (columns first), type and data of a tensor.
pub(crate) type TensorParts = (String, Vec<usize>, u32, Vec<u8>);

/// A file in the making.
pub(crate) struct GgufWriter {
    alignment: usize,
    entries: Vec<(String, Kv)>,
    tensors: Vec<TensorParts>,
}

impl GgufWriter {
    pub(crate) fn new() -> Self {
        GgufWriter {
            alignment: 32,
            entries: Vec::new(),
            tensors: Vec::new(),
        }
    }

    /// Adds a value, or replaces the one of this key.
    pub(crate) fn kv(&mut self, key: &str, value: Kv) {
        self.entries.retain(|entry| entry.0 != key);
        self.entries.push((key.into(), value));
    }

    pub(crate) fn set_alignment(&mut self, alignment: u32) {
        self.alignment = usize::try_from(alignment).unwrap();
        self.kv("general.alignment", Kv::U32(alignment));
    }

    /// Adds a tensor, columns first, or replaces the one of this name.
    pub(crate) fn tensor(&mut self, name: &str, dims: &[usize], type_id: u32, data: Vec<u8>) {
        self.tensors.retain(|tensor| tensor.0 != name);
        self.tensors.push((name.into(), dims.into(), type_id, data));
    }

    /// The same model in `count` files, with names that begin with `stem`: metadata in the first alone.
    pub(crate) fn split(&self, stem: &str, count: u16) -> Vec<(String, GgufWriter)> {
        let share = self.tensors.len().div_ceil(usize::from(count)).max(1);
        let mut tensors = self.tensors.chunks(share);
        let shard = |number: u16| {
            let mut file = GgufWriter::new();
            if number == 0 {
                file.alignment = self.alignment;
                file.entries.clone_from(&self.entries);
            }
            file.kv("split.no", Kv::U16(number));
            file.kv("split.count", Kv::U16(count));
            let all = u32::try_from(self.tensors.len()).unwrap();
            file.kv("split.tensors.count", Kv::U32(all));
            file.tensors = tensors.next().unwrap_or_default().to_vec();
            (format!("{stem}-{:05}-of-{count:05}.gguf", number + 1), file)
        };
        (0..count).map(shard).collect()
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = (&str, &Kv)> {
        self.entries
            .iter()
            .map(|(key, value)| (key.as_str(), value))
    }

    pub(crate) fn tensors(&self) -> &[TensorParts] {
        &self.tensors
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(3u32.to_le_bytes());
        length(&mut out, self.tensors.len());
        length(&mut out, self.entries.len());
        for (key, value) in &self.entries {
            string(&mut out, key);
            write_value(&mut out, value);
        }
        let mut offset = 0;
        for (name, dims, type_id, data) in &self.tensors {
            string(&mut out, name);
            out.extend(u32::try_from(dims.len()).unwrap().to_le_bytes());
            dims.iter().for_each(|dim| length(&mut out, *dim));
            out.extend(type_id.to_le_bytes());
            length(&mut out, offset);
            offset = (offset + data.len()).next_multiple_of(self.alignment);
        }
        for (_, _, _, data) in &self.tensors {
            out.resize(out.len().next_multiple_of(self.alignment), 0);
            out.extend(data);
        }
        out
    }

    pub(crate) fn write(&self, path: &Path) {
        std::fs::write(path, self.bytes()).unwrap();
    }
}

fn length(out: &mut Vec<u8>, length: usize) {
    out.extend((length as u64).to_le_bytes());
}

fn string(out: &mut Vec<u8>, text: &str) {
    length(out, text.len());
    out.extend(text.as_bytes());
}

fn write_value(out: &mut Vec<u8>, value: &Kv) {
    let kind = |out: &mut Vec<u8>, number: u32| out.extend(number.to_le_bytes());
    match value {
        Kv::U16(number) => {
            kind(out, 2);
            out.extend(number.to_le_bytes());
        }
        Kv::U32(number) => {
            kind(out, 4);
            out.extend(number.to_le_bytes());
        }
        Kv::F32(number) => {
            kind(out, 6);
            out.extend(number.to_le_bytes());
        }
        Kv::Bool(truth) => {
            kind(out, 7);
            out.push(u8::from(*truth));
        }
        Kv::Str(text) => {
            kind(out, 8);
            string(out, text);
        }
        Kv::Strs(texts) => {
            kind(out, 9);
            kind(out, 8);
            length(out, texts.len());
            texts.iter().for_each(|text| string(out, text));
        }
        Kv::I32s(numbers) => {
            kind(out, 9);
            kind(out, 5);
            length(out, numbers.len());
            out.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        }
        Kv::F32s(numbers) => {
            kind(out, 9);
            kind(out, 6);
            length(out, numbers.len());
            out.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        }
    }
}
