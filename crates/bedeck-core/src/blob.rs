//! A blob: one type's records in one immutable file, mapped and ready to be read.

use std::ops::Range;
use std::path::Path;

use crate::changes::Changes;
use crate::directory::{Directory, FORMAT, Field, Kind, MAGIC, OLDEST, PRELUDE, RECORDS_PADDING, SECTIONS, Table, Var};
use crate::error::{Error, Result};
use crate::locator::{self, Span};
use crate::map::Map;
use crate::prefetch::prefetch;
use crate::record::Record;
use crate::sink::STRIDE;
use crate::sketch::Sketch;

/// An open blob. Opening checks the directory against the file and costs nothing per record; reading checks every offset it takes from the file.
#[derive(Debug)]
pub struct Blob {
    map: Map,
    directory: Directory,
    pilots: Range<usize>,
    locator: Range<usize>,
    records: Range<usize>,
    heap: Range<usize>,
    values: Range<usize>,
    changes: Range<usize>,
    places: Range<usize>,
    inserted: Range<usize>,
    sketch: Sketch,
    vars: Vec<Var>,
    columns: Vec<Field>,
}

/// A blob, and at hand the sections that every record needs: to find one in the file costs as much as to find a record in it, so it is done once a
/// list.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The blob.
    pub blob: &'a Blob,
    records: &'a [u8],
    locator: &'a [u8],
    width: u8,
    fixed: u32,
}

impl<'a> View<'a> {
    /// Where the record with this ordinal lies.
    #[inline(always)]
    pub fn span(&self, ordinal: u32) -> Span {
        if self.width == 0 {
            let length = self.fixed;
            return Span { offset: u64::from(ordinal) * u64::from(length), length, ordinal };
        }
        locator::read(self.locator, self.width, ordinal)
    }

    /// The record at `span`; an error where the span does not lie in the section, or is too short for the fixed part.
    #[inline(always)]
    pub fn record(&self, span: Span) -> Result<Record<'a>> {
        let start = usize::try_from(span.offset).unwrap_or(usize::MAX);
        let room = self.records.len() as u64 - RECORDS_PADDING;
        let end = span.offset.checked_add(u64::from(span.length));
        if span.length < self.fixed || end.is_none_or(|end| end > room) {
            return Err(self.blob.damaged("locator", "a record lies outside the section records"));
        }
        Ok(Record::new(self.blob, &self.records[start..], span.length))
    }

    /// Asks for what leads from an ordinal to its record: where that is nothing, for the record.
    #[inline(always)]
    pub fn prefetch(&self, ordinal: u32) {
        if self.width == 0 {
            prefetch(self.records, self.span(ordinal).offset as usize);
        } else {
            prefetch(self.locator, locator::line_of(ordinal, self.width).0);
        }
    }

    /// Asks for the first lines of a record: all of it, but for very long ones, and what is copied along with its last text.
    #[inline(always)]
    pub fn prefetch_record(&self, span: Span) {
        self.prefetch_bytes(span, (span.length as usize + STRIDE - 1).min(256));
    }

    /// The same where `whole`; otherwise for its key alone, a line or two. Nothing where there is no record.
    #[inline(always)]
    pub fn ask(&self, span: Span, whole: bool) {
        match self.blob.directory.key.width {
            _ if span.is_missing() => {}
            0 => self.prefetch_record(span),
            _ if whole => self.prefetch_record(span),
            width => self.prefetch_bytes(span, width),
        }
    }

    #[inline(always)]
    fn prefetch_bytes(&self, span: Span, length: usize) {
        let start = span.offset as usize;
        let end = start.saturating_add(length).min(self.records.len());
        let mut line = start & !63;
        while line < end {
            prefetch(self.records, line);
            line += 64;
        }
    }
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at.checked_add(8)?).map(|b| u64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]))
}

impl Blob {
    /// Reads the directory of a mapped blob. Does not verify checksums.
    pub fn open(map: Map) -> Result<Self> {
        let path = map.path().to_owned();
        let in_file = |error: Error| match error {
            Error::Damaged(text) => Error::Damaged(format!("{}: {text}", path.display())),
            Error::Format(text) => Error::Format(format!("{}: {text}", path.display())),
            other => other,
        };
        Self::read(map).map_err(in_file)
    }

