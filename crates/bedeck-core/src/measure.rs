//! The pass between index and layout: references become ordinals, ranges and lengths are seen, digests summed.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::dictionary::Values;
use crate::error::Result;
use crate::ingest::MAX_VALUE;
use crate::key::KeyKind;
use crate::record::write_varint;
use crate::roster::{BATCH, DANGLING};
use crate::row::{self, Cursor, RowKey, Tag};
use crate::spec::TypeSpec;
use crate::spill::{Pages, Spill};
use crate::stats::Stats;
use crate::table::{Placed, Table};
use crate::target::{self, Target, Wanted};
use crate::text::escape;
use crate::types::{FieldType, Scalar};

/// Bytes a value may have and still lie in its record.
pub const INLINE: usize = 255;

/// Lengths seen of one field's var values: items of fixed-width lists, bytes of all others.
#[derive(Debug, Clone, Default)]
pub struct Lengths {
    seen: [u64; 4],
    /// Whether one was longer than [`INLINE`].
    pub longer: bool,
}

impl Lengths {
    fn note(&mut self, length: usize) {
        if length > INLINE { self.longer = true } else { self.seen[length / 64] |= 1 << (length % 64) }
    }

    fn merge(&mut self, other: &Self) {
        self.longer |= other.longer;
        self.seen.iter_mut().zip(other.seen).for_each(|(mine, theirs)| *mine |= theirs);
    }

    /// Those seen, up to [`INLINE`], ascending.
    pub fn short(&self) -> impl DoubleEndedIterator<Item = usize> + '_ {
        (0..=INLINE).filter(|n| self.seen[n / 64] >> (n % 64) & 1 == 1)
    }
}

/// Where a key is referred to: source, row, and the key as text.
pub type Use = (u32, u64, Box<[u8]>);

/// What is known of one field of a segment of slots, or of a whole type.
#[derive(Debug, Default, Clone)]
pub struct Column {
    /// Counts and ranges; of references, only those.
    pub stats: Stats,
    /// Records without a value.
    pub nulls: u64,
    /// Lengths of values.
    pub lengths: Lengths,
    /// Lengths of its printed keys, where those are kept.
    pub printed: Lengths,
    /// Keys without a record, as text.
    pub dangling: BTreeSet<Box<[u8]>>,
    /// How often they are referred to.
    pub dangling_uses: u64,
    /// The first of these uses.
    pub dangling_first: Option<Use>,
    /// The first row whose printed keys take more bytes than a value may.
    pub too_long: Option<(u32, u64)>,
}

/// What a segment of slots, or a whole type, was found to hold.
#[derive(Debug, Default)]
struct Found {
    columns: Vec<Column>,
    key_lengths: Lengths,
    digest: u128,
    key_digest: u128,
}

/// What a type was found to hold.
#[derive(Debug)]
pub struct Measured {
    /// One a field.
    pub columns: Vec<Column>,
    /// Lengths of keys.
    pub key_lengths: Lengths,
    /// The order-free sum over records.
    pub digest: u128,
    /// The order-free sum over keys.
    pub key_digest: u128,
    ordinals: Pages,
    segments: Vec<Range<usize>>,
}

impl Measured {
    /// The ordinals of all references of a segment, counted over all units, in the order in which encoding meets them.
    pub fn ordinals(&self, segment: usize) -> &[[u8; 4]] {
        self.ordinals[self.segments[segment].clone()].as_chunks().0
    }
}

/// The number that a canonical form adds to a digest.
pub fn digest(canonical: &[u8]) -> u128 {
    let hash = blake3::hash(canonical);
    hash.as_bytes().first_chunk().map_or(0, |bytes| u128::from_le_bytes(*bytes))
}

/// A type whose rows are read again: what it was told, where its rows are, and what they refer to.
pub struct Subject<'a> {
    /// What it was told.
    pub spec: &'a TypeSpec,
    /// Its rows.
    pub table: &'a Table,
    /// What each field refers to.
    pub targets: Vec<Option<Target<'a>>>,
    /// Whether printed keys are kept, for each field.
    pub printed: Vec<bool>,
    /// The values of each field that rows have codes for.
    pub dictionaries: &'a [Values],
}

/// Measures all of a type; the ordinals go to `spill`. `pause` is called now and then on this thread with the slots done, and ends the
/// work with its error.
pub fn measure(subject: &Subject<'_>, spill: Spill, pause: &dyn Fn(u32) -> Result<()>) -> Result<Measured> {
    let mut all = Found::new(subject.spec.fields.len());
    let mut segments = Vec::new();
    subject.table.each_segment(
        |placed, _, slots| Segment::new(subject, placed).measure(slots),
        |segment, done| {
            let (found, ordinals) = segment?;
            all.merge(found);
            let at = spill.append(ordinals.as_flattened())? as usize;
            segments.push(at..at + 4 * ordinals.len());
            pause(done)
        },
    )?;
    let Found { columns, key_lengths, digest, key_digest } = all;
    Ok(Measured { columns, key_lengths, digest, key_digest, ordinals: spill.map()?, segments })
}

