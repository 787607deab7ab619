//! What references are resolved against: the keys of a type, and the ordinals of their records.

use crate::directory::KeySpec;
use crate::error::Result;
use crate::roster::{self, Roster};

/// The keys of a type that is referred to.
#[derive(Debug, Clone, Copy)]
pub enum Target<'a> {
    /// Those of a new base: ordinals are its slots.
    Table(&'a Roster<'a>),
}

/// A key to look for: the type it belongs to, and its stored form.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The keys of that type.
    pub target: Target<'a>,
    /// Its stored form.
    pub stored: &'a [u8],
}

impl<'a> Target<'a> {
    /// What the keys are.
    pub fn key(&self) -> &'a KeySpec {
        match self {
            Self::Table(roster) => &roster.index().key,
        }
    }
}

/// Appends the ordinal of each key, [`roster::DANGLING`] where it has no record. At most [`roster::BATCH`] keys, in passes that prefetch.
pub fn find(wanted: &[Wanted<'_>], ordinals: &mut Vec<u32>) -> Result<()> {
    roster::find(wanted.iter().map(|Wanted { target: Target::Table(roster), stored }| (*roster, *stored)), ordinals);
    Ok(())
}
