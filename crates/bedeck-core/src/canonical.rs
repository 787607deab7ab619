//! The canonical form of records as a version has them (docs/format.md, "Digest"): what digests are sums over, and what tells records apart.

use std::collections::hash_map::Entry;

use rustc_hash::FxHashMap;

use crate::blob::Blob;
use crate::directory::Field;
use crate::error::Result;
use crate::gather::{Frame, Named};
use crate::key::KeyKind;
use crate::record::{Packed, Record, Value, write_varint};
use crate::row::{Tag, write_bytes, write_canonical_key, write_tag};
use crate::selection::{Node, Source};
use crate::version::Version;

/// How to write the canonical form of the records of one type.
#[derive(Debug)]
pub struct Canon {
    /// Key and fields: what a frame has to be filled with.
    pub node: Node,
    /// The number of each field, and the place of its output in `node`, in ascending order of numbers.
    fields: Vec<(u32, usize)>,
}

impl Canon {
    /// For the type at this place.
    pub fn new(version: &Version, type_place: usize) -> Result<Self> {
        let node = Node::unprinted(version, type_place)?;
        let described = &version.types[type_place].fields;
        let mut fields: Vec<(u32, usize)> = described.iter().zip(1..).map(|(field, at)| (field.id, at)).collect();
        fields.sort_unstable();
        Ok(Self { node, fields })
    }

    /// The numbers of the fields, ascending.
    pub fn ids(&self) -> impl Iterator<Item = u32> + '_ {
        self.fields.iter().map(|(id, _)| *id)
    }

    /// Appends the canonical form of record `i` of `frame`, which is there, to `out`, and to `ends` where the key ends and where each field does.
    /// `memo` is of this version alone.
    pub fn write(
        &self,
        version: &Version,
        frame: &Frame,
        i: usize,
        memo: &mut Memo,
        out: &mut Vec<u8>,
        ends: &mut Vec<usize>,
    ) -> Result<()> {
        let (span, layers) = (frame.spans[i], &version.types[self.node.type_place].layers);
        let record = layers.record(span)?;
        let spec = &layers.base.directory().key;
        write_stored(spec.kind, record.key()?, out);
        ends.push(out.len());
        let steps = self.node.steps_of(span);
        for (id, at) in &self.fields {
            let start = out.len();
            write_varint(u64::from(*id), out);
            let there = match steps[*at].source {
                Source::Field(field) => {
                    let blob = layers.blob(span.layer());
                    memo.write(blob, &blob.columns()[field], &record, out)?
                }
                Source::Aside(group, field) => {
                    let blob = &layers.groups[group];
                    memo.write(blob, &blob.columns()[field], &layers.aside(group, span.ordinal)?, out)?
                }
                Source::Keys(child) => self.write_keys(version, frame, i, child, out)?,
                Source::Key | Source::Nothing | Source::Through(_) => false,
            };
            if !there {
                out.truncate(start);
            }
            ends.push(out.len());
        }
        Ok(())
    }

    fn write_keys(&self, version: &Version, frame: &Frame, i: usize, child: usize, out: &mut Vec<u8>) -> Result<bool> {
        let links = &frame.links[child];
        let Some(places) = links.of(i) else { return Ok(false) };
        let list = self.node.children[child].list;
        if list {
            write_varint(places.len() as u64, out);
        }
        for at in places {
            match links.named(version, &self.node, child, at)? {
                (_, Named::Nothing) if list => write_tag(Tag::Null, out),
                (_, Named::Nothing) => return Ok(false),
                (spec, named) => {
                    if list {
                        write_tag(Tag::Bytes, out);
                    }
                    match named {
                        Named::Stored(stored) => write_stored(spec.kind, stored, out),
                        Named::Text(text) => write_canonical_key(spec.kind, text, out),
                        Named::Nothing => {}
                    }
                }
            }
        }
        Ok(true)
    }
}

/// Lists that many records have in common, in canonical form: taking them apart item by item is what takes longest.
#[derive(Debug, Default)]
pub struct Memo(FxHashMap<(usize, u64, u64), Box<[u8]>>);

impl Memo {
    /// Appends the value of a field of `blob`; false, and nothing, where it is null.
    fn write(&mut self, blob: &Blob, field: &Field, record: &Record<'_>, out: &mut Vec<u8>) -> Result<bool> {
        let (Some(table), Some(bits), true) = (field.values, &field.bits, field.field_type.list) else {
            return Ok(write_value(record.value(field)?, out));
        };
        if record.is_null(field) {
            return Ok(false);
        }
        let place = record.packed(&Packed::new(bits.offset, bits.bits));
        match self.0.entry((blob.map().address(), table.offset, place)) {
            Entry::Occupied(known) => out.extend_from_slice(known.get()),
            Entry::Vacant(free) => {
                let start = out.len();
                write_value(record.value(field)?, out);
                free.insert(out[start..].into());
            }
        }
        Ok(true)
    }
}

/// Appends a stored key.
fn write_stored(kind: KeyKind, stored: &[u8], out: &mut Vec<u8>) {
    match kind {
        KeyKind::Base62 | KeyKind::Uuid => {
            write_varint(if kind == KeyKind::Uuid { 36 } else { 22 }, out);
            kind.print(stored, out);
        }
        KeyKind::Int | KeyKind::String | KeyKind::Bytes => write_canonical_key(kind, stored, out),
    }
}

/// Appends a value; false, and nothing, where it is null.
fn write_value(value: Value<'_>, out: &mut Vec<u8>) -> bool {
    match value {
        Value::Null => return false,
        Value::Bool(b) => out.push(u8::from(b)),
        Value::Int(n) | Value::Date(n) | Value::Instant(n) => out.extend_from_slice(&n.to_le_bytes()),
        Value::UInt(n) => out.extend_from_slice(&n.to_le_bytes()),
        Value::Float32(x) => out.extend_from_slice(&x.to_bits().to_le_bytes()),
        Value::Float64(x) => out.extend_from_slice(&x.to_bits().to_le_bytes()),
        Value::Text(bytes) | Value::Binary(bytes) => write_bytes(bytes, out),
        Value::List(list) => {
            write_varint(list.items().count() as u64, out);
            for item in list.items() {
                let at = out.len();
                write_tag(Tag::Bytes, out);
                if !write_value(item, out) {
                    out.truncate(at);
                    write_tag(Tag::Null, out);
                }
            }
        }
    }
    true
}