    fn read(map: Map) -> Result<Self> {
        if map.len() < PRELUDE || map[..8] != MAGIC {
            return Err(Error::Format("section prelude: not a bedeck blob".into()));
        }
        let format = u32::from_le_bytes([map[8], map[9], map[10], map[11]]);
        if format > FORMAT {
            return Err(Error::Format(format!(
                "section prelude: format {format}, but this bedeck reads up to format {FORMAT}; upgrade bedeck"
            )));
        }
        if format < OLDEST {
            return Err(Error::Format(format!(
                "section prelude: format {format}, which was never released, and this bedeck reads format {OLDEST} and later: build again"
            )));
        }
        let json = (u64_at(&map, 16).zip(u64_at(&map, 24)))
            .and_then(|(offset, length)| {
                map.get(usize::try_from(offset).ok()?..usize::try_from(offset.checked_add(length)?).ok()?)
            })
            .ok_or_else(|| Error::Damaged("section prelude: the directory lies outside the file".into()))?;
        let directory: Directory =
            serde_json::from_slice(json).map_err(|e| Error::Damaged(format!("section directory: {e}")))?;
        directory.check()?;
        let section = |name: &str| -> Result<Range<usize>> {
            let extent = directory.sections.get(name).copied().unwrap_or_default();
            let end = extent.offset.checked_add(extent.length).filter(|end| *end <= map.len() as u64);
            match end {
                Some(end) => Ok(extent.offset as usize..end as usize),
                None => Err(Error::Damaged(format!("section {name}: lies outside the file"))),
            }
        };
        let [pilots, records, heap, values, locator, changes, places, inserted] = SECTIONS.map(section);
        let (pilots, records, heap, values, locator) = (pilots?, records?, heap?, values?, locator?);
        let (changes, places, inserted) = (changes?, places?, inserted?);
        let (shape, kind) = (&directory.index, directory.kind);
        let buckets = if kind == Kind::Group { Some(0) } else { shape.parts.checked_mul(shape.buckets) };
        if Some(pilots.len() as u64) != buckets {
            return Err(Error::Damaged("section pilots: its length does not fit the index".into()));
        }
        let lines = match directory.locator.width {
            0 => 0,
            width => shape.total_slots().div_ceil(locator::ends_per_line(width)),
        };
        if locator.len() as u64 != lines * locator::LINE as u64 {
            return Err(Error::Damaged("section locator: its length does not fit the slots".into()));
        }
        let least = match directory.locator.width {
            0 => shape.total_slots() * u64::from(directory.record.fixed),
            _ => 0,
        };
        if (records.len() as u64) < least.saturating_add(RECORDS_PADDING) {
            return Err(Error::Damaged("section records: shorter than its records and its padding".into()));
        }
        let overlaid = changes.len() + places.len() + inserted.len();
        if (kind != Kind::Overlay && overlaid > 0)
            || !places.len().is_multiple_of(4)
            || !inserted.len().is_multiple_of(4)
        {
            return Err(Error::Damaged("sections changes, places, inserted: not those of a blob of its kind".into()));
        }
        let mut vars: Vec<Var> = directory.record.key.iter().copied().collect();
        vars.extend(directory.fields.iter().flat_map(Field::vars));
        vars.sort_unstable_by_key(|var| var.order);
        let printed = directory.fields.iter().filter_map(Field::as_printed);
        let columns = directory.fields.iter().cloned().chain(printed).collect();
        let sketch = Sketch::new(&map[changes.clone()]);
        let blob = Self {
            map,
            directory,
            pilots,
            locator,
            records,
            heap,
            values,
            changes,
            places,
            inserted,
            sketch,
            vars,
            columns,
        };
        for field in &blob.directory.fields {
            for table in field.values.iter().chain(&field.dangling) {
                blob.check_table(field, table)?;
            }
        }
        Ok(blob)
    }

