//! From an ordinal to its record: 64-byte lines, each a base and the ends of 28 (or, where records are long, 14) records.

use crate::error::{Error, Result};

/// Bytes of a line.
pub const LINE: usize = 64;

/// Ends a line, by the width of an end.
pub const fn ends_per_line(width: u8) -> u64 {
    if width == 2 { 28 } else { 14 }
}

/// Where a record lies in the section of records, and its ordinal; no bytes where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// From the start of the section.
    pub offset: u64,
    /// In bytes.
    pub length: u32,
    /// The record's slot.
    pub ordinal: u32,
}

impl Span {
    /// The place of a record that is not there.
    pub const MISSING: Self = Self { offset: 0, length: 0, ordinal: u32::MAX };

    /// Whether there is no record.
    #[inline(always)]
    pub const fn is_missing(&self) -> bool {
        self.length == 0
    }
}

/// The byte offset of the line of `ordinal` and the place in it.
#[inline(always)]
pub const fn line_of(ordinal: u32, width: u8) -> (usize, usize) {
    // Constant divisors become multiplications.
    if width == 2 {
        (ordinal as usize / 28 * LINE, ordinal as usize % 28)
    } else {
        (ordinal as usize / 14 * LINE, ordinal as usize % 14)
    }
}

/// The span of `ordinal`; missing for a hole, or where the line is not in `locator`.
#[inline(always)]
pub fn read(locator: &[u8], width: u8, ordinal: u32) -> Span {
    let (at, i) = line_of(ordinal, width);
    let Some(line) = locator.get(at..at + LINE).and_then(|l| l.first_chunk::<LINE>()) else { return Span::MISSING };
    let base = u64::from_le_bytes([line[0], line[1], line[2], line[3], line[4], line[5], line[6], line[7]]);
    let (start, end) = if width == 2 {
        let end = |i: usize| u64::from(u16::from_le_bytes([line[8 + 2 * i], line[9 + 2 * i]]));
        (if i == 0 { 0 } else { end(i - 1) }, end(i))
    } else {
        let end = |i: usize| {
            u64::from(u32::from_le_bytes([line[8 + 4 * i], line[9 + 4 * i], line[10 + 4 * i], line[11 + 4 * i]]))
        };
        (if i == 0 { 0 } else { end(i - 1) }, end(i))
    };
    Span { offset: base.wrapping_add(start), length: end.saturating_sub(start) as u32, ordinal }
}

/// Writes the lines for the records of one blob, in slot order.
#[derive(Debug)]
pub struct Writer {
    width: u8,
    lines: Vec<u8>,
    base: u64,
    /// The lengths of the line that is not full yet.
    line: Vec<u32>,
}

impl Default for Writer {
    fn default() -> Self {
        Self { width: 2, lines: Vec::new(), base: 0, line: Vec::new() }
    }
}

impl Writer {
    /// Takes the length of the next record, 0 for a hole.
    pub fn push(&mut self, length: u32) -> Result<()> {
        self.line.push(length);
        if self.line.len() as u64 == ends_per_line(self.width) { self.end_line() } else { Ok(()) }
    }

    fn end_line(&mut self) -> Result<()> {
        let bytes: u64 = self.line.iter().map(|length| u64::from(*length)).sum();
        if self.width == 2 && bytes > u64::from(u16::MAX) {
            return self.widen();
        }
        if bytes > u64::from(u32::MAX) {
            return Err(Error::Schema("records are too long: 14 neighbours pass 4 GiB".into()));
        }
        self.lines.extend_from_slice(&self.base.to_le_bytes());
        let mut end = 0u64;
        for i in 0..ends_per_line(self.width) as usize {
            end += u64::from(self.line.get(i).copied().unwrap_or(0));
            self.lines.extend_from_slice(&end.to_le_bytes()[..usize::from(self.width)]);
        }
        self.base += bytes;
        self.line.clear();
        Ok(())
    }

    /// Starts again with wider ends, now that a line needs them.
    #[cold]
    fn widen(&mut self) -> Result<()> {
        let narrow = std::mem::take(self);
        self.width = 4;
        let slots = (narrow.lines.len() / LINE) as u32 * 28;
        (0..slots).try_for_each(|slot| self.push(read(&narrow.lines, 2, slot).length))?;
        narrow.line.into_iter().try_for_each(|length| self.push(length))
    }

    /// All lines, and the width of their ends.
    pub fn finish(mut self) -> Result<(Vec<u8>, u8)> {
        // Widening leaves a line of its own.
        while !self.line.is_empty() {
            self.end_line()?;
        }
        Ok((self.lines, self.width))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_is_found_where_it_lies() {
        for lengths in
            [[5, 0, 7, 64, 0, 0, 9].repeat(20), [70_000, 0, 3].repeat(20), [vec![9; 65], vec![60_000; 3]].concat()]
        {
            let mut writer = Writer::default();
            lengths.iter().for_each(|length| writer.push(*length).unwrap());
            let (locator, width) = writer.finish().unwrap();
            let mut offset = 0;
            for (i, length) in lengths.iter().enumerate() {
                let span = read(&locator, width, i as u32);
                assert_eq!((span.length, span.is_missing()), (*length, *length == 0));
                assert!(*length == 0 || span.offset == offset);
                offset += u64::from(*length);
            }
            assert!(read(&locator, width, 1 << 30).is_missing());
        }
    }

    #[test]
    fn offsets_pass_four_gibibytes_and_ordinals_two_to_the_28th() {
        let line = |base: u64| {
            let mut line = base.to_le_bytes().to_vec();
            line.extend((1..=28u16).flat_map(|i| (i * 70).to_le_bytes()));
            line
        };
        let span = read(&line(1 << 40), 2, 27);
        assert_eq!((span.offset, span.length), ((1 << 40) + 27 * 70, 70));
        assert_eq!(line_of((1 << 28) + 5, 2), (((1usize << 28) + 5) / 28 * 64, ((1usize << 28) + 5) % 28));
    }
}
