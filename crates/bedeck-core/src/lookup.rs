//! From keys to records, a list at a time.
//!
//! A random cache line costs hundreds of nanoseconds alone and a few when many are under way, so every pass asks for the lines of all keys before
//! the next one reads any: pilots, then locator lines, then records.

use std::ops::Range;

use crate::blob::{Blob, View};
use crate::changes::{Changes, DELETED};
use crate::directory::KeySpec;
use crate::error::Result;
use crate::hash::{hash, mix, start};
use crate::layers::Layers;
use crate::locator::Span;
use crate::prefetch::prefetch;

/// Keys that go through the passes together: their lines fit a core's first cache.
pub const BATCH: usize = 128;

/// A key to look for, in its stored form.
pub trait Probe: Copy {
    /// Its hash; `start` is [`start`] for its length where all keys have one length.
    fn hash(self, seed: u64, start: u64) -> u64;
    /// Whether the record with this stored key is the one asked for.
    fn matches(self, stored: &[u8]) -> bool;
}

impl Probe for [u8; 16] {
    #[inline(always)]
    fn hash(self, _: u64, start: u64) -> u64 {
        let number = u128::from_le_bytes(self);
        mix(mix(start ^ number as u64) ^ (number >> 64) as u64)
    }

    #[inline(always)]
    fn matches(self, stored: &[u8]) -> bool {
        stored == self
    }
}

impl Probe for [u8; 8] {
    #[inline(always)]
    fn hash(self, _: u64, start: u64) -> u64 {
        mix(start ^ u64::from_le_bytes(self))
    }

    #[inline(always)]
    fn matches(self, stored: &[u8]) -> bool {
        stored == self
    }
}

impl Probe for &[u8] {
    #[inline(always)]
    fn hash(self, seed: u64, _: u64) -> u64 {
        hash(seed, self)
    }

    #[inline(always)]
    fn matches(self, stored: &[u8]) -> bool {
        stored == self
    }
}

/// Keys of one kind, in stored form; `None` for what cannot be a key of the type and so is not in it.
#[derive(Debug)]
pub enum Keys<'a> {
    /// Keys of 16 bytes.
    Wide(Vec<Option<[u8; 16]>>),
    /// Keys of 8 bytes.
    Word(Vec<Option<[u8; 8]>>),
    /// Keys of any length.
    Bytes(Vec<Option<&'a [u8]>>),
}

impl<'a> Keys<'a> {
    /// No keys yet, of the width that `spec` says, with room for so many.
    pub fn with_capacity(spec: &KeySpec, capacity: usize) -> Self {
        match spec.width {
            16 => Self::Wide(Vec::with_capacity(capacity)),
            8 => Self::Word(Vec::with_capacity(capacity)),
            _ => Self::Bytes(Vec::with_capacity(capacity)),
        }
    }

    /// Adds a stored key; one of the wrong width counts as `None`.
    pub fn push(&mut self, key: Option<&'a [u8]>) {
        match self {
            Self::Wide(keys) => keys.push(key.and_then(|k| k.try_into().ok())),
            Self::Word(keys) => keys.push(key.and_then(|k| k.try_into().ok())),
            Self::Bytes(keys) => keys.push(key),
        }
    }

    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Self::Wide(keys) => keys.len(),
            Self::Word(keys) => keys.len(),
            Self::Bytes(keys) => keys.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends to `spans` where the records of the keys in `range` lie, in order; missing for each that is not in the type. `whole`: their lines
    /// are on their way then, not only those of their keys.
    pub fn find(&self, layers: &Layers, range: Range<usize>, whole: bool, spans: &mut Vec<Span>) -> Result<()> {
        match self {
            Self::Wide(keys) => find(layers, &keys[range], whole, spans),
            Self::Word(keys) => find(layers, &keys[range], whole, spans),
            Self::Bytes(keys) => find(layers, &keys[range], whole, spans),
        }
    }

    /// The same in one blob that has an index.
    pub fn find_in(&self, blob: &Blob, range: Range<usize>, whole: bool, spans: &mut Vec<Span>) -> Result<()> {
        match self {
            Self::Wide(keys) => find_in(blob, &keys[range], whole, spans),
            Self::Word(keys) => find_in(blob, &keys[range], whole, spans),
            Self::Bytes(keys) => find_in(blob, &keys[range], whole, spans),
        }
    }
}

/// Appends the spans of `keys` to `spans`. The passes of [`BATCH`] keys at a time; linear, no allocation but in `spans`.
pub fn find<K: Probe>(layers: &Layers, keys: &[Option<K>], whole: bool, spans: &mut Vec<Span>) -> Result<()> {
    match layers.over() {
        None => find_in(&layers.base, keys, whole, spans),
        Some((overlay, changes)) => {
            let (base, overlay) = (layers.base.view(), overlay.view());
            keys.chunks(BATCH).try_for_each(|batch| find_over(&base, &overlay, &changes, batch, whole, spans))
        }
    }
}

/// The same in one blob that has an index.
pub fn find_in<K: Probe>(blob: &Blob, keys: &[Option<K>], whole: bool, spans: &mut Vec<Span>) -> Result<()> {
    let view = blob.view();
    keys.chunks(BATCH).try_for_each(|batch| {
        let first = spans.len();
        let slots = slots(&view, batch);
        locate(&view, batch, &slots, whole, spans);
        compare(&view, batch, &mut spans[first..])
    })
}

