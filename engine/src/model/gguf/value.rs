//! Values of the metadata, as views of the mapped file: a token list of 128 thousand strings costs no memory.

/// Kinds of value, numbered as in the GGUF specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    String,
    Array,
    U64,
    I64,
    F64,
}

impl Kind {
    pub(super) fn from_number(number: u32) -> Option<Kind> {
        const KINDS: [Kind; 13] = [
            Kind::U8,
            Kind::I8,
            Kind::U16,
            Kind::I16,
            Kind::U32,
            Kind::I32,
            Kind::F32,
            Kind::Bool,
            Kind::String,
            Kind::Array,
            Kind::U64,
            Kind::I64,
            Kind::F64,
        ];
        KINDS.get(usize::try_from(number).ok()?).copied()
    }

    pub(super) fn number(self) -> u32 {
        self as u32
    }

    /// Bytes of a value, where all values of this kind have the same.
    pub(super) fn bytes(self) -> Option<usize> {
        match self {
            Kind::U8 | Kind::I8 | Kind::Bool => Some(1),
            Kind::U16 | Kind::I16 => Some(2),
            Kind::U32 | Kind::I32 | Kind::F32 => Some(4),
            Kind::U64 | Kind::I64 | Kind::F64 => Some(8),
            Kind::String | Kind::Array => None,
        }
    }

    /// Bytes that a value takes at least: a string has a length, an array a kind and a count.
    pub(super) fn smallest_bytes(self) -> usize {
        match self {
            Kind::Array => 12,
            kind => kind.bytes().unwrap_or(8),
        }
    }
}

/// A value of the metadata.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Value<'a> {
    /// An integer of any width and sign.
    Integer(i128),
    /// A number in floating point, of 4 or 8 bytes.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// The bytes of a string; UTF-8 by the specification, which only [`Value::as_str`] checks.
    String(&'a [u8]),
    /// An array.
    Array(Array<'a>),
}

impl<'a> Value<'a> {
    /// Reads the value at the start of `bytes`, which were checked when the file was opened.
    pub(super) fn read(kind: Kind, bytes: &'a [u8]) -> Option<Value<'a>> {
        Some(match kind {
            Kind::U8 => Value::Integer(i128::from(*bytes.first()?)),
            Kind::I8 => Value::Integer(i128::from(bytes.first()?.cast_signed())),
            Kind::U16 => Value::Integer(i128::from(u16::from_le_bytes(*bytes.first_chunk()?))),
            Kind::I16 => Value::Integer(i128::from(i16::from_le_bytes(*bytes.first_chunk()?))),
            Kind::U32 => Value::Integer(i128::from(u32::from_le_bytes(*bytes.first_chunk()?))),
            Kind::I32 => Value::Integer(i128::from(i32::from_le_bytes(*bytes.first_chunk()?))),
            Kind::U64 => Value::Integer(i128::from(u64::from_le_bytes(*bytes.first_chunk()?))),
            Kind::I64 => Value::Integer(i128::from(i64::from_le_bytes(*bytes.first_chunk()?))),
            Kind::F32 => Value::Float(f64::from(f32::from_le_bytes(*bytes.first_chunk()?))),
            Kind::F64 => Value::Float(f64::from_le_bytes(*bytes.first_chunk()?)),
            Kind::Bool => Value::Bool(*bytes.first()? != 0),
            Kind::String => Value::String(split_string(bytes)?.0),
            Kind::Array => {
                let element = Kind::from_number(u32::from_le_bytes(*bytes.first_chunk()?))?;
                let len = u64::from_le_bytes(*bytes.get(4..)?.first_chunk()?);
                Value::Array(Array {
                    element,
                    len: usize::try_from(len).ok()?,
                    bytes: bytes.get(12..)?,
                })
            }
        })
    }

    /// The string, where this is one and UTF-8.
    pub fn as_str(&self) -> Option<&'a str> {
        match self {
            Value::String(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// The integer, where this is one of at least 0.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Value::Integer(integer) => u64::try_from(*integer).ok(),
            _ => None,
        }
    }

    /// The number, where this is one in floating point.
    pub fn as_f32(&self) -> Option<f32> {
        match self {
            #[expect(clippy::cast_possible_truncation, reason = "nearest f32 is meant")]
            Value::Float(number) => Some(*number as f32),
            _ => None,
        }
    }

    /// The truth value, where this is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(truth) => Some(*truth),
            _ => None,
        }
    }

    /// The array, where this is one.
    pub fn as_array(&self) -> Option<Array<'a>> {
        match self {
            Value::Array(array) => Some(*array),
            _ => None,
        }
    }
}

/// An array of the metadata, read from the mapped file as it is walked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Array<'a> {
    element: Kind,
    len: usize,
    bytes: &'a [u8],
}

impl<'a> Array<'a> {
    /// Elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The elements in order, where they are strings: the bytes of each.
    pub fn strings(&self) -> Option<impl Iterator<Item = &'a [u8]> + use<'a>> {
        let mut rest = self.bytes;
        (self.element == Kind::String).then(|| {
            (0..self.len).map_while(move |_| {
                let (string, after) = split_string(rest)?;
                rest = after;
                Some(string)
            })
        })
    }

    /// The elements in order, where they are numbers or truth values.
    pub fn numbers(&self) -> Option<impl Iterator<Item = Value<'a>> + use<'a>> {
        let (kind, bytes, len) = (self.element, self.bytes, self.len);
        let size = kind.bytes()?;
        Some(
            bytes
                .chunks_exact(size)
                .take(len)
                .map_while(move |element| Value::read(kind, element)),
        )
    }
}

fn split_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::try_from(u64::from_le_bytes(*len)).ok()?)
}
