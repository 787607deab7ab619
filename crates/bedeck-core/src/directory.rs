//! The directory of a blob: the JSON object that describes its sections and fields (docs/format.md).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::key::KeyKind;
use crate::types::{FieldType, Scalar};

/// The first eight bytes of a blob.
pub const MAGIC: [u8; 8] = *b"\x89BEDECK\n";
/// The version of the format that is written here, and the newest that is read.
pub const FORMAT: u32 = 1;
/// The oldest that is read: format 0 was never released.
pub const OLDEST: u32 = 1;
/// The length of the prelude.
pub const PRELUDE: usize = 64;
/// Zero bytes after the last record, so that a number in it can be read as eight bytes.
pub const RECORDS_PADDING: u64 = 64;
/// The sections a directory lists, in file order; `prelude` comes before them, `directory` after. The last three are an overlay's.
pub const SECTIONS: [&str; 8] = ["pilots", "records", "heap", "values", "locator", "changes", "places", "inserted"];

/// What a blob is to its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// All records of a state.
    Base,
    /// A few fields of all records of a base, by slot, without keys.
    Group,
    /// The records that are not as the base has them: replaced, inserted or deleted since.
    Overlay,
}

/// A range of bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extent {
    /// From the start of the file.
    pub offset: u64,
    /// In bytes.
    pub length: u64,
}

/// The key of a type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeySpec {
    /// The name under which it is selected.
    pub field: String,
    /// Its kind.
    pub kind: KeyKind,
    /// Bytes at the start of a record, 0 where the key is a var value.
    pub width: usize,
    /// Whether a key of kind int is signed.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub signed: bool,
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
fn is_true(value: &bool) -> bool {
    *value
}

impl KeySpec {
    /// A key, given as the source wrote it (`int`: its 8 bytes), as JSON has it.
    pub fn shown(&self, text: &[u8]) -> String {
        let mut shown = Vec::new();
        match self.kind {
            KeyKind::Int | KeyKind::Bytes => crate::json::write_key(self, text, &mut shown),
            _ => crate::json::write_text(text, &mut shown),
        }
        String::from_utf8_lossy(&shown).into_owned()
    }
}

/// The dimensions of an index; buckets and slots are per part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Seed of the hash.
    pub seed: u64,
    /// Parts, equal in buckets and slots.
    pub parts: u64,
    /// Buckets a part.
    pub buckets: u64,
    /// Slots a part.
    pub slots: u64,
}

impl Shape {
    /// All slots: one more than the largest ordinal.
    pub const fn total_slots(&self) -> u64 {
        self.parts * self.slots
    }
}

/// The width of the ends in the locator's lines: 2 or 4 bytes; 0 in a group whose records are all of one length, and need no lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocatorSpec {
    /// Bytes of an end.
    pub width: u8,
}

/// What all records have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordSpec {
    /// Bytes of key and packed bits.
    pub fixed: u32,
    /// Where a key of width 0 lies.
    pub key: Option<Var>,
}

/// A number in the packed bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bits {
    /// Bit offset from the start of the record.
    pub offset: u32,
    /// Width; at most 56, or 64 at a byte boundary.
    pub bits: u8,
    /// Added to the number, modulo 2^64.
    pub base: Base,
}

/// A var value: bytes after the fixed part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Var {
    /// Place among the var values of a record.
    pub order: u32,
    /// Bit offset of its length.
    pub offset: u32,
    /// Width of its length.
    pub bits: u8,
    /// Bytes a unit of its length.
    pub unit: u8,
    /// Whether a length with all bits set means a pointer into the heap.
    pub long: bool,
}

/// The fixed-width items of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Bytes an item, 1 to 8.
    pub width: u8,
    /// Added to each, modulo 2^64.
    pub base: Base,
    /// Whether a bitmap of nulls comes before the items.
    pub nulls: bool,
}

/// A table of byte strings in the section `values`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// From the start of the section.
    pub offset: u64,
    /// Entries.
    pub count: u64,
}

/// What a field of keys refers to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The name under which it is selected.
    pub name: String,
    /// Other names that it is selected by; a manifest has them, a blob none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// The type it points into.
    #[serde(rename = "type")]
    pub type_name: String,
}

/// A field and how its values are stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Its number, never used again for another field.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub field_type: FieldType,
    /// What it refers to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Target>,
    /// Records without a value here.
    pub nulls: u64,
    /// The bit that tells them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub null_bit: Option<u32>,
    /// A number in the packed bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bits: Option<Bits>,
    /// Interned values, which the number counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<Table>,
    /// A var value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub var: Option<Var>,
    /// The items of a list of fixed-width values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<Item>,
    /// The keys that references name, as they print in JSON: text, or a list of texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub printed: Option<Var>,
    /// The keys without a record that references name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dangling: Option<Table>,
    /// Bytes this field takes in the blob.
    pub bytes: u64,
}

impl Field {
    /// Where the record has values of its own.
    pub fn vars(&self) -> impl Iterator<Item = Var> {
        self.var.into_iter().chain(self.printed)
    }

