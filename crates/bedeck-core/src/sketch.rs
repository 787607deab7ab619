//! A sketch of the slots that an overlay changes, small enough to stay in a core's own cache.

use crate::changes::SLOTS;
use crate::locator::LINE;

/// A stretch is long enough that one in so many slots is asked for in vain: a smaller sketch stays nearer, and that pays more than what it spares.
const SPARSE: u64 = 4;
/// The longest stretch, as a power of two.
const LONGEST: u32 = 10;

/// A bit for each stretch of slots: 1 where one of them is changed.
///
/// Most slots are not, and are told so without a look at their own line, which for a large base lies far from the core. A stretch is the longer
/// the fewer slots are changed, and a single slot where they are many.
#[derive(Debug, Default)]
pub struct Sketch {
    words: Vec<u64>,
    stretch: u32,
}

impl Sketch {
    /// Of the lines of an overlay. Linear in them; an eighth of a byte a slot at the most, 1/1024 of that at the least.
    pub fn new(lines: &[u8]) -> Self {
        let slots = (lines.len() / LINE * SLOTS) as u64;
        let changed = ones(lines).count() as u64;
        let stretch = (slots / SPARSE).checked_div(changed).and_then(u64::checked_ilog2).unwrap_or(0).min(LONGEST);
        let mut words = vec![0; (slots >> stretch).div_ceil(64) as usize + 1];
        for slot in ones(lines) {
            let bit = slot >> stretch;
            words[bit / 64] |= 1 << (bit % 64);
        }
        Self { words, stretch }
    }

    /// Whether the slot may be changed; `false` is certain.
    #[inline(always)]
    pub fn may(&self, slot: u32) -> bool {
        let bit = slot >> self.stretch;
        self.words.get(bit as usize / 64).is_some_and(|word| word >> (bit % 64) & 1 == 1)
    }
}

/// The slots that are changed, ascending.
fn ones(lines: &[u8]) -> impl Iterator<Item = usize> + '_ {
    lines.chunks_exact(LINE).enumerate().flat_map(|(line, bytes)| {
        bytes[4..].as_chunks().0.iter().enumerate().flat_map(move |(i, word)| {
            let mut left = u32::from_le_bytes(*word);
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros())?;
                left &= left - 1;
                Some(line * SLOTS + i * 32 + bit as usize)
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::changes::write_lines;

    #[test]
    fn no_slot_that_is_changed_is_passed_over_and_few_others_are_asked_for() {
        for (slots, every) in [(1, 1), (479, 478), (480, 7), (481, 480), (10_000, 1), (10_000, 97), (50_000, 40_000)] {
            let changed: Vec<u32> = (0..slots).filter(|slot| slot % every == every - 1).collect();
            let sketch = Sketch::new(&write_lines(u64::from(slots), changed.iter().copied()));
            assert!(changed.iter().all(|slot| sketch.may(*slot)));
            let asked = (0..slots).filter(|slot| sketch.may(*slot)).count();
            assert!(asked <= changed.len() + slots as usize / SPARSE as usize + 1, "{slots} {every}: {asked}");
        }
    }

    #[test]
    fn nothing_is_changed_where_there_are_no_lines_and_beyond_them() {
        assert!(!Sketch::default().may(0) && !Sketch::new(&[]).may(7));
        assert!(!Sketch::new(&write_lines(100, 0..100)).may(u32::MAX));
    }
}
