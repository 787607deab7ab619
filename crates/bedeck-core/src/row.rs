//! Rows between source and blob: what a source said, in few bytes.
//!
//! A value is a tag and, unless it is null, its bytes or its code in the field's dictionary. Numbers have the width of their type.
//! The canonical form that digests are made of (docs/format.md, "Digest") is written from these rows.

use crate::key::{KeyKind, parse_base62, parse_uuid, print_base62, print_uuid};
use crate::record::{read_varint, write_varint};
use crate::types::{FieldType, Scalar};

/// What comes before a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    /// There is none.
    Null,
    /// Its bytes follow.
    Bytes,
    /// Its code follows, a varint.
    Code,
}

/// Appends a tag.
pub fn write_tag(tag: Tag, out: &mut Vec<u8>) {
    out.push(tag as u8);
}

/// Appends bytes behind their length.
pub fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    write_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Appends a key that is not a number: base62 in 16 bytes, whatever the kind, all others as they are.
pub fn write_key(text: &[u8], out: &mut Vec<u8>) {
    match parse_base62(text) {
        Some(number) => {
            out.push(0);
            out.extend_from_slice(&number.to_be_bytes());
        }
        None => {
            write_varint(text.len() as u64 + 1, out);
            out.extend_from_slice(text);
        }
    }
}

/// Bytes of a number in a row; `None` for byte strings and references.
pub const fn number_width(scalar: &Scalar) -> Option<usize> {
    match scalar {
        Scalar::Bool => Some(1),
        Scalar::Int(width) | Scalar::UInt(width) => Some(*width as usize),
        Scalar::Float32 | Scalar::Date => Some(4),
        Scalar::Float64 | Scalar::Timestamp(..) => Some(8),
        Scalar::String | Scalar::Binary | Scalar::Categorical | Scalar::Reference => None,
    }
}

/// Bytes in canonical form of a number that takes so many in a row.
pub const fn canonical_width(scalar: &Scalar, width: usize) -> usize {
    if matches!(scalar, Scalar::Bool | Scalar::Float32 | Scalar::Float64) { width } else { 8 }
}

/// The number whose little-endian bytes these are, as 64 bits in two's complement.
#[inline]
pub fn number(scalar: &Scalar, bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    let number = u64::from_le_bytes(word);
    let spare = 64 - 8 * bytes.len() as u32;
    if scalar.is_signed() && spare < 64 { ((number << spare) as i64 >> spare) as u64 } else { number }
}

/// A key in a row.
#[derive(Debug, Clone, Copy)]
pub enum RowKey<'a> {
    /// A number, its 8 bytes.
    Int(&'a [u8]),
    /// Text or bytes, as the source wrote them.
    Text(&'a [u8]),
    /// What 22 characters of base62 stand for, its 16 bytes.
    Packed(&'a [u8]),
}

impl<'a> RowKey<'a> {
    /// Appends the stored form of a key of this kind; false if it is malformed.
    #[inline]
    pub fn store(self, kind: KeyKind, out: &mut Vec<u8>) -> bool {
        match (self, kind) {
            (Self::Packed(bytes), KeyKind::Base62) => {
                out.extend_from_slice(bytes);
                true
            }
            _ => kind.store(self.text(&mut [0; 36]), out),
        }
    }

    /// The key as the source wrote it (`int`: its 8 bytes).
    #[inline]
    pub fn text<'b>(self, buffer: &'b mut [u8; 36]) -> &'b [u8]
    where
        'a: 'b,
    {
        match self {
            Self::Int(bytes) | Self::Text(bytes) => bytes,
            Self::Packed(bytes) => {
                let number = bytes.first_chunk().map_or(0, |bytes| u128::from_be_bytes(*bytes));
                buffer[..22].copy_from_slice(&print_base62(number));
                &buffer[..22]
            }
        }
    }

    /// The key as one of this kind prints: UUIDs can be written in several ways.
    #[inline]
    pub fn canonical<'b>(self, kind: KeyKind, buffer: &'b mut [u8; 36]) -> &'b [u8]
    where
        'a: 'b,
    {
        if let (KeyKind::Uuid, Self::Text(text)) = (kind, self)
            && let Some(number) = parse_uuid(text)
        {
            *buffer = print_uuid(number);
            return buffer;
        }
        self.text(buffer)
    }

    /// Appends the canonical form.
    #[inline]
    pub fn write_canonical(self, kind: KeyKind, out: &mut Vec<u8>) {
        write_canonical_key(kind, self.canonical(kind, &mut [0; 36]), out);
    }
}

