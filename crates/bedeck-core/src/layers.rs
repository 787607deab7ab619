//! The layers of a type: a base, groups of fields over it, and an overlay of the records that changed since.

use std::sync::Arc;

use crate::blob::{Blob, View};
use crate::changes::{Changes, DELETED};
use crate::directory::Kind;
use crate::error::{Error, Result};
use crate::locator::Span;
use crate::record::Record;

/// The blobs of one type in one version. An ordinal is a slot of the base, or counts on from there over the keys inserted since.
#[derive(Debug, Clone)]
pub struct Layers {
    /// All records as they were once.
    pub base: Arc<Blob>,
    /// Fields that are read here instead, the last that has one first.
    pub groups: Vec<Arc<Blob>>,
    /// What is not as the base and the groups have it.
    pub overlay: Option<Arc<Blob>>,
}

/// The layer of a record: the base with its groups, or the overlay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// The base.
    Base = 0,
    /// The overlay.
    Overlay = 1,
}

/// Groups that can lie over a base.
pub const MOST_GROUPS: usize = 1_000;

/// What marks the offset of a span in the overlay.
const OVERLAY: u64 = 1 << 63;
/// The offset of a span that stands for a record of the base that is deleted; its ordinal is the slot.
const GONE: u64 = u64::MAX - 1;

impl Span {
    /// The layer of a record that is not missing.
    #[inline(always)]
    pub const fn layer(&self) -> Layer {
        if self.offset & OVERLAY == 0 { Layer::Base } else { Layer::Overlay }
    }

    /// The same place, in the overlay; what is missing is missing there too.
    #[inline(always)]
    pub const fn overlaid(self) -> Self {
        if self.is_missing() { self } else { Self { offset: self.offset | OVERLAY, ..self } }
    }

    /// The same place, without what tells the layer.
    #[inline(always)]
    pub const fn bare(self) -> Self {
        Self { offset: self.offset & !OVERLAY, ..self }
    }

    /// The slot of the base whose record is deleted, where a reference led to it.
    #[inline(always)]
    pub fn gone(&self) -> Option<u32> {
        (self.length == 0 && self.offset == GONE).then_some(self.ordinal)
    }
}

impl Layers {
    /// Puts blobs together: a base, then groups, then at most one overlay, all of one type and epoch. `hashes` are theirs, in this order.
    pub fn new(blobs: Vec<Arc<Blob>>, hashes: &[&str]) -> Result<Self> {
        let mut blobs = blobs.into_iter();
        let base = blobs.next().ok_or_else(|| Error::Damaged("a type has no layers".into()))?;
        if base.directory().kind != Kind::Base {
            return Err(base.damaged("directory", "the first layer of a type, and not a base"));
        }
        let mut layers = Self { base, groups: Vec::new(), overlay: None };
        for blob in blobs {
            let (ours, theirs) = (layers.base.directory(), blob.directory());
            let named = theirs.base.as_deref() == hashes.first().copied();
            if !named || theirs.epoch != ours.epoch || theirs.key != ours.key || layers.overlay.is_some() {
                return Err(blob.damaged("directory", "this layer does not lie over the base it is with"));
            }
            match theirs.kind {
                Kind::Base => return Err(blob.damaged("directory", "a second base")),
                Kind::Group if layers.groups.len() == MOST_GROUPS => {
                    return Err(blob.damaged("directory", "more than 1,000 groups over one base"));
                }
                Kind::Group if theirs.index == ours.index => layers.groups.insert(0, blob),
                Kind::Group => return Err(blob.damaged("directory", "a group whose slots are not those of its base")),
                Kind::Overlay => {
                    let (changes, own) = (blob.changes(), theirs.index.total_slots());
                    let checked = changes.check(ours.index.total_slots(), own, |slot| !blob.span(slot).is_missing());
                    checked.map_err(|error| blob.damaged("changes", &error.to_string()))?;
                    if changes.replacements() > ours.records || changes.places() != theirs.records {
                        return Err(blob.damaged("directory", "records: not as many as it has places for"));
                    }
                    layers.overlay = Some(blob);
                }
            }
        }
        Ok(layers)
    }

    /// The same without the overlay.
    pub fn under(&self) -> Self {
        Self { overlay: None, ..self.clone() }
    }

    /// All blobs, in the order of the manifest.
    pub fn blobs(&self) -> impl Iterator<Item = &Blob> {
        self.shared().map(AsRef::as_ref)
    }

    /// The same, to be kept.
    pub fn shared(&self) -> impl Iterator<Item = &Arc<Blob>> {
        std::iter::once(&self.base).chain(self.groups.iter().rev()).chain(&self.overlay)
    }

    /// Slots of the base: the ordinal of the first key that was inserted since.
    #[inline(always)]
    pub fn slots(&self) -> u32 {
        self.base.directory().index.total_slots() as u32
    }