impl Found {
    fn new(fields: usize) -> Self {
        Self { columns: vec![Column::default(); fields], ..Self::default() }
    }

    fn merge(&mut self, other: Self) {
        for (mine, theirs) in self.columns.iter_mut().zip(other.columns) {
            mine.stats.merge(&theirs.stats);
            mine.nulls += theirs.nulls;
            mine.lengths.merge(&theirs.lengths);
            mine.printed.merge(&theirs.printed);
            mine.dangling.extend(theirs.dangling);
            mine.dangling_uses += theirs.dangling_uses;
            mine.too_long = mine.too_long.into_iter().chain(theirs.too_long).min();
            mine.dangling_first = mine.dangling_first.take().into_iter().chain(theirs.dangling_first).min();
        }
        self.key_lengths.merge(&other.key_lengths);
        self.digest = self.digest.wrapping_add(other.digest);
        self.key_digest = self.key_digest.wrapping_add(other.key_digest);
    }
}

/// A reference that waits to be resolved.
struct Waiting<'a> {
    field: usize,
    slot: u32,
    key: RowKey<'a>,
    /// Its stored form; nothing where it is malformed.
    stored: Option<Range<usize>>,
}

/// The measuring of one segment.
struct Segment<'a> {
    subject: &'a Subject<'a>,
    placed: &'a Placed<'a>,
    found: Found,
    waiting: Vec<Waiting<'a>>,
    stored: Vec<u8>,
    text: Vec<u8>,
    resolved: Vec<u32>,
    ordinals: Vec<[u8; 4]>,
}

impl<'a> Segment<'a> {
    fn new(subject: &'a Subject<'a>, placed: &'a Placed<'a>) -> Self {
        Self {
            found: Found::new(subject.spec.fields.len()),
            subject,
            placed,
            waiting: Vec::new(),
            stored: Vec::new(),
            text: Vec::new(),
            resolved: Vec::new(),
            ordinals: Vec::new(),
        }
    }

    fn measure(mut self, slots: Range<u32>) -> Result<(Found, Vec<[u8; 4]>)> {
        let Subject { spec, table, targets, dictionaries, .. } = self.subject;
        let by_id = spec.by_id();
        let kind = table.index.key.kind;
        let mut canonical = Vec::new();
        let mut stored = Vec::new();
        for slot in slots {
            let Some(row) = self.placed.row(slot) else { continue };
            stored.clear();
            row.key.store(kind, &mut stored);
            self.found.key_lengths.note(stored.len());
            canonical.clear();
            row.key.write_canonical(kind, &mut canonical);
            self.found.key_digest = self.found.key_digest.wrapping_add(digest(&canonical));
            let mut cursor = row.values;
            for &place in &by_id {
                let (id, field_type) = (spec.fields[place].id, &spec.fields[place].field_type);
                if let Some(target) = targets[place] {
                    self.references(place, slot, target, &mut cursor, &mut canonical)?;
                    continue;
                }
                let value = cursor.value(field_type, &dictionaries[place].by_code);
                let column = &mut self.found.columns[place];
                match value {
                    None => {
                        column.nulls += 1;
                        column.lengths.note(0);
                    }
                    Some((value, code)) => {
                        column.stats.value(field_type, value, code);
                        column.lengths.note(var_length(field_type, value));
                        write_varint(id.into(), &mut canonical);
                        row::write_canonical(field_type, value, &mut canonical);
                    }
                }
            }
            self.found.digest = self.found.digest.wrapping_add(digest(&canonical));
        }
        self.resolve()?;
        Ok((self.found, self.ordinals))
    }

