//! The pass between index and layout: references become ordinals, lengths are seen, digests summed.

use std::collections::BTreeSet;

use crate::build::Pause;
use crate::error::Result;
use crate::key::KeyKind;
use crate::parallel;
use crate::record::write_varint;
use crate::row::{self, Cursor};
use crate::spec::TypeSpec;
use crate::table::Table;
use crate::types::Scalar;

/// Slots that are measured, and later encoded, as one piece of work.
pub const SEGMENT: usize = 1 << 14;
/// The ordinal that stands for a key without a record.
pub const DANGLING: u32 = u32::MAX;
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

/// What a segment of slots, or a whole type, was found to hold.
#[derive(Debug, Default)]
pub struct Measured {
    /// Ordinals of all references, in the order in which encoding meets them; a list a segment.
    pub ordinals: Vec<Vec<u32>>,
    /// Keys without a record, in text form, for each field.
    pub dangling: Vec<BTreeSet<Box<[u8]>>>,
    /// Records without a value, for each field.
    pub nulls: Vec<u64>,
    /// How often they are referred to, for each field.
    pub dangling_uses: Vec<u64>,
    /// The first use of one, for each field: source, row and key.
    pub dangling_first: Vec<Option<Use>>,
    /// Lengths, for each field.
    pub lengths: Vec<Lengths>,
    /// Lengths of keys.
    pub key_lengths: Lengths,
    /// The order-free sum over records.
    pub digest: u128,
    /// The order-free sum over keys.
    pub key_digest: u128,
}

/// The number that a canonical form adds to a digest.
pub fn digest(canonical: &[u8]) -> u128 {
    let hash = blake3::hash(canonical);
    hash.as_bytes().first_chunk().map_or(0, |bytes| u128::from_le_bytes(*bytes))
}

/// Measures all of a type. `targets` has the table each field refers to; lengths of `interned` fields are of no
/// interest. `pause` is called now and then on this thread, and ends the work with its error.
pub fn measure(
    spec: &TypeSpec,
    table: &Table,
    targets: &[Option<&Table>],
    interned: &[bool],
    threads: usize,
    pause: Pause<'_>,
) -> Result<Measured> {
    let mut all = Measured::new(spec.fields.len());
    let segments = (table.shape.total_slots() as usize).div_ceil(SEGMENT);
    let mut outcome = Ok(());
    parallel::ordered(
        threads,
        segments,
        |i| measure_segment(spec, table, targets, interned, i),
        |segment| {
            all.merge(segment);
            outcome = pause();
            outcome.is_ok()
        },
    );
    outcome.map(|()| all)
}

impl Measured {
    fn new(fields: usize) -> Self {
        Self {
            dangling: vec![BTreeSet::new(); fields],
            nulls: vec![0; fields],
            dangling_uses: vec![0; fields],
            dangling_first: vec![None; fields],
            lengths: vec![Lengths::default(); fields],
            ..Self::default()
        }
    }

    fn merge(&mut self, other: Self) {
        self.ordinals.extend(other.ordinals);
        for (i, theirs) in other.dangling.into_iter().enumerate() {
            self.dangling[i].extend(theirs);
            self.nulls[i] += other.nulls[i];
            self.dangling_uses[i] += other.dangling_uses[i];
            self.lengths[i].merge(&other.lengths[i]);
        }
        for (mine, theirs) in self.dangling_first.iter_mut().zip(other.dangling_first) {
            *mine = mine.take().into_iter().chain(theirs).min();
        }
        self.key_lengths.merge(&other.key_lengths);
        self.digest = self.digest.wrapping_add(other.digest);
        self.key_digest = self.key_digest.wrapping_add(other.key_digest);
    }
}

