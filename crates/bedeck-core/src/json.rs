//! Rendering records as JSON (RFC 8259): text is copied as it is stored.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::directory::{Field, KeySpec};
use crate::error::Result;
use crate::gather::{Frame, Named};
use crate::key::{KeyKind, print_base62, print_uuid};
use crate::record::Value;
use crate::selection::{Form, From, Node};
use crate::sink::{put, put_number, put_signed};
use crate::text::escape;
use crate::time::{write_date, write_instant};
use crate::types::Scalar;
use crate::version::Version;

/// Appends record `i` of `frame` as an object, or `null` where there is none.
pub fn write_record(version: &Version, node: &Node, frame: &Frame, i: usize, out: &mut Vec<u8>) -> Result<()> {
    let span = frame.spans[i];
    if span.is_missing() {
        out.extend_from_slice(b"null");
        return Ok(());
    }
    let blob = &version.types[node.type_place].blob;
    let record = blob.record(span)?;
    let directory = blob.directory();
    for output in &node.outputs {
        match (&output.form, output.from) {
            (Form::Text, From::Field(field)) if !record.is_null(&blob.columns()[field]) => {
                output.json_text.put(out);
                let (tail, length) = record.text_tail(&blob.columns()[field])?;
                put(out, tail, length);
                out.push(b'"');
                continue;
            }
            (Form::Number { bits, signed, null_bit }, _) => {
                output.json.put(out);
                match record.number_unless(*null_bit, bits) {
                    None => out.extend_from_slice(b"null"),
                    Some(number) if *signed => put_signed(out, number as i64),
                    Some(number) => put_number(out, number),
                }
                continue;
            }
            (Form::Bool { bits, null_bit }, _) => {
                output.json.put(out);
                match record.number_unless(*null_bit, bits) {
                    None => out.extend_from_slice(b"null"),
                    Some(0) => out.extend_from_slice(b"false"),
                    Some(_) => out.extend_from_slice(b"true"),
                }
                continue;
            }
            _ => output.json.put(out),
        }
        match output.from {
            From::Field(field) => write_value(&blob.columns()[field], record.value(&blob.columns()[field])?, out),
            From::Key => write_key(&directory.key, record.key()?, out),
            From::Keys(child) => write_links(node, frame, i, child, out, |at, out| {
                match frame.links[child].named(version, node, child, at)? {
                    (_, Named::Nothing) => out.extend_from_slice(b"null"),
                    (spec, Named::Stored(stored)) => write_key(spec, stored, out),
                    (_, Named::Text(text)) => write_text(text, out),
                }
                Ok(())
            })?,
            From::Through(child) => {
                let next = &node.children[child].node;
                write_links(node, frame, i, child, out, |at, out| {
                    write_record(version, next, &frame.links[child].frame, at, out)
                })?;
            }
        }
    }
    out.extend_from_slice(if node.outputs.is_empty() { b"{}" } else { b"}" });
    Ok(())
}

#[inline(always)]
fn write_links(
    node: &Node,
    frame: &Frame,
    i: usize,
    child: usize,
    out: &mut Vec<u8>,
    mut each: impl FnMut(usize, &mut Vec<u8>) -> Result<()>,
) -> Result<()> {
    let Some(mut places) = frame.links[child].of(i) else {
        out.extend_from_slice(b"null");
        return Ok(());
    };
    if !node.children[child].list {
        return match places.next() {
            Some(at) => each(at, out),
            None => {
                out.extend_from_slice(b"null");
                Ok(())
            }
        };
    }
    out.push(b'[');
    let first = places.start;
    for at in places {
        if at > first {
            out.push(b',');
        }
        each(at, out)?;
    }
    out.push(b']');
    Ok(())
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
            put_signed(out, i64::from_le_bytes(*key));
        }
        (KeyKind::Int, _, Some(key)) => put_number(out, u64::from_le_bytes(*key)),
        (KeyKind::Bytes, _, _) => write_base64(stored, out),
        _ => write_text(stored, out),
    }
}

#[inline(always)]
fn write_plain(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(text);
    out.push(b'"');
}

fn write_text(raw: &[u8], out: &mut Vec<u8>) {
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
        Value::Int(n) => put_signed(out, n),
        Value::UInt(n) => put_number(out, n),
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