    fn references(
        &mut self,
        place: usize,
        slot: u32,
        target: Target<'_>,
        cursor: &mut Cursor<'a>,
        canonical: &mut Vec<u8>,
    ) -> Result<()> {
        let key = target.key();
        let int = key.kind == KeyKind::Int;
        let column = &mut self.found.columns[place];
        if cursor.tag() == Tag::Null {
            column.nulls += 1;
            column.lengths.note(0);
            column.printed.note(0);
            return Ok(());
        }
        if self.subject.printed[place] {
            self.text.clear();
            print_keys(&self.subject.spec.fields[place].field_type, key.kind, &mut cursor.clone(), &mut self.text);
            column.printed.note(self.text.len());
            if self.text.len() > MAX_VALUE {
                let here = self.placed.row(slot).map(|row| (row.origin, row.row));
                column.too_long = column.too_long.into_iter().chain(here).min();
            }
        }
        write_varint(self.subject.spec.fields[place].id.into(), canonical);
        column.stats.present += 1;
        if !self.subject.spec.fields[place].field_type.list {
            column.stats.scalars += 1;
            return self.wait(place, slot, key.kind, cursor.key(int), canonical);
        }
        let count = Cursor::new(cursor.rest()).varint();
        column.lengths.note(count as usize);
        write_varint(count, canonical);
        let mut outcome = Ok(());
        cursor.keys(int, |item| match item {
            None => {
                row::write_tag(Tag::Null, canonical);
                self.found.columns[place].stats.null_items = true;
            }
            Some(item) => {
                row::write_tag(Tag::Bytes, canonical);
                self.found.columns[place].stats.scalars += 1;
                if let Err(error) = self.wait(place, slot, key.kind, item, canonical) {
                    outcome = Err(error);
                }
            }
        });
        outcome
    }

    fn wait(&mut self, field: usize, slot: u32, kind: KeyKind, key: RowKey<'a>, canonical: &mut Vec<u8>) -> Result<()> {
        key.write_canonical(kind, canonical);
        let start = self.stored.len();
        let stored = key.store(kind, &mut self.stored).then_some(start..self.stored.len());
        self.waiting.push(Waiting { field, slot, key, stored });
        if self.waiting.len() == BATCH { self.resolve() } else { Ok(()) }
    }

    /// Resolves all references that wait.
    fn resolve(&mut self) -> Result<()> {
        let well_formed = self.waiting.iter().filter_map(|w| {
            Some(Wanted { target: self.subject.targets[w.field]?, stored: &self.stored[w.stored.clone()?] })
        });
        let wanted: Vec<Wanted<'_>> = well_formed.collect();
        self.resolved.clear();
        target::find(&wanted, &mut self.resolved)?;
        let mut resolved = self.resolved.iter();
        for Waiting { field, slot, key, stored } in self.waiting.drain(..) {
            let ordinal = stored.and_then(|_| resolved.next()).copied().unwrap_or(DANGLING);
            self.ordinals.push(ordinal.to_le_bytes());
            if ordinal != DANGLING {
                continue;
            }
            let column = &mut self.found.columns[field];
            let kind = self.subject.targets[field].map_or(KeyKind::String, |target| target.key().kind);
            let mut buffer = [0; 36];
            let text = key.canonical(kind, &mut buffer);
            column.dangling_uses += 1;
            if !column.dangling.contains(text) {
                column.dangling.insert(text.into());
            }
            let (origin, row) = self.placed.row(slot).map_or((0, 0), |row| (row.origin, row.row));
            if column.dangling_first.as_ref().is_none_or(|first| (origin, row) < (first.0, first.1)) {
                column.dangling_first = Some((origin, row, text.into()));
            }
        }
        self.stored.clear();
        Ok(())
    }
}

/// Appends the keys of a reference that is not null as the var value [`crate::directory::Field::printed`] has them.
pub fn print_keys(field_type: &FieldType, kind: KeyKind, cursor: &mut Cursor<'_>, out: &mut Vec<u8>) {
    let mut buffer = [0; 36];
    if !field_type.list {
        escape(cursor.key(false).canonical(kind, &mut buffer), out);
        return;
    }
    let mut text = Vec::new();
    cursor.keys(false, |key| match key {
        None => out.push(0),
        Some(key) => {
            text.clear();
            escape(key.canonical(kind, &mut buffer), &mut text);
            write_varint(text.len() as u64 + 1, out);
            out.extend_from_slice(&text);
        }
    });
}

/// The length of a value as a var value: items of a fixed-width list, bytes of anything else that is not a number.
fn var_length(field_type: &FieldType, value: &[u8]) -> usize {
    let mut cursor = Cursor::new(value);
    if !field_type.list {
        return if field_type.scalar.is_bytes() { cursor.varint() as usize } else { 0 };
    }
    if !field_type.scalar.is_bytes() {
        return cursor.varint() as usize;
    }
    let mut length = 0;
    cursor.items(&field_type.scalar, |item| length += item_length(item));
    length
}

/// Bytes of an item of a list of strings or binaries, its length included.
pub fn item_length(item: Option<&[u8]>) -> usize {
    item.map_or(1, |item| {
        let prefix = (64 - (item.len() as u64 + 1).leading_zeros()).div_ceil(7) as usize;
        prefix + item.len()
    })
}

/// Whether a scalar that is not bytes is narrowed to its range: everything but floats, booleans and references.
pub const fn is_ranged(scalar: &Scalar) -> bool {
    matches!(scalar, Scalar::Int(_) | Scalar::UInt(_) | Scalar::Date | Scalar::Timestamp(..))
}
