//! The rows of one type in the order of their slots, with the index over them.

use std::ops::Range;
use std::path::Path;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::directory::{KeySpec, Shape};
use crate::duplicates::{self, Duplicates, Equal};
use crate::error::{Error, Result};
use crate::hash::{hash, high};
use crate::key::KeyKind;
use crate::parallel;
use crate::rows::{GROUPS, HOLE, Row, Rows};
use crate::spec::OnDuplicate;
use crate::spill::{Pages, Spill};

/// Slots that are measured, and later encoded, as one piece of work, at most; fewer where rows are long.
pub const SEGMENT: u32 = 1 << 14;
/// Bytes of rows of such a piece.
const SEGMENT_BYTES: usize = 2 << 20;
/// Different keys with equal hashes are met with another seed; more than a few in a row mean a bug.
const SEEDS: u64 = 16;
/// Rows a type may have: the fewest that could fill 2^32 - 2 slots.
const MOST_ROWS: u64 = u32::MAX as u64 * 9 / 10;

/// The index of a type: from keys to slots.
#[derive(Debug)]
pub struct Index {
    /// The kind of the key and its place.
    pub key: KeySpec,
    /// The dimensions.
    pub shape: Shape,
    /// One byte a bucket.
    pub pilots: Vec<u8>,
}

impl Index {
    /// The slot of a stored key; some slot, if it has no row.
    #[inline]
    pub fn slot(&self, stored: &[u8]) -> u32 {
        let hash = hash(self.shape.seed, stored);
        self.shape.slot(hash, self.pilots[self.shape.bucket(hash) as usize])
    }
}

/// Groups of rows together with the slots that they and no others fill.
#[derive(Debug, Clone)]
pub struct Unit {
    /// The groups.
    pub groups: Range<usize>,
    /// The slots.
    pub slots: Range<u32>,
}

impl Unit {
    /// All slots of an index of these dimensions, in order; rows are grouped by its hashes.
    pub fn all(shape: &Shape) -> Vec<Self> {
        // Groups and parts are both equal shares of all hashes: where their numbers have a common divisor, boundaries meet.
        let units = 1 << shape.parts.trailing_zeros().min(GROUPS.trailing_zeros());
        let (groups, slots) = (GROUPS / units, shape.total_slots() / units as u64);
        let unit = |i: usize| Self {
            groups: i * groups..(i + 1) * groups,
            slots: (i as u64 * slots) as u32..((i as u64 + 1) * slots) as u32,
        };
        (0..units).map(unit).collect()
    }

    /// The slots, `step` at a time.
    fn segments(&self, step: u32) -> Vec<Range<u32>> {
        let starts = self.slots.clone().step_by(step as usize);
        starts.map(|start| start..start.saturating_add(step).min(self.slots.end)).collect()
    }
}

/// All rows of a type, each with a slot of its own.
#[derive(Debug)]
pub struct Table {
    /// The index.
    pub index: Index,
    /// Records.
    pub records: u64,
    /// Rows dropped because their key came twice.
    pub dropped: u64,
    rows: Rows,
    last: bool,
    threads: usize,
}

/// The rows of one unit, by slot.
#[derive(Debug)]
pub struct Placed<'a> {
    table: &'a Table,
    first: u32,
    offsets: Vec<u64>,
}

impl Placed<'_> {
    /// The row in a slot of the unit.
    #[inline]
    pub fn row(&self, slot: u32) -> Option<Row<'_>> {
        let offset = self.offsets[(slot - self.first) as usize];
        (offset != HOLE).then(|| self.table.rows.at(offset, self.table.is_int()))
    }
}

/// What indexing needs besides the rows.
pub struct Context<'a> {
    /// For rows that are grouped anew.
    pub directory: &'a Path,
    /// Bytes of a group that are written together.
    pub block: usize,
    /// Threads to use.
    pub threads: usize,
    /// Names a row, given its source and number, for an error.
    pub describe: &'a (dyn Fn(u32, u64) -> String + Sync),
    /// Called now and then; its error ends the work.
    pub pause: &'a (dyn Fn() -> Result<()> + Sync),
}

