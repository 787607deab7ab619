//! What an overlay changes of its base: which slots, and where their records are now.

use crate::error::{Error, Result};
use crate::locator::LINE;
use crate::prefetch::prefetch;
use crate::sketch::Sketch;

/// Slots a line: 64 bytes less the four of the rank.
pub const SLOTS: usize = (LINE - 4) * 8;
/// What stands in the place of a record that is deleted.
pub const DELETED: u32 = u32::MAX;

/// The sections of an overlay that lead from ordinals of its base to its own slots.
///
/// Lines of 64 bytes, each the number of ones in all lines before it and a bit a slot: 1 for one that is replaced or deleted. Then a slot in the
/// overlay for each of these, and for each key that was inserted.
#[derive(Debug, Clone, Copy)]
pub struct Changes<'a> {
    lines: &'a [u8],
    places: &'a [[u8; 4]],
    inserted: &'a [[u8; 4]],
    sketch: &'a Sketch,
}

impl<'a> Changes<'a> {
    /// Over the bytes of the three sections, and the sketch of the first.
    #[inline(always)]
    pub fn new(lines: &'a [u8], places: &'a [u8], inserted: &'a [u8], sketch: &'a Sketch) -> Self {
        Self { lines, places: places.as_chunks().0, inserted: inserted.as_chunks().0, sketch }
    }

    /// Checks that they fit each other and a base of so many slots: every one has its place; and that every record of the overlay, which has `own`
    /// slots with one or without, has one place.
    pub fn check(&self, slots: u64, own: u64, is_record: impl Fn(u32) -> bool) -> Result<()> {
        let wrong = |what: &str| Err(Error::Damaged(format!("section changes: {what}")));
        if self.lines.len() as u64 != slots.div_ceil(SLOTS as u64) * LINE as u64 {
            return wrong("its length does not fit the slots of the base");
        }
        let mut ones = 0u64;
        for line in self.lines.chunks_exact(LINE) {
            if u64::from(u32::from_le_bytes([line[0], line[1], line[2], line[3]])) != ones {
                return wrong("a rank is not the number of ones before it");
            }
            ones += line[4..].iter().map(|byte| u64::from(byte.count_ones())).sum::<u64>();
        }
        if ones != self.places.len() as u64 || (slots..).take(SLOTS).any(|slot| self.bit(slot as usize)) {
            return wrong("not every slot that is changed has a place");
        }
        if slots + self.inserted.len() as u64 >= u64::from(DELETED) {
            return wrong("more keys are inserted than there are ordinals");
        }
        let mut placed = vec![false; own as usize];
        let places = self.places.iter().chain(self.inserted).map(|place| u32::from_le_bytes(*place));
        for place in places.filter(|place| *place != DELETED) {
            match placed.get_mut(place as usize) {
                None => return wrong("a place is not a slot of the overlay"),
                Some(true) => return wrong("two places lead to one record"),
                Some(placed) => *placed = true,
            }
        }
        if (0..).zip(placed).all(|(slot, placed)| placed == is_record(slot)) {
            Ok(())
        } else {
            wrong("a record has no place, or a place no record")
        }
    }

    #[inline(always)]
    fn bit(&self, slot: usize) -> bool {
        let (line, bit) = (slot / SLOTS * LINE, slot % SLOTS);
        self.lines.get(line + 4 + bit / 8).is_some_and(|byte| byte >> (bit % 8) & 1 == 1)
    }

    /// Whether the record in this slot of the base may be replaced or deleted; `false` is certain, and asks for no line.
    #[inline(always)]
    pub fn may(&self, slot: u32) -> bool {
        self.sketch.may(slot)
    }

    /// Asks for the line of a slot, if it may be changed.
    #[inline(always)]
    pub fn prefetch(&self, slot: u32) {
        if self.may(slot) {
            prefetch(self.lines, slot as usize / SLOTS * LINE);
        }
    }

    /// Whether the record in this slot of the base is replaced or deleted.
    #[inline(always)]
    pub fn has(&self, slot: u32) -> bool {
        self.may(slot) && self.bit(slot as usize)
    }

    /// Where the record of a slot that is changed lies in the overlay; [`DELETED`] where it is deleted, or the overlay is damaged.
    #[inline]
    pub fn place(&self, slot: u32) -> u32 {
        self.place_of(self.rank(slot))
    }

    /// The number of slots before this one that are changed; more than there are where the overlay is damaged.
    #[inline]
    pub fn rank(&self, slot: u32) -> u32 {
        let (at, bit) = (slot as usize / SLOTS * LINE, slot as usize % SLOTS);
        let Some(line) = self.lines.get(at..at + LINE) else { return u32::MAX };
        let rank = u32::from_le_bytes([line[0], line[1], line[2], line[3]]);
        let (whole, rest) = (&line[4..4 + bit / 8], line[4 + bit / 8] & ((1u16 << (bit % 8)) - 1) as u8);
        let before = whole.iter().map(|byte| byte.count_ones()).sum::<u32>() + rest.count_ones();
        rank.saturating_add(before)
    }

