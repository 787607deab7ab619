//! Rows whose key another row has too.

use crate::directory::KeySpec;
use crate::error::{Error, Result};

/// Places that are told of one key.
const PLACES: usize = 4;
/// Keys that are told.
const KEYS: usize = 10;

/// Places of the rows of one key, source and row, in order, and the key as it is stored.
pub type Equal = (Vec<(u32, u64)>, Vec<u8>);

/// What was found of a type.
#[derive(Debug, Default)]
pub struct Duplicates {
    /// Rows too many.
    pub rows: u64,
    examples: Vec<Equal>,
}

/// Adds a place to those that are told of a key.
pub fn note(place: (u32, u64), places: &mut Vec<(u32, u64)>) {
    places.push(place);
    places.sort_unstable();
    places.truncate(PLACES);
}

impl Duplicates {
    /// Adds rows too many, and examples of them. Those that come first in the sources are kept: the order of hashes means nothing to a
    /// person.
    pub fn add(&mut self, rows: u64, examples: impl IntoIterator<Item = Equal>) {
        self.rows += rows;
        self.examples.extend(examples);
        self.examples.sort_unstable();
        self.examples.truncate(KEYS);
    }

    /// An error where there are any; `describe` names a row, given its source and number.
    pub fn refuse(self, key: &KeySpec, describe: &dyn Fn(u32, u64) -> String) -> Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut text = format!(
            "key {:?}: {} {} too many; set on_duplicate = \"first\" or \"last\" to keep one of each key. The first:",
            key.field,
            self.rows,
            if self.rows == 1 { "row" } else { "rows" }
        );
        for (places, stored) in self.examples {
            let mut shown = Vec::new();
            crate::json::write_key(key, &stored, &mut shown);
            let places = places.into_iter().map(|(origin, row)| describe(origin, row));
            text += &format!("\n  {}: {}", String::from_utf8_lossy(&shown), places.collect::<Vec<_>>().join("; "));
        }
        Err(Error::DuplicateKey(text))
    }
}
