//! Laying out the records of a type: what is stored where, decided by the data alone.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use crate::directory::{Base, Bits, Field, Item, KeySpec, Kind, RecordSpec, Table as Entries, Var};
use crate::encode::encode_list;
use crate::measure::{INLINE, Lengths, Measured, Subject, is_ranged};
use crate::row::Cursor;
use crate::spec::{FieldSpec, TypeSpec};
use crate::stats::bits_for;
use crate::types::Scalar;

/// What of a type a blob holds.
#[derive(Debug, Clone)]
pub struct Part {
    /// What the blob is to the type: the records of a group have no keys.
    pub kind: Kind,
    /// Whether it has a field, for each in the order of the schema.
    pub fields: Vec<bool>,
}

/// The layout of the records of a blob, and its tables.
#[derive(Debug)]
pub struct Plan {
    /// What of the type it holds.
    pub part: Part,
    /// Key and fixed part.
    pub record: RecordSpec,
    /// Fields, in the order of the schema; bytes still 0. Those that are not of this part have no place.
    pub fields: Vec<Field>,
    /// The section `values`.
    pub values: Vec<u8>,
    /// For each interned field, the place of each value in its table, by the value's code in the dictionary.
    pub places: Vec<Option<Vec<u64>>>,
    /// For each reference, the place of each dangling key.
    pub dangling: Vec<FxHashMap<Box<[u8]>, u64>>,
}

impl Plan {
    /// The var values of a record in order, with the places of their fields; the key has none.
    pub fn vars(&self) -> Vec<(Var, Option<usize>)> {
        let of_fields =
            self.fields.iter().enumerate().flat_map(|(i, field)| field.vars().map(move |var| (var, Some(i))));
        let mut vars: Vec<_> = self.record.key.map(|var| (var, None)).into_iter().chain(of_fields).collect();
        vars.sort_unstable_by_key(|(var, _)| var.order);
        vars
    }
}

/// Hands out bits of the fixed part.
struct Packer {
    next: u32,
}

impl Packer {
    fn take(&mut self, bits: u8) -> u32 {
        let offset = self.next;
        self.next += u32::from(bits);
        offset
    }
}

/// A number in the packed bits, somewhere: one of so many values that lie in a range.
pub fn packed(scalar: &Scalar, present: u64, range: Option<(i128, i128)>) -> Bits {
    let lowest = if is_ranged(scalar) { range.map_or(0, |(low, _)| low) } else { 0 };
    let largest = match scalar.raw_bits() {
        Some(bits) => u64::MAX >> (64 - bits),
        None => range.map_or(0, |(low, high)| (high - low) as u64),
    };
    let bits = storable(bits_for(if present == 0 { 0 } else { largest }));
    Bits { offset: 0, bits, base: Base(lowest as u64, lowest < 0) }
}

/// Plans a blob. `slots` has, for each field that is a reference, the ordinals of the type it points into.
pub fn plan(subject: &Subject<'_>, measured: &Measured, slots: &[Option<u64>], part: Part) -> Plan {
    let Subject { spec, dictionaries, printed, .. } = subject;
    let mut values = Vec::new();
    let mut places = Vec::new();
    let mut dangling = Vec::new();
    let mut fields: Vec<Field> = Vec::new();
    for (i, field) in spec.fields.iter().enumerate() {
        let column = &measured.columns[i];
        let described = described(field, column.nulls);
        if !part.fields[i] {
            dangling.push(FxHashMap::default());
            places.push(None);
            fields.push(described);
            continue;
        }
        let (stats, scalar, absent) = (&column.stats, &field.field_type.scalar, &column.dangling);
        let range = match slots[i] {
            Some(slots) => Some((0, (absent.len() as u64 + slots).saturating_sub(1).into())),
            None => stats.range,
        };
        let number = packed(scalar, stats.present, range);
        let item = (field.field_type.list && !scalar.is_bytes()).then(|| Item {
            width: packed(scalar, 1, range).bits.div_ceil(8).max(1),
            base: number.base,
            nulls: stats.null_items,
        });
        let dictionary = &dictionaries[i];
        let interned = dictionary.all.then(|| stats.interned(&dictionary.by_code)).flatten().map(|codes| {
            let mut entries: Vec<(Vec<u8>, usize)> = codes
                .into_iter()
                .map(|code| (entry(&field.field_type, item.as_ref(), &dictionary.by_code[code]), code))
                .collect();
            entries.sort_unstable();
            let table = write_table(&mut values, entries.iter().map(|(bytes, _)| bytes.as_slice()));
            let mut places = vec![0; dictionary.by_code.len()];
            entries.iter().enumerate().for_each(|(place, (_, code))| places[*code] = place as u64);
            (table, places)
        });
        let table = interned.as_ref().map(|(table, _)| *table);
        let keys = printed[i].then(|| var(&column.printed, None));
        let (bits, var) = match (table, field.field_type.list || scalar.is_bytes()) {
            (Some(table), _) => {
                (Some(Bits { offset: 0, bits: bits_for(table.count - 1), base: Base::default() }), None)
            }
            (None, true) => (None, Some(var(&column.lengths, item.as_ref()))),
            (None, false) => (Some(number), None),
        };
        let missing = slots[i].map(|_| write_table(&mut values, absent.iter().map(AsRef::as_ref)));
        dangling.push(absent.iter().enumerate().map(|(i, key)| (key.clone(), i as u64)).collect());
        places.push(interned.map(|(_, places)| places));
        fields.push(Field { bits, values: table, var, item, printed: keys, dangling: missing, ..described });
    }
    let key = (part.kind != Kind::Group).then_some(&subject.table.index.key);
    let record = place(spec, key, &part, &mut fields, &measured.key_lengths);
    Plan { part, record, fields, values, places, dangling }
}

