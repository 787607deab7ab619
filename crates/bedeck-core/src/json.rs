//! Rendering records as JSON (RFC 8259): text is copied as it is stored.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::directory::{Field, KeySpec};
use crate::gather::{Frame, Named};
use crate::key::{KeyKind, print_base62, print_uuid};
use crate::layers::Views;
use crate::record::{Record, Starts, Value};
use crate::selection::{Form, Node, Source, Step};
use crate::sink::{Room, STRIDE, Written};
use crate::text::escape;
use crate::time::{write_date, write_instant};
use crate::types::Scalar;
use crate::version::Version;

/// Where records are rendered from: a level of a selection and its records, and the levels below.
pub struct Page<'a> {
    version: &'a Version,
    node: &'a Node,
    frame: &'a Frame,
    views: Views<'a>,
    below: Vec<Self>,
}

impl<'a> Page<'a> {
    /// The page of these records.
    pub fn new(version: &'a Version, node: &'a Node, frame: &'a Frame) -> Self {
        let links = node.children.iter().zip(&frame.links);
        let below = links.map(|(child, links)| Self::new(version, &child.node, &links.frame)).collect();
        Self { version, node, frame, views: version.types[node.type_place].layers.views(), below }
    }
}

/// Appends record `i` of a page as an object, or `null` where there is none.
pub fn write_record<'r>(page: &Page<'_>, i: usize, mut room: Room<'r>, scratch: &mut Vec<u8>) -> Written<'r> {
    let span = page.frame.spans[i];
    if span.is_missing() {
        return room.bytes(b"null");
    }
    let (steps, walk) = (&page.node.steps[span.layer() as usize], &page.node.walks[span.layer() as usize]);
    if steps.is_empty() {
        return room.bytes(b"{}");
    }
    let record = page.views.record(span)?;
    let mut starts = Starts::default();
    record.walk(walk, &mut starts);
    for step in steps {
        room = match &step.form {
            Form::Text { order, null } if null.is_none_or(|bit| record.packed(&bit) == 0) => {
                let room = step.json_text.put(room)?;
                let (tail, length) = record.walked(&starts, walk, *order)?;
                room.put(tail, length)?.byte(b'"')?
            }
            Form::Number { place, base, signed, null } if null.is_none_or(|bit| record.packed(&bit) == 0) => {
                let room = step.json.put(room)?;
                let number = base.wrapping_add(record.packed(place));
                if *signed { room.signed(number as i64)? } else { room.number(number)? }
            }
            Form::Bool { place, base, null } if null.is_none_or(|bit| record.packed(&bit) == 0) => {
                let room = step.json.put(room)?;
                if base.wrapping_add(record.packed(place)) == 0 { room.bytes(b"false")? } else { room.bytes(b"true")? }
            }
            Form::Other => match step.source {
                Source::Through(child) => {
                    let below = &page.below[child];
                    put_links(page, i, child, step.json.put(room)?, |at, room| write_record(below, at, room, scratch))?
                }
                _ => put_other(page, i, &record, step, step.json.put(room)?, scratch)?,
            },
            _ => step.json.put(room)?.bytes(b"null")?,
        };
    }
    room.byte(b'}')
}

/// Appends what has no short way. Not in line: what has would have fewer registers.
#[inline(never)]
fn put_other<'r>(
    page: &Page<'_>,
    i: usize,
    record: &Record<'_>,
    step: &Step,
    room: Room<'r>,
    scratch: &mut Vec<u8>,
) -> Written<'r> {
    let (node, span) = (page.node, page.frame.spans[i]);
    let layers = &page.version.types[node.type_place].layers;
    match step.source {
        Source::Field(field) => {
            let field = &layers.blob(span.layer()).columns()[field];
            put_value(field, record.value(field)?, room, scratch)
        }
        Source::Aside(group, field) => {
            let field = &layers.groups[group].columns()[field];
            put_value(field, layers.aside(group, span.ordinal)?.value(field)?, room, scratch)
        }
        Source::Key => put_key(&layers.base.directory().key, record.key()?, room, scratch),
        Source::Keys(child) => put_links(page, i, child, room, |at, room| {
            match page.frame.links[child].named(page.version, node, child, at)? {
                (_, Named::Nothing) => room.bytes(b"null"),
                (spec, Named::Stored(stored)) => put_key(spec, stored, room, scratch),
                (_, Named::Text(text)) => {
                    scratch.clear();
                    write_text(text, scratch);
                    room.bytes(scratch)
                }
            }
        }),
        Source::Nothing | Source::Through(_) => room.bytes(b"null"),
    }
}

#[inline(always)]
fn put_value<'r>(field: &Field, value: Value<'_>, room: Room<'r>, scratch: &mut Vec<u8>) -> Written<'r> {
    match value {
        Value::UInt(number) => room.number(number),
        Value::Int(number) => room.signed(number),
        Value::Text(text) => room.byte(b'"')?.bytes(text)?.byte(b'"'),
        _ => {
            scratch.clear();
            write_value(field, value, scratch);
            room.bytes(scratch)
        }
    }
}

#[inline(always)]
fn put_links<'r>(
    page: &Page<'_>,
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
