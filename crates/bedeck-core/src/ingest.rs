//! Arrow batches to rows.
//!
//! Batches come in canonical Arrow types: bool, integers, floats, large_utf8, large_binary, date32, timestamps, and large_list of these.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use arrow_array::{Array, ArrayRef, LargeBinaryArray, LargeStringArray, RecordBatch};
use arrow_buffer::{BooleanBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, TimeUnit};
use rustc_hash::FxHashMap;

use crate::dictionary::{self, Dictionary};
use crate::directory::KeySpec;
use crate::error::{Error, Result};
use crate::hash::hash;
use crate::key::{KeyKind, MAX_KEY, is_canonical_uuid, parse_base62, parse_uuid, print_uuid};
use crate::record::write_varint;
use crate::row::{self, Tag};
use crate::rows::Scatter;
use crate::spec::{FieldSpec, TypeSpec};
use crate::stats::{Stats, is_internable};
use crate::text::escape;
use crate::time::DAYS;
use crate::types::Scalar;

/// The largest value, in bytes.
pub const MAX_VALUE: usize = i32::MAX as usize;

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

impl KeyForm {
    /// Whether such a column can hold keys of this kind.
    pub fn holds(self, key: &KeySpec) -> bool {
        match key.kind {
            KeyKind::Int => self == Self::Int { signed: key.signed },
            KeyKind::Bytes => self == Self::Bytes,
            KeyKind::Base62 | KeyKind::Uuid | KeyKind::String => self == Self::Text,
        }
    }
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

    /// Item `i` as bytes; none for numbers and lists.
    #[inline(always)]
    fn bytes(&self, i: usize) -> &[u8] {
        match &self.values {
            Values::Text(text) => text.value(i).as_bytes(),
            Values::Bytes(bytes) => bytes.value(i),
            _ => &[],
        }
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

/// Whether a column holds values of this type.
fn holds(values: &Values, scalar: &Scalar) -> bool {
    match scalar {
        Scalar::Bool => matches!(values, Values::Bool(_)),
        Scalar::Int(1) => matches!(values, Values::I8(_)),
        Scalar::Int(2) => matches!(values, Values::I16(_)),
        Scalar::Int(4) | Scalar::Date => matches!(values, Values::I32(_)),
        Scalar::Int(_) | Scalar::Timestamp(..) => matches!(values, Values::I64(_)),
        Scalar::UInt(1) => matches!(values, Values::U8(_)),
        Scalar::UInt(2) => matches!(values, Values::U16(_)),
        Scalar::UInt(4) => matches!(values, Values::U32(_)),
        Scalar::UInt(_) => matches!(values, Values::U64(_)),
        Scalar::Float32 => matches!(values, Values::F32(_)),
        Scalar::Float64 => matches!(values, Values::F64(_)),
        Scalar::String | Scalar::Categorical => matches!(values, Values::Text(_)),
        Scalar::Binary => matches!(values, Values::Bytes(_)),
        Scalar::Reference => is_keys(values),
    }
}

const fn is_keys(values: &Values) -> bool {
    matches!(values, Values::Text(_) | Values::Bytes(_) | Values::I64(_) | Values::U64(_))
}

/// What all threads that read one type share.
#[derive(Debug)]
pub struct Shared {
    /// The type.
    pub spec: TypeSpec,
    /// What rows are grouped by: the kind that is declared, or that the first keys suggest.
    pub kind: KeyKind,
    /// The distinct values of each field that may be interned.
    pub dictionaries: Vec<Option<Dictionary>>,
}

impl Shared {
    /// For a type, given the first of its keys.
    pub fn new(spec: TypeSpec, first: &ArrayRef) -> Self {
        let text = first.as_string_opt::<i64>();
        let all = |fits: fn(&[u8]) -> bool| text.is_some_and(|t| t.iter().flatten().all(|key| fits(key.as_bytes())));
        let kind = spec.key.kind.unwrap_or_else(|| match key_form(first.data_type()) {
            Some(KeyForm::Int { .. }) => KeyKind::Int,
            Some(KeyForm::Bytes) => KeyKind::Bytes,
            _ if all(|key| parse_base62(key).is_some()) => KeyKind::Base62,
            _ if all(is_canonical_uuid) => KeyKind::Uuid,
            _ => KeyKind::String,
        });
        let dictionaries = each_internable(&spec, Dictionary::among);
        Self { spec, kind, dictionaries }
    }

    /// The values that rows have codes for, for each field.
    pub fn finish(self) -> Vec<dictionary::Values> {
        let finish = |dictionary: Option<Dictionary>| dictionary.map(Dictionary::finish).unwrap_or_default();
        self.dictionaries.into_iter().map(finish).collect()
    }
}

/// The values that rows have codes for, for each field, where no row was read.
pub fn no_values(spec: &TypeSpec) -> Vec<dictionary::Values> {
    each_internable(spec, dictionary::Values::among).into_iter().map(Option::unwrap_or_default).collect()
}

/// What `make` gives for each field that may be interned, told how many these are.
fn each_internable<T>(spec: &TypeSpec, make: fn(usize) -> T) -> Vec<Option<T>> {
    let internable = |f: &&FieldSpec| is_internable(&f.field_type);
    let many = spec.fields.iter().filter(internable).count();
    spec.fields.iter().map(|f| internable(&f).then(|| make(many))).collect()
}

/// Turns batches of one type into rows; one for each thread.
#[derive(Debug)]
pub struct Ingester {
    shared: Arc<Shared>,
    by_id: Vec<usize>,
    scatter: Scatter,
    known: Vec<FxHashMap<Box<[u8]>, u32>>,
    /// Of references only: what keys there are.
    pub keys: Vec<Stats>,
    /// Whether every key is base62.
    pub all_base62: bool,
    /// Whether every key is a UUID in canonical form.
    pub all_uuid: bool,
    body: Vec<u8>,
    stored: Vec<u8>,
    escaped: Vec<u8>,
}

/// A row of a source, for errors.
#[derive(Clone, Copy)]
struct At<'a> {
    origin: &'a str,
    row: u64,
}

impl Ingester {
    /// One whose rows go to `scatter`.
    pub fn new(shared: Arc<Shared>, scatter: Scatter) -> Self {
        let fields = shared.spec.fields.len();
        Self {
            by_id: shared.spec.by_id(),
            scatter,
            known: vec![FxHashMap::default(); fields],
            keys: vec![Stats::default(); fields],
            all_base62: true,
            all_uuid: true,
            body: Vec::new(),
            stored: Vec::new(),
            escaped: Vec::new(),
            shared,
        }
    }

