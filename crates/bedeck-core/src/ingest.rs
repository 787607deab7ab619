//! Arrow batches to canonical rows.
//!
//! Batches come in canonical Arrow types: bool, integers, floats, large_utf8, large_binary, date32, timestamps, and large_list of these.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use arrow_array::{Array, ArrayRef, LargeBinaryArray, LargeStringArray, RecordBatch};
use arrow_buffer::{BooleanBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, TimeUnit};

use crate::error::{Error, Result};
use crate::key::{KeyKind, MAX_KEY, is_canonical_uuid, parse_base62, parse_uuid, print_uuid};
use crate::row;
use crate::spec::TypeSpec;
use crate::stats::Stats;
use crate::text::escape;
use crate::time::DAYS;
use crate::types::Scalar;

/// Rows in canonical form, from one run of rows of one source.
#[derive(Debug, Default)]
pub struct Chunk {
    /// The place of the source.
    pub origin: u32,
    /// The first row's number in it.
    pub first_row: u64,
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

/// Rows a chunk stops growing at, in bytes: ends are 32 bits.
const CHUNK_BYTES: usize = 1 << 30;
/// The largest value.
const MAX_VALUE: usize = i32::MAX as usize;

impl Chunk {
    /// Rows.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// A row.
    #[inline]
    pub fn row(&self, i: usize) -> &[u8] {
        let start = if i == 0 { 0 } else { self.ends[i - 1] as usize };
        &self.bytes[start..self.ends[i] as usize]
    }
}

/// What a column of keys holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyForm {
    /// Text.
    Text,
    /// Integers, signed or not.
    Int {
        /// Whether they are signed.
        signed: bool,
    },
    /// Bytes.
    Bytes,
}

/// What a column of this Arrow type, or a list of it, holds as keys; `None` where it cannot hold any.
pub fn key_form(data_type: &DataType) -> Option<KeyForm> {
    match data_type {
        DataType::LargeUtf8 => Some(KeyForm::Text),
        DataType::LargeBinary => Some(KeyForm::Bytes),
        DataType::Int64 => Some(KeyForm::Int { signed: true }),
        DataType::UInt64 => Some(KeyForm::Int { signed: false }),
        DataType::LargeList(item) => key_form(item.data_type()),
        _ => None,
    }
}

/// What one thread made of the batches it was given.
#[derive(Debug)]
pub struct Ingested {
    /// The rows.
    pub chunks: Vec<Chunk>,
    /// One a field.
    pub stats: Vec<Stats>,
    /// Whether every key is base62.
    pub all_base62: bool,
    /// Whether every key is a UUID in canonical form.
    pub all_uuid: bool,
}

enum Values {
    Bool(BooleanBuffer),
    I8(ScalarBuffer<i8>),
    I16(ScalarBuffer<i16>),
    I32(ScalarBuffer<i32>),
    I64(ScalarBuffer<i64>),
    U8(ScalarBuffer<u8>),
    U16(ScalarBuffer<u16>),
    U32(ScalarBuffer<u32>),
    U64(ScalarBuffer<u64>),
    F32(ScalarBuffer<f32>),
    F64(ScalarBuffer<f64>),
    Text(LargeStringArray),
    Bytes(LargeBinaryArray),
    List(OffsetBuffer<i64>, Box<Column>),
}

struct Column {
    values: Values,
    nulls: Option<NullBuffer>,
}

