//! The rows of one type in the order of their hashes, with the index over them.

use std::borrow::Cow;

use crate::directory::{KeySpec, Shape};
use crate::error::{Error, Result};
use crate::hash::hash;
use crate::ingest::Chunk;
use crate::key::{KeyKind, parse_uuid, print_uuid};
use crate::parallel;
use crate::row::Cursor;
use crate::spec::OnDuplicate;

/// Where a row is, and the hash of its key.
#[derive(Debug, Clone, Copy)]
struct Entry {
    hash: u64,
    chunk: u32,
    row: u32,
}

/// All rows of a type, each with a slot of its own.
#[derive(Debug)]
pub struct Table {
    /// The kind of the key and its place.
    pub key: KeySpec,
    /// The index's dimensions.
    pub shape: Shape,
    /// The index.
    pub pilots: Vec<u8>,
    /// Rows dropped because their key came twice.
    pub dropped: u64,
    chunks: Vec<Chunk>,
    entries: Vec<Entry>,
    /// The entry in each slot; [`HOLE`] where there is none.
    slots: Vec<u32>,
}

const HOLE: u32 = u32::MAX;
/// Entries are sorted in groups by the top byte of their hash.
const GROUPS: usize = 256;
/// Different keys with equal hashes are met with another seed; more than a few in a row mean a bug.
const SEEDS: u64 = 16;

impl Table {
    /// Indexes `chunks` by key. Duplicate keys are dealt with as `on_duplicate` says; `describe` names a row for an error.
    pub fn new(
        chunks: Vec<Chunk>,
        key: KeySpec,
        on_duplicate: OnDuplicate,
        threads: usize,
        describe: impl Fn(u32, u64) -> String,
    ) -> Result<Self> {
        let rows: u64 = chunks.iter().map(|c| c.len() as u64).sum();
        let shape = Shape { seed: 0, parts: 1, buckets: 1, slots: 1 };
        let mut table =
            Self { key, shape, pilots: Vec::new(), dropped: 0, chunks, entries: Vec::new(), slots: Vec::new() };
        if rows >= u64::from(u32::MAX) * 9 / 10 {
            return Err(Error::Source(format!(
                "{rows} rows; a type holds at most 3.8 thousand million records (2^32 - 2 slots)"
            )));
        }
        for seed in 0..SEEDS {
            table.sort(seed, threads);
            if !table.resolve_equal_hashes(on_duplicate, &describe)? {
                continue;
            }
            if table.index(seed, threads) {
                return Ok(table);
            }
        }
        Err(Error::Source(format!("no index found for {rows} keys with {SEEDS} seeds; this is a bug in bedeck")))
    }

    /// Records.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The row in a slot.
    pub fn row(&self, slot: u32) -> Option<&[u8]> {
        let entry = *self.slots.get(slot as usize)?;
        (entry != HOLE).then(|| self.row_of(self.entries[entry as usize]))
    }

    /// Source and row number of the row in a slot.
    pub fn place(&self, slot: u32) -> Option<(u32, u64)> {
        let entry = self.entries.get(*self.slots.get(slot as usize)? as usize)?;
        Some(self.place_of(*entry))
    }

    /// The slot of a stored key, given the same key as it prints; `None` if it has no row.
    pub fn find(&self, stored: &[u8], text: &[u8]) -> Option<u32> {
        let hash = hash(self.shape.seed, stored);
        let slot = self.shape.slot(hash, self.pilots[self.shape.bucket(hash) as usize]);
        let entry = *self.slots.get(slot as usize)?;
        let entry = *self.entries.get(entry as usize)?;
        if entry.hash != hash {
            return None;
        }
        let found = Cursor::new(self.row_of(entry)).key(self.is_int());
        (found == text).then_some(slot)
    }

