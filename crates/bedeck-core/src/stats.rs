//! What is learnt of a field's values while they are read, to lay records out by.

use rustc_hash::FxHashMap;

use crate::row::{Cursor, number, number_width};
use crate::types::FieldType;

/// Distinct values beyond which a field is not interned.
pub const MOST_INTERNED: usize = 65_536;

/// Counts and ranges of one field; the same whatever the order of the rows, and whichever threads saw them.
#[derive(Debug, Clone)]
pub struct Stats {
    /// Rows with one.
    pub present: u64,
    /// Scalars in these rows: values, or items that are not null.
    pub scalars: u64,
    /// Whether a list has a null item.
    pub null_items: bool,
    /// The smallest and largest number, over items too.
    pub range: Option<(i128, i128)>,
    /// Bytes of all values in canonical form.
    pub bytes: u64,
    /// How often each value occurs, while there are few.
    pub distinct: Option<FxHashMap<Box<[u8]>, u64>>,
}

impl Stats {
    /// Nothing seen yet.
    pub fn new(field_type: &FieldType) -> Self {
        use crate::types::Scalar::Reference;
        let internable = (field_type.list || field_type.scalar.is_bytes()) && field_type.scalar != Reference;
        Self {
            present: 0,
            scalars: 0,
            null_items: false,
            range: None,
            bytes: 0,
            distinct: internable.then(FxHashMap::default),
        }
    }

    /// Takes note of a number.
    #[inline]
    pub fn number(&mut self, number: i128) {
        self.range = Some(self.range.map_or((number, number), |(low, high)| (low.min(number), high.max(number))));
    }

    /// Takes note of a whole value in canonical form.
    #[inline]
    pub fn value(&mut self, value: &[u8]) {
        self.present += 1;
        self.bytes += value.len() as u64;
        if let Some(distinct) = &mut self.distinct {
            if let Some(count) = distinct.get_mut(value) {
                *count += 1;
            } else if distinct.len() < MOST_INTERNED {
                distinct.insert(value.into(), 1);
            } else {
                self.distinct = None;
            }
        }
    }

    /// Takes note of all of a value, given in canonical form.
    pub fn recount(&mut self, field_type: &FieldType, int_keys: bool, signed: bool, value: &[u8]) {
        let width = number_width(&field_type.scalar, int_keys);
        let mut scalar = |bytes: &[u8]| {
            self.scalars += 1;
            if width.is_some() {
                let number = number(bytes);
                self.number(if signed { i128::from(number as i64) } else { i128::from(number) });
            }
        };
        let mut cursor = Cursor::new(value);
        if field_type.list {
            let mut nulls = false;
            cursor.items(&field_type.scalar, int_keys, |item| match item {
                Some(bytes) => scalar(bytes),
                None => nulls = true,
            });
            self.null_items |= nulls;
        } else {
            scalar(cursor.scalar(&field_type.scalar, int_keys));
        }
        self.value(value);
    }

    /// Adds what another thread saw.
    pub fn merge(&mut self, other: Self) {
        self.scalars += other.scalars;
        self.present += other.present;
        self.null_items |= other.null_items;
        self.bytes += other.bytes;
        if let Some((low, high)) = other.range {
            self.number(low);
            self.number(high);
        }
        self.distinct = match (self.distinct.take(), other.distinct) {
            (Some(mut mine), Some(theirs)) => {
                theirs.into_iter().for_each(|(value, count)| *mine.entry(value).or_default() += count);
                (mine.len() <= MOST_INTERNED).then_some(mine)
            }
            _ => None,
        };
    }

    /// The values to intern, ascending, where that takes less room than a copy in each record.
    pub fn interned(&self) -> Option<Vec<&[u8]>> {
        let distinct = self.distinct.as_ref().filter(|d| !d.is_empty())?;
        let table: u64 = distinct.keys().map(|value| value.len() as u64 + 8).sum();
        let code = u64::from(bits_for(distinct.len() as u64 - 1));
        // A copy costs its length byte too; a table costs a second look-up, so it has to save a fifth.
        if (table + self.present * code / 8) * 5 > (self.bytes + self.present) * 4 {
            return None;
        }
        let mut values: Vec<&[u8]> = distinct.keys().map(AsRef::as_ref).collect();
        values.sort_unstable();
        Some(values)
    }
}

/// Bits that can write every number up to `largest`.
pub const fn bits_for(largest: u64) -> u8 {
    (64 - largest.leading_zeros()) as u8
}