impl Table {
    /// Indexes rows by key. Duplicate keys are dealt with as `on_duplicate` says.
    pub fn new(mut rows: Rows, key: KeySpec, on_duplicate: OnDuplicate, context: &Context<'_>) -> Result<Self> {
        let count = rows.len();
        if count >= MOST_ROWS {
            return Err(Error::Source(format!(
                "{count} rows; a type holds at most {MOST_ROWS} (2^32 - 2 slots for its records)"
            )));
        }
        for seed in 0..SEEDS {
            rows = rows.grouped(&key, seed, context)?;
            let Some(hashes) = sort(&rows, &key, seed, on_duplicate, context)? else { continue };
            let records = hashes.words().len() as u64;
            if let Some((shape, pilots)) = search(seed, &hashes, context)? {
                let index = Index { key, shape, pilots };
                let (dropped, last) = (count - records, on_duplicate == OnDuplicate::Last);
                return Ok(Self { index, records, dropped, rows, last, threads: context.threads });
            }
        }
        Err(Error::Source(format!("no index found for {count} keys with {SEEDS} seeds; this is a bug in bedeck")))
    }

    /// Bytes of memory that its index takes, and the marks of its slots.
    pub fn memory(&self) -> usize {
        self.index.pilots.len() + self.index.shape.total_slots() as usize / 8
    }

    /// Whether keys are integers.
    pub fn is_int(&self) -> bool {
        self.index.key.kind == KeyKind::Int
    }

    /// All slots, in order.
    pub fn units(&self) -> Vec<Unit> {
        Unit::all(&self.index.shape)
    }

    /// Calls `work` for every segment, on several threads, with the segment's number and its slots, and hands the results in order to
    /// `sink`, together with the slots done.
    pub fn each_segment<T: Send>(
        &self,
        work: impl Fn(&Placed<'_>, usize, Range<u32>) -> T + Sync,
        mut sink: impl FnMut(T, u32) -> Result<()>,
    ) -> Result<()> {
        let step = (SEGMENT_BYTES / self.rows.mean().max(1)).clamp(1, SEGMENT as usize) as u32;
        let mut before = 0;
        for unit in self.units() {
            let (placed, segments) = (self.place(&unit), unit.segments(step));
            let (mut done, mut outcome) = (0, Ok(()));
            parallel::ordered(
                self.threads,
                segments.len(),
                |i| work(&placed, before + i, segments[i].clone()),
                |result| {
                    outcome = sink(result, segments[done].end);
                    done += 1;
                    outcome.is_ok()
                },
            );
            outcome?;
            before += segments.len();
        }
        Ok(())
    }

    /// The rows of a unit.
    pub fn place(&self, unit: &Unit) -> Placed<'_> {
        let offsets = self.rows.place(unit, &self.index, self.last, self.threads);
        Placed { table: self, first: unit.slots.start, offsets }
    }
}

/// The hashes of all keys, ascending, each once. Drops or refuses duplicates; `None` if two different keys have one hash.
fn sort(
    rows: &Rows,
    key: &KeySpec,
    seed: u64,
    on_duplicate: OnDuplicate,
    context: &Context<'_>,
) -> Result<Option<Pages>> {
    let spill = Spill::create(context.directory, "hashes")?;
    let (mut duplicates, mut distinct, mut outcome) = (Duplicates::default(), true, Ok(()));
    let work = |group: usize| {
        let mut hashes = rows.hashes(group);
        hashes.sort_unstable();
        let equal: FxHashSet<u64> = hashes.windows(2).filter(|w| w[0] == w[1]).map(|w| w[0]).collect();
        let count = hashes.len();
        hashes.dedup();
        let bytes: Vec<u8> = hashes.iter().flat_map(|hash| hash.to_le_bytes()).collect();
        (bytes, count - hashes.len(), find_equal(rows, key, seed, group, &equal, on_duplicate == OnDuplicate::Error))
    };
    parallel::ordered(context.threads, GROUPS, work, |(bytes, dropped, found)| {
        distinct = found.is_some();
        duplicates.add(dropped as u64, found.into_iter().flatten());
        outcome = spill.append(&bytes).and_then(|_| (context.pause)());
        distinct && outcome.is_ok()
    });
    outcome?;
    if !distinct {
        return Ok(None);
    }
    if on_duplicate == OnDuplicate::Error {
        duplicates.refuse(key, context.describe)?;
    }
    spill.map().map(Some)
}

