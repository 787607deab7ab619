//! Rendering records as JSON (RFC 8259): text is copied as it is stored.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::directory::{Field, KeySpec};
use crate::gather::{Frame, Named};
use crate::key::{KeyKind, print_base62, print_uuid};
use crate::record::{Record, Value};
use crate::selection::{Form, Node, Source, Step};
use crate::sink::{Room, STRIDE, Written};
use crate::text::escape;
use crate::time::{write_date, write_instant};
use crate::types::Scalar;
use crate::version::Version;

/// Where records are rendered from: a level of a selection and its records.
#[derive(Clone, Copy)]
pub struct Page<'a> {
    /// The version.
    pub version: &'a Version,
    /// The level.
    pub node: &'a Node,
    /// Its records.
    pub frame: &'a Frame,
}

/// Appends record `i` of a page as an object, or `null` where there is none.
pub fn write_record<'r>(page: Page<'_>, i: usize, mut room: Room<'r>, scratch: &mut Vec<u8>) -> Written<'r> {
    let Page { version, node, frame } = page;
    let span = frame.spans[i];
    if span.is_missing() {
        return room.bytes(b"null");
    }
    let layers = &version.types[node.type_place].layers;
    let record = layers.record(span)?;
    let columns = layers.blob(span.layer()).columns();
    for step in node.steps_of(span) {
        room = match step.source {
            Source::Field(field) => put_field(&record, &columns[field], step, room, scratch)?,
            Source::Aside(group, field) => {
                let field = &layers.groups[group].columns()[field];
                put_field(&layers.aside(group, span.ordinal)?, field, step, room, scratch)?
            }
            Source::Nothing => step.json.put(room)?.bytes(b"null")?,
            Source::Key => put_key(&layers.base.directory().key, record.key()?, step.json.put(room)?, scratch)?,
            Source::Keys(child) => put_links(page, i, child, step.json.put(room)?, |at, room| {
                match frame.links[child].named(version, node, child, at)? {
                    (_, Named::Nothing) => room.bytes(b"null"),
                    (spec, Named::Stored(stored)) => put_key(spec, stored, room, scratch),
                    (_, Named::Text(text)) => {
                        scratch.clear();
                        write_text(text, scratch);
                        room.bytes(scratch)
                    }
                }
            })?,
            Source::Through(child) => {
                let next = Page { version, node: &node.children[child].node, frame: &frame.links[child].frame };
                put_links(page, i, child, step.json.put(room)?, |at, room| write_record(next, at, room, scratch))?
            }
        };
    }
    if node.outputs.is_empty() { room.bytes(b"{}") } else { room.byte(b'}') }
}

/// Appends a field of a record behind its name: the short ways for the most frequent forms.
#[inline(always)]
fn put_field<'r>(
    record: &Record<'_>,
    field: &Field,
    step: &Step,
    room: Room<'r>,
    scratch: &mut Vec<u8>,
) -> Written<'r> {
    match &step.form {
        Form::Text if !record.is_null(field) => {
            let room = step.json_text.put(room)?;
            let (tail, length) = record.text_tail(field)?;
            room.put(tail, length)?.byte(b'"')
        }
        Form::Number { bits, signed, null_bit } => {
            let room = step.json.put(room)?;
            match record.number_unless(*null_bit, bits) {
                None => room.bytes(b"null"),
                Some(number) if *signed => room.signed(number as i64),
                Some(number) => room.number(number),
            }
        }
        Form::Bool { bits, null_bit } => {
            let room = step.json.put(room)?;
            match record.number_unless(*null_bit, bits) {
                None => room.bytes(b"null"),
                Some(0) => room.bytes(b"false"),
                Some(_) => room.bytes(b"true"),
            }
        }
        Form::Text | Form::Other => {
            let room = step.json.put(room)?;
            scratch.clear();
            write_value(field, record.value(field)?, scratch);
            room.bytes(scratch)
        }
    }
}