/// Appends the canonical form of a key of this kind, given as it prints (`int`: its 8 bytes).
#[inline]
pub fn write_canonical_key(kind: KeyKind, text: &[u8], out: &mut Vec<u8>) {
    if kind == KeyKind::Int { out.extend_from_slice(text) } else { write_bytes(text, out) }
}

/// Reads rows that this process wrote; they are not hostile, and a broken one is a bug.
#[derive(Debug, Clone, Copy)]
pub struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    /// Starts at the first of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// What is left.
    pub const fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// The next `count` bytes.
    #[inline]
    pub fn take(&mut self, count: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(count);
        self.0 = rest;
        bytes
    }

    /// The next varint.
    #[inline]
    pub fn varint(&mut self) -> u64 {
        read_varint(&mut self.0).expect("a row of the build ends in the middle of a number")
    }

    /// The next key.
    #[inline]
    pub fn key(&mut self, int: bool) -> RowKey<'a> {
        if int {
            return RowKey::Int(self.take(8));
        }
        match self.varint() {
            0 => RowKey::Packed(self.take(16)),
            length => RowKey::Text(self.take(length as usize - 1)),
        }
    }

    /// The next tag.
    #[inline]
    pub fn tag(&mut self) -> Tag {
        match self.take(1)[0] {
            0 => Tag::Null,
            1 => Tag::Bytes,
            _ => Tag::Code,
        }
    }

    /// The next scalar that is not a reference: its number's bytes, or its bytes.
    #[inline]
    pub fn scalar(&mut self, scalar: &Scalar) -> &'a [u8] {
        let length = number_width(scalar).unwrap_or_else(|| self.varint() as usize);
        self.take(length)
    }

    /// The items of a list that are not references, in order, `None` for null.
    pub fn items(&mut self, scalar: &Scalar, mut each: impl FnMut(Option<&'a [u8]>)) {
        for _ in 0..self.varint() {
            let item = (self.tag() == Tag::Bytes).then(|| self.scalar(scalar));
            each(item);
        }
    }

    /// The keys of a list of references, in order, `None` for null.
    pub fn keys(&mut self, int: bool, mut each: impl FnMut(Option<RowKey<'a>>)) {
        for _ in 0..self.varint() {
            let key = (self.tag() == Tag::Bytes).then(|| self.key(int));
            each(key);
        }
    }

    /// The next value that is not a reference: its bytes, from the row or from the dictionary, and its code there.
    pub fn value<'b>(
        &mut self,
        field_type: &FieldType,
        dictionary: &'b [Box<[u8]>],
    ) -> Option<(&'b [u8], Option<usize>)>
    where
        'a: 'b,
    {
        match self.tag() {
            Tag::Null => None,
            Tag::Code => {
                let code = self.varint() as usize;
                Some((&dictionary[code], Some(code)))
            }
            Tag::Bytes => {
                let from = self.0;
                if field_type.list {
                    self.items(&field_type.scalar, |_| {});
                } else {
                    self.scalar(&field_type.scalar);
                }
                Some((&from[..from.len() - self.0.len()], None))
            }
        }
    }
}

/// How rows of one type are read.
#[derive(Debug)]
pub struct Layout<'a> {
    /// The kind of the keys.
    pub kind: KeyKind,
    /// The fields in ascending order of id, as rows have them.
    pub fields: Vec<FieldLayout<'a>>,
}