fn measure_segment(
    spec: &TypeSpec,
    table: &Table,
    targets: &[Option<&Table>],
    interned: &[bool],
    segment: usize,
) -> Measured {
    let mut out = Measured::new(spec.fields.len());
    let by_id = spec.by_id();
    let (mut ordinals, mut stored, mut scratch) = (Vec::new(), Vec::new(), Vec::new());
    let end = ((segment + 1) * SEGMENT).min(table.shape.total_slots() as usize);
    // References print canonically, and so does the digest: only UUIDs can have been written in another way.
    let rewrite = targets.iter().any(|t| t.is_some_and(|t| t.key.kind == KeyKind::Uuid));
    for slot in segment * SEGMENT..end {
        let Some(bytes) = table.row(slot as u32) else { continue };
        let mut cursor = Cursor::new(bytes);
        let key = cursor.key(table.is_int());
        out.key_lengths.note(key.len());
        scratch.clear();
        write_key(table.is_int(), key, &mut scratch);
        out.key_digest = out.key_digest.wrapping_add(digest(&scratch));
        for &place in &by_id {
            let field = &spec.fields[place];
            let scalar = &field.field_type.scalar;
            let Some(target) = targets[place] else {
                let value = cursor.value(&field.field_type, false);
                out.nulls[place] += u64::from(value.is_none());
                if !interned[place] {
                    out.lengths[place].note(value.map_or(0, |value| var_length(&field.field_type, value)));
                }
                if rewrite {
                    write_value(value, &mut scratch);
                }
                continue;
            };
            let mut resolve = |text: &[u8], scratch: &mut Vec<u8>| {
                let text = &*target.canonical(text);
                if rewrite {
                    write_key(target.is_int(), text, scratch);
                }
                stored.clear();
                let found = if target.key.kind.store(text, &mut stored) { target.find(&stored, text) } else { None };
                if found.is_none() {
                    out.dangling_uses[place] += 1;
                    if !out.dangling[place].contains(text) {
                        out.dangling[place].insert(text.into());
                    }
                    let (origin, row) = table.place(slot as u32).unwrap_or_default();
                    if out.dangling_first[place].as_ref().is_none_or(|first| (origin, row) < (first.0, first.1)) {
                        out.dangling_first[place] = Some((origin, row, text.into()));
                    }
                }
                ordinals.push(found.unwrap_or(DANGLING));
            };
            if !cursor.present() {
                out.nulls[place] += 1;
                out.lengths[place].note(0);
                row::write_null(&mut scratch);
                continue;
            }
            row::write_present(&mut scratch);
            if field.field_type.list {
                let mut count = 0;
                let mut items = Vec::new();
                cursor.items(scalar, target.is_int(), |item| {
                    count += 1;
                    match item {
                        Some(text) => {
                            row::write_present(&mut items);
                            resolve(text, &mut items);
                        }
                        None => row::write_null(&mut items),
                    }
                });
                out.lengths[place].note(count);
                write_varint(count as u64, &mut scratch);
                scratch.extend_from_slice(&items);
            } else {
                resolve(cursor.scalar(scalar, target.is_int()), &mut scratch);
            }
        }
        out.digest = out.digest.wrapping_add(digest(if rewrite { &scratch } else { bytes }));
    }
    out.ordinals.push(ordinals);
    out
}

fn write_key(int: bool, key: &[u8], out: &mut Vec<u8>) {
    if int { out.extend_from_slice(key) } else { row::write_bytes(key, out) }
}

fn write_value(value: Option<&[u8]>, out: &mut Vec<u8>) {
    match value {
        None => row::write_null(out),
        Some(value) => {
            row::write_present(out);
            out.extend_from_slice(value);
        }
    }
}

/// The length of a value as a var value: items of a fixed-width list, bytes of anything else that is not a number.
fn var_length(field_type: &crate::types::FieldType, value: &[u8]) -> usize {
    let mut cursor = Cursor::new(value);
    if !field_type.list {
        return if field_type.scalar.is_bytes() { cursor.varint() as usize } else { 0 };
    }
    if !field_type.scalar.is_bytes() {
        return cursor.varint() as usize;
    }
    let mut length = 0;
    cursor.items(&field_type.scalar, false, |item| length += item_length(item));
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
