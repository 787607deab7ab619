//! A record: its numbers, var values and references, read where they lie.

use std::cell::Cell;

use crate::blob::Blob;
use crate::directory::{Field, Item, Var};
use crate::error::Result;
use crate::time::DAYS;
use crate::types::Scalar;

/// Bytes of the largest value.
const MAX_VALUE: usize = i32::MAX as usize;

/// A value as it is stored; text is still escaped.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    /// No value.
    Null,
    /// True or false.
    Bool(bool),
    /// A signed integer.
    Int(i64),
    /// An unsigned integer.
    UInt(u64),
    /// Single precision.
    Float32(f32),
    /// Double precision.
    Float64(f64),
    /// UTF-8, escaped as in a JSON string.
    Text(&'a [u8]),
    /// Bytes.
    Binary(&'a [u8]),
    /// Days since 1970-01-01.
    Date(i64),
    /// Ticks of the field's unit since 1970-01-01T00:00:00Z.
    Instant(i64),
    /// A list.
    List(List<'a>),
}

/// The items of a list value.
#[derive(Debug, Clone, Copy)]
pub struct List<'a> {
    scalar: &'a Scalar,
    item: Option<Item>,
    bytes: &'a [u8],
}

/// The place of a number in the packed bits, resolved: where the eight bytes are that have it, and which of their bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packed {
    at: usize,
    shift: u8,
    mask: u64,
}

impl Packed {
    /// The number of so many bits at a place that [`crate::directory::Directory::check`] found to lie in the fixed part.
    #[inline(always)]
    pub const fn new(offset: u32, bits: u8) -> Self {
        let mask = if bits == 64 { u64::MAX } else { (1 << bits) - 1 };
        Self { at: offset as usize / 8, shift: (offset % 8) as u8, mask }
    }

    #[inline(always)]
    fn of(&self, bytes: &[u8]) -> u64 {
        let word = bytes.get(self.at..).and_then(<[u8]>::first_chunk::<8>).map_or(0, |word| u64::from_le_bytes(*word));
        word >> self.shift & self.mask
    }
}

/// How many bytes a var value takes, resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    length: Packed,
    unit: u64,
    /// The length that means a pointer.
    pointer: u64,
}

/// Bytes of a pointer into the heap.
const POINTER: u64 = 12;

impl Extent {
    /// The extent of a var value.
    pub const fn new(var: &Var) -> Self {
        let pointer = if var.long { (1 << var.bits) - 1 } else { u64::MAX };
        Self { length: Packed::new(var.offset, var.bits), unit: var.unit as u64, pointer }
    }

    /// Bytes it takes in the record, and whether they are a pointer.
    #[inline(always)]
    fn of(&self, bytes: &[u8]) -> (u64, bool) {
        let length = self.length.of(bytes);
        if length == self.pointer { (POINTER, true) } else { (length * self.unit, false) }
    }
}

/// Var values of which [`Record::walk`] tells the places.
pub const WALK: usize = 16;

/// Where the first var values of a record start, each where the one before ends.
#[derive(Debug, Default)]
pub struct Starts([u64; WALK + 1]);

/// One record of a blob.
#[derive(Debug)]
pub struct Record<'a> {
    blob: &'a Blob,
    /// From the record's first byte to the end of the section.
    bytes: &'a [u8],
    length: u32,
    /// The var value looked at last and its start: most readers ask in order.
    at: Cell<(u32, u32)>,
}

impl<'a> Record<'a> {
    /// A record of `length` bytes at the start of `bytes`, which go on to the end of the section.
    #[inline(always)]
    pub(crate) fn new(blob: &'a Blob, bytes: &'a [u8], length: u32) -> Self {
        Self { blob, bytes, length, at: Cell::new((0, blob.directory().record.fixed)) }
    }

    #[inline(always)]
    fn number(&self, offset: u32, bits: u8) -> u64 {
        Packed::new(offset, bits).of(self.bytes)
    }

