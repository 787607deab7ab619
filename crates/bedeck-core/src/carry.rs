//! Records of the overlay before as rows: what an update does not touch goes on into the next overlay.

use crate::build::Site;
use crate::canonical::Canon;
use crate::dictionary::Values;
use crate::error::Result;
use crate::forms::{Form, Reader, Sum};
use crate::hash::hash;
use crate::intake::Input;
use crate::key::KeyKind;
use crate::layers::Layer;
use crate::lookup::BATCH;
use crate::marks::Marks;
use crate::parallel;
use crate::record::write_varint;
use crate::row::{self, Cursor, FieldLayout, Tag, number_width};
use crate::rows::Scatter;
use crate::table::SEGMENT;
use crate::version::Version;

/// What the rows come from, for messages.
pub const ORIGIN: &str = "the version before";

/// A record on its way: its slot, and its form.
type Carried = (u32, Form);

/// Puts the records of the overlay of `parent` that are not `superseded` into `scatter`; gives the sum over all of the overlay's, and how many
/// went on.
pub fn carry(
    input: &mut Input,
    parent: &Version,
    canon: &Canon,
    superseded: &Marks,
    scatter: &mut Scatter,
    site: &Site<'_>,
) -> Result<(Sum, u64)> {
    let layers = &parent.types[canon.node.type_place].layers;
    let pieces: Vec<_> = layers.pieces(SEGMENT).filter(|(layer, _)| *layer == Layer::Overlay).collect();
    let origin = input.origins.len() as u32;
    input.origins.push(ORIGIN.to_owned());
    let read = |i: usize| -> Result<(Sum, Vec<Carried>)> {
        let (layer, slots) = pieces[i].clone();
        let (mut reader, mut sum, mut carried) = (Reader::new(parent, canon), Sum::default(), Vec::new());
        let spans: Vec<_> = layers.spans(layer, slots).collect();
        for batch in spans.chunks(BATCH) {
            reader.take(batch)?;
            for (i, span) in batch.iter().enumerate() {
                let form = reader.form(i)?;
                sum.add(form, form.digest());
                if !superseded.has(span.ordinal) {
                    carried.push((span.ordinal, form.clone()));
                }
            }
        }
        Ok((sum, carried))
    };
    let (mut sum, mut count, mut outcome) = (Sum::default(), 0, Ok(()));
    let (mut body, mut stored) = (Vec::new(), Vec::new());
    let Input { spec, key, dictionaries, .. } = input;
    let kinds = parent.types[canon.node.type_place].targets.iter();
    let kinds = kinds.map(|target| target.map(|target| parent.types[target].layers.base.directory().key.kind));
    let kinds: Vec<Option<KeyKind>> = kinds.collect();
    let by_id = spec.by_id();
    parallel::ordered(site.threads, pieces.len(), read, |found| {
        outcome = found.and_then(|(here, carried)| {
            sum.merge(&here);
            count += carried.len() as u64;
            carried.into_iter().try_for_each(|(slot, form)| {
                body.clear();
                write_key(key.kind, &form.bytes[..form.ends[0]], &mut body);
                for (order, place) in by_id.iter().copied().enumerate() {
                    let field_type = &spec.fields[place].field_type;
                    let field = FieldLayout { id: 0, field_type, target: kinds[place], values: &[] };
                    write_field(&field, form.field(order), &mut dictionaries[place], &mut body);
                }
                stored.clear();
                Cursor::new(&body).key(key.kind == KeyKind::Int).store(key.kind, &mut stored);
                scatter.push(hash(0, &stored), origin, u64::from(slot), &body)
            })
        });
        outcome.is_ok()
    });
    outcome.map(|()| (sum, count))
}

/// Appends a key as a row has it, given its canonical form.
fn write_key(kind: KeyKind, mut form: &[u8], out: &mut Vec<u8>) {
    take_key(kind, &mut form, out);
}

/// The same; what is behind the key is left.
fn take_key(kind: KeyKind, form: &mut &[u8], out: &mut Vec<u8>) {
    let mut cursor = Cursor::new(form);
    if kind == KeyKind::Int {
        out.extend_from_slice(cursor.take(8));
    } else {
        let length = cursor.varint() as usize;
        row::write_key(cursor.take(length), out);
    }
    *form = cursor.rest();
}

