//! The rows of one type on disk, grouped by the hash of their key: so memory does not grow with them, and each group is small.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::directory::KeySpec;
use crate::error::Result;
use crate::hash::hash;
use crate::key::KeyKind;
use crate::parallel;
use crate::record::write_varint;
use crate::row::{Cursor, RowKey};
use crate::spill::{Pages, Spill};
use crate::table::{Context, Index, Unit};

/// Groups of rows: a row belongs to the one that the top bits of its hash name.
pub const GROUPS: usize = 256;

/// Rows between two pauses.
const PAUSE: usize = 1 << 14;

/// The group of a hash.
#[inline]
pub const fn group_of(hash: u64) -> usize {
    (hash >> 56) as usize
}

/// Rows of one group that were written together.
#[derive(Debug, Clone, Copy)]
struct Block {
    rows: u64,
    bytes: u64,
    hashes: u64,
    count: u64,
}

/// Where rows go: one for each type, shared by all threads.
#[derive(Debug)]
pub struct Drain {
    rows: Spill,
    hashes: Spill,
}

/// Collects rows by group; one for each thread.
#[derive(Debug)]
pub struct Scatter {
    drain: Arc<Drain>,
    limit: usize,
    waiting: Vec<(Vec<u8>, Vec<u8>)>,
    blocks: Vec<Vec<Block>>,
}

impl Drain {
    /// An empty one on the file system of `directory`.
    pub fn create(directory: &Path, name: &str) -> Result<Self> {
        let spill = |what: &str| Spill::create(directory, &format!("{name}.{what}"));
        Ok(Self { rows: spill("rows")?, hashes: spill("hashes")? })
    }
}

impl Scatter {
    /// One that writes a group's rows once they have about `limit` bytes.
    pub fn new(drain: Arc<Drain>, limit: usize) -> Self {
        Self { drain, limit, waiting: vec![Default::default(); GROUPS], blocks: vec![Vec::new(); GROUPS] }
    }

    /// Takes a row: its place in the sources, and the rest of it.
    pub fn push(&mut self, hash: u64, origin: u32, row: u64, body: &[u8]) -> Result<()> {
        let group = group_of(hash);
        let (rows, hashes) = &mut self.waiting[group];
        write_varint(body.len() as u64, rows);
        write_varint(u64::from(origin), rows);
        write_varint(row, rows);
        rows.extend_from_slice(body);
        hashes.extend_from_slice(&hash.to_le_bytes());
        if rows.len() >= self.limit { self.flush(group) } else { Ok(()) }
    }

    /// Writes all rows that wait, and lets go of their memory.
    pub fn rest(&mut self) -> Result<()> {
        (0..GROUPS).try_for_each(|group| self.flush(group))?;
        self.waiting.fill(Default::default());
        Ok(())
    }

    fn flush(&mut self, group: usize) -> Result<()> {
        let (rows, hashes) = &mut self.waiting[group];
        if rows.is_empty() {
            return Ok(());
        }
        self.blocks[group].push(Block {
            rows: self.drain.rows.append(rows)?,
            bytes: rows.len() as u64,
            hashes: self.drain.hashes.append(hashes)?,
            count: hashes.len() as u64 / 8,
        });
        rows.clear();
        rows.shrink_to(2 * self.limit);
        hashes.clear();
        Ok(())
    }
}

/// All rows of a type, to be read.
#[derive(Debug)]
pub struct Rows {
    /// What they are grouped by: the hashes of keys of this kind, with this seed.
    grouped: (KeyKind, u64),
    rows: Pages,
    hashes: Pages,
    blocks: Vec<Vec<Block>>,
}

/// A row: where the source had it, its key and its values.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// The place of the source.
    pub origin: u32,
    /// Its number there.
    pub row: u64,
    /// Its key.
    pub key: RowKey<'a>,
    /// Its values, in ascending order of the fields' ids.
    pub values: Cursor<'a>,
}

impl Rows {
    /// What `scatters`, all there are for `drain`, have collected; `grouped` says the kind of the keys whose hashes they were given, and
    /// the seed.
    pub fn new(
        drain: Arc<Drain>,
        scatters: impl IntoIterator<Item = Scatter>,
        grouped: (KeyKind, u64),
    ) -> Result<Self> {
        let mut blocks = vec![Vec::new(); GROUPS];
        for mut scatter in scatters {
            for (group, all) in blocks.iter_mut().enumerate() {
                scatter.flush(group)?;
                all.append(&mut scatter.blocks[group]);
            }
        }
        let Some(drain) = Arc::into_inner(drain) else { unreachable!("a scatter was kept back") };
        Ok(Self { grouped, rows: drain.rows.map()?, hashes: drain.hashes.map()?, blocks })
    }

    /// Rows.
    pub fn len(&self) -> u64 {
        self.hashes.words().len() as u64
    }

    /// Rows of a group.
    pub fn count(&self, group: usize) -> u64 {
        self.blocks[group].iter().map(|block| block.count).sum()
    }