    /// The stored key.
    #[inline(always)]
    pub fn key(&self) -> Result<&'a [u8]> {
        match &self.blob.directory().record.key {
            None => Ok(&self.bytes[..self.blob.directory().key.width]),
            Some(var) => self.var(var),
        }
    }

    /// The number in the packed bits.
    #[inline(always)]
    pub fn packed(&self, place: &Packed) -> u64 {
        place.of(self.bytes)
    }

    /// Tells where the var values start whose extents these are, the first ones of the record, at most [`WALK`].
    #[inline(always)]
    pub fn walk(&self, extents: &[Extent], Starts(starts): &mut Starts) {
        let mut at = u64::from(self.blob.directory().record.fixed);
        starts[0] = at;
        for (start, extent) in starts[1..].iter_mut().zip(extents) {
            at += extent.of(self.bytes).0;
            *start = at;
        }
    }

    /// Var value `order`, one of those walked over, as the bytes from its first on, and its length: what follows may be read, and means nothing.
    #[inline(always)]
    pub fn walked(&self, starts: &Starts, extents: &[Extent], order: usize) -> Result<(&'a [u8], usize)> {
        let (Some(start), Some(end)) = (starts.0.get(order), starts.0.get(order + 1)) else { return Ok((&[], 0)) };
        if *end > u64::from(self.length) {
            return Err(self.cut_short());
        }
        let length = (end - start) as usize;
        if length == POINTER as usize && extents.get(order).is_some_and(|extent| extent.of(self.bytes).1) {
            let bytes = in_heap(self.blob, &self.bytes[*start as usize..*end as usize])?;
            return Ok((bytes, bytes.len()));
        }
        Ok((&self.bytes[*start as usize..], length))
    }

    #[cold]
    fn cut_short(&self) -> crate::error::Error {
        self.blob.damaged("records", "a value reaches past its record")
    }

    /// Whether the field has no value.
    #[inline(always)]
    pub fn is_null(&self, field: &Field) -> bool {
        field.null_bit.is_some_and(|bit| self.number(bit, 1) == 1)
    }

    /// The bytes of a var value.
    #[inline(always)]
    pub fn var(&self, var: &Var) -> Result<&'a [u8]> {
        self.var_tail(var).map(|(tail, length)| &tail[..length])
    }

    /// A var value as the bytes from its first on, and its length: what follows may be read, and means nothing.
    #[inline(always)]
    fn var_tail(&self, var: &Var) -> Result<(&'a [u8], usize)> {
        let (mut order, mut at) = self.at.get();
        if order > var.order {
            (order, at) = (0, self.blob.directory().record.fixed);
        }
        while order < var.order {
            let before = &self.blob.vars()[order as usize];
            at = at.saturating_add(self.extent(before).0);
            order += 1;
        }
        self.at.set((order, at));
        let (length, pointed) = self.extent(var);
        let end = at.saturating_add(length);
        if end > self.length {
            return Err(self.cut_short());
        }
        if pointed {
            let bytes = in_heap(self.blob, &self.bytes[at as usize..end as usize])?;
            return Ok((bytes, bytes.len()));
        }
        Ok((&self.bytes[at as usize..], length as usize))
    }

    /// The bytes of a field as [`field_bytes`](Self::field_bytes) has them, with what may be read behind them, and their length.
    #[inline(always)]
    fn field_tail(&self, field: &Field) -> Result<(&'a [u8], usize)> {
        match &field.var {
            Some(var) => self.var_tail(var),
            None => self.field_bytes(field).map(|bytes| (bytes, bytes.len())),
        }
    }

    /// Bytes a var value takes in the record, and whether they are a pointer.
    #[inline(always)]
    fn extent(&self, var: &Var) -> (u32, bool) {
        let length = self.number(var.offset, var.bits) as u32;
        if var.long && length == (1u32 << var.bits) - 1 {
            (12, true)
        } else {
            (length.saturating_mul(u32::from(var.unit)), false)
        }
    }

    /// The bytes of a field that holds bytes or a list: interned or its own.
    #[inline(always)]
    fn field_bytes(&self, field: &Field) -> Result<&'a [u8]> {
        match (&field.var, &field.bits, field.values) {
            (Some(var), _, _) => self.var(var),
            (None, Some(bits), Some(table)) => {
                self.blob.entry(table, bits.base.0.wrapping_add(self.number(bits.offset, bits.bits)))
            }
            _ => Ok(&[]),
        }
    }

    /// The value of a field that is not a reference.
    #[inline(always)]
    pub fn value(&self, field: &'a Field) -> Result<Value<'a>> {
        if self.is_null(field) {
            return Ok(Value::Null);
        }
        let scalar = &field.field_type.scalar;
        if field.field_type.list {
            let list = List { scalar, item: field.item, bytes: self.field_bytes(field)? };
            return if list.is_whole() {
                Ok(Value::List(list))
            } else {
                Err(self.blob.damaged("records", "a list is cut short"))
            };
        }
        Ok(match (scalar, &field.bits) {
            (Scalar::String | Scalar::Categorical, _) => Value::Text(self.field_bytes(field)?),
            (Scalar::Binary, _) => Value::Binary(self.field_bytes(field)?),
            (_, Some(bits)) => {
                let number = bits.base.0.wrapping_add(self.number(bits.offset, bits.bits));
                if !is_in_calendar(scalar, number) {
                    return Err(self.blob.damaged("records", "a date lies outside the years 1 to 9999"));
                }
                from_number(scalar, number)
            }
            (_, None) => Value::Null,
        })
    }

    /// Tells `each` the codes of a reference field in order, `None` for a null item. Returns false where the field itself is null.
    #[inline(always)]
    pub fn codes(&self, field: &Field, mut each: impl FnMut(Option<u64>)) -> Result<bool> {
        if self.is_null(field) {
            return Ok(false);
        }
        match (&field.item, &field.bits) {
            (Some(item), _) if !item.nulls => {
                // As below, but without divisions by a width that the compiler does not know, and a word at a time.
                let (tail, length) = self.field_tail(field)?;
                let (width, first) = (usize::from(item.width), Packed::new(0, 8 * item.width));
                let mut at = 0;
                while at + width <= length {
                    let rest = &tail[at..];
                    let code = if rest.len() >= 8 { first.of(rest) } else { little(&rest[..width]) };
                    each(Some(item.base.0.wrapping_add(code)));
                    at += width;
                }
                if at != length {
                    return Err(self.blob.damaged("records", "a list is cut short"));
                }
            }
            (Some(item), _) => {
                let list = List { scalar: &Scalar::Reference, item: Some(*item), bytes: self.field_bytes(field)? };
                if !list.is_whole() {
                    return Err(self.blob.damaged("records", "a list is cut short"));
                }
                list.numbers(item).for_each(each);
            }
            (None, Some(bits)) => each(Some(bits.base.0.wrapping_add(self.number(bits.offset, bits.bits)))),
            (None, None) => {}
        }
        Ok(true)
    }
}

