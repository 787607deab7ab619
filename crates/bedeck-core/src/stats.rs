//! What is learnt of a field's values before records are laid out.

use crate::row::{Cursor, number, number_width};
use crate::types::{FieldType, Scalar};

/// Counts and ranges of one field; the same whatever the order of the rows, and whichever threads saw them.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    /// Rows with one.
    pub present: u64,
    /// Scalars in these rows: values, or items that are not null.
    pub scalars: u64,
    /// Whether a list has a null item.
    pub null_items: bool,
    /// The smallest and largest number, over items too.
    pub range: Option<(i128, i128)>,
    /// Bytes of all values as rows have them.
    pub bytes: u64,
    /// A bit for each code of the dictionary that occurs.
    used: Vec<u64>,
}

/// Whether values of a field may be interned.
pub fn is_internable(field_type: &FieldType) -> bool {
    (field_type.list || field_type.scalar.is_bytes()) && field_type.scalar != Scalar::Reference
}

impl Stats {
    /// Takes note of a number.
    #[inline]
    pub fn number(&mut self, number: i128) {
        self.range = Some(self.range.map_or((number, number), |(low, high)| (low.min(number), high.max(number))));
    }

    /// Takes note of a value that is not a reference, and of its code.
    #[inline]
    pub fn value(&mut self, field_type: &FieldType, value: &[u8], code: Option<usize>) {
        self.present += 1;
        self.bytes += value.len() as u64;
        if let Some(code) = code {
            if self.used.len() <= code / 64 {
                self.used.resize(code / 64 + 1, 0);
            }
            let (word, bit) = (&mut self.used[code / 64], 1 << (code % 64));
            if *word & bit != 0 {
                // What its scalars say is known since it came first.
                return;
            }
            *word |= bit;
        }
        let scalar = &field_type.scalar;
        let is_number = number_width(scalar).is_some();
        let mut note = |bytes: &[u8]| {
            self.scalars += 1;
            if is_number {
                let number = number(scalar, bytes);
                let number = if scalar.is_signed() { i128::from(number as i64) } else { i128::from(number) };
                self.range =
                    Some(self.range.map_or((number, number), |(low, high)| (low.min(number), high.max(number))));
            }
        };
        let mut cursor = Cursor::new(value);
        if field_type.list {
            let mut nulls = false;
            cursor.items(scalar, |item| match item {
                Some(bytes) => note(bytes),
                None => nulls = true,
            });
            self.null_items |= nulls;
        } else {
            note(cursor.scalar(scalar));
        }
    }

    /// Adds what another thread saw.
    pub fn merge(&mut self, other: &Self) {
        self.scalars += other.scalars;
        self.present += other.present;
        self.null_items |= other.null_items;
        self.bytes += other.bytes;
        if let Some((low, high)) = other.range {
            self.number(low);
            self.number(high);
        }
        if self.used.len() < other.used.len() {
            self.used.resize(other.used.len(), 0);
        }
        self.used.iter_mut().zip(&other.used).for_each(|(mine, theirs)| *mine |= theirs);
    }

    /// The codes to intern, of a dictionary that has all values, where that takes less room than a copy in each record.
    pub fn interned(&self, dictionary: &[Box<[u8]>]) -> Option<Vec<usize>> {
        let is_used = |code: &usize| self.used.get(code / 64).is_some_and(|word| word >> (code % 64) & 1 == 1);
        let codes: Vec<usize> = (0..dictionary.len()).filter(is_used).collect();
        let table: u64 = codes.iter().map(|code| dictionary[*code].len() as u64 + 8).sum();
        let code = u64::from(bits_for((codes.len() as u64).checked_sub(1)?));
        // A copy costs its length byte too; a table costs a second look-up, so it has to save a fifth.
        ((table + self.present * code / 8) * 5 <= (self.bytes + self.present) * 4).then_some(codes)
    }
}

/// Bits that can write every number up to `largest`.
pub const fn bits_for(largest: u64) -> u8 {
    (64 - largest.leading_zeros()) as u8
}