/// How one field of a row is read.
#[derive(Debug)]
pub struct FieldLayout<'a> {
    /// Its number.
    pub id: u32,
    /// Its type.
    pub field_type: &'a FieldType,
    /// Of a reference, the kind of the keys it names.
    pub target: Option<KeyKind>,
    /// The values that rows have codes for.
    pub values: &'a [Box<[u8]>],
}

impl Layout<'_> {
    /// Appends the canonical form of a row, and to `ends` where the key ends and where each field does.
    pub fn write(&self, key: RowKey<'_>, mut values: Cursor<'_>, out: &mut Vec<u8>, ends: &mut Vec<usize>) {
        key.write_canonical(self.kind, out);
        ends.push(out.len());
        for field in &self.fields {
            match field.target {
                Some(kind) => field.write_keys(kind, &mut values, out),
                None => {
                    if let Some((value, _)) = values.value(field.field_type, field.values) {
                        write_varint(field.id.into(), out);
                        write_canonical(field.field_type, value, out);
                    }
                }
            }
            ends.push(out.len());
        }
    }
}

impl FieldLayout<'_> {
    fn write_keys(&self, kind: KeyKind, values: &mut Cursor<'_>, out: &mut Vec<u8>) {
        let int = kind == KeyKind::Int;
        if values.tag() == Tag::Null {
            return;
        }
        write_varint(self.id.into(), out);
        if !self.field_type.list {
            values.key(int).write_canonical(kind, out);
            return;
        }
        write_varint(Cursor::new(values.rest()).varint(), out);
        values.keys(int, |key| match key {
            None => write_tag(Tag::Null, out),
            Some(key) => {
                write_tag(Tag::Bytes, out);
                key.write_canonical(kind, out);
            }
        });
    }
}

/// Appends the canonical form of a value that is not a reference.
pub fn write_canonical(field_type: &FieldType, value: &[u8], out: &mut Vec<u8>) {
    let scalar = &field_type.scalar;
    let Some(width) = number_width(scalar) else {
        // Bytes have the same form here and there.
        out.extend_from_slice(value);
        return;
    };
    let width = canonical_width(scalar, width);
    let write = |bytes: &[u8], out: &mut Vec<u8>| out.extend_from_slice(&number(scalar, bytes).to_le_bytes()[..width]);
    let mut cursor = Cursor::new(value);
    if !field_type.list {
        write(cursor.scalar(scalar), out);
        return;
    }
    write_varint(Cursor::new(value).varint(), out);
    cursor.items(scalar, |item| match item {
        None => write_tag(Tag::Null, out),
        Some(bytes) => {
            write_tag(Tag::Bytes, out);
            write(bytes, out);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_width_keep_their_sign() {
        for (number_in, width) in [(-1i64, 1), (-1, 2), (i64::MIN, 8), (-70_000, 4), (127, 1), (0, 1)] {
            let bytes = number_in.to_le_bytes();
            assert_eq!(number(&Scalar::Int(width), &bytes[..usize::from(width)]) as i64, number_in);
        }
        assert_eq!(number(&Scalar::UInt(1), &[0xFF]), 255);
    }

    #[test]
    fn keys_come_back_as_they_were_written() {
        for text in [&b"7N42dgm5tFLK9N8MT7fHC7"[..], b"7N42dgm5tFLK9N8MT7fHC8", b"", b"x"] {
            let mut row = Vec::new();
            write_key(text, &mut row);
            let key = Cursor::new(&row).key(false);
            assert_eq!(key.text(&mut [0; 36]), text);
            let mut stored = Vec::new();
            assert_eq!(key.store(KeyKind::Base62, &mut stored), parse_base62(text).is_some());
            let mut stored = Vec::new();
            assert!(key.store(KeyKind::String, &mut stored) && stored == text);
        }
    }
}
