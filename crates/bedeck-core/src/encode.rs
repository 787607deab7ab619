//! Encoding rows into records, a segment of slots at a time.

use crate::directory::{Field, Item, Var};
use crate::measure::{DANGLING, INLINE, SEGMENT};
use crate::plan::Plan;
use crate::record::write_varint;
use crate::row::{self, Cursor};
use crate::spec::TypeSpec;
use crate::table::Table;
use crate::types::Scalar;

/// The records of one segment.
#[derive(Debug, Default)]
pub struct Encoded {
    /// Their bytes.
    pub records: Vec<u8>,
    /// The length of each, 0 for holes.
    pub lengths: Vec<u32>,
    /// Values too long for a record.
    pub heap: Vec<u8>,
    /// Where in `records` offsets into `heap` stand, which count from the segment's first byte there.
    pub pointers: Vec<usize>,
    /// Bytes of var values and heap, for each field.
    pub field_bytes: Vec<u64>,
}

/// Encodes a segment; `ordinals` are those that measuring found for it.
pub fn encode_segment(
    spec: &TypeSpec,
    table: &Table,
    plan: &Plan,
    targets: &[Option<&Table>],
    segment: usize,
    ordinals: &[u32],
) -> Encoded {
    let mut encoder = Encoder {
        plan,
        targets,
        ordinals: ordinals.iter(),
        out: Encoded { field_bytes: vec![0; spec.fields.len()], ..Encoded::default() },
        vars: vec![
            Vec::new();
            plan.fields.iter().filter(|f| f.var.is_some()).count() + usize::from(plan.record.key.is_some())
        ],
    };
    let by_id = spec.by_id();
    let end = ((segment + 1) * SEGMENT).min(table.shape.total_slots() as usize);
    let mut stored = Vec::new();
    for slot in segment * SEGMENT..end {
        let Some(row) = table.row(slot as u32) else {
            encoder.out.lengths.push(0);
            continue;
        };
        let start = encoder.out.records.len();
        encoder.out.records.resize(start + plan.record.fixed as usize, 0);
        let mut cursor = Cursor::new(row);
        stored.clear();
        table.key.kind.store(cursor.key(table.is_int()), &mut stored);
        match &plan.record.key {
            None => encoder.out.records[start..start + stored.len()].copy_from_slice(&stored),
            Some(var) => encoder.var(var).extend_from_slice(&stored),
        }
        for &place in &by_id {
            encoder.field(start, place, &mut cursor);
        }
        encoder.finish(start);
    }
    encoder.out
}

struct Encoder<'a> {
    plan: &'a Plan,
    targets: &'a [Option<&'a Table>],
    ordinals: std::slice::Iter<'a, u32>,
    out: Encoded,
    /// The record's var values, by order.
    vars: Vec<Vec<u8>>,
}

