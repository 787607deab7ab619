//! A version: the blobs of all types of a catalogue at one state of its data.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::blob::Blob;
use crate::checksum::BlobSums;
use crate::error::{Error, Result};
use crate::map::Map;

/// What a manifest says of a type in a version, as far as opening needs it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TypeEntry {
    /// The type's name.
    pub name: String,
    /// Its blob.
    pub blob: BlobSums,
}

/// One type of a version.
#[derive(Debug)]
pub struct Type {
    /// Its name.
    pub name: String,
    /// Its records.
    pub blob: Blob,
    /// For each field, the place in [`Version::types`] of the type it refers to.
    pub targets: Vec<Option<usize>>,
}

/// All types of a catalogue at one state.
#[derive(Debug)]
pub struct Version {
    /// Ascending by name.
    pub types: Vec<Type>,
}

impl Version {
    /// Maps and checks the blobs of a version. `verify` is called for each mapped file before anything in it is believed.
    pub fn open(
        blobs: &Path,
        mut entries: Vec<TypeEntry>,
        mut verify: impl FnMut(&Map, &BlobSums) -> Result<()>,
    ) -> Result<Self> {
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let mut types = Vec::new();
        for entry in &entries {
            let path = blobs.join(&entry.blob.name);
            let map = Map::open(&path)?;
            verify(&map, &entry.blob)?;
            let blob = Blob::open(map)?;
            if blob.directory().type_name != entry.name {
                return Err(blob.damaged(
                    "directory",
                    &format!("holds type {:?}, not {:?}", blob.directory().type_name, entry.name),
                ));
            }
            types.push(Type { name: entry.name.clone(), blob, targets: Vec::new() });
        }
        for i in 0..types.len() {
            let blob = &types[i].blob;
            let mut targets = Vec::new();
            for field in &blob.directory().fields {
                let target = match &field.reference {
                    None => None,
                    Some(reference) => {
                        let place = entries.binary_search_by(|e| e.name.cmp(&reference.type_name)).map_err(|_| {
                            blob.damaged(
                                "directory",
                                &format!(
                                    "field {:?} refers to type {:?}, which the version lacks",
                                    field.name, reference.type_name
                                ),
                            )
                        })?;
                        let (epoch, theirs) = (&blob.directory().epoch, &types[place].blob.directory().epoch);
                        if epoch != theirs {
                            return Err(blob.damaged(
                                "directory",
                                &format!(
                                    "epoch {epoch}, but type {:?}, to which field {:?} refers, is of epoch {theirs}",
                                    reference.type_name, field.name
                                ),
                            ));
                        }
                        Some(place)
                    }
                };
                targets.push(target);
            }
            types[i].targets = targets;
        }
        Ok(Self { types })
    }

    /// The place of a type.
    pub fn find(&self, name: &str) -> Result<usize> {
        self.types.iter().position(|t| t.name == name).ok_or_else(|| {
            let names: Vec<&str> = self.types.iter().map(|t| t.name.as_str()).collect();
            Error::Selection(format!("no type {name:?}; the catalogue has {}", names.join(", ")))
        })
    }
}
