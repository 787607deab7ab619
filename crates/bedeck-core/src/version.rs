//! A version: the layers of all types of a catalogue at one state of its data.

use std::path::Path;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::blob::Blob;
use crate::checksum::BlobSums;
use crate::directory::{Kind, Target};
use crate::error::{Error, Result};
use crate::layers::{Layer, Layers};
use crate::locator::Span;
use crate::lookup::{BATCH, Keys};
use crate::map::Map;
use crate::types::{FieldType, Scalar};

/// A field as the schema of a version has it; what its layers hold under its number may be named otherwise, and of a narrower type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Described {
    /// Its number.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Other names that it is selected by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Its type.
    #[serde(rename = "type")]
    pub field_type: FieldType,
    /// What it refers to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Target>,
}

/// What a manifest says of a layer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LayerEntry {
    /// What it is.
    pub kind: Kind,
    /// Its blob.
    pub blob: BlobSums,
}

/// What a manifest says of a type in a version, as far as opening needs it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TypeEntry {
    /// The type's name.
    pub name: String,
    /// Its fields.
    pub fields: Vec<Described>,
    /// Its layers.
    pub layers: Vec<LayerEntry>,
}

/// Where a field of a record is, by the record's layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the record itself: the place of the field in its blob.
    Record(usize),
    /// In this group, at this place.
    Aside(usize, usize),
    /// The field came later: it is null.
    Nowhere,
}

/// Keys without a record in their version, by their place in the table of one blob, of which the target has a record by now.
pub type Resolved = FxHashMap<u32, Span>;

/// One type of a version.
#[derive(Debug, Clone)]
pub struct Type {
    /// Its name.
    pub name: String,
    /// Its fields, in the order of the schema.
    pub fields: Vec<Described>,
    /// Its records.
    pub layers: Layers,
    /// The checksums of its blobs, in the order of the manifest.
    pub sums: Vec<BlobSums>,
    /// For each field, the place in [`Version::types`] of the type it refers to.
    pub targets: Vec<Option<usize>>,
    /// For each field, and each of [`Type::sources`], what became of keys that had no record.
    pub resolved: Vec<Vec<Resolved>>,
}

impl Type {
    /// Where the field with this number is in records of a layer.
    pub fn place(&self, id: u32, layer: Layer) -> Place {
        if layer == Layer::Base {
            let groups = self.layers.groups.iter().enumerate();
            for (group, blob) in groups {
                if let Some(field) = blob.directory().place_of(id) {
                    return Place::Aside(group, field);
                }
            }
        }
        self.layers.blob(layer).directory().place_of(id).map_or(Place::Nowhere, Place::Record)
    }

    /// The blobs that fields are read from: base, overlay (the base once more, where there is none), groups. Their places are told by [`source`].
    pub fn sources(&self) -> impl Iterator<Item = &Blob> {
        let of_layers = [self.layers.blob(Layer::Base), self.layers.blob(Layer::Overlay)];
        of_layers.into_iter().chain(self.layers.groups.iter().map(AsRef::as_ref))
    }
}

impl Type {
    /// A key without a record that `field` names: entry `place` of its table in the blob that is `source` among [`Type::sources`].
    pub fn dangling(&self, source: usize, field: usize, place: u64) -> Result<&[u8]> {
        let lost = || self.layers.base.damaged("records", "a key without a record lies outside all tables");
        let blob = self.sources().nth(source).ok_or_else(lost)?;
        let at = blob.directory().place_of(self.fields[field].id).ok_or_else(lost)?;
        blob.entry(blob.directory().fields[at].dangling.ok_or_else(lost)?, place)
    }
}

/// The place among [`Type::sources`] of what a place in records of a layer is read from.
pub const fn source(layer: Layer, place: Place) -> usize {
    match place {
        Place::Aside(group, _) => 2 + group,
        Place::Record(_) | Place::Nowhere => layer as usize,
    }
}

/// All types of a catalogue at one state.
#[derive(Debug)]
pub struct Version {
    /// Ascending by name.
    pub types: Vec<Type>,
}

impl Version {
    /// Maps and checks the blobs of a version. `verify` is called for each newly mapped file before anything in it is believed. What `before` has open
    /// is not mapped again.
    pub fn open(
        blobs: &Path,
        mut entries: Vec<TypeEntry>,
        before: Option<&Self>,
        mut verify: impl FnMut(&Map, &BlobSums) -> Result<()>,
    ) -> Result<Self> {
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let mut types = Vec::new();
        for TypeEntry { name, fields, layers } in entries {
            let opened = layers.iter().map(|LayerEntry { kind, blob: sums }| {
                let path = blobs.join(&sums.name);
                if let Some(blob) = before.and_then(|before| before.opened(&path, sums)) {
                    return Ok(blob);
                }
                let map = Map::open(&path)?;
                verify(&map, sums)?;
                let blob = Blob::open(map)?;
                let directory = blob.directory();
                if directory.type_name != name || directory.kind != *kind {
                    let holds =
                        format!("holds type {:?}, {:?}, not {name:?}, {kind:?}", directory.type_name, directory.kind);
                    return Err(blob.damaged("directory", &holds));
                }
                Ok(Arc::new(blob))
            });
            let opened = opened.collect::<Result<Vec<_>>>()?;
            let hashes: Vec<&str> = layers.iter().map(|layer| layer.blob.hash.as_str()).collect();
            let stacked = Layers::new(opened, &hashes)?;
            let sums = layers.into_iter().map(|layer| layer.blob).collect();
            types.push(Type { name, fields, layers: stacked, sums, targets: Vec::new(), resolved: Vec::new() });
        }
        Self { types }.connect()
    }