/// The first keys of a group that come more than once, if they are to be told, given the hashes that do; `None` if two
/// keys have one hash.
fn find_equal(
    rows: &Rows,
    key: &KeySpec,
    seed: u64,
    group: usize,
    equal: &FxHashSet<u64>,
    told: bool,
) -> Option<Vec<Equal>> {
    if equal.is_empty() {
        return Some(Vec::new());
    }
    let mut found: FxHashMap<u64, Equal> = FxHashMap::default();
    for row in rows.group(group, key.kind == KeyKind::Int) {
        let mut stored = Vec::new();
        row.key.store(key.kind, &mut stored);
        let hash = hash(seed, &stored);
        if equal.contains(&hash) {
            let (places, first) = found.entry(hash).or_insert_with(|| (Vec::new(), stored.clone()));
            if *first != stored {
                return None;
            }
            if told {
                duplicates::note((row.origin, row.row), places);
            }
        }
    }
    Some(found.into_values().filter(|_| told).collect())
}

/// The dimensions and the pilots for these hashes; `None` where some part has no pilots.
fn search(seed: u64, hashes: &Pages, context: &Context<'_>) -> Result<Option<(Shape, Vec<u8>)>> {
    let hashes = hashes.words();
    let parts = Shape::parts_for(hashes.len() as u64);
    let starts: Vec<usize> =
        (0..=parts).map(|part| hashes.partition_point(|hash| high(u64::from_le_bytes(*hash), parts) < part)).collect();
    let fullest = starts.windows(2).map(|w| w[1] - w[0]).max().unwrap_or(0);
    let shape = Shape::new(seed, parts, fullest as u64);
    let mut pilots = Vec::with_capacity((parts * shape.buckets) as usize);
    let (mut found, mut outcome) = (true, Ok(()));
    let work = |part: usize| {
        let hashes = hashes[starts[part]..starts[part + 1]].iter().map(|hash| u64::from_le_bytes(*hash));
        shape.search(&hashes.collect::<Vec<_>>())
    };
    parallel::ordered(context.threads, parts as usize, work, |part| {
        found = part.is_some();
        pilots.extend(part.into_iter().flatten());
        outcome = (context.pause)();
        found && outcome.is_ok()
    });
    outcome.map(|()| found.then_some((shape, pilots)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_rows_fill_the_slots_of_their_unit_and_no_others() {
        for parts in [1u64, 2, 3, 4, 6, 96, 256, 512, 1_792] {
            let shape = Shape { seed: 0, parts, buckets: 100, slots: 300 };
            let units = Unit::all(&shape);
            assert_eq!(
                units.iter().flat_map(|unit| unit.groups.clone()).collect::<Vec<_>>(),
                (0..GROUPS).collect::<Vec<_>>()
            );
            assert_eq!(units.last().map(|unit| unit.slots.end), Some(parts as u32 * 300));
            for i in 0..20_000u64 {
                let h = hash(1, &i.to_le_bytes());
                let unit = units.iter().find(|unit| unit.groups.contains(&crate::rows::group_of(h)));
                assert!((0..=255).all(|pilot| unit.is_some_and(|unit| unit.slots.contains(&shape.slot(h, pilot)))));
            }
        }
    }
}
