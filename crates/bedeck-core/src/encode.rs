//! Encoding rows into records, a segment of slots at a time.

use std::ops::Range;

use crate::directory::{Field, Item, Kind, Var};
use crate::key::KeyKind;
use crate::measure::{INLINE, Subject, print_keys};
use crate::plan::Plan;
use crate::record::write_varint;
use crate::roster::DANGLING;
use crate::row::{self, Cursor, RowKey, Tag};
use crate::table::Placed;
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
    subject: &Subject<'_>,
    plan: &Plan,
    placed: &Placed<'_>,
    slots: Range<u32>,
    ordinals: &[[u8; 4]],
) -> Encoded {
    let spec = subject.spec;
    let mut encoder = Encoder {
        subject,
        plan,
        ordinals: ordinals.iter(),
        out: Encoded { field_bytes: vec![0; spec.fields.len()], ..Encoded::default() },
        vars: vec![Vec::new(); plan.vars().len()],
        items: Vec::new(),
    };
    let by_id = spec.by_id();
    let vars = plan.vars();
    let mut stored = Vec::new();
    for slot in slots {
        let Some(row) = placed.row(slot) else {
            encoder.out.lengths.push(0);
            continue;
        };
        let start = encoder.out.records.len();
        encoder.out.records.resize(start + plan.record.fixed as usize, 0);
        stored.clear();
        row.key.store(subject.table.index.key.kind, &mut stored);
        match &plan.record.key {
            _ if plan.part.kind == Kind::Group => {}
            None => encoder.out.records[start..start + stored.len()].copy_from_slice(&stored),
            Some(var) => encoder.var(var).extend_from_slice(&stored),
        }
        let mut cursor = row.values;
        for &place in &by_id {
            if plan.part.fields[place] {
                encoder.field(start, place, &mut cursor);
            } else {
                encoder.skip(place, &mut cursor);
            }
        }
        encoder.finish(start, &vars);
    }
    encoder.out
}

struct Encoder<'a> {
    subject: &'a Subject<'a>,
    plan: &'a Plan,
    ordinals: std::slice::Iter<'a, [u8; 4]>,
    out: Encoded,
    /// The record's var values, by order.
    vars: Vec<Vec<u8>>,
    /// Of a list that is being encoded.
    items: Vec<Option<u64>>,
}

impl Encoder<'_> {
    fn var(&mut self, var: &Var) -> &mut Vec<u8> {
        &mut self.vars[var.order as usize]
    }

    fn put(&mut self, start: usize, offset: u32, bits: u8, number: u64) {
        put(&mut self.out.records[start..], offset, bits, number);
    }

    fn field(&mut self, start: usize, place: usize, cursor: &mut Cursor<'_>) {
        let plan = self.plan;
        let field = &plan.fields[place];
        let scalar = &field.field_type.scalar;
        if let Some(target) = self.subject.targets[place] {
            self.references(start, place, target.key().kind, cursor);
            return;
        }
        let Some((value, code)) = cursor.value(&field.field_type, &self.subject.dictionaries[place].by_code) else {
            self.null(start, field);
            return;
        };
        match (&plan.places[place], &field.var) {
            (Some(places), _) => self.number(start, field, code.map_or(0, |code| places[code])),
            (None, Some(var)) if field.field_type.list => {
                encode_list(scalar, field.item.as_ref(), Cursor::new(value), &mut self.vars[var.order as usize]);
            }
            (None, Some(var)) => self.var(var).extend_from_slice(Cursor::new(value).scalar(scalar)),
            (None, None) => {
                let base = field.bits.map_or(0, |b| b.base.0);
                self.number(start, field, row::number(scalar, value).wrapping_sub(base));
            }
        }
    }

    /// Passes over a field that another blob has.
    fn skip(&mut self, place: usize, cursor: &mut Cursor<'_>) {
        let field_type = &self.plan.fields[place].field_type;
        let Some(target) = self.subject.targets[place] else {
            cursor.value(field_type, &self.subject.dictionaries[place].by_code);
            return;
        };
        let int = target.key().kind == KeyKind::Int;
        if cursor.tag() == Tag::Null {
            return;
        }
        if field_type.list {
            cursor.keys(int, |key| _ = key.and_then(|_| self.ordinals.next()));
        } else {
            cursor.key(int);
            self.ordinals.next();
        }
    }

    fn references(&mut self, start: usize, place: usize, kind: KeyKind, cursor: &mut Cursor<'_>) {
        let field = &self.plan.fields[place];
        let int = kind == KeyKind::Int;
        if cursor.tag() == Tag::Null {
            self.null(start, field);
            return;
        }
        if let Some(var) = &field.printed {
            print_keys(&field.field_type, kind, &mut cursor.clone(), &mut self.vars[var.order as usize]);
        }
        let Some((var, item)) = field.var.as_ref().zip(field.item.as_ref()) else {
            let code = self.code(place, kind, cursor.key(int));
            self.number(start, field, code);
            return;
        };
        let mut items = std::mem::take(&mut self.items);
        items.clear();
        cursor.keys(int, |key| items.push(key.map(|key| self.code(place, kind, key))));
        write_items(item, &items, self.var(var));
        self.items = items;
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
    fn code(&mut self, place: usize, kind: KeyKind, key: RowKey<'_>) -> u64 {
        let dangling = &self.plan.dangling[place];
        match self.ordinals.next().map(|bytes| u32::from_le_bytes(*bytes)) {
            Some(ordinal) if ordinal != DANGLING => dangling.len() as u64 + u64::from(ordinal),
            _ => dangling.get(key.canonical(kind, &mut [0; 36])).copied().unwrap_or_default(),
        }
    }

    /// Appends the record's var values, in order, and notes their lengths.
    fn finish(&mut self, start: usize, vars: &[(Var, Option<usize>)]) {
        for (var, place) in vars {
            let bytes = &mut self.vars[var.order as usize];
            let mut used = bytes.len();
            let number = if bytes.len() > INLINE {
                self.out.pointers.push(self.out.records.len());
                self.out.records.extend_from_slice(&(self.out.heap.len() as u64).to_le_bytes());
                self.out.records.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
                self.out.heap.extend_from_slice(bytes);
                used += 12;
                (1 << var.bits) - 1
            } else {
                self.out.records.extend_from_slice(bytes);
                (bytes.len() / usize::from(var.unit)) as u64
            };
            bytes.clear();
            self.put(start, var.offset, var.bits, number);
            if let Some(place) = place {
                self.out.field_bytes[*place] += used as u64;
            }
        }
        self.out.lengths.push((self.out.records.len() - start) as u32);
    }
}

/// Puts a number into the packed bits of a record, which are zero there.
pub fn put(record: &mut [u8], offset: u32, bits: u8, number: u64) {
    let at = offset as usize / 8;
    let mut rest = u128::from(number) << (offset % 8);
    for byte in &mut record[at..at + (offset as usize % 8 + usize::from(bits)).div_ceil(8)] {
        *byte |= rest as u8;
        rest >>= 8;
    }
}

/// Appends the bytes of a list, given as rows have it.
pub fn encode_list(scalar: &Scalar, item: Option<&Item>, mut list: Cursor<'_>, out: &mut Vec<u8>) {
    match item {
        Some(item) => {
            let mut items = Vec::new();
            list.items(scalar, |value| items.push(value.map(|value| row::number(scalar, value))));
            write_items(item, &items, out);
        }
        None => list.items(scalar, |value| match value {
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