    /// Lets go of what only further rows would need.
    pub fn rest(&mut self) -> Result<()> {
        self.known.fill(FxHashMap::default());
        self.scatter.rest()
    }

    /// The rows of all batches.
    pub fn finish(self) -> Scatter {
        self.scatter
    }

    fn refuse(&self, at: At<'_>, what: &str) -> Error {
        Error::Source(format!("{}, row {}: type {:?}, {what}", at.origin, at.row, self.shared.spec.name))
    }

    /// Takes a batch whose columns are the key and then the fields, from source number `place`, called `origin`; `first_row` is the
    /// number of its first row there.
    pub fn take(&mut self, place: u32, origin: &str, first_row: u64, batch: &RecordBatch) -> Result<()> {
        let columns = self.columns(origin, batch)?;
        let shared = self.shared.clone();
        for i in 0..batch.num_rows() {
            let row = first_row + i as u64;
            let at = At { origin, row };
            self.body.clear();
            let hash = self.take_key(&columns[0], i, at)?;
            for field in 0..self.by_id.len() {
                let field = self.by_id[field];
                self.take_value(&shared, field, &columns[field + 1], i, at)?;
            }
            self.scatter.push(hash, place, row, &self.body)?;
        }
        Ok(())
    }

    fn columns(&self, origin: &str, batch: &RecordBatch) -> Result<Vec<Column>> {
        let spec = &self.shared.spec;
        let wrong = |i: usize| {
            let name = if i == 0 { &spec.key.field } else { &spec.fields[i - 1].name };
            Error::Schema(format!(
                "{origin}: type {:?}, field {name:?}: Arrow type {} is not taken",
                spec.name,
                batch.column(i).data_type()
            ))
        };
        if batch.num_columns() != spec.fields.len() + 1 {
            return Err(Error::Schema(format!(
                "{origin}: {} columns, but type {:?} has a key and {} fields",
                batch.num_columns(),
                spec.name,
                spec.fields.len()
            )));
        }
        let columns = (0..batch.num_columns()).map(|i| {
            let column = Column::new(batch.column(i)).ok_or_else(|| wrong(i))?;
            let fits = match (i.checked_sub(1).map(|i| &spec.fields[i].field_type), &column.values) {
                (None, values) => is_keys(values),
                (Some(of), Values::List(_, items)) => of.list && holds(&items.values, &of.scalar),
                (Some(of), values) => !of.list && holds(values, &of.scalar),
            };
            if fits { Ok(column) } else { Err(wrong(i)) }
        });
        columns.collect()
    }

