//! What references are resolved against: the keys of a type, and the ordinals of their records.

use crate::directory::KeySpec;
use crate::error::Result;
use crate::layers::Layers;
use crate::lookup::Keys;
use crate::marks::Marks;
use crate::roster::{self, DANGLING, Roster};

/// The keys of a type that is referred to.
#[derive(Clone, Copy)]
pub enum Target<'a> {
    /// Those of a new base: ordinals are its slots.
    Table(&'a Roster<'a>),
    /// Those of a base that stays, and of a new overlay over it.
    Layers(&'a Standing<'a>),
}

/// The keys of a type as its base and a new overlay have them.
pub struct Standing<'a> {
    /// The base is of these.
    pub layers: &'a Layers,
    /// The keys of the overlay.
    pub roster: Roster<'a>,
    /// The ordinals of their records.
    pub ordinals: &'a [u32],
    /// Slots of the base that are deleted.
    pub gone: &'a Marks,
}

/// A key to look for: the type it belongs to, and its stored form.
#[derive(Clone, Copy)]
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
            Self::Layers(standing) => &standing.layers.base.directory().key,
        }
    }
}

/// Appends the ordinal of each key, [`DANGLING`] where it has no record. At most [`roster::BATCH`] keys, in passes that prefetch; their
/// targets are all tables, or all layers.
pub fn find(wanted: &[Wanted<'_>], ordinals: &mut Vec<u32>) -> Result<()> {
    if let Some(Wanted { target: Target::Layers(_), .. }) = wanted.first() {
        return find_standing(wanted, ordinals);
    }
    let rosters = wanted.iter().filter_map(|wanted| match wanted.target {
        Target::Table(roster) => Some((roster, wanted.stored)),
        Target::Layers(_) => None,
    });
    roster::find(rosters, ordinals);
    Ok(())
}

fn find_standing(wanted: &[Wanted<'_>], ordinals: &mut Vec<u32>) -> Result<()> {
    let standing = |i: usize| match wanted[i].target {
        Target::Layers(standing) => Some(standing),
        Target::Table(_) => None,
    };
    let rosters = (0..wanted.len()).filter_map(|i| Some((&standing(i)?.roster, wanted[i].stored)));
    let mut found = Vec::with_capacity(wanted.len());
    roster::find(rosters, &mut found);
    let mut left: Vec<usize> = (0..found.len()).filter(|i| found[*i] == DANGLING).collect();
    for (i, slot) in found.iter_mut().enumerate().filter(|(_, slot)| **slot != DANGLING) {
        *slot = standing(i).map_or(DANGLING, |standing| standing.ordinals[*slot as usize]);
    }
    let mut spans = Vec::new();
    while let Some(one) = left.first().and_then(|i| standing(*i)) {
        let is_its = |i: &usize| standing(*i).is_some_and(|other| std::ptr::eq(one, other));
        let (now, later): (Vec<usize>, Vec<usize>) = left.into_iter().partition(is_its);
        let base = &one.layers.base;
        let mut keys = Keys::with_capacity(&base.directory().key, now.len());
        now.iter().for_each(|i| keys.push(Some(wanted[*i].stored)));
        spans.clear();
        keys.find_in(base, 0..keys.len(), false, &mut spans)?;
        for (i, span) in now.into_iter().zip(&spans) {
            if !span.is_missing() && !one.gone.has(span.ordinal) {
                found[i] = span.ordinal;
            }
        }
        left = later;
    }
    ordinals.append(&mut found);
    Ok(())
}