/// The value that a pointer leads to. Not of the record: a reference to it would keep all of it in memory.
#[cold]
fn in_heap<'a>(blob: &'a Blob, pointer: &[u8]) -> Result<&'a [u8]> {
    let parts = pointer.first_chunk::<8>().zip(pointer.last_chunk::<4>());
    let range = parts.and_then(|(offset, length)| {
        let start = usize::try_from(u64::from_le_bytes(*offset)).ok()?;
        Some(start..start.checked_add(u32::from_le_bytes(*length) as usize)?)
    });
    if range.as_ref().is_some_and(|range| range.len() > MAX_VALUE) {
        return Err(blob.damaged("records", "a value of more than 2^31 - 1 bytes"));
    }
    range.and_then(|range| blob.heap().get(range)).ok_or_else(|| blob.damaged("heap", "a value lies outside it"))
}

#[inline(always)]
fn from_number<'a>(scalar: &Scalar, number: u64) -> Value<'a> {
    match scalar {
        Scalar::Bool => Value::Bool(number != 0),
        Scalar::Int(_) => Value::Int(number as i64),
        Scalar::Float32 => Value::Float32(f32::from_bits(number as u32)),
        Scalar::Float64 => Value::Float64(f64::from_bits(number)),
        Scalar::Date => Value::Date(number as i64),
        Scalar::Timestamp(..) => Value::Instant(number as i64),
        _ => Value::UInt(number),
    }
}

