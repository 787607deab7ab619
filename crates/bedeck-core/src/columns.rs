//! Records as Arrow columns.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, make_array};
use arrow_buffer::{BooleanBufferBuilder, Buffer};
use arrow_schema::{DataType, Field as ArrowField, Fields, Schema, SchemaRef, TimeUnit};
use rustc_hash::FxHashMap;

use crate::directory::KeySpec;
use crate::error::{Error, Result};
use crate::gather::{Frame, Links, Named};
use crate::key::{KeyKind, print_base62, print_uuid};
use crate::record::Value;
use crate::selection::{From, Node, Output, Source};
use crate::text::unescape;
use crate::types::{FieldType, Scalar, Unit};
use crate::version::Version;

/// Rows after which a batch is handed out.
const ROWS: usize = 1 << 16;
/// Bytes in one column after which a batch is handed out: offsets in Arrow's plain types end at 2 GiB.
const BYTES: usize = 1 << 30;

fn scalar_type(scalar: &Scalar) -> DataType {
    match scalar {
        Scalar::Bool => DataType::Boolean,
        Scalar::Int(1) => DataType::Int8,
        Scalar::Int(2) => DataType::Int16,
        Scalar::Int(4) => DataType::Int32,
        Scalar::Int(_) => DataType::Int64,
        Scalar::UInt(1) => DataType::UInt8,
        Scalar::UInt(2) => DataType::UInt16,
        Scalar::UInt(4) => DataType::UInt32,
        Scalar::UInt(_) => DataType::UInt64,
        Scalar::Float32 => DataType::Float32,
        Scalar::Float64 => DataType::Float64,
        Scalar::String | Scalar::Reference => DataType::Utf8,
        Scalar::Binary => DataType::Binary,
        Scalar::Date => DataType::Date32,
        Scalar::Timestamp(unit, zone) => {
            let unit = match unit {
                Unit::Second => TimeUnit::Second,
                Unit::Milli => TimeUnit::Millisecond,
                Unit::Micro => TimeUnit::Microsecond,
                Unit::Nano => TimeUnit::Nanosecond,
            };
            DataType::Timestamp(unit, zone.as_deref().map(Arc::from))
        }
        Scalar::Categorical => DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
    }
}

fn key_type(spec: &KeySpec) -> DataType {
    match spec.kind {
        KeyKind::Int if spec.signed => DataType::Int64,
        KeyKind::Int => DataType::UInt64,
        KeyKind::Bytes => DataType::Binary,
        _ => DataType::Utf8,
    }
}

fn list_of(item: DataType) -> DataType {
    DataType::List(Arc::new(ArrowField::new("item", item, true)))
}

fn field_type(field_type: &FieldType) -> DataType {
    let item = scalar_type(&field_type.scalar);
    if field_type.list { list_of(item) } else { item }
}

fn output_type(version: &Version, node: &Node, output: &Output) -> DataType {
    let of_type = &version.types[node.type_place];
    let key = |place: usize| key_type(&version.types[place].layers.base.directory().key);
    let (child, item) = match output.from {
        From::Key => return key(node.type_place),
        From::Field(i) => return field_type(&of_type.fields[i].field_type),
        From::Printed(i) => {
            let list = of_type.fields[i].field_type.list;
            return if list { list_of(DataType::Utf8) } else { DataType::Utf8 };
        }
        From::Keys(child) => (child, key(node.children[child].node.type_place)),
        From::Through(child) => (child, DataType::Struct(fields(version, &node.children[child].node))),
    };
    if node.children[child].list { list_of(item) } else { item }
}

fn fields(version: &Version, node: &Node) -> Fields {
    node.outputs.iter().map(|output| ArrowField::new(&output.name, output_type(version, node, output), true)).collect()
}

/// The Arrow schema of what a node takes.
pub fn schema(version: &Version, node: &Node) -> SchemaRef {
    Arc::new(Schema::new(fields(version, node)))
}

/// A column being filled.
struct Column {
    data_type: DataType,
    valid: BooleanBufferBuilder,
    values: Values,
}

enum Values {
    Bits(BooleanBufferBuilder),
    Words(usize, Vec<u8>),
    Bytes(Vec<i32>, Vec<u8>),
    Distinct(Vec<i32>, FxHashMap<Box<[u8]>, i32>, Box<Column>),
    List(Vec<i32>, Box<Column>),
    Struct(Vec<Column>),
}