#[inline(always)]
fn put_links<'r>(
    page: Page<'_>,
    i: usize,
    child: usize,
    mut room: Room<'r>,
    mut each: impl FnMut(usize, Room<'r>) -> Written<'r>,
) -> Written<'r> {
    let Some(mut places) = page.frame.links[child].of(i) else { return room.bytes(b"null") };
    if !page.node.children[child].list {
        return match places.next() {
            Some(at) => each(at, room),
            None => room.bytes(b"null"),
        };
    }
    room = room.byte(b'[')?;
    let first = places.start;
    for at in places {
        if at > first {
            room = room.byte(b',')?;
        }
        room = each(at, room)?;
    }
    room.byte(b']')
}

#[inline(always)]
fn put_key<'r>(spec: &KeySpec, stored: &[u8], room: Room<'r>, scratch: &mut Vec<u8>) -> Written<'r> {
    if let (KeyKind::Base62, Some(key)) = (spec.kind, stored.first_chunk::<16>()) {
        let mut quoted = [b'"'; STRIDE];
        quoted[1..23].copy_from_slice(&print_base62(u128::from_be_bytes(*key)));
        return room.put(&quoted, 24);
    }
    scratch.clear();
    write_key(spec, stored, scratch);
    room.bytes(scratch)
}

/// Appends a stored key as it is printed: an integer as a number, bytes in base64, all others as text.
#[inline]
pub fn write_key(spec: &KeySpec, stored: &[u8], out: &mut Vec<u8>) {
    match (spec.kind, stored.first_chunk::<16>(), stored.first_chunk::<8>()) {
        (KeyKind::Base62, Some(key), _) => {
            let mut quoted = [b'"'; 24];
            quoted[1..23].copy_from_slice(&print_base62(u128::from_be_bytes(*key)));
            out.extend_from_slice(&quoted);
        }
        (KeyKind::Uuid, Some(key), _) => write_plain(&print_uuid(u128::from_be_bytes(*key)), out),
        (KeyKind::Int, _, Some(key)) if spec.signed => {
            write_number(out, i64::from_le_bytes(*key));
        }
        (KeyKind::Int, _, Some(key)) => write_number(out, u64::from_le_bytes(*key)),
        (KeyKind::Bytes, _, _) => write_base64(stored, out),
        _ => write_text(stored, out),
    }
}

fn write_number(out: &mut Vec<u8>, number: impl std::fmt::Display) {
    use std::io::Write;
    // Writing to memory cannot fail.
    let _ = write!(out, "{number}");
}

#[inline(always)]
fn write_plain(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(text);
    out.push(b'"');
}

/// Appends text that is not escaped yet.
pub fn write_text(raw: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    escape(raw, out);
    out.push(b'"');
}

fn write_base64(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len() + 1;
    let length = bytes.len().div_ceil(3) * 4;
    out.push(b'"');
    out.resize(start + length, 0);
    // The slice has exactly the length that base64 takes, so this cannot fail.
    let _ = STANDARD.encode_slice(bytes, &mut out[start..]);
    out.push(b'"');
}

#[inline(always)]
fn write_value(field: &Field, value: Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Int(n) => write_number(out, n),
        Value::UInt(n) => write_number(out, n),
        Value::Float32(x) if x.is_finite() => out.extend_from_slice(ryu::Buffer::new().format_finite(x).as_bytes()),
        Value::Float64(x) if x.is_finite() => out.extend_from_slice(ryu::Buffer::new().format_finite(x).as_bytes()),
        Value::Float32(_) | Value::Float64(_) => out.extend_from_slice(b"null"),
        Value::Text(text) => write_plain(text, out),
        Value::Binary(bytes) => write_base64(bytes, out),
        Value::Date(days) => {
            out.push(b'"');
            write_date(days, out);
            out.push(b'"');
        }
        Value::Instant(ticks) => {
            let Scalar::Timestamp(unit, _) = &field.field_type.scalar else { return };
            out.push(b'"');
            write_instant(ticks, unit.digits(), out);
            out.push(b'"');
        }
        Value::List(list) => {
            out.push(b'[');
            for (i, item) in list.items().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_value(field, item, out);
            }
            out.push(b']');
        }
    }
}