    /// The same as [`place`](Self::place), by the slot's rank.
    #[inline(always)]
    pub fn place_of(&self, rank: u32) -> u32 {
        self.places.get(rank as usize).map_or(DELETED, |place| u32::from_le_bytes(*place))
    }

    /// Asks for the place of this rank.
    #[inline(always)]
    pub fn prefetch_place(&self, rank: u32) {
        prefetch(self.places.as_flattened(), rank as usize * 4);
    }

    /// Where the record that was inserted as number `i` lies in the overlay; [`DELETED`] where it is deleted, or there is none.
    #[inline]
    pub fn inserted(&self, i: u32) -> u32 {
        self.inserted.get(i as usize).map_or(DELETED, |place| u32::from_le_bytes(*place))
    }

    /// Keys inserted since the base, those deleted again included.
    pub fn insertions(&self) -> u32 {
        self.inserted.len() as u32
    }

    /// Records of the overlay that a place leads to.
    pub fn places(&self) -> u64 {
        let places = self.places.iter().chain(self.inserted);
        places.filter(|place| u32::from_le_bytes(**place) != DELETED).count() as u64
    }

    /// Slots of the base that are replaced or deleted.
    pub fn replacements(&self) -> u64 {
        self.places.len() as u64
    }
}

/// Writes the lines for a base of so many slots, of which those in `changed`, ascending, are ones.
pub fn write_lines(slots: u64, changed: impl Iterator<Item = u32>) -> Vec<u8> {
    let mut lines = vec![0; slots.div_ceil(SLOTS as u64) as usize * LINE];
    for slot in changed {
        let (line, bit) = (slot as usize / SLOTS * LINE, slot as usize % SLOTS);
        lines[line + 4 + bit / 8] |= 1 << (bit % 8);
    }
    let mut ones = 0u32;
    for line in lines.chunks_exact_mut(LINE) {
        line[..4].copy_from_slice(&ones.to_le_bytes());
        ones += line[4..].iter().map(|byte| byte.count_ones()).sum::<u32>();
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_slots_lead_to_their_places_and_others_nowhere() {
        for slots in [1u64, 479, 480, 481, 5_000] {
            let changed: Vec<u32> = (0..slots as u32).filter(|slot| slot % 7 == 3 || slot % 480 == 479).collect();
            let lines = write_lines(slots, changed.iter().copied());
            let places: Vec<u8> = (0..changed.len() as u32).rev().flat_map(u32::to_le_bytes).collect();
            let last = changed.len() as u32;
            let inserted = [last, DELETED].map(u32::to_le_bytes);
            let sketch = Sketch::new(&lines);
            let changes = Changes::new(&lines, &places, inserted.as_flattened(), &sketch);
            let own = u64::from(last) + 1;
            changes.check(slots, own, |_| true).unwrap();
            assert!(changes.check(slots, own + 1, |_| true).is_err());
            assert!(changes.check(slots, own, |slot| slot > 0).is_err());
            changes.check(slots, own + 1, |slot| slot <= last).unwrap();
            let mut next = changed.len() as u32;
            for slot in 0..slots as u32 {
                assert_eq!(changes.has(slot), changed.contains(&slot));
                if changes.has(slot) {
                    next -= 1;
                    assert_eq!(changes.place(slot), next);
                }
            }
            assert_eq!((changes.inserted(0), changes.inserted(1), changes.inserted(2)), (last, DELETED, DELETED));
            assert_eq!((changes.insertions(), changes.replacements()), (2, changed.len() as u64));
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let lines = write_lines(1_000, [3u32, 700].into_iter());
        let check = |lines: &[u8], places: &[u8], slots| {
            Changes::new(lines, places, &[], &Sketch::default()).check(slots, 9, |slot| matches!(slot, 0 | 8))
        };
        let places = [8u8, 0, 0, 0, 0, 0, 0, 0];
        assert!(check(&lines, &places, 1_000).is_ok());
        assert!(check(&lines, &places[..4], 1_000).is_err());
        for wrong in [9, 1, 0] {
            assert!(check(&lines, &[wrong, 0, 0, 0, 0, 0, 0, 0], 1_000).is_err());
        }
        assert!(check(&lines, &places, 700).is_err());
        assert!(check(&lines, &places, 2_000).is_err());
        let mut wrong = lines;
        wrong[64] = 0;
        assert!(check(&wrong, &places, 1_000).is_err());
    }
}