/// Appends the spans of these slots of a blob, their records asked for; missing for what is `None`.
#[inline(never)]
fn locate<K: Probe>(view: &View<'_>, keys: &[Option<K>], slots: &[u32], whole: bool, spans: &mut Vec<Span>) {
    spans.extend(slots.iter().zip(keys).map(|(slot, key)| {
        let span = if key.is_some() { view.span(*slot) } else { Span::MISSING };
        view.ask(span, whole);
        span
    }));
}

/// Leaves those spans in a blob whose records have these keys.
#[inline(never)]
fn compare<K: Probe>(view: &View<'_>, keys: &[Option<K>], spans: &mut [Span]) -> Result<()> {
    for (span, key) in spans.iter_mut().zip(keys) {
        if let Some(key) = key
            && !span.is_missing()
            && !key.matches(view.record(*span)?.key()?)
        {
            *span = Span::MISSING;
        }
    }
    Ok(())
}

/// The slots that keys lead to in a blob, the lines of its locator asked for. What `None` leads to means nothing.
#[inline(always)]
fn slots<K: Probe>(view: &View<'_>, keys: &[Option<K>]) -> [u32; BATCH] {
    let directory = view.blob.directory();
    let (shape, pilots) = (directory.index, view.blob.pilots());
    let begin = start(shape.seed, directory.key.width);
    let mut hashes = [0u64; BATCH];
    let mut slots = [0u32; BATCH];
    for (hash, key) in hashes.iter_mut().zip(keys) {
        if let Some(key) = key {
            *hash = key.hash(shape.seed, begin);
            prefetch(pilots, shape.bucket(*hash) as usize);
        }
    }
    for ((slot, hash), key) in slots.iter_mut().zip(&hashes).zip(keys) {
        if key.is_some() {
            let pilot = pilots.get(shape.bucket(*hash) as usize).copied().unwrap_or(0);
            *slot = shape.slot(*hash, pilot);
            view.prefetch(*slot);
        }
    }
    slots
}

/// One batch where there is an overlay: as without one, and then those of the overlay in their place. What neither has may have been inserted.
fn find_over<K: Probe>(
    base: &View<'_>,
    overlay: &View<'_>,
    changes: &Changes<'_>,
    keys: &[Option<K>],
    whole: bool,
    spans: &mut Vec<Span>,
) -> Result<()> {
    let first = spans.len();
    let slots = slots(base, keys);
    let mut suspects = [0u8; BATCH];
    let mut count = 0;
    for (i, (slot, key)) in slots.iter().zip(keys).enumerate() {
        suspects[count] = i as u8;
        count += usize::from(key.is_some() && changes.may(*slot));
    }
    let suspects = &suspects[..count];
    suspects.iter().for_each(|i| changes.prefetch(slots[usize::from(*i)]));
    // Between the halves of the passes through the base, those few that are changed go on by a step, which would else be waited for.
    let half = keys.len() / 2;
    let mut changed = [(0u8, 0u32); BATCH];
    let mut over = [Span::MISSING; BATCH];
    let mut count = 0;
    locate(base, &keys[..half], &slots, whole, spans);
    for i in suspects {
        let slot = slots[usize::from(*i)];
        if changes.has(slot) {
            changed[count] = (*i, changes.rank(slot));
            changes.prefetch_place(changed[count].1);
            count += 1;
        }
    }
    let changed = &mut changed[..count];
    locate(base, &keys[half..], &slots[half..], whole, spans);
    for (_, next) in changed.iter_mut() {
        *next = changes.place_of(*next);
        overlay.prefetch(*next);
    }
    compare(base, &keys[..half], &mut spans[first..])?;
    for (span, (_, place)) in over.iter_mut().zip(changed.iter()) {
        if *place != DELETED {
            *span = overlay.span(*place);
            overlay.ask(*span, whole);
        }
    }
    compare(base, &keys[half..], &mut spans[first + half..])?;
    for (mut span, (i, _)) in over.into_iter().zip(changed.iter()) {
        let i = usize::from(*i);
        compare(overlay, &keys[i..=i], std::slice::from_mut(&mut span))?;
        spans[first + i] = span.overlaid();
    }
    if changes.insertions() > 0 {
        find_inserted(overlay.blob, keys, whole, first, spans)?;
    }
    Ok(())
}

/// Looks in the overlay for the keys of a batch, its spans from `first` on, that have no record yet.
fn find_inserted<K: Probe>(
    overlay: &Blob,
    keys: &[Option<K>],
    whole: bool,
    first: usize,
    spans: &mut Vec<Span>,
) -> Result<()> {
    let mut absent = [0u8; BATCH];
    let mut count = 0;
    for (i, (span, key)) in spans[first..].iter().zip(keys).enumerate() {
        absent[count] = i as u8;
        count += usize::from(span.is_missing() && key.is_some());
    }
    if count == 0 {
        return Ok(());
    }
    let absent = &absent[..count];
    let end = spans.len();
    let asked: Vec<Option<K>> = absent.iter().map(|i| keys[usize::from(*i)]).collect();
    find_in(overlay, &asked, whole, spans)?;
    for (found, i) in (end..).zip(absent) {
        spans[first + usize::from(*i)] = spans[found].overlaid();
    }
    spans.truncate(end);
    Ok(())
}
