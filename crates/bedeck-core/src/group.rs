//! A new group over a base: numbers that changed in so many records that all get theirs anew, by slot.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::blob::Blob;
use crate::build::Site;
use crate::checksum::BlobSums;
use crate::directory::{Directory, Field, Kind, LocatorSpec, RECORDS_PADDING};
use crate::encode::put;
use crate::error::{Error, Result};
use crate::forms::Form;
use crate::intake::Input;
use crate::plan::{Numbers, plan_numbers};
use crate::row::{canonical_width, number, number_width};
use crate::rows::GROUPS;
use crate::spill::Spill;
use crate::table::Unit;
use crate::types::Scalar;
use crate::writer::BlobWriter;

/// Slots packed between two reports.
const STEP: usize = 1 << 16;

/// Whether a field can be in such a group, where it has a type that is no list.
pub const fn is_number(scalar: &Scalar) -> bool {
    number_width(scalar).is_some()
}

/// A field of the group.
#[derive(Debug, Clone)]
struct Column {
    /// Its place in the schema.
    place: usize,
    /// Its place in the order of ids.
    order: usize,
    scalar: Scalar,
    width: usize,
}

/// The numbers of a group of rows, waiting to be written: for each slot, the slot and an entry.
#[derive(Debug, Default)]
pub struct Values {
    bytes: Vec<u8>,
    numbers: Vec<Numbers>,
}

/// Collects numbers, then writes the blob.
#[derive(Debug)]
pub struct Group {
    columns: Vec<Column>,
    spill: Spill,
    /// For each group of rows, where its numbers are.
    extents: Vec<Range<u64>>,
    numbers: Vec<Numbers>,
}

/// What comes before a number in an entry.
const NULL: u8 = 1;
const PRESENT: u8 = 2;

impl Group {
    /// One for the fields that `orders` names by their places in the order of ids.
    pub fn new(input: &Input, orders: impl Iterator<Item = usize>, site: &Site<'_>) -> Result<Self> {
        let by_id = input.spec.by_id();
        let columns = orders.map(|order| {
            let scalar = input.spec.fields[by_id[order]].field_type.scalar.clone();
            Column { place: by_id[order], order, width: number_width(&scalar).unwrap_or(8), scalar }
        });
        let mut columns: Vec<Column> = columns.collect();
        columns.sort_unstable_by_key(|column| column.place);
        let numbers = vec![Numbers::default(); columns.len()];
        Ok(Self { columns, spill: Spill::create(site.directory, "group")?, extents: vec![0..0; GROUPS], numbers })
    }

    /// The numbers of the fields, by their places in the schema.
    pub fn numbers(&self) -> BTreeMap<usize, Numbers> {
        self.columns.iter().map(|column| column.place).zip(self.numbers.iter().cloned()).collect()
    }

    /// Takes the numbers of the record in a slot of the base, whose form is given.
    pub fn note(&self, slot: u32, form: &Form, values: &mut Values) {
        values.numbers.resize_with(self.columns.len(), Numbers::default);
        values.bytes.extend_from_slice(&slot.to_le_bytes());
        for (column, seen) in self.columns.iter().zip(&mut values.numbers) {
            let Some(bytes) = column.bytes(form) else {
                seen.nulls += 1;
                values.bytes.push(NULL);
                values.bytes.resize(values.bytes.len() + column.width, 0);
                continue;
            };
            seen.note(column.number(bytes));
            values.bytes.push(PRESENT);
            values.bytes.extend_from_slice(&bytes[..column.width]);
        }
    }

    /// Writes numbers down; threads may do so at once.
    pub fn put_down(&self, values: &mut Values) -> Result<Range<u64>> {
        let start = self.spill.append(&values.bytes)?;
        let end = start + values.bytes.len() as u64;
        values.bytes = Vec::new();
        Ok(start..end)
    }

    /// Takes note of what was written down of a group of rows.
    pub fn add(&mut self, group: usize, values: &Values, extent: Range<u64>) {
        self.numbers.iter_mut().zip(&values.numbers).for_each(|(mine, theirs)| mine.merge(theirs));
        self.extents[group] = extent;
    }