    /// Records, all layers applied.
    pub fn records(&self) -> u64 {
        let over = self.overlay.as_ref().map_or((0, 0), |o| (o.changes().replacements(), o.directory().records));
        self.base.directory().records.saturating_sub(over.0) + over.1
    }

    /// The overlay and what it changes.
    #[inline(always)]
    pub fn over(&self) -> Option<(&Blob, Changes<'_>)> {
        self.overlay.as_deref().map(|blob| (blob, blob.changes()))
    }

    /// The blob that has the records of a layer; the overlay only where there is one.
    #[inline(always)]
    pub fn blob(&self, layer: Layer) -> &Blob {
        match (layer, &self.overlay) {
            (Layer::Overlay, Some(overlay)) => overlay,
            _ => &self.base,
        }
    }

    /// The record at a span.
    #[inline(always)]
    pub fn record(&self, span: Span) -> Result<Record<'_>> {
        self.blob(span.layer()).record(span.bare())
    }

    /// What group `group` has of the record in this slot of the base.
    #[inline(always)]
    pub fn aside(&self, group: usize, slot: u32) -> Result<Record<'_>> {
        let blob = &*self.groups[group];
        blob.record(blob.span(slot))
    }

    /// The same with their sections at hand.
    #[inline(always)]
    pub fn views(&self) -> Views<'_> {
        let over = self.over().map(|(overlay, changes)| (overlay.view(), changes));
        Views { base: self.base.view(), over, slots: self.slots() }
    }

    /// Pieces that all records are in, in order: ranges of slots of the base, then of the overlay.
    pub fn pieces(&self, step: u32) -> impl Iterator<Item = (Layer, std::ops::Range<u32>)> + use<> {
        let pieces = |layer, slots: u32| {
            (0..slots).step_by(step as usize).map(move |at| (layer, at..at.saturating_add(step).min(slots)))
        };
        let over = self.overlay.as_ref().map_or(0, |overlay| overlay.directory().index.total_slots() as u32);
        pieces(Layer::Base, self.slots()).chain(pieces(Layer::Overlay, over))
    }

    /// The records of a piece that are there, in order.
    pub fn spans(&self, layer: Layer, slots: std::ops::Range<u32>) -> impl Iterator<Item = Span> + '_ {
        let over = self.over();
        let spans = slots.map(move |slot| match (layer, over) {
            (Layer::Base, Some((_, changes))) if changes.has(slot) => Span::MISSING,
            (Layer::Overlay, Some((overlay, _))) => overlay.span(slot).overlaid(),
            _ => self.base.span(slot),
        });
        spans.filter(|span| !span.is_missing())
    }
}

/// The layers of a type with their sections at hand, but for those of the groups.
#[derive(Debug, Clone, Copy)]
pub struct Views<'a> {
    /// The base.
    pub base: View<'a>,
    over: Option<(View<'a>, Changes<'a>)>,
    slots: u32,
}

impl<'a> Views<'a> {
    /// The blob that has the records of a layer; the overlay only where there is one.
    #[inline(always)]
    pub fn of(&self, layer: Layer) -> &View<'a> {
        match (layer, &self.over) {
            (Layer::Overlay, Some((overlay, _))) => overlay,
            _ => &self.base,
        }
    }

    /// The record at a span.
    #[inline(always)]
    pub fn record(&self, span: Span) -> Result<Record<'a>> {
        self.of(span.layer()).record(span.bare())
    }

    /// Asks for what leads from an ordinal to its record.
    #[inline(always)]
    pub fn prefetch(&self, ordinal: u32) {
        self.base.prefetch(ordinal);
        if let Some((_, changes)) = &self.over {
            changes.prefetch(ordinal);
        }
    }

    /// Where the record of an ordinal lies: a span that is [`Span::gone`] where it is deleted, missing where there never was one.
    #[inline(always)]
    pub fn locate(&self, ordinal: u32) -> Span {
        match &self.over {
            Some((overlay, changes)) => self.locate_over(overlay, changes, ordinal),
            None => self.base.span(ordinal),
        }
    }

    #[inline(always)]
    fn locate_over(&self, overlay: &View<'_>, changes: &Changes<'_>, ordinal: u32) -> Span {
        if ordinal < self.slots && !changes.has(ordinal) {
            return self.base.span(ordinal);
        }
        let known = ordinal < self.slots;
        let place = if known { changes.place(ordinal) } else { changes.inserted(ordinal - self.slots) };
        match place {
            DELETED if known => Span { offset: GONE, length: 0, ordinal },
            DELETED => Span::MISSING,
            place => overlay.span(place).overlaid(),
        }
    }

    /// Asks for a record, or for its key alone.
    #[inline(always)]
    pub fn ask(&self, span: Span, whole: bool) {
        self.of(span.layer()).ask(span.bare(), whole);
    }
}