/// Appends a field as a row has it, given what the canonical form has of it.
fn write_field(field: &FieldLayout<'_>, form: &[u8], values: &mut Values, out: &mut Vec<u8>) {
    if form.is_empty() {
        row::write_tag(Tag::Null, out);
        return;
    }
    let mut cursor = Cursor::new(form);
    cursor.varint();
    let mut form = cursor.rest();
    row::write_tag(Tag::Bytes, out);
    let start = out.len();
    if field.field_type.list {
        let mut cursor = Cursor::new(form);
        let count = cursor.varint();
        form = cursor.rest();
        write_varint(count, out);
        for _ in 0..count {
            let mut cursor = Cursor::new(form);
            let tag = cursor.tag();
            form = cursor.rest();
            row::write_tag(tag, out);
            if tag != Tag::Null {
                take_scalar(field, &mut form, out);
            }
        }
    } else {
        take_scalar(field, &mut form, out);
    }
    if let Some(code) = field.target.is_none().then(|| values.code(&out[start..])).flatten() {
        out.truncate(start - 1);
        row::write_tag(Tag::Code, out);
        write_varint(u64::from(code), out);
    }
}

fn take_scalar(field: &FieldLayout<'_>, form: &mut &[u8], out: &mut Vec<u8>) {
    if let Some(kind) = field.target {
        return take_key(kind, form, out);
    }
    let scalar = &field.field_type.scalar;
    let mut cursor = Cursor::new(form);
    match number_width(scalar) {
        Some(width) => out.extend_from_slice(&cursor.take(row::canonical_width(scalar, width))[..width]),
        None => row::write_bytes(cursor.scalar(scalar), out),
    }
    *form = cursor.rest();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::Layout;

    /// A row of values, each as it is after its tag; `None` for null.
    fn row(key: &[u8], values: &[Option<&[u8]>]) -> Vec<u8> {
        let mut body = Vec::new();
        row::write_key(key, &mut body);
        for value in values {
            row::write_tag(if value.is_some() { Tag::Bytes } else { Tag::Null }, &mut body);
            body.extend_from_slice(value.unwrap_or_default());
        }
        body
    }

    #[test]
    fn a_row_comes_back_from_its_canonical_form() {
        let types =
            ["int16", "bool", "float32", "string", "list<uint8>", "list<binary>", "reference", "list<reference>"];
        let types = types.map(|text| text.parse().unwrap());
        let targets = [None, None, None, None, None, None, Some(KeyKind::Int), Some(KeyKind::String)];
        let fields = types.iter().zip(targets).zip([300, 1, 2, 3, 4, 5, 6, 7]);
        let fields = fields.map(|((field_type, target), id)| FieldLayout { id, field_type, target, values: &[] });
        let layout = Layout { kind: KeyKind::String, fields: fields.collect() };
        let full: [Option<&[u8]>; 8] = [
            Some(&[0xFE, 0xFF]),
            Some(&[1]),
            Some(&[0, 0, 0xC0, 0x7F]),
            Some(b"\x03abc"),
            Some(&[3, 1, 7, 0, 1, 255]),
            Some(b"\x02\x01\x02ab\x00"),
            Some(&[9, 0, 0, 0, 0, 0, 0, 0x80]),
            Some(b"\x02\x01\x02k\x00"),
        ];
        for (key, values) in [(&b"a key"[..], full), (b"0000000000000000000001", full), (b"", [None; 8])] {
            let body = row(key, &values);
            let mut cursor = Cursor::new(&body);
            let (key, mut form) = (cursor.key(false), Form::default());
            layout.write(key, cursor, &mut form.bytes, &mut form.ends);
            let mut back = Vec::new();
            write_key(KeyKind::String, &form.bytes[..form.ends[0]], &mut back);
            for (order, field) in layout.fields.iter().enumerate() {
                write_field(field, form.field(order), &mut Values::default(), &mut back);
            }
            assert_eq!(back, body);
        }
    }

    #[test]
    fn a_value_that_has_a_code_is_written_as_its_code() {
        let field_type = "string".parse().unwrap();
        let field = FieldLayout { id: 3, field_type: &field_type, target: None, values: &[] };
        let (mut values, mut out) = (Values::among(1), Vec::new());
        for _ in 0..2 {
            write_field(&field, b"\x03\x02ab", &mut values, &mut out);
        }
        assert_eq!((out, &*values.by_code), (vec![2, 0, 2, 0], &[b"\x02ab"[..].into()][..]));
    }
}