    /// The hashes of a group's rows, in the order of [`Rows::offsets_of`].
    pub fn hashes(&self, group: usize) -> Vec<u64> {
        let blocks = self.blocks[group].iter();
        let words = blocks.flat_map(|b| &self.hashes.words()[b.hashes as usize / 8..][..b.count as usize]);
        words.map(|word| u64::from_le_bytes(*word)).collect()
    }

    fn blocks(&self, groups: Range<usize>) -> Vec<Block> {
        self.blocks[groups].concat()
    }

    /// The offsets of the rows of a block.
    fn offsets(&self, block: Block) -> impl Iterator<Item = u64> {
        let mut at = block.rows;
        std::iter::from_fn(move || {
            let from = at;
            (at < block.rows + block.bytes).then(|| {
                at = self.end_of(from);
                from
            })
        })
    }

    fn end_of(&self, at: u64) -> u64 {
        let bytes = &self.rows[at as usize..];
        let mut cursor = Cursor::new(bytes);
        let body = cursor.varint() as usize;
        cursor.varint();
        cursor.varint();
        let head = bytes.len() - cursor.rest().len();
        at + (head + body) as u64
    }

    /// The row at an offset.
    #[inline]
    pub fn at(&self, offset: u64, int: bool) -> Row<'_> {
        let mut cursor = Cursor::new(&self.rows[offset as usize..]);
        let body = cursor.varint() as usize;
        let (origin, row) = (cursor.varint() as u32, cursor.varint());
        let mut values = Cursor::new(cursor.take(body));
        Row { origin, row, key: values.key(int), values }
    }

    /// The offsets of a group's rows, in no order.
    pub fn offsets_of(&self, group: usize) -> impl Iterator<Item = u64> {
        self.blocks[group].iter().flat_map(|block| self.offsets(*block))
    }

    /// All rows of a group, in no order.
    pub fn group(&self, group: usize, int: bool) -> impl Iterator<Item = Row<'_>> {
        self.offsets_of(group).map(move |at| self.at(at, int))
    }

    /// The row at an offset, without its place in the sources.
    pub fn body(&self, offset: u64) -> &[u8] {
        let end = self.end_of(offset) as usize;
        let mut cursor = Cursor::new(&self.rows[offset as usize..end]);
        (0..3).for_each(|_| _ = cursor.varint());
        cursor.rest()
    }

    /// Bytes that a row takes, in the mean.
    pub fn mean(&self) -> usize {
        (self.rows.len() as u64).checked_div(self.len()).unwrap_or(0) as usize
    }

    /// The rows grouped by the hashes of their keys with this seed: as they are, or anew.
    pub fn grouped(self, key: &KeySpec, seed: u64, context: &Context<'_>) -> Result<Self> {
        if self.grouped == (key.kind, seed) {
            return Ok(self);
        }
        let drain = Arc::new(Drain::create(context.directory, &format!("regrouped-{seed}"))?);
        let mut scatter = Scatter::new(drain.clone(), context.block);
        let int = key.kind == KeyKind::Int;
        let mut stored = Vec::new();
        let offsets = self.blocks.iter().flatten().flat_map(|block| self.offsets(*block));
        for (i, at) in offsets.enumerate() {
            if i % PAUSE == 0 {
                (context.pause)()?;
            }
            let row = self.at(at, int);
            stored.clear();
            row.key.store(key.kind, &mut stored);
            scatter.push(hash(seed, &stored), row.origin, row.row, self.body(at))?;
        }
        Self::new(drain, [scatter], (key.kind, seed))
    }

    /// For each slot of the unit the offset of its row, or [`HOLE`]. Of rows with equal keys the last of the sources is
    /// taken, or the first.
    pub fn place(&self, unit: &Unit, index: &Index, last: bool, threads: usize) -> Vec<u64> {
        let int = index.key.kind == KeyKind::Int;
        let slots: Vec<AtomicU64> = unit.slots.clone().map(|_| AtomicU64::new(HOLE)).collect();
        let blocks = self.blocks(unit.groups.clone());
        parallel::map(threads, blocks.len(), |i| {
            let mut stored = Vec::new();
            for at in self.offsets(blocks[i]) {
                let row = self.at(at, int);
                stored.clear();
                row.key.store(index.key.kind, &mut stored);
                let place = &slots[(index.slot(&stored) - unit.slots.start) as usize];
                let mut there = HOLE;
                while let Err(now) = place.compare_exchange(there, at, Ordering::Relaxed, Ordering::Relaxed) {
                    // A slot that is not free has a row of the same key.
                    let other = self.at(now, int);
                    if ((row.origin, row.row) > (other.origin, other.row)) != last {
                        break;
                    }
                    there = now;
                }
            }
        });
        slots.into_iter().map(AtomicU64::into_inner).collect()
    }
}

/// The offset of no row.
pub const HOLE: u64 = u64::MAX;
