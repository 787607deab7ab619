//! A mark for each slot: a bit, that any thread may set.

use std::sync::atomic::{AtomicU64, Ordering};

/// Marks for so many slots.
#[derive(Debug, Default)]
pub struct Marks(Vec<AtomicU64>);

impl Marks {
    /// No marks yet, for so many slots.
    pub fn new(slots: u64) -> Self {
        Self((0..slots.div_ceil(64)).map(|_| AtomicU64::new(0)).collect())
    }

    /// Marks a slot.
    #[inline]
    pub fn set(&self, slot: u32) {
        self.0[slot as usize / 64].fetch_or(1 << (slot % 64), Ordering::Relaxed);
    }

    /// Whether a slot is marked; one that lies beyond all is not.
    #[inline]
    pub fn has(&self, slot: u32) -> bool {
        self.0.get(slot as usize / 64).is_some_and(|word| word.load(Ordering::Relaxed) >> (slot % 64) & 1 == 1)
    }

    /// Marks that are set.
    pub fn count(&self) -> u64 {
        self.words().map(|word| u64::from(word.count_ones())).sum()
    }

    /// The slots that are marked, ascending.
    pub fn ones(&self) -> impl Iterator<Item = u32> + '_ {
        self.words().enumerate().flat_map(|(i, word)| {
            let mut left = word;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros())?;
                left &= left - 1;
                Some(i as u32 * 64 + bit)
            })
        })
    }

    /// Whether both have the same slots marked.
    pub fn equals(&self, other: &Self) -> bool {
        self.words().eq(other.words())
    }

    fn words(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.iter().map(|word| word.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_marked_is_found_again() {
        let marks = Marks::new(1_000);
        let slots: Vec<u32> = (0..1_000).filter(|slot| slot % 63 == 1 || slot % 64 == 63).collect();
        slots.iter().rev().for_each(|slot| marks.set(*slot));
        assert!(marks.ones().eq(slots.iter().copied()));
        assert_eq!(marks.count(), slots.len() as u64);
        assert!((0..2_000).all(|slot| marks.has(slot) == slots.contains(&slot)));
        assert!(!marks.equals(&Marks::new(1_000)) && Marks::new(0).equals(&Marks::default()));
    }
}