    /// The blob at `path` with these checksums, if it is open here.
    fn opened(&self, path: &Path, sums: &BlobSums) -> Option<Arc<Blob>> {
        self.types.iter().find_map(|t| {
            let Layers { base, groups, overlay } = &t.layers;
            let blobs = std::iter::once(base).chain(groups.iter().rev()).chain(overlay);
            let mut named = blobs.zip(&t.sums).filter(|(blob, theirs)| *theirs == sums && blob.map().path() == path);
            named.next().map(|(blob, _)| blob.clone())
        })
    }

    /// The same without overlays.
    pub fn bases(&self) -> Result<Self> {
        let types = self.types.iter().map(|t| {
            let mut sums = t.sums.clone();
            sums.truncate(1 + t.layers.groups.len());
            Type { layers: t.layers.under(), sums, targets: Vec::new(), resolved: Vec::new(), ..t.clone() }
        });
        Self { types: types.collect() }.connect()
    }

    /// Finds what each field refers to, and checks that it may.
    pub fn connect(mut self) -> Result<Self> {
        for i in 0..self.types.len() {
            let of_type = &self.types[i];
            let targets = of_type.fields.iter().map(|field| self.target(of_type, field));
            let targets = targets.collect::<Result<Vec<_>>>()?;
            let resolved = of_type.fields.iter().zip(&targets).map(|(field, target)| {
                let Some(target) = target.map(|place| &self.types[place].layers) else { return Ok(Vec::new()) };
                of_type.sources().map(|blob| resolve(blob, field.id, target)).collect()
            });
            let resolved = resolved.collect::<Result<Vec<_>>>()?;
            (self.types[i].targets, self.types[i].resolved) = (targets, resolved);
        }
        Ok(self)
    }

    /// The place of the type that a field refers to.
    fn target(&self, of_type: &Type, field: &Described) -> Result<Option<usize>> {
        let base = &of_type.layers.base;
        let wrong = |what: String| Err(base.damaged("directory", &format!("field {:?}: {what}", field.name)));
        for blob in of_type.layers.blobs() {
            let Some(place) = blob.directory().place_of(field.id) else { continue };
            let theirs = &blob.directory().fields[place];
            let same_target =
                theirs.reference.as_ref().map(|r| &r.type_name) == field.reference.as_ref().map(|r| &r.type_name);
            if !theirs.field_type.widens_to(&field.field_type) || !same_target {
                let held =
                    format!("is {}, which a {} of a layer cannot be read as", field.field_type, theirs.field_type);
                return wrong(held);
            }
        }
        let Some(reference) = &field.reference else { return Ok(None) };
        let Ok(place) = self.types.binary_search_by(|t| t.name.cmp(&reference.type_name)) else {
            return wrong(format!("refers to type {:?}, which the version lacks", reference.type_name));
        };
        let (epoch, theirs) = (&base.directory().epoch, &self.types[place].layers.base.directory().epoch);
        if epoch != theirs {
            let name = &reference.type_name;
            return Err(base.damaged(
                "directory",
                &format!(
                    "epoch {epoch}, but type {name:?}, to which field {:?} refers, is of epoch {theirs}",
                    field.name
                ),
            ));
        }
        Ok(Some(place))
    }

    /// The place of a type.
    pub fn find(&self, name: &str) -> Result<usize> {
        self.types.iter().position(|t| t.name == name).ok_or_else(|| {
            let names: Vec<&str> = self.types.iter().map(|t| t.name.as_str()).collect();
            Error::Selection(format!("no type {name:?}; the catalogue has {}", names.join(", ")))
        })
    }
}

/// What became of the keys without a record that a field of `blob` names: those that have one now. A base names none that another base of its
/// epoch has.
fn resolve(blob: &Blob, id: u32, target: &Layers) -> Result<Resolved> {
    let mut resolved = Resolved::default();
    let table = blob.directory().place_of(id).and_then(|place| blob.directory().fields[place].dangling);
    let Some(table) = table.filter(|_| blob.directory().kind != Kind::Base || target.overlay.is_some()) else {
        return Ok(resolved);
    };
    let spec = &target.base.directory().key;
    let (mut stored, mut ends, mut spans) = (Vec::new(), Vec::new(), Vec::new());
    let codes = 0..table.count.min(u64::from(u32::MAX));
    for first in codes.clone().step_by(BATCH) {
        stored.clear();
        ends.clear();
        spans.clear();
        for code in first..codes.end.min(first + BATCH as u64) {
            let from = stored.len();
            let is_key = spec.kind.store(blob.entry(table, code)?, &mut stored);
            ends.push(is_key.then_some(from..stored.len()));
        }
        let mut keys = Keys::with_capacity(spec, ends.len());
        ends.iter().for_each(|key| keys.push(key.clone().map(|key| &stored[key])));
        keys.find(target, 0..ends.len(), false, &mut spans)?;
        let there = (first as u32..).zip(&spans).filter(|(_, span)| !span.is_missing());
        resolved.extend(there.map(|(code, span)| (code, *span)));
    }
    Ok(resolved)
}

impl FieldType {
    /// Whether every value of this type is one of `other`, written alike in canonical form: the same type, text of either kind, or an integer of
    /// more bytes.
    pub fn widens_to(&self, other: &Self) -> bool {
        let text = |scalar: &Scalar| matches!(scalar, Scalar::String | Scalar::Categorical);
        let scalars = match (&self.scalar, &other.scalar) {
            (Scalar::Int(ours), Scalar::Int(theirs)) | (Scalar::UInt(ours), Scalar::UInt(theirs)) => ours <= theirs,
            (Scalar::UInt(ours), Scalar::Int(theirs)) => ours < theirs,
            (ours, theirs) => ours == theirs || text(ours) && text(theirs),
        };
        self.list == other.list && scalars
    }
}