impl Column {
    fn new(array: &ArrayRef) -> Option<Self> {
        let values = match array.data_type() {
            DataType::Boolean => Values::Bool(array.as_boolean().values().clone()),
            DataType::Int8 => Values::I8(array.as_primitive::<Int8Type>().values().clone()),
            DataType::Int16 => Values::I16(array.as_primitive::<Int16Type>().values().clone()),
            DataType::Int32 => Values::I32(array.as_primitive::<Int32Type>().values().clone()),
            DataType::Int64 => Values::I64(array.as_primitive::<Int64Type>().values().clone()),
            DataType::UInt8 => Values::U8(array.as_primitive::<UInt8Type>().values().clone()),
            DataType::UInt16 => Values::U16(array.as_primitive::<UInt16Type>().values().clone()),
            DataType::UInt32 => Values::U32(array.as_primitive::<UInt32Type>().values().clone()),
            DataType::UInt64 => Values::U64(array.as_primitive::<UInt64Type>().values().clone()),
            DataType::Float32 => Values::F32(array.as_primitive::<Float32Type>().values().clone()),
            DataType::Float64 => Values::F64(array.as_primitive::<Float64Type>().values().clone()),
            DataType::Date32 => Values::I32(array.as_primitive::<Date32Type>().values().clone()),
            DataType::Timestamp(TimeUnit::Second, _) => {
                Values::I64(array.as_primitive::<TimestampSecondType>().values().clone())
            }
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                Values::I64(array.as_primitive::<TimestampMillisecondType>().values().clone())
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                Values::I64(array.as_primitive::<TimestampMicrosecondType>().values().clone())
            }
            DataType::Timestamp(TimeUnit::Nanosecond, _) => {
                Values::I64(array.as_primitive::<TimestampNanosecondType>().values().clone())
            }
            DataType::LargeUtf8 => Values::Text(array.as_string::<i64>().clone()),
            DataType::LargeBinary => Values::Bytes(array.as_binary::<i64>().clone()),
            DataType::LargeList(_) => {
                let list = array.as_list::<i64>();
                Values::List(list.offsets().clone(), Box::new(Self::new(list.values())?))
            }
            _ => return None,
        };
        Some(Self { values, nulls: array.nulls().cloned() })
    }

    fn is_null(&self, i: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(i))
    }

    /// Item `i` as a number in two's complement, and as what it counts; `None` for bytes and lists.
    #[inline(always)]
    fn number(&self, i: usize) -> Option<(u64, i128)> {
        let signed = |n: i64| Some((n as u64, i128::from(n)));
        let unsigned = |n: u64| Some((n, i128::from(n)));
        match &self.values {
            Values::Bool(v) => unsigned(u64::from(v.value(i))),
            Values::I8(v) => signed(i64::from(v[i])),
            Values::I16(v) => signed(i64::from(v[i])),
            Values::I32(v) => signed(i64::from(v[i])),
            Values::I64(v) => signed(v[i]),
            Values::U8(v) => unsigned(u64::from(v[i])),
            Values::U16(v) => unsigned(u64::from(v[i])),
            Values::U32(v) => unsigned(u64::from(v[i])),
            Values::U64(v) => unsigned(v[i]),
            Values::F32(v) => unsigned(u64::from(v[i].to_bits())),
            Values::F64(v) => unsigned(v[i].to_bits()),
            Values::Text(_) | Values::Bytes(_) | Values::List(..) => None,
        }
    }
}

/// Turns batches of one type into rows; one for each thread.
#[derive(Debug)]
pub struct Ingester<'a> {
    spec: &'a TypeSpec,
    origin: &'a str,
    by_id: Vec<usize>,
    escaped: Vec<u8>,
    out: Ingested,
}

impl<'a> Ingester<'a> {
    /// For batches from the source `origin`.
    pub fn new(spec: &'a TypeSpec, origin: &'a str) -> Self {
        let stats = spec.fields.iter().map(|f| Stats::new(&f.field_type)).collect();
        let out = Ingested { chunks: Vec::new(), stats, all_base62: true, all_uuid: true };
        Self { spec, origin, by_id: spec.by_id(), escaped: Vec::new(), out }
    }

    /// What was made of all batches.
    pub fn finish(self) -> Ingested {
        self.out
    }

    fn refuse(&self, row: u64, what: &str) -> Error {
        Error::Source(format!("{}, row {row}: type {:?}, {what}", self.origin, self.spec.name))
    }

    /// Takes a batch whose columns are the key and then the fields; `first_row` is the number of its first row in the source.
    pub fn take(&mut self, origin: u32, first_row: u64, batch: &RecordBatch) -> Result<()> {
        let wrong = |i: usize| {
            let name = if i == 0 { &self.spec.key.field } else { &self.spec.fields[i - 1].name };
            Error::Schema(format!(
                "{}: type {:?}, field {name:?}: Arrow type {} is not taken",
                self.origin,
                self.spec.name,
                batch.column(i).data_type()
            ))
        };
        if batch.num_columns() != self.spec.fields.len() + 1 {
            return Err(Error::Schema(format!(
                "{}: {} columns, but type {:?} has a key and {} fields",
                self.origin,
                batch.num_columns(),
                self.spec.name,
                self.spec.fields.len()
            )));
        }
        let columns: Vec<Column> = (0..batch.num_columns())
            .map(|i| Column::new(batch.column(i)).ok_or_else(|| wrong(i)))
            .collect::<Result<_>>()?;
        key_form(batch.column(0).data_type()).ok_or_else(|| wrong(0))?;
        for (i, field) in self.spec.fields.iter().enumerate() {
            let is_key = field.reference.is_some();
            let column = &columns[i + 1];
            let bytes = |column: &Column| matches!(column.values, Values::Text(_) | Values::Bytes(_));
            let fits = match &column.values {
                Values::List(_, items) => {
                    field.field_type.list && (is_key || bytes(items) == field.field_type.scalar.is_bytes())
                }
                _ => !field.field_type.list && (is_key || bytes(column) == field.field_type.scalar.is_bytes()),
            };
            if !fits || is_key && key_form(batch.column(i + 1).data_type()).is_none() {
                return Err(wrong(i + 1));
            }
        }
        let mut chunk = Chunk { origin, first_row, ..Chunk::default() };
        for i in 0..batch.num_rows() {
            let row = first_row + i as u64;
            self.take_key(&columns[0], i, row, &mut chunk.bytes)?;
            for place in 0..self.by_id.len() {
                let place = self.by_id[place];
                self.take_value(place, &columns[place + 1], i, row, &mut chunk.bytes)?;
            }
            if chunk.bytes.len() > u32::MAX as usize {
                return Err(self.refuse(row, "a row of more than 3 GiB"));
            }
            chunk.ends.push(chunk.bytes.len() as u32);
            if chunk.bytes.len() > CHUNK_BYTES {
                self.out.chunks.push(std::mem::take(&mut chunk));
                chunk = Chunk { origin, first_row: row + 1, ..Chunk::default() };
            }
        }
        if !chunk.is_empty() {
            self.out.chunks.push(chunk);
        }
        Ok(())
    }