    /// A key of this type as it prints, given as a source wrote it: UUIDs can be written in other ways.
    pub fn canonical<'a>(&self, text: &'a [u8]) -> Cow<'a, [u8]> {
        match parse_uuid(text) {
            Some(number) if self.key.kind == KeyKind::Uuid => Cow::Owned(print_uuid(number).to_vec()),
            _ => Cow::Borrowed(text),
        }
    }

    /// Whether keys are integers.
    pub fn is_int(&self) -> bool {
        self.key.kind == KeyKind::Int
    }

    fn row_of(&self, entry: Entry) -> &[u8] {
        self.chunks[entry.chunk as usize].row(entry.row as usize)
    }

    fn place_of(&self, entry: Entry) -> (u32, u64) {
        let chunk = &self.chunks[entry.chunk as usize];
        (chunk.origin, chunk.first_row + u64::from(entry.row))
    }

    fn sort(&mut self, seed: u64, threads: usize) {
        let (chunks, key) = (&self.chunks, &self.key);
        let int = key.kind == KeyKind::Int;
        let grouped = parallel::map(threads, chunks.len(), |i| {
            let mut groups: Vec<Vec<Entry>> = vec![Vec::new(); GROUPS];
            let mut stored = Vec::new();
            for row in 0..chunks[i].len() {
                stored.clear();
                // Ingesting refused what the kind cannot store.
                key.kind.store(Cursor::new(chunks[i].row(row)).key(int), &mut stored);
                let hash = hash(seed, &stored);
                groups[(hash >> 56) as usize].push(Entry { hash, chunk: i as u32, row: row as u32 });
            }
            groups
        });
        let sorted = parallel::map(threads, GROUPS, |group| {
            let mut entries: Vec<Entry> = grouped.iter().flat_map(|groups| groups[group].iter().copied()).collect();
            entries.sort_unstable_by_key(|e| (e.hash, self.place_of(*e)));
            entries
        });
        self.entries = sorted.concat();
    }

    /// Drops or refuses duplicates. False if two different keys have one hash: another seed is needed.
    fn resolve_equal_hashes(
        &mut self,
        on_duplicate: OnDuplicate,
        describe: &impl Fn(u32, u64) -> String,
    ) -> Result<bool> {
        if self.entries.windows(2).all(|w| w[0].hash != w[1].hash) {
            self.dropped = 0;
            return Ok(true);
        }
        let int = self.is_int();
        let key = |e: &Entry| Cursor::new(self.row_of(*e)).key(int);
        let mut kept = Vec::with_capacity(self.entries.len());
        let mut examples = Vec::new();
        let mut duplicates = 0u64;
        for run in self.entries.chunk_by(|a, b| a.hash == b.hash) {
            if run.iter().any(|e| key(e) != key(&run[0])) {
                return Ok(false);
            }
            duplicates += run.len() as u64 - 1;
            if run.len() > 1 && on_duplicate == OnDuplicate::Error {
                // The ten that come first in the sources; entries are in hash order, which means nothing to a person.
                examples.push(run);
                examples.sort_by_key(|run| self.place_of(run[0]));
                examples.truncate(10);
            }
            kept.push(if on_duplicate == OnDuplicate::Last { run[run.len() - 1] } else { run[0] });
        }
        if !examples.is_empty() {
            let mut text = format!(
                "key {:?}: {duplicates} duplicates; set on_duplicate = \"first\" or \"last\" to keep one of each. The first:",
                self.key.field
            );
            for run in examples {
                let mut shown = Vec::new();
                let mut stored = Vec::new();
                self.key.kind.store(key(&run[0]), &mut stored);
                crate::json::write_key(&self.key, &stored, &mut shown);
                let places: Vec<String> =
                    run.iter().take(4).map(|e| self.place_of(*e)).map(|(origin, row)| describe(origin, row)).collect();
                text += &format!("\n  {}: {}", String::from_utf8_lossy(&shown), places.join("; "));
            }
            return Err(Error::DuplicateKey(text));
        }
        self.dropped = duplicates;
        self.entries = kept;
        Ok(true)
    }

    fn index(&mut self, seed: u64, threads: usize) -> bool {
        let parts = Shape::parts_for(self.entries.len() as u64);
        let part_of = |e: &Entry| crate::hash::high(e.hash, parts) as usize;
        let mut starts = vec![0usize; parts as usize + 1];
        self.entries.iter().for_each(|e| starts[part_of(e) + 1] += 1);
        let fullest = starts.iter().copied().max().unwrap_or(0);
        for i in 0..parts as usize {
            starts[i + 1] += starts[i];
        }
        let shape = Shape::new(seed, parts, fullest as u64);
        let found = parallel::map(threads, parts as usize, |part| {
            let hashes: Vec<u64> = self.entries[starts[part]..starts[part + 1]].iter().map(|e| e.hash).collect();
            shape.search(&hashes)
        });
        let Some(pilots) = found.into_iter().collect::<Option<Vec<_>>>() else { return false };
        self.shape = shape;
        self.pilots = pilots.concat();
        self.slots = vec![HOLE; shape.total_slots() as usize];
        for (i, entry) in self.entries.iter().enumerate() {
            let slot = shape.slot(entry.hash, self.pilots[shape.bucket(entry.hash) as usize]);
            self.slots[slot as usize] = i as u32;
        }
        true
    }
}
