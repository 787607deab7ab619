//! What is different between two versions of a type: records added, removed and changed, and in which fields.

use std::ops::Range;

use serde::Serialize;

use crate::canonical::{Canon, Memo};
use crate::error::Result;
use crate::gather::Frame;
use crate::layers::Layer;
use crate::locator::Span;
use crate::lookup::{BATCH, Keys};
use crate::parallel;
use crate::version::{Type, Version};

/// Slots that are compared as one piece of work.
const PIECE: u32 = 1 << 14;

/// One side of a comparison.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    /// The version.
    pub version: &'a Version,
    /// The place of the type in it.
    pub place: usize,
}

impl<'a> Side<'a> {
    fn of_type(&self) -> &'a Type {
        &self.version.types[self.place]
    }
}

/// Some of the keys, in the order of the records, as they print, and how many there are in all.
#[derive(Debug, Default, Clone, Serialize)]
pub struct Sample {
    /// In all.
    pub count: u64,
    /// The first.
    pub keys: Vec<String>,
}

impl Sample {
    fn add(&mut self, most: usize, key: impl FnOnce() -> String) {
        self.count += 1;
        if self.keys.len() < most {
            self.keys.push(key());
        }
    }

    fn merge(&mut self, most: usize, other: Self) {
        self.count += other.count;
        self.keys.extend(other.keys.into_iter().take(most.saturating_sub(self.keys.len())));
    }
}

/// What became of a type from one version to another.
#[derive(Debug, Default, Clone, Serialize)]
pub struct Difference {
    /// Records that only the later version has.
    pub added: Sample,
    /// Records that only the earlier version has.
    pub removed: Sample,
    /// Records that both have, with other values in a field that both have.
    pub changed: Sample,
    /// Records as they were.
    pub same: u64,
    /// The same as `changed` by field, by its number.
    pub fields: Vec<(u32, Sample)>,
}

impl Difference {
    fn new(fields: &[u32]) -> Self {
        Self { fields: fields.iter().map(|id| (*id, Sample::default())).collect(), ..Self::default() }
    }

    fn merge(&mut self, most: usize, other: Self) {
        self.added.merge(most, other.added);
        self.removed.merge(most, other.removed);
        self.changed.merge(most, other.changed);
        self.same += other.same;
        for ((_, mine), (_, theirs)) in self.fields.iter_mut().zip(other.fields) {
            mine.merge(most, theirs);
        }
    }
}

/// Compares a type of two versions, record by record, on so many threads; keys are those of one kind in both. At most `most` keys are told of each
/// difference. Linear in the records of both; memory does not grow with them. `pause` is told the slots done and all slots, and ends the work with its
/// error.
pub fn diff(
    before: Side<'_>,
    after: Side<'_>,
    most: usize,
    threads: usize,
    pause: &dyn Fn(u64, u64) -> Result<()>,
) -> Result<Difference> {
    let canons = (Canon::new(before.version, before.place)?, Canon::new(after.version, after.place)?);
    let shared: Vec<u32> = canons.0.ids().filter(|id| canons.1.ids().any(|other| other == *id)).collect();
    let pieces = |side: Side<'_>| side.of_type().layers.pieces(PIECE).collect::<Vec<_>>();
    let (ours, theirs) = (pieces(before), pieces(after));
    let mut all = Difference::new(&shared);
    let (mut done, mut outcome) = (0u64, Ok(()));
    let work = |i: usize| {
        let mut found = Difference::new(&shared);
        if let Some((layer, slots)) = ours.get(i) {
            compare(before, after, &canons, (*layer, slots.clone()), most, &mut found)?;
        } else if let Some((layer, slots)) = theirs.get(i - ours.len()) {
            count_new(before, after, (*layer, slots.clone()), most, &mut found)?;
        }
        Ok(found)
    };
    let of = (ours.len() + theirs.len()) as u64;
    parallel::ordered(threads, ours.len() + theirs.len(), work, |found: Result<Difference>| {
        done += 1;
        outcome = found.and_then(|found| {
            all.merge(most, found);
            pause(done * u64::from(PIECE), of * u64::from(PIECE))
        });
        outcome.is_ok()
    });
    outcome.map(|()| all)
}