    fn check_table(&self, field: &Field, table: &Table) -> Result<()> {
        let wrong = || Error::Damaged(format!("section values: the table of field {:?} lies outside it", field.name));
        let ends = table.count.checked_add(1).and_then(|n| n.checked_mul(8)).and_then(|n| n.checked_add(table.offset));
        let ends = usize::try_from(ends.ok_or_else(wrong)?).map_err(|_| wrong())?;
        let last = ends.checked_sub(8).and_then(|at| u64_at(self.values(), at)).ok_or_else(wrong)?;
        let end = usize::try_from(last).ok().and_then(|last| ends.checked_add(last)).ok_or_else(wrong)?;
        if end <= self.values.len() { Ok(()) } else { Err(wrong()) }
    }

    /// The directory.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The mapped file.
    pub fn map(&self) -> &Map {
        &self.map
    }

    /// The section of pilots.
    #[inline(always)]
    pub fn pilots(&self) -> &[u8] {
        &self.map[self.pilots.clone()]
    }

    /// The section of the locator.
    #[inline(always)]
    pub fn locator(&self) -> &[u8] {
        &self.map[self.locator.clone()]
    }

    /// The section of records.
    #[inline(always)]
    pub fn records(&self) -> &[u8] {
        &self.map[self.records.clone()]
    }

    /// The same with its sections at hand.
    #[inline(always)]
    pub fn view(&self) -> View<'_> {
        let (width, fixed) = (self.directory.locator.width, self.directory.record.fixed);
        View { blob: self, records: self.records(), locator: self.locator(), width, fixed }
    }

    /// The section of long values.
    pub fn heap(&self) -> &[u8] {
        &self.map[self.heap.clone()]
    }

    /// The section of tables.
    pub fn values(&self) -> &[u8] {
        &self.map[self.values.clone()]
    }

    /// What an overlay changes of its base; of any other blob, nothing.
    #[inline(always)]
    pub fn changes(&self) -> Changes<'_> {
        let [lines, places, inserted] = [&self.changes, &self.places, &self.inserted].map(|at| &self.map[at.clone()]);
        Changes::new(lines, places, inserted, &self.sketch)
    }

    /// The var values of a record, in order.
    pub fn vars(&self) -> &[Var] {
        &self.vars
    }

    /// What values are taken from: the fields, and behind them the printed keys of those references that have them.
    #[inline(always)]
    pub fn columns(&self) -> &[Field] {
        &self.columns
    }

    /// Where the record with this ordinal lies.
    #[inline(always)]
    pub fn span(&self, ordinal: u32) -> Span {
        self.view().span(ordinal)
    }

    /// The record at `span`; an error where the span does not lie in the section, or is too short for the fixed part.
    #[inline(always)]
    pub fn record(&self, span: Span) -> Result<Record<'_>> {
        self.view().record(span)
    }

    /// Entry `i` of a table.
    #[inline]
    pub fn entry(&self, table: Table, i: u64) -> Result<&[u8]> {
        let values = self.values();
        let wrong = || self.damaged("values", "an entry lies outside its table");
        if i >= table.count {
            return Err(wrong());
        }
        let ends = table.offset as usize + 8 * i as usize;
        let data = table.offset as usize + 8 * (table.count as usize + 1);
        let (start, end) = u64_at(values, ends).zip(u64_at(values, ends + 8)).ok_or_else(wrong)?;
        values.get(data..).and_then(|data| data.get(start as usize..end as usize)).ok_or_else(wrong)
    }

    /// The records among these slots, in order.
    pub fn spans(&self, slots: Range<u32>) -> impl Iterator<Item = Span> + '_ {
        slots.map(|ordinal| self.span(ordinal)).filter(|span| !span.is_missing())
    }

    /// An error that names this file.
    #[cold]
    pub fn damaged(&self, section: &str, what: &str) -> Error {
        Error::Damaged(format!("{}: section {section}: {what}", self.map.path().display()))
    }

    /// Opens the blob at `path` without verifying it.
    pub fn open_path(path: &Path) -> Result<Self> {
        Self::open(Map::open(path)?)
    }
}