/// A field that has no place yet.
fn described(field: &FieldSpec, nulls: u64) -> Field {
    Field {
        id: field.id,
        name: field.name.clone(),
        field_type: field.field_type.clone(),
        reference: field.reference.clone(),
        nulls,
        null_bit: None,
        bits: None,
        values: None,
        var: None,
        item: None,
        printed: None,
        dangling: None,
        bytes: 0,
    }
}

/// What is known of the numbers of a field.
#[derive(Debug, Clone, Default)]
pub struct Numbers {
    /// Values.
    pub present: u64,
    /// Records without one.
    pub nulls: u64,
    /// The smallest and the largest.
    pub range: Option<(i128, i128)>,
}

/// Plans a group of numbers alone: its records, and its fields. `numbers` are those of the fields that have some, by their places.
pub fn plan_numbers(spec: &TypeSpec, numbers: &BTreeMap<usize, Numbers>) -> (RecordSpec, Vec<Field>) {
    let part = Part { kind: Kind::Group, fields: (0..spec.fields.len()).map(|i| numbers.contains_key(&i)).collect() };
    let field = |(i, field): (usize, &FieldSpec)| match numbers.get(&i) {
        None => described(field, 0),
        Some(n) => {
            let bits = Some(packed(&field.field_type.scalar, n.present, n.range));
            Field { bits, ..described(field, n.nulls) }
        }
    };
    let mut fields: Vec<Field> = spec.fields.iter().enumerate().map(field).collect();
    let record = place(spec, None, &part, &mut fields, &Lengths::default());
    fields.retain(|field| field.bits.is_some());
    (record, fields)
}

/// Widths a number can have in the packed bits: up to 56, or 64.
fn storable(bits: u8) -> u8 {
    if bits > 56 { 64 } else { bits }
}

fn var(lengths: &Lengths, item: Option<&Item>) -> Var {
    // Where items have a fixed width, lengths were seen in items.
    let unit = item.map_or(1, |item| if item.nulls { 1 } else { item.width });
    let bytes = |n: usize| match item {
        Some(item) if item.nulls => n * usize::from(item.width) + n.div_ceil(8),
        Some(item) => n * usize::from(item.width),
        None => n,
    };
    let longest = lengths.short().rev().find(|n| bytes(*n) <= INLINE).map_or(0, |n| bytes(n) / usize::from(unit));
    let long = lengths.longer || lengths.short().any(|n| bytes(n) > INLINE);
    let bits = bits_for(longest as u64 + u64::from(long));
    Var { order: 0, offset: 0, bits, unit, long }
}

/// Gives every number its bits and every var value its place: whole words first, so that they lie at byte boundaries;
/// then hot fields before others; references before text, since they are followed first.
fn place(
    spec: &TypeSpec,
    key: Option<&KeySpec>,
    part: &Part,
    fields: &mut [Field],
    key_lengths: &Lengths,
) -> RecordSpec {
    let mut packer = Packer { next: key.map_or(0, |key| key.width as u32 * 8) };
    let rank = |field: &Field| spec.hot.iter().position(|hot| *hot == field.name).unwrap_or(usize::MAX);
    let mut order: Vec<usize> = (0..fields.len()).filter(|i| part.fields[*i]).collect();
    order.sort_by_key(|i| (rank(&fields[*i]), *i));
    for &i in &order {
        if let Some(bits) = fields[i].bits.as_mut().filter(|b| b.bits == 64) {
            bits.offset = packer.take(64);
        }
    }
    let mut orders = 0..;
    let mut next_order = || orders.next().unwrap_or_default();
    let key_var = key.is_some_and(|key| key.width == 0).then(|| {
        let var = var(key_lengths, None);
        Var { order: next_order(), offset: packer.take(var.bits), ..var }
    });
    for &i in &order {
        if let (Some(var), true) = (&mut fields[i].var, fields[i].reference.is_some()) {
            var.order = next_order();
        }
    }
    for &i in &order {
        let field = &mut fields[i];
        let text = if field.reference.is_some() { &mut field.printed } else { &mut field.var };
        if let Some(var) = text {
            var.order = next_order();
        }
    }
    for &i in &order {
        let field = &mut fields[i];
        if field.nulls > 0 {
            field.null_bit = Some(packer.take(1));
        }
        if let Some(bits) = field.bits.as_mut().filter(|b| b.bits < 64) {
            bits.offset = packer.take(bits.bits);
        }
        for var in field.var.iter_mut().chain(&mut field.printed) {
            var.offset = packer.take(var.bits);
        }
    }
    // A record takes at least one byte, or it could not be told from a hole.
    RecordSpec { fixed: packer.next.div_ceil(8).max(1), key: key_var }
}

/// A value of a table, given as rows have it.
fn entry(field_type: &crate::types::FieldType, item: Option<&Item>, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut cursor = Cursor::new(value);
    if field_type.list {
        encode_list(&field_type.scalar, item, cursor, &mut out);
    } else {
        out.extend_from_slice(cursor.scalar(&Scalar::Binary));
    }
    out
}

fn write_table<'a>(values: &mut Vec<u8>, entries: impl Iterator<Item = &'a [u8]>) -> Entries {
    values.resize(values.len().next_multiple_of(8), 0);
    let offset = values.len() as u64;
    let (mut data, mut ends) = (Vec::new(), vec![0u64]);
    for entry in entries {
        data.extend_from_slice(entry);
        ends.push(data.len() as u64);
    }
    ends.iter().for_each(|end| values.extend_from_slice(&end.to_le_bytes()));
    values.extend_from_slice(&data);
    Entries { offset, count: ends.len() as u64 - 1 }
}
