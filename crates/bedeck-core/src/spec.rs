//! What a build is told of a type: its key, fields and references.

use serde::Deserialize;

use crate::directory::Target;
use crate::key::KeyKind;
use crate::types::FieldType;

/// A type to build.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TypeSpec {
    /// Its name.
    pub name: String,
    /// Its key.
    pub key: KeyInput,
    /// Its fields, in the order of the schema.
    pub fields: Vec<FieldSpec>,
    /// Fields to keep first in the record, after references.
    #[serde(default)]
    pub hot: Vec<String>,
    /// References whose keys are kept in the record as they print, where they print as text.
    #[serde(default)]
    pub printed: Vec<String>,
    /// What to do with a key that comes twice.
    #[serde(default)]
    pub on_duplicate: OnDuplicate,
    /// Whether a reference to a key without a record is refused.
    #[serde(default)]
    pub strict: bool,
}

/// The key of a type to build.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyInput {
    /// Its column.
    pub field: String,
    /// Its kind; inferred from all values where it is not given.
    pub kind: Option<KeyKind>,
}

/// A field to build.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldSpec {
    /// Its number.
    pub id: u32,
    /// Its name, and its column's.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub field_type: FieldType,
    /// What it refers to.
    #[serde(default)]
    pub reference: Option<Target>,
}

/// What to do with a key that comes twice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnDuplicate {
    /// Refuse.
    #[default]
    Error,
    /// Keep the first, by the order of sources, then of rows.
    First,
    /// Keep the last.
    Last,
}

impl TypeSpec {
    /// Places of the fields in ascending order of id: the order of the canonical form.
    pub fn by_id(&self) -> Vec<usize> {
        let mut places: Vec<usize> = (0..self.fields.len()).collect();
        places.sort_by_key(|i| self.fields[*i].id);
        places
    }
}