    /// Takes a row's key, and returns its hash.
    fn take_key(&mut self, column: &Column, i: usize, at: At<'_>) -> Result<u64> {
        let (name, kind) = (&self.shared.spec.key.field, self.shared.kind);
        if column.is_null(i) {
            return Err(self.refuse(at, &format!("key {name:?} is null; every record needs a key")));
        }
        if let Some((number, _)) = column.number(i) {
            self.body.extend_from_slice(&number.to_le_bytes());
            return Ok(hash(0, &number.to_le_bytes()));
        }
        let text = column.bytes(i);
        let shown = || String::from_utf8_lossy(&text[..text.len().min(80)]).into_owned();
        if text.len() > MAX_KEY {
            let what = format!("key {name:?} has {} bytes; the limit is {MAX_KEY}", text.len());
            return Err(self.refuse(at, &what));
        }
        self.stored.clear();
        let fits = kind.store(text, &mut self.stored);
        match self.shared.spec.key.kind {
            Some(KeyKind::Base62) if !fits => {
                let what =
                    format!("key {name:?}: {:?} is not base62 (22 characters of 0-9a-zA-Z, below 2^128)", shown());
                return Err(self.refuse(at, &what));
            }
            Some(KeyKind::Uuid) => {
                let number = parse_uuid(text);
                let number =
                    number.ok_or_else(|| self.refuse(at, &format!("key {name:?}: {:?} is not a UUID", shown())))?;
                row::write_key(&print_uuid(number), &mut self.body);
                return Ok(hash(0, &self.stored));
            }
            Some(_) => {}
            None => {
                let base62 = if kind == KeyKind::Base62 { fits } else { parse_base62(text).is_some() };
                self.all_base62 &= base62;
                self.all_uuid &= !base62 && is_canonical_uuid(text);
            }
        }
        row::write_key(text, &mut self.body);
        Ok(hash(0, &self.stored))
    }

    fn take_value(&mut self, shared: &Shared, place: usize, column: &Column, i: usize, at: At<'_>) -> Result<()> {
        let field = &shared.spec.fields[place];
        if column.is_null(i) {
            row::write_tag(Tag::Null, &mut self.body);
            return Ok(());
        }
        row::write_tag(Tag::Bytes, &mut self.body);
        let start = self.body.len();
        if let Values::List(offsets, items) = &column.values {
            let range = offsets[i] as usize..offsets[i + 1] as usize;
            write_varint(range.len() as u64, &mut self.body);
            for item in range {
                if items.is_null(item) {
                    row::write_tag(Tag::Null, &mut self.body);
                } else {
                    row::write_tag(Tag::Bytes, &mut self.body);
                    self.take_scalar(place, field, items, item, at)?;
                }
            }
        } else {
            self.take_scalar(place, field, column, i, at)?;
        }
        if self.body.len() - start > MAX_VALUE {
            let what = format!("field {:?}: a value of more than 2^31 - 1 bytes", field.name);
            return Err(self.refuse(at, &what));
        }
        if let Some(dictionary) = &shared.dictionaries[place]
            && let Some(code) = dictionary.code(&self.body[start..], &mut self.known[place])
        {
            self.body.truncate(start - 1);
            row::write_tag(Tag::Code, &mut self.body);
            write_varint(u64::from(code), &mut self.body);
        }
        Ok(())
    }

    #[inline(always)]
    fn take_scalar(&mut self, place: usize, field: &FieldSpec, column: &Column, i: usize, at: At<'_>) -> Result<()> {
        let scalar = &field.field_type.scalar;
        if *scalar == Scalar::Reference {
            let keys = &mut self.keys[place];
            keys.scalars += 1;
            match column.number(i) {
                Some((number, count)) => {
                    keys.number(count);
                    self.body.extend_from_slice(&number.to_le_bytes());
                }
                None => row::write_key(column.bytes(i), &mut self.body),
            }
            return Ok(());
        }
        let Some((number, count)) = column.number(i) else {
            if *scalar == Scalar::Binary {
                row::write_bytes(column.bytes(i), &mut self.body);
            } else {
                self.escaped.clear();
                escape(column.bytes(i), &mut self.escaped);
                row::write_bytes(&self.escaped, &mut self.body);
            }
            return Ok(());
        };
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
            return Err(self.refuse(at, &what));
        }
        let width = row::number_width(scalar).unwrap_or(8);
        self.body.extend_from_slice(&number.to_le_bytes()[..width]);
        Ok(())
    }
}