impl Encoder<'_> {
    fn var(&mut self, var: &Var) -> &mut Vec<u8> {
        &mut self.vars[var.order as usize]
    }

    fn put(&mut self, start: usize, offset: u32, bits: u8, number: u64) {
        let at = start + offset as usize / 8;
        let mut rest = u128::from(number) << (offset % 8);
        for byte in &mut self.out.records[at..at + (offset as usize % 8 + usize::from(bits)).div_ceil(8)] {
            *byte |= rest as u8;
            rest >>= 8;
        }
    }

    fn field(&mut self, start: usize, place: usize, cursor: &mut Cursor<'_>) {
        let plan = self.plan;
        let field = &plan.fields[place];
        let scalar = &field.field_type.scalar;
        if let Some(places) = &plan.codes[place] {
            match cursor.value(&field.field_type, false) {
                None => self.null(start, field),
                Some(value) => self.number(start, field, places.get(value).copied().unwrap_or_default()),
            }
            return;
        }
        if !cursor.present() {
            self.null(start, field);
            return;
        }
        match (self.targets[place], &field.var) {
            (Some(target), None) => {
                let code = self.code(place, target, cursor.scalar(scalar, target.is_int()));
                self.number(start, field, code);
            }
            (Some(target), Some(var)) => {
                let Some(item) = &field.item else { return };
                let mut items = Vec::new();
                cursor
                    .items(scalar, target.is_int(), |text| items.push(text.map(|text| self.code(place, target, text))));
                write_items(item, &items, self.var(var));
            }
            (None, Some(var)) if field.field_type.list => {
                encode_list(scalar, field.item.as_ref(), cursor, self.var(var))
            }
            (None, Some(var)) => {
                let bytes = cursor.scalar(scalar, false);
                self.var(var).extend_from_slice(bytes);
            }
            (None, None) => {
                let number = row::number(cursor.scalar(scalar, false));
                let base = field.bits.map_or(0, |b| b.base.0);
                self.number(start, field, number.wrapping_sub(base));
            }
        }
    }

    fn null(&mut self, start: usize, field: &Field) {
        if let Some(bit) = field.null_bit {
            self.put(start, bit, 1, 1);
        }
    }

    fn number(&mut self, start: usize, field: &Field, number: u64) {
        if let Some(bits) = &field.bits {
            self.put(start, bits.offset, bits.bits, number);
        }
    }

    /// The code of the next reference: measuring met them in this order.
    fn code(&mut self, place: usize, target: &Table, text: &[u8]) -> u64 {
        let dangling = &self.plan.dangling[place];
        match self.ordinals.next() {
            Some(&ordinal) if ordinal != DANGLING => dangling.len() as u64 + u64::from(ordinal),
            _ => dangling.get(&*target.canonical(text)).copied().unwrap_or_default(),
        }
    }

    /// Appends the record's var values, in order, and notes their lengths.
    fn finish(&mut self, start: usize) {
        let plan = self.plan;
        let of_fields = plan.fields.iter().enumerate().filter_map(|(i, f)| f.var.map(|var| (var, Some(i))));
        let mut vars: Vec<(Var, Option<usize>)> =
            plan.record.key.map(|var| (var, None)).into_iter().chain(of_fields).collect();
        vars.sort_unstable_by_key(|(var, _)| var.order);
        for (var, place) in vars {
            let bytes = std::mem::take(&mut self.vars[var.order as usize]);
            let mut used = bytes.len();
            if bytes.len() > INLINE {
                self.put(start, var.offset, var.bits, (1 << var.bits) - 1);
                self.out.pointers.push(self.out.records.len());
                self.out.records.extend_from_slice(&(self.out.heap.len() as u64).to_le_bytes());
                self.out.records.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
                self.out.heap.extend_from_slice(&bytes);
                used += 12;
            } else {
                self.put(start, var.offset, var.bits, (bytes.len() / usize::from(var.unit)) as u64);
                self.out.records.extend_from_slice(&bytes);
            }
            if let Some(place) = place {
                self.out.field_bytes[place] += used as u64;
            }
            self.vars[var.order as usize] = bytes;
            self.vars[var.order as usize].clear();
        }
        self.out.lengths.push((self.out.records.len() - start) as u32);
    }
}

/// Appends the bytes of a list, given in canonical form.
pub fn encode_list(scalar: &Scalar, item: Option<&Item>, cursor: &mut Cursor<'_>, out: &mut Vec<u8>) {
    match item {
        Some(item) => {
            let mut items = Vec::new();
            cursor.items(scalar, false, |value| items.push(value.map(row::number)));
            write_items(item, &items, out);
        }
        None => cursor.items(scalar, false, |value| match value {
            None => out.push(0),
            Some(bytes) => {
                write_varint(bytes.len() as u64 + 1, out);
                out.extend_from_slice(bytes);
            }
        }),
    }
}

fn write_items(item: &Item, items: &[Option<u64>], out: &mut Vec<u8>) {
    if item.nulls {
        let start = out.len();
        out.resize(start + items.len().div_ceil(8), 0);
        for (i, _) in items.iter().enumerate().filter(|(_, item)| item.is_none()) {
            out[start + i / 8] |= 1 << (i % 8);
        }
    }
    for number in items {
        let number = number.map_or(0, |n| n.wrapping_sub(item.base.0));
        out.extend_from_slice(&number.to_le_bytes()[..usize::from(item.width)]);
    }
}