    /// Writes the blob over `base`, whose hash is given.
    pub fn write(self, input: &Input, base: &Blob, hash: &str, site: &Site<'_>) -> Result<BlobSums> {
        let (record, mut fields) = plan_numbers(&input.spec, &self.numbers());
        let Self { columns, spill, extents, .. } = self;
        let spill = spill.map()?;
        let directory = base.directory();
        let (slots, fixed) = (directory.index.total_slots(), record.fixed as usize);
        let entry: usize = columns.iter().map(|column| 1 + column.width).sum();
        let path = site.directory.join(format!("{}.blob", input.spec.name));
        let mut writer = BlobWriter::create(&path)?;
        writer.begin("pilots", 0)?;
        writer.begin("records", slots * u64::from(record.fixed))?;
        for unit in Unit::all(&directory.index) {
            let mut entries = vec![0u8; unit.slots.len() * entry];
            for extent in &extents[unit.groups] {
                for bytes in spill[extent.start as usize..extent.end as usize].chunks_exact(4 + entry) {
                    let slot = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                    let at = (slot - unit.slots.start) as usize * entry;
                    entries[at..at + entry].copy_from_slice(&bytes[4..]);
                }
            }
            for (i, step) in entries.chunks(STEP * entry).enumerate() {
                let mut records = vec![0u8; step.len() / entry * fixed];
                for (record, entry) in records.chunks_exact_mut(fixed).zip(step.chunks_exact(entry)) {
                    pack(&columns, &fields, entry, record);
                }
                writer.append(&records)?;
                input.tell(site, "write", u64::from(unit.slots.start) + (i * STEP) as u64, slots)?;
            }
        }
        writer.append(&[0; RECORDS_PADDING as usize])?;
        ["heap", "values", "locator"].iter().try_for_each(|name| writer.begin(name, 0))?;
        for field in &mut fields {
            let bits = u64::from(field.bits.map_or(0, |b| b.bits)) + u64::from(field.null_bit.is_some());
            field.bytes = (slots * bits).div_ceil(8);
        }
        let described = Directory {
            type_name: input.spec.name.clone(),
            kind: Kind::Group,
            base: Some(hash.to_owned()),
            records: directory.records,
            epoch: directory.epoch.clone(),
            digest: "0".repeat(32),
            key: directory.key.clone(),
            index: directory.index,
            locator: LocatorSpec { width: 0 },
            record,
            fields,
            sections: writer.sections.clone(),
            counters: BTreeMap::from([("record_bytes".to_owned(), slots * u64::from(record.fixed))]),
        };
        let written = writer.finish(&described)?;
        let name = site.directory.join(&written.name);
        std::fs::rename(path, &name).map_err(|e| Error::io(&name, &e))?;
        Ok(written)
    }
}

/// Puts the numbers of an entry into a record; `fields` are those of the columns, in the same order.
fn pack(columns: &[Column], fields: &[Field], entry: &[u8], record: &mut [u8]) {
    let mut at = 0;
    for (Column { scalar, width, .. }, field) in columns.iter().zip(fields) {
        match (entry[at], field.bits, field.null_bit) {
            (NULL, _, Some(bit)) => put(record, bit, 1, 1),
            (PRESENT, Some(bits), _) => {
                let number = number(scalar, &entry[at + 1..at + 1 + width]).wrapping_sub(bits.base.0);
                put(record, bits.offset, bits.bits, number);
            }
            _ => {}
        }
        at += 1 + width;
    }
}

impl Column {
    /// The bytes of the number in a form, least significant first; `None` where it is null.
    fn bytes<'a>(&self, form: &'a Form) -> Option<&'a [u8]> {
        let field = form.field(self.order);
        // Behind the id, which tells where it is not null, come as many bytes as the form has for such a number.
        let width = canonical_width(&self.scalar, self.width);
        field.len().checked_sub(width).map(|start| &field[start..])
    }

    /// What it counts.
    fn number(&self, bytes: &[u8]) -> i128 {
        let number = number(&self.scalar, &bytes[..self.width]);
        if self.scalar.is_signed() { i128::from(number as i64) } else { i128::from(number) }
    }
}

impl Numbers {
    fn note(&mut self, number: i128) {
        self.present += 1;
        self.widen((number, number));
    }

    fn widen(&mut self, (low, high): (i128, i128)) {
        self.range = Some(self.range.map_or((low, high), |(lowest, highest)| (lowest.min(low), highest.max(high))));
    }

    fn merge(&mut self, other: &Self) {
        self.present += other.present;
        self.nulls += other.nulls;
        other.range.into_iter().for_each(|range| self.widen(range));
    }
}