/// Whether a date or an instant is one that a calendar of four-digit years has; all other numbers are.
#[inline(always)]
fn is_in_calendar(scalar: &Scalar, number: u64) -> bool {
    match scalar {
        Scalar::Date => DAYS.contains(&(number as i64)),
        Scalar::Timestamp(unit, _) => DAYS.contains(&(number as i64).div_euclid(86_400 * 10i64.pow(unit.digits()))),
        _ => true,
    }
}

impl<'a> List<'a> {
    /// Whether the items fill the bytes, and each is one that can be told.
    fn is_whole(&self) -> bool {
        let Some(item) = self.item else {
            let mut items = self.items();
            while items.next().is_some() {}
            return items.at == self.bytes.len();
        };
        let (count, nulls) = shape(self.bytes.len(), &item);
        let dated = matches!(self.scalar, Scalar::Date | Scalar::Timestamp(..));
        nulls + count * usize::from(item.width) == self.bytes.len()
            && (!dated || self.numbers(&item).flatten().all(|number| is_in_calendar(self.scalar, number)))
    }

    /// The items, in order.
    pub fn items(&self) -> Items<'a> {
        match self.item {
            Some(item) => {
                let (count, nulls) = shape(self.bytes.len(), &item);
                Items { list: *self, next: 0, count, at: nulls }
            }
            None => Items { list: *self, next: 0, count: usize::MAX, at: 0 },
        }
    }

    #[inline(always)]
    fn numbers(&self, item: &Item) -> impl Iterator<Item = Option<u64>> + use<'a> {
        let (count, nulls) = shape(self.bytes.len(), item);
        let (bitmap, numbers) = self.bytes.split_at(nulls.min(self.bytes.len()));
        let (width, base) = (usize::from(item.width), item.base.0);
        numbers.chunks_exact(width).take(count).enumerate().map(move |(i, bytes)| {
            let null = bitmap.get(i / 8).is_some_and(|b| b >> (i % 8) & 1 == 1);
            (!null).then(|| base.wrapping_add(little(bytes)))
        })
    }
}

/// Items in a list of so many bytes, and bytes of their bitmap of nulls.
fn shape(bytes: usize, item: &Item) -> (usize, usize) {
    let width = usize::from(item.width);
    if item.nulls {
        let count = 8 * bytes / (8 * width + 1);
        (count, count.div_ceil(8))
    } else {
        (bytes / width, 0)
    }
}

#[inline(always)]
fn little(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte))
}

/// Iterates over the items of a list; ends where the bytes end.
#[derive(Debug)]
pub struct Items<'a> {
    list: List<'a>,
    next: usize,
    count: usize,
    at: usize,
}

impl<'a> Iterator for Items<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        let bytes = self.list.bytes;
        if let Some(item) = self.list.item {
            if self.next >= self.count {
                return None;
            }
            let i = self.next;
            self.next += 1;
            let start = self.at + i * usize::from(item.width);
            let number = little(bytes.get(start..start + usize::from(item.width))?);
            if item.nulls && bytes[i / 8] >> (i % 8) & 1 == 1 {
                return Some(Value::Null);
            }
            return Some(from_number(self.list.scalar, item.base.0.wrapping_add(number)));
        }
        let mut rest = bytes.get(self.at..).filter(|rest| !rest.is_empty())?;
        let length = read_varint(&mut rest)?;
        self.at = bytes.len() - rest.len();
        if length == 0 {
            return Some(Value::Null);
        }
        let end = self.at.checked_add(usize::try_from(length - 1).ok()?)?;
        let item = bytes.get(self.at..end)?;
        self.at = end;
        Some(if *self.list.scalar == Scalar::Binary { Value::Binary(item) } else { Value::Text(item) })
    }
}

/// Takes a LEB128 number from the front of `bytes`.
#[inline(always)]
pub fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

/// Appends a LEB128 number.
#[inline(always)]
pub fn write_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
