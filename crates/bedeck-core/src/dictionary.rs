//! The distinct values of a field, while they are few: rows then have a value's code instead of the value.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rustc_hash::FxHashMap;

/// Distinct values beyond which a field is not interned.
pub const MOST_VALUES: usize = 65_536;
/// Bytes that the distinct values of all fields of a type may take, before some field is not interned.
const MOST_BYTES: usize = 64 << 20;
/// What a value takes besides its bytes.
const OVERHEAD: usize = 64;

/// The values of a field that rows have codes for.
#[derive(Debug, Default)]
pub struct Values {
    /// By code.
    pub by_code: Vec<Box<[u8]>>,
    /// Whether the field has no others.
    pub all: bool,
    /// Bytes that further ones may take.
    room: usize,
    /// The codes, once there are further ones.
    codes: FxHashMap<Box<[u8]>, u32>,
}

impl Values {
    /// Those of one field of so many, of which no row was read.
    pub fn among(fields: usize) -> Self {
        Dictionary::among(fields).finish()
    }

    /// The code of a value of a further row; `None` once there are too many.
    pub fn code(&mut self, value: &[u8]) -> Option<u32> {
        if !self.all {
            return None;
        }
        if self.codes.len() < self.by_code.len() {
            self.codes = self.by_code.iter().cloned().zip(0..).collect();
        }
        if let Some(code) = self.codes.get(value) {
            return Some(*code);
        }
        if self.by_code.len() == MOST_VALUES || value.len() + OVERHEAD > self.room {
            self.all = false;
            return None;
        }
        let code = self.by_code.len() as u32;
        self.room -= value.len() + OVERHEAD;
        self.codes.insert(value.into(), code);
        self.by_code.push(value.into());
        Some(code)
    }
}

/// The values of one field while rows are read, shared by all threads.
#[derive(Debug)]
pub struct Dictionary {
    most_bytes: usize,
    full: AtomicBool,
    codes: Mutex<Codes>,
}

#[derive(Debug, Default)]
struct Codes {
    places: FxHashMap<Box<[u8]>, u32>,
    bytes: usize,
}

impl Dictionary {
    /// One of so many for a type: they share the memory there is, so that a type of many fields takes no more than one of few.
    pub fn among(fields: usize) -> Self {
        Self { most_bytes: MOST_BYTES / fields.max(2), full: AtomicBool::new(false), codes: Mutex::default() }
    }

    /// The code of a value; `None` once there are too many. `known` are the codes this thread has asked for before.
    #[inline]
    pub fn code(&self, value: &[u8], known: &mut FxHashMap<Box<[u8]>, u32>) -> Option<u32> {
        if self.full.load(Ordering::Relaxed) {
            if known.capacity() > 0 {
                *known = FxHashMap::default();
            }
            return None;
        }
        if let Some(code) = known.get(value) {
            return Some(*code);
        }
        let code = self.add(value)?;
        known.insert(value.into(), code);
        Some(code)
    }

    fn add(&self, value: &[u8]) -> Option<u32> {
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(code) = codes.places.get(value) {
            return Some(*code);
        }
        if codes.places.len() == MOST_VALUES || codes.bytes + value.len() + OVERHEAD > self.most_bytes {
            self.full.store(true, Ordering::Relaxed);
            return None;
        }
        let code = codes.places.len() as u32;
        codes.places.insert(value.into(), code);
        codes.bytes += value.len() + OVERHEAD;
        Some(code)
    }

    /// The values by code.
    pub fn finish(self) -> Values {
        let codes = self.codes.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut values = vec![Box::default(); codes.places.len()];
        for (value, code) in codes.places {
            values[code as usize] = value;
        }
        let room = self.most_bytes - codes.bytes;
        Values { by_code: values, all: !self.full.into_inner(), room, codes: FxHashMap::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_codes_until_there_are_too_many() {
        let (dictionary, mut known) = (Dictionary::among(1), FxHashMap::default());
        for i in 0..MOST_VALUES as u32 {
            assert_eq!(dictionary.code(&i.to_le_bytes(), &mut known), Some(i));
        }
        assert_eq!(dictionary.code(&7u32.to_le_bytes(), &mut FxHashMap::default()), Some(7));
        assert_eq!(dictionary.code(b"one more", &mut known), None);
        let Values { by_code, all, .. } = dictionary.finish();
        assert!(!all && by_code[300] == 300u32.to_le_bytes().into());
    }

    #[test]
    fn further_values_have_codes_until_there_are_too_many() {
        let (dictionary, mut known) = (Dictionary::among(1), FxHashMap::default());
        assert_eq!(dictionary.code(b"one", &mut known), Some(0));
        let mut values = dictionary.finish();
        assert_eq!((values.code(b"two"), values.code(b"one"), values.code(b"two")), (Some(1), Some(0), Some(1)));
        for i in 2..MOST_VALUES as u32 {
            assert_eq!(values.code(&i.to_le_bytes()), Some(i));
        }
        assert!(values.all);
        assert_eq!(values.code(b"one more"), None);
        assert!(!values.all);
        assert_eq!(values.code(b"two"), None);
        assert_eq!(values.by_code[1].as_ref(), b"two");
        let mut values = Values::among(2);
        assert_eq!(values.code(&vec![0; MOST_BYTES]), None);
        assert!(!values.all);
    }

    #[test]
    fn a_few_long_values_are_too_many_bytes() {
        for fields in [1, 2, 100] {
            let (dictionary, mut known) = (Dictionary::among(fields), FxHashMap::default());
            let large = vec![0; MOST_BYTES / fields.max(2) - OVERHEAD];
            assert_eq!(dictionary.code(&large, &mut known), Some(0));
            assert_eq!(dictionary.code(&large, &mut known), Some(0));
            assert_eq!(dictionary.code(b"x", &mut known), None);
            assert_eq!(dictionary.code(&large, &mut known), None);
            assert!(known.is_empty());
        }
    }
}