impl Column {
    fn new(data_type: DataType) -> Self {
        let values = match &data_type {
            DataType::Boolean => Values::Bits(BooleanBufferBuilder::new(0)),
            DataType::Utf8 | DataType::Binary => Values::Bytes(vec![0], Vec::new()),
            DataType::Dictionary(_, values) => {
                Values::Distinct(Vec::new(), FxHashMap::default(), Box::new(Self::new((**values).clone())))
            }
            DataType::List(item) => Values::List(vec![0], Box::new(Self::new(item.data_type().clone()))),
            DataType::Struct(fields) => {
                Values::Struct(fields.iter().map(|f| Self::new(f.data_type().clone())).collect())
            }
            other => Values::Words(other.primitive_width().unwrap_or(8), Vec::new()),
        };
        Self { data_type, valid: BooleanBufferBuilder::new(0), values }
    }

    fn len(&self) -> usize {
        self.valid.len()
    }

    /// Bytes in the largest buffer with 32-bit offsets.
    fn bytes(&self) -> usize {
        match &self.values {
            Values::Bytes(_, data) => data.len(),
            Values::List(_, items) => items.bytes().max(items.len()),
            Values::Struct(columns) => columns.iter().map(Self::bytes).max().unwrap_or(0),
            Values::Distinct(_, _, values) => values.bytes(),
            Values::Bits(_) | Values::Words(..) => 0,
        }
    }

    fn null(&mut self) {
        self.valid.append(false);
        match &mut self.values {
            Values::Bits(bits) => bits.append(false),
            Values::Words(width, data) => data.resize(data.len() + *width, 0),
            Values::Bytes(offsets, _) | Values::List(offsets, _) => offsets.push(offsets.last().copied().unwrap_or(0)),
            Values::Distinct(codes, ..) => codes.push(0),
            Values::Struct(columns) => columns.iter_mut().for_each(Self::null),
        }
    }

    fn number(&mut self, number: u64) {
        self.valid.append(true);
        match &mut self.values {
            Values::Bits(bits) => bits.append(number != 0),
            Values::Words(width, data) => data.extend_from_slice(&number.to_le_bytes()[..*width]),
            _ => {}
        }
    }