    /// The field of texts that the printed keys make.
    pub fn as_printed(&self) -> Option<Self> {
        let field_type = FieldType { list: self.field_type.list, scalar: Scalar::String };
        self.printed.map(|var| Self {
            field_type,
            reference: None,
            bits: None,
            values: None,
            var: Some(var),
            item: None,
            printed: None,
            dangling: None,
            ..self.clone()
        })
    }
}

/// The directory of a blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directory {
    /// The type's name.
    #[serde(rename = "type")]
    pub type_name: String,
    /// What it is to its type.
    pub kind: Kind,
    /// The hash of the base that a group or an overlay lies over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// Records.
    pub records: u64,
    /// The epoch its ordinals, and the ordinals it refers to, belong to.
    pub epoch: String,
    /// The order-free digest of its records.
    pub digest: String,
    /// The key.
    pub key: KeySpec,
    /// The index.
    pub index: Shape,
    /// The locator.
    pub locator: LocatorSpec,
    /// The records.
    pub record: RecordSpec,
    /// The fields, in the order of the schema.
    pub fields: Vec<Field>,
    /// Where the sections are.
    pub sections: BTreeMap<String, Extent>,
    /// Quality counters.
    pub counters: BTreeMap<String, u64>,
}

/// A number added modulo 2^64, written in JSON with its sign.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Base(pub u64, pub bool);

impl Serialize for Base {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        if self.1 { serializer.serialize_i64(self.0 as i64) } else { serializer.serialize_u64(self.0) }
    }
}

impl<'de> Deserialize<'de> for Base {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let number = serde_json::Number::deserialize(deserializer)?;
        match (number.as_i64(), number.as_u64()) {
            (Some(n), _) if n < 0 => Ok(Self(n as u64, true)),
            (_, Some(n)) => Ok(Self(n, false)),
            _ => Err(serde::de::Error::custom("base is not a 64-bit integer")),
        }
    }
}

impl Directory {
    /// The place of the field with this number.
    pub fn place_of(&self, id: u32) -> Option<usize> {
        self.fields.iter().position(|field| field.id == id)
    }

    /// Checks that what the directory says can be read without further checks on each record: every place lies in the fixed part.
    pub fn check(&self) -> Result<()> {
        let wrong = |what: &str| Err(Error::Damaged(format!("section directory: {what}")));
        let shape = &self.index;
        let total = shape.parts.checked_mul(shape.slots);
        if shape.parts == 0
            || shape.buckets == 0
            || shape.slots == 0
            || total.is_none_or(|n| n > u64::from(u32::MAX) - 1)
        {
            return wrong("index: no parts, buckets or slots, or more than 2^32 - 2 slots");
        }
        if total.is_none_or(|slots| self.records > slots) {
            return wrong("records: more than there are slots");
        }
        let is_group = self.kind == Kind::Group;
        if self.base.is_some() != (self.kind != Kind::Base) {
            return wrong("base: a group and an overlay lie over one, and no other blob does");
        }
        if self.key.width != self.key.kind.width() || (self.key.width == 0 && !is_group) != self.record.key.is_some() {
            return wrong("key: width and place do not fit its kind");
        }
        if !(matches!(self.locator.width, 2 | 4) || is_group && self.locator.width == 0) {
            return wrong("locator: width is neither 2 nor 4");
        }
        let fixed = u64::from(self.record.fixed) * 8;
        if fixed == 0 || !is_group && (self.key.width as u64) * 8 > fixed {
            return wrong("record: fixed part is shorter than the key, or empty");
        }
        let fits = |offset: u32, bits: u8| {
            u64::from(offset) + u64::from(bits) <= fixed && (bits <= 56 || bits == 64 && offset.is_multiple_of(8))
        };
        let mut orders: Vec<u32> = Vec::new();
        for var in self.record.key.into_iter().chain(self.fields.iter().flat_map(Field::vars)) {
            if !fits(var.offset, var.bits) || var.bits > 31 || !(1..=8).contains(&var.unit) {
                return wrong("a var value's length lies outside the fixed part");
            }
            orders.push(var.order);
        }
        if self.locator.width == 0 && !orders.is_empty() {
            return wrong("locator: records with var values have no lines");
        }
        orders.sort_unstable();
        if orders.iter().enumerate().any(|(i, order)| i as u64 != u64::from(*order)) {
            return wrong("var values are not numbered from 0 without gaps");
        }
        for field in &self.fields {
            let scalar = &field.field_type.scalar;
            let numeric = !scalar.is_bytes();
            let sound = field.null_bit.is_none_or(|bit| fits(bit, 1))
                && field.bits.is_none_or(|b| fits(b.offset, b.bits))
                && field.item.is_none_or(|item| (1..=8).contains(&item.width))
                && field.bits.is_some() != field.var.is_some()
                && (field.values.is_none() || field.bits.is_some())
                && (field.values.is_some() || field.bits.is_none() || (numeric && !field.field_type.list))
                && (field.var.is_none() || !numeric || field.field_type.list)
                && field.item.is_some() == (field.field_type.list && numeric)
                && field.reference.is_some() == (*scalar == Scalar::Reference)
                && field.dangling.is_some() == field.reference.is_some()
                && (field.printed.is_none() || field.reference.is_some());
            if !sound {
                return wrong(&format!(
                    "field {:?}: its placement does not fit its type or the fixed part",
                    field.name
                ));
            }
        }
        Ok(())
    }
}