    fn take_key(&mut self, column: &Column, i: usize, row: u64, out: &mut Vec<u8>) -> Result<()> {
        let name = &self.spec.key.field;
        if column.is_null(i) {
            return Err(self.refuse(row, &format!("key {name:?} is null; every record needs a key")));
        }
        if let Some((number, _)) = column.number(i) {
            out.extend_from_slice(&number.to_le_bytes());
            return Ok(());
        }
        let text: &[u8] = match &column.values {
            Values::Text(text) => text.value(i).as_bytes(),
            Values::Bytes(bytes) => bytes.value(i),
            _ => &[],
        };
        let shown = || String::from_utf8_lossy(&text[..text.len().min(80)]).into_owned();
        match self.spec.key.kind {
            Some(KeyKind::Base62) if parse_base62(text).is_none() => {
                return Err(self.refuse(
                    row,
                    &format!("key {name:?}: {:?} is not base62 (22 characters of 0-9a-zA-Z, below 2^128)", shown()),
                ));
            }
            Some(KeyKind::Uuid) => {
                let number = parse_uuid(text)
                    .ok_or_else(|| self.refuse(row, &format!("key {name:?}: {:?} is not a UUID", shown())))?;
                row::write_bytes(&print_uuid(number), out);
                return Ok(());
            }
            _ if text.len() > MAX_KEY => {
                return Err(self.refuse(row, &format!("key {name:?} has {} bytes; the limit is {MAX_KEY}", text.len())));
            }
            Some(_) => {}
            None => {
                self.out.all_base62 &= parse_base62(text).is_some();
                self.out.all_uuid &= is_canonical_uuid(text);
            }
        }
        row::write_bytes(text, out);
        Ok(())
    }

    fn take_value(&mut self, place: usize, column: &Column, i: usize, row: u64, out: &mut Vec<u8>) -> Result<()> {
        if column.is_null(i) {
            row::write_null(out);
            return Ok(());
        }
        row::write_present(out);
        let start = out.len();
        if let Values::List(offsets, items) = &column.values {
            let range = offsets[i] as usize..offsets[i + 1] as usize;
            crate::record::write_varint(range.len() as u64, out);
            for at in range {
                if items.is_null(at) {
                    row::write_null(out);
                    self.out.stats[place].null_items = true;
                } else {
                    row::write_present(out);
                    self.take_scalar(place, items, at, row, out)?;
                }
            }
        } else {
            self.take_scalar(place, column, i, row, out)?;
        }
        if out.len() - start > MAX_VALUE {
            return Err(self.refuse(
                row,
                &format!("field {:?}: a value of more than 2^31 - 1 bytes", self.spec.fields[place].name),
            ));
        }
        self.out.stats[place].value(&out[start..]);
        Ok(())
    }

    #[inline(always)]
    fn take_scalar(&mut self, place: usize, column: &Column, i: usize, row: u64, out: &mut Vec<u8>) -> Result<()> {
        let field = &self.spec.fields[place];
        let scalar = &field.field_type.scalar;
        self.out.stats[place].scalars += 1;
        match (&column.values, column.number(i)) {
            (Values::Bytes(bytes), _) => row::write_bytes(bytes.value(i), out),
            (Values::Text(text), _) if *scalar == Scalar::Reference => row::write_bytes(text.value(i).as_bytes(), out),
            (Values::Text(text), _) => {
                self.escaped.clear();
                escape(text.value(i).as_bytes(), &mut self.escaped);
                row::write_bytes(&self.escaped, out);
            }
            (_, Some((number, count))) => {
                let days = match scalar {
                    Scalar::Date => Some(count as i64),
                    Scalar::Timestamp(unit, _) => Some((count as i64).div_euclid(86_400 * 10i64.pow(unit.digits()))),
                    _ => None,
                };
                // The wall clock of a zone may be a day ahead or behind.
                let margin = match scalar {
                    Scalar::Timestamp(_, Some(zone)) => i64::from(!matches!(zone.as_str(), "UTC" | "Etc/UTC" | "Z")),
                    _ => 0,
                };
                if days.is_some_and(|days| !(DAYS.start() + margin..=DAYS.end() - margin).contains(&days)) {
                    let what = format!(
                        "field {:?}: {count} lies outside the years 1 to 9999; declare it int64 to keep it",
                        field.name
                    );
                    return Err(self.refuse(row, &what));
                }
                self.out.stats[place].number(count);
                let width = row::number_width(scalar, true).unwrap_or(8);
                out.extend_from_slice(&number.to_le_bytes()[..width]);
            }
            _ => {}
        }
        Ok(())
    }
}