    fn blob(&mut self, bytes: &[u8]) -> Result<()> {
        self.valid.append(true);
        match &mut self.values {
            Values::Bytes(offsets, data) => {
                data.extend_from_slice(bytes);
                offsets.push(offset(data.len())?);
            }
            Values::Distinct(codes, places, values) => {
                let next = places.len() as i32;
                let code = *places.entry(bytes.into()).or_insert(next);
                codes.push(code);
                if code == next {
                    values.blob(bytes)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A list of which `fill` appends the items.
    fn list(&mut self, fill: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        if let Values::List(offsets, items) = &mut self.values {
            fill(items)?;
            offsets.push(offset(items.len())?);
        }
        self.valid.append(true);
        Ok(())
    }

    fn value(&mut self, value: Value<'_>) -> Result<()> {
        match value {
            Value::Null => self.null(),
            Value::Bool(b) => self.number(u64::from(b)),
            Value::Int(n) | Value::Date(n) | Value::Instant(n) => self.number(n as u64),
            Value::UInt(n) => self.number(n),
            Value::Float32(x) => self.number(u64::from(x.to_bits())),
            Value::Float64(x) => self.number(x.to_bits()),
            Value::Text(text) => self.blob(&unescape(text))?,
            Value::Binary(bytes) => self.blob(bytes)?,
            Value::List(list) => self.list(|items| list.items().try_for_each(|item| items.value(item)))?,
        }
        Ok(())
    }

    fn key(&mut self, spec: &KeySpec, stored: &[u8]) -> Result<()> {
        match (spec.kind, stored.first_chunk::<16>(), stored.first_chunk::<8>()) {
            (KeyKind::Base62, Some(key), _) => self.blob(&print_base62(u128::from_be_bytes(*key))),
            (KeyKind::Uuid, Some(key), _) => self.blob(&print_uuid(u128::from_be_bytes(*key))),
            (KeyKind::Int, _, Some(key)) => {
                self.number(u64::from_le_bytes(*key));
                Ok(())
            }
            _ => self.blob(stored),
        }
    }

    fn finish(self) -> Result<ArrayRef> {
        let length = self.len();
        let mut valid = self.valid;
        let validity = valid.finish().into_inner();
        let mut data = arrow_data::ArrayData::builder(self.data_type).len(length).null_bit_buffer(Some(validity));
        match self.values {
            Values::Bits(mut bits) => data = data.add_buffer(bits.finish().into_inner()),
            Values::Words(_, bytes) => data = data.add_buffer(Buffer::from(bytes)).align_buffers(true),
            Values::Bytes(offsets, bytes) => data = data.add_buffer(words(&offsets)).add_buffer(Buffer::from(bytes)),
            Values::Distinct(codes, _, values) => {
                data = data.add_buffer(words(&codes)).add_child_data(values.finish()?.to_data())
            }
            Values::List(offsets, items) => {
                data = data.add_buffer(words(&offsets)).add_child_data(items.finish()?.to_data())
            }
            Values::Struct(columns) => {
                for column in columns {
                    data = data.add_child_data(column.finish()?.to_data());
                }
            }
        }
        data.build().map(make_array).map_err(|e| Error::Damaged(format!("a column is not sound: {e}")))
    }
}

fn words(numbers: &[i32]) -> Buffer {
    Buffer::from_slice_ref(numbers)
}

fn offset(length: usize) -> Result<i32> {
    i32::try_from(length).map_err(|_| {
        Error::Io(
            "one record has more than 2^31 - 1 bytes in a column, which Arrow's plain types cannot hold: select less of what references lead to, or take dicts or JSON".into(),
        )
    })
}

/// Fills Arrow batches record by record.
pub struct Columns<'a> {
    version: &'a Version,
    node: &'a Node,
    schema: SchemaRef,
    columns: Vec<Column>,
    rows: usize,
}

impl<'a> Columns<'a> {
    /// Empty columns for what `node` takes.
    pub fn new(version: &'a Version, node: &'a Node) -> Self {
        let schema = schema(version, node);
        let columns = schema.fields().iter().map(|f| Column::new(f.data_type().clone())).collect();
        Self { version, node, schema, columns, rows: 0 }
    }

    /// Whether enough is there for a batch.
    pub fn is_full(&self) -> bool {
        self.rows >= ROWS || self.columns.iter().any(|c| c.bytes() >= BYTES)
    }

    /// Rows since the last batch.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Appends record `i` of `frame`; nulls where there is none.
    pub fn push(&mut self, frame: &Frame, i: usize) -> Result<()> {
        self.rows += 1;
        push(self.version, self.node, frame, i, &mut self.columns)
    }

    /// All rows since the last batch.
    pub fn take(&mut self) -> Result<RecordBatch> {
        let empty = self.schema.fields().iter().map(|f| Column::new(f.data_type().clone())).collect();
        let columns = std::mem::replace(&mut self.columns, empty);
        let arrays = columns.into_iter().map(Column::finish).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(std::mem::take(&mut self.rows)));
        RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)
            .map_err(|e| Error::Damaged(format!("a batch is not sound: {e}")))
    }
}

fn push(version: &Version, node: &Node, frame: &Frame, i: usize, columns: &mut [Column]) -> Result<()> {
    let span = frame.spans[i];
    if span.is_missing() {
        columns.iter_mut().for_each(Column::null);
        return Ok(());
    }
    let layers = &version.types[node.type_place].layers;
    let record = layers.record(span)?;
    let of_layer = layers.blob(span.layer()).columns();
    for (step, column) in node.steps_of(span).iter().zip(columns) {
        match step.source {
            Source::Key => column.key(&layers.base.directory().key, record.key()?)?,
            Source::Field(field) => column.value(record.value(&of_layer[field])?)?,
            Source::Aside(group, field) => {
                let field = &layers.groups[group].columns()[field];
                column.value(layers.aside(group, span.ordinal)?.value(field)?)?;
            }
            Source::Nothing => column.null(),
            Source::Keys(child) | Source::Through(child) => {
                let Some(places) = frame.links[child].of(i) else {
                    column.null();
                    continue;
                };
                let through = step.source == Source::Through(child);
                let each = |column: &mut Column, at: usize| match through {
                    true => push_struct(version, &node.children[child].node, &frame.links[child].frame, at, column),
                    false => push_key(version, node, child, &frame.links[child], at, column),
                };
                if node.children[child].list {
                    column.list(|items| places.into_iter().try_for_each(|at| each(items, at)))?;
                } else {
                    each(column, places.start)?;
                }
            }
        }
    }
    Ok(())
}

fn push_struct(version: &Version, node: &Node, frame: &Frame, at: usize, column: &mut Column) -> Result<()> {
    if frame.spans[at].is_missing() {
        column.null();
        return Ok(());
    }
    column.valid.append(true);
    match &mut column.values {
        Values::Struct(columns) => push(version, node, frame, at, columns),
        _ => Ok(()),
    }
}

fn push_key(version: &Version, node: &Node, child: usize, links: &Links, at: usize, column: &mut Column) -> Result<()> {
    match links.named(version, node, child, at)? {
        (_, Named::Nothing) => {
            column.null();
            Ok(())
        }
        (spec, Named::Stored(stored)) => column.key(spec, stored),
        (_, Named::Text(text)) => column.blob(text),
    }
}
