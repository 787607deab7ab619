//! The ordinals of the records of a new overlay, and what leads from ordinals to them.

use std::ops::Range;

use crate::build::Site;
use crate::changes::{DELETED, write_lines};
use crate::error::Result;
use crate::hash::hash;
use crate::intake::Input;
use crate::layers::Layers;
use crate::lookup::{BATCH, Keys};
use crate::marks::Marks;
use crate::table::{Placed, Table};

/// The ordinal of a slot without a record.
const HOLE: u32 = u32::MAX;
/// The ordinal of a key that has none yet.
const NEW: u32 = u32::MAX - 1;

/// The ordinals of an overlay's records.
#[derive(Debug)]
pub struct Ledger {
    /// By slot of the overlay; what is in holes means nothing.
    pub ordinals: Vec<u32>,
    /// For each key inserted since the base, in order, its slot in the overlay, or [`DELETED`].
    pub inserted: Vec<u32>,
    /// Slots of the base that are replaced, ascending, and the slots of the overlay that replace them.
    pub replaced: Vec<(u32, u32)>,
    slots: u64,
}

/// The ordinals of some slots; of new keys the hash and the slot.
type Found = (Vec<u32>, Vec<(u64, u32)>);

impl Ledger {
    /// For the rows of `table`, over the base of `parent`: keys that were inserted before keep their ordinals, and new ones follow in the
    /// order of their hashes.
    pub fn new(table: &Table, parent: &Layers, input: &Input, site: &Site<'_>) -> Result<Self> {
        let (slots, of) = (parent.slots(), table.index.shape.total_slots());
        let numbers = numbers(parent);
        let (mut ordinals, mut new): Found = (Vec::with_capacity(of as usize), Vec::new());
        table.each_segment(
            |placed, _, slots| find(table, parent, &numbers, placed, slots),
            |found, done| {
                let (mut here, mut fresh) = found?;
                ordinals.append(&mut here);
                new.append(&mut fresh);
                input.tell(site, "index", done.into(), of)
            },
        )?;
        new.sort_unstable();
        let mut inserted = vec![DELETED; parent.over().map_or(0, |(_, changes)| changes.insertions() as usize)];
        for (_, slot) in new {
            ordinals[slot as usize] = slots + inserted.len() as u32;
            inserted.push(slot);
        }
        let mut replaced = Vec::new();
        for (slot, ordinal) in (0..).zip(&ordinals) {
            match *ordinal {
                HOLE => {}
                ordinal if ordinal < slots => replaced.push((ordinal, slot)),
                ordinal => inserted[(ordinal - slots) as usize] = slot,
            }
        }
        replaced.sort_unstable();
        Ok(Self { ordinals, inserted, replaced, slots: slots.into() })
    }

    /// All ordinals there are: those of the base, and those of keys inserted since.
    pub fn ordinals(&self) -> u64 {
        self.slots + self.inserted.len() as u64
    }

    /// Records of the overlay.
    pub fn records(&self) -> u64 {
        self.replaced.len() as u64 + self.inserted.iter().filter(|slot| **slot != DELETED).count() as u64
    }

    /// The slots of the base whose records are replaced, or deleted.
    pub fn changed(&self, slots: u32, gone: &Marks) -> Marks {
        let changed = Marks::new(slots.into());
        gone.ones().for_each(|slot| changed.set(slot));
        self.replaced.iter().for_each(|(slot, _)| changed.set(*slot));
        changed
    }

    /// The sections of the overlay that lead to its records.
    pub fn sections(&self, slots: u32, gone: &Marks) -> Vec<(&'static str, Vec<u8>)> {
        let changed = self.changed(slots, gone);
        let mut replaced = self.replaced.iter().peekable();
        let places = changed.ones().flat_map(|slot| {
            let own = replaced.next_if(|(base, _)| *base == slot).map_or(DELETED, |(_, own)| *own);
            own.to_le_bytes()
        });
        let places: Vec<u8> = places.collect();
        let inserted = self.inserted.iter().flat_map(|slot| slot.to_le_bytes()).collect();
        vec![("changes", write_lines(slots.into(), changed.ones())), ("places", places), ("inserted", inserted)]
    }
}

/// For each slot of the overlay before, the number of its key among those inserted; [`HOLE`] for others.
fn numbers(parent: &Layers) -> Vec<u32> {
    let Some((overlay, changes)) = parent.over() else { return Vec::new() };
    let mut numbers = vec![HOLE; overlay.directory().index.total_slots() as usize];
    for i in 0..changes.insertions() {
        if let Some(number) = numbers.get_mut(changes.inserted(i) as usize) {
            *number = i;
        }
    }
    numbers
}

fn find(table: &Table, parent: &Layers, numbers: &[u32], placed: &Placed<'_>, slots: Range<u32>) -> Result<Found> {
    let key = &table.index.key;
    let (mut ordinals, mut new): Found = (Vec::with_capacity(slots.len()), Vec::new());
    let (mut stored, mut ends, mut spans) = (Vec::new(), Vec::new(), Vec::new());
    for start in slots.clone().step_by(BATCH) {
        let batch = start..slots.end.min(start.saturating_add(BATCH as u32));
        stored.clear();
        ends.clear();
        for slot in batch.clone() {
            let row = placed.row(slot);
            row.iter().for_each(|row| _ = row.key.store(key.kind, &mut stored));
            ends.push(row.map(|_| stored.len()));
        }
        let mut from = 0;
        let each = ends.iter().map(|end| {
            let key = end.map(|end| &stored[from..end]);
            from = end.unwrap_or(from);
            key
        });
        let each: Vec<Option<&[u8]>> = each.collect();
        let mut keys = Keys::with_capacity(key, each.len());
        each.iter().for_each(|key| keys.push(*key));
        spans.clear();
        keys.find_in(&parent.base, 0..keys.len(), false, &mut spans)?;
        let mut before = Vec::new();
        if let Some((overlay, _)) = parent.over() {
            keys.find_in(overlay, 0..keys.len(), false, &mut before)?;
        }
        for (i, (slot, stored)) in batch.zip(&each).enumerate() {
            let Some(stored) = stored else {
                ordinals.push(HOLE);
                continue;
            };
            if !spans[i].is_missing() {
                ordinals.push(spans[i].ordinal);
                continue;
            }
            let number = before.get(i).filter(|span| !span.is_missing()).map(|span| numbers[span.ordinal as usize]);
            ordinals.push(match number {
                Some(number) if number != HOLE => parent.slots() + number,
                _ => {
                    new.push((hash(table.index.shape.seed, stored), slot));
                    NEW
                }
            });
        }
    }
    Ok((ordinals, new))
}