/// The stored keys of a piece of a type, a batch at a time, with their spans.
fn each_batch(
    of_type: &Type,
    piece: (Layer, Range<u32>),
    mut each: impl FnMut(&[Span], &Keys<'_>) -> Result<()>,
) -> Result<()> {
    let layers = &of_type.layers;
    let spans: Vec<Span> = layers.spans(piece.0, piece.1).collect();
    for batch in spans.chunks(BATCH) {
        let views = layers.views();
        batch.iter().for_each(|span| views.ask(*span, true));
        let mut keys = Keys::with_capacity(&layers.base.directory().key, batch.len());
        for span in batch {
            keys.push(Some(layers.record(*span)?.key()?));
        }
        each(batch, &keys)?;
    }
    Ok(())
}

fn compare(
    before: Side<'_>,
    after: Side<'_>,
    canons: &(Canon, Canon),
    piece: (Layer, Range<u32>),
    most: usize,
    found: &mut Difference,
) -> Result<()> {
    let (mut left, mut right) = (Frame::default(), Frame::default());
    let mut memos = (Memo::default(), Memo::default());
    let (mut old, mut new) = (Vec::new(), Vec::new());
    let (mut old_ends, mut new_ends) = (Vec::new(), Vec::new());
    each_batch(before.of_type(), piece, |spans, keys| {
        left.spans.clear();
        left.spans.extend_from_slice(spans);
        right.spans.clear();
        keys.find(&after.of_type().layers, 0..keys.len(), true, &mut right.spans)?;
        left.follow(before.version, &canons.0.node, None)?;
        right.follow(after.version, &canons.1.node, None)?;
        for (i, span) in spans.iter().enumerate() {
            let key = || shown(before.of_type(), *span);
            if right.spans[i].is_missing() {
                found.removed.add(most, key);
                continue;
            }
            old.clear();
            old_ends.clear();
            canons.0.write(before.version, &left, i, &mut memos.0, &mut old, &mut old_ends)?;
            new.clear();
            new_ends.clear();
            canons.1.write(after.version, &right, i, &mut memos.1, &mut new, &mut new_ends)?;
            let mut same = true;
            for (id, sample) in &mut found.fields {
                let value = |canon: &Canon, ends: &[usize]| {
                    canon.ids().position(|other| other == *id).map(|at| ends[at]..ends[at + 1])
                };
                let (ours, theirs) = (value(&canons.0, &old_ends), value(&canons.1, &new_ends));
                if ours.map(|range| &old[range]) != theirs.map(|range| &new[range]) {
                    same = false;
                    sample.add(most, key);
                }
            }
            if same { found.same += 1 } else { found.changed.add(most, key) }
        }
        Ok(())
    })
}

fn count_new(
    before: Side<'_>,
    after: Side<'_>,
    piece: (Layer, Range<u32>),
    most: usize,
    found: &mut Difference,
) -> Result<()> {
    let mut there = Vec::new();
    each_batch(after.of_type(), piece, |spans, keys| {
        there.clear();
        keys.find(&before.of_type().layers, 0..keys.len(), false, &mut there)?;
        for (span, _) in spans.iter().zip(&there).filter(|(_, there)| there.is_missing()) {
            found.added.add(most, || shown(after.of_type(), *span));
        }
        Ok(())
    })
}

/// The key of a record, as JSON has it.
fn shown(of_type: &Type, span: Span) -> String {
    let mut text = Vec::new();
    let spec = &of_type.layers.base.directory().key;
    if let Ok(stored) = of_type.layers.record(span).and_then(|record| record.key()) {
        crate::json::write_key(spec, stored, &mut text);
    }
    String::from_utf8_lossy(&text).into_owned()
}
