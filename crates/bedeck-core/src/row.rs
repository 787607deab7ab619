//! The canonical form of a record (docs/format.md, "Digest"): what a source said, whatever the layout it will get.

use crate::record::{read_varint, write_varint};
use crate::types::{FieldType, Scalar};

/// Appends the tag of a value that is null.
pub fn write_null(out: &mut Vec<u8>) {
    out.push(0);
}

/// Appends the tag of a value that is there.
pub fn write_present(out: &mut Vec<u8>) {
    out.push(1);
}

/// Appends bytes behind their length.
pub fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    write_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Bytes of a number in canonical form, or `None` for byte strings; references are numbers where their keys are of kind int.
pub const fn number_width(scalar: &Scalar, int_keys: bool) -> Option<usize> {
    match scalar {
        Scalar::Bool => Some(1),
        Scalar::Float32 => Some(4),
        Scalar::String | Scalar::Binary | Scalar::Categorical => None,
        Scalar::Reference if !int_keys => None,
        _ => Some(8),
    }
}

/// The number whose little-endian bytes these are.
pub fn number(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(word)
}

/// Reads canonical forms that this process wrote; they are not hostile, and a broken one is a bug.
#[derive(Debug, Clone, Copy)]
pub struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    /// Starts at the first of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(count);
        self.0 = rest;
        bytes
    }

    /// The next number behind which `bytes` or items come.
    pub fn varint(&mut self) -> u64 {
        read_varint(&mut self.0).expect("a canonical form ends in the middle of a number")
    }

    /// The key: 8 bytes, or text behind its length.
    pub fn key(&mut self, int: bool) -> &'a [u8] {
        let length = if int { 8 } else { self.varint() as usize };
        self.take(length)
    }

    /// Whether a value follows the next tag.
    pub fn present(&mut self) -> bool {
        self.take(1)[0] == 1
    }

    /// The next scalar, without length or tag: its number's bytes, or its bytes.
    pub fn scalar(&mut self, scalar: &Scalar, int_keys: bool) -> &'a [u8] {
        let length = number_width(scalar, int_keys).unwrap_or_else(|| self.varint() as usize);
        self.take(length)
    }

    /// The items of a list, in order, `None` for null.
    pub fn items(&mut self, scalar: &Scalar, int_keys: bool, mut each: impl FnMut(Option<&'a [u8]>)) {
        for _ in 0..self.varint() {
            let item = self.present().then(|| self.scalar(scalar, int_keys));
            each(item);
        }
    }

    /// The whole next value as it stands, without its tag; `None` for null.
    pub fn value(&mut self, field_type: &FieldType, int_keys: bool) -> Option<&'a [u8]> {
        if !self.present() {
            return None;
        }
        let from = self.0;
        if field_type.list {
            self.items(&field_type.scalar, int_keys, |_| {});
        } else {
            self.scalar(&field_type.scalar, int_keys);
        }
        Some(&from[..from.len() - self.0.len()])
    }
}
