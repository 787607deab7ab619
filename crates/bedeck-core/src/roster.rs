//! The keys of a type by slot, for references to be resolved: on disk, since there may be more of them than memory.

use std::path::Path;

use crate::error::Result;
use crate::hash::hash;
use crate::prefetch::prefetch;
use crate::spill::{Pages, Spill};
use crate::table::{Index, Table};

/// Keys that are looked for together.
pub const BATCH: usize = 256;
/// The ordinal that stands for a key without a record.
pub const DANGLING: u32 = u32::MAX;

/// All keys of a type.
#[derive(Debug)]
pub struct Roster<'a> {
    index: &'a Index,
    /// Keys of one width, one after the other; for others, where each ends in `bytes`.
    slots: Pages,
    bytes: Pages,
    /// A bit for each slot that has a key: the key in a hole may be any, and one of zeros is legal.
    filled: Vec<u64>,
}

impl<'a> Roster<'a> {
    /// Writes down the keys of a type.
    pub fn new(table: &'a Table, directory: &Path, pause: &dyn Fn() -> Result<()>) -> Result<Self> {
        let (slots, bytes) = (Spill::create(directory, "keys")?, Spill::create(directory, "key-bytes")?);
        let (kind, width) = (table.index.key.kind, table.index.key.width);
        let mut filled = vec![0u64; (table.index.shape.total_slots() as usize).div_ceil(64)];
        let mut end = 0u64;
        for unit in table.units() {
            let placed = table.place(&unit);
            let (mut of_slots, mut of_bytes) = (Vec::new(), Vec::new());
            for slot in unit.slots.clone() {
                let before = of_slots.len();
                if let Some(row) = placed.row(slot) {
                    filled[slot as usize / 64] |= 1 << (slot % 64);
                    if width > 0 {
                        row.key.store(kind, &mut of_slots);
                    } else {
                        row.key.store(kind, &mut of_bytes);
                    }
                }
                if width > 0 {
                    of_slots.resize(before + width, 0);
                } else {
                    of_slots.extend_from_slice(&(end + of_bytes.len() as u64).to_le_bytes());
                }
            }
            end += of_bytes.len() as u64;
            slots.append(&of_slots)?;
            bytes.append(&of_bytes)?;
            pause()?;
        }
        Ok(Self { index: &table.index, slots: slots.map()?, bytes: bytes.map()?, filled })
    }

    /// The index of the type.
    pub fn index(&self) -> &Index {
        self.index
    }

    fn stride(&self) -> usize {
        if self.index.key.width > 0 { self.index.key.width } else { 8 }
    }

    fn has(&self, slot: u32, stored: &[u8]) -> bool {
        let at = slot as usize;
        if self.filled[at / 64] >> (at % 64) & 1 == 0 {
            return false;
        }
        if self.index.key.width > 0 {
            return &self.slots[at * stored.len()..(at + 1) * stored.len()] == stored;
        }
        let end = |at: usize| u64::from_le_bytes(self.slots.words()[at]) as usize;
        let start = if at == 0 { 0 } else { end(at - 1) };
        &self.bytes[start..end(at)] == stored
    }
}

/// Appends the ordinal of each key, given with the keys of its type, [`DANGLING`] where it has no record. At most [`BATCH`] keys, in passes
/// that prefetch.
pub fn find<'a>(wanted: impl Iterator<Item = (&'a Roster<'a>, &'a [u8])> + Clone, ordinals: &mut Vec<u32>) {
    let mut hashes = [0u64; BATCH];
    let mut slots = [0u32; BATCH];
    for (hash_of, (roster, stored)) in hashes.iter_mut().zip(wanted.clone()) {
        let index = roster.index;
        *hash_of = hash(index.shape.seed, stored);
        prefetch(&index.pilots, index.shape.bucket(*hash_of) as usize);
    }
    for ((slot, hash), (roster, _)) in slots.iter_mut().zip(hashes).zip(wanted.clone()) {
        let index = roster.index;
        *slot = index.shape.slot(hash, index.pilots[index.shape.bucket(hash) as usize]);
        prefetch(&roster.slots, *slot as usize * roster.stride());
    }
    let found =
        slots.iter().zip(wanted).map(|(slot, (roster, key))| if roster.has(*slot, key) { *slot } else { DANGLING });
    ordinals.extend(found);
}
