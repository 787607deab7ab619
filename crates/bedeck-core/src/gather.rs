//! From records to the records they refer to, level by level, each level in passes over the whole batch.

use std::time::Instant;

use crate::blob::View;
use crate::directory::{Field, KeySpec};
use crate::error::{Error, Result};
use crate::key::KeyKind;
use crate::layers::{Layer, MOST_GROUPS};
use crate::locator::Span;
use crate::selection::{Child, Node};
use crate::version::{Place, Resolved, Type, Version, source};

/// The records of one level of a selection, and those that its references lead to.
#[derive(Debug, Default)]
pub struct Frame {
    /// Records, or places without one.
    pub spans: Vec<Span>,
    /// One for each child of the node.
    pub links: Vec<Links>,
}

/// What one reference of a level leads to.
#[derive(Debug, Default)]
pub struct Links {
    /// For parent i, its places in `frame` are `starts[i]..starts[i + 1]`.
    starts: Vec<u32>,
    /// Whether parent i's field is there at all.
    present: Vec<bool>,
    /// The records.
    pub frame: Frame,
}

/// Records followed between two looks at the clock.
const LOOK: usize = 256;

/// The offset of a span that stands for a dangling key, plus the place among [`Type::sources`] of the blob whose table has it; its ordinal is the
/// key's place in the table.
const DANGLING: u64 = u64::MAX - 4096;
/// The offset of a span whose record is to be found yet, by its ordinal.
const PENDING: u64 = DANGLING - 1;

impl Span {
    /// The blob and the place in its table of dangling keys, for a reference whose key has no record.
    #[inline(always)]
    pub fn dangling(&self) -> Option<(usize, u64)> {
        let place = self.offset.wrapping_sub(DANGLING);
        (self.length == 0 && place < MOST_SOURCES).then_some((place as usize, u64::from(self.ordinal)))
    }
}

/// Blobs that a type's fields can be read from: [`Type::sources`].
const MOST_SOURCES: u64 = 2 + MOST_GROUPS as u64;

/// The key that one place of a reference names.
#[derive(Debug, Clone, Copy)]
pub enum Named<'a> {
    /// None: the item is null.
    Nothing,
    /// A key in stored form.
    Stored(&'a [u8]),
    /// A key without a record, in text form.
    Text(&'a [u8]),
}

impl Links {
    /// The key at place `at` of child `child` of `node`, whose links these are, and how keys of its type are stored.
    #[inline(always)]
    pub fn named<'a>(
        &self,
        version: &'a Version,
        node: &Node,
        child: usize,
        at: usize,
    ) -> Result<(&'a KeySpec, Named<'a>)> {
        let span = self.frame.spans[at];
        let child = &node.children[child];
        let target = &version.types[child.node.type_place].layers;
        let spec = &target.base.directory().key;
        let named = if let Some((source, place)) = span.dangling() {
            match (spec.kind, version.types[node.type_place].dangling(source, child.field, place)?) {
                (KeyKind::Int | KeyKind::Bytes, stored) => Named::Stored(stored),
                (_, text) => Named::Text(text),
            }
        } else if let Some(slot) = span.gone() {
            Named::Stored(target.base.record(target.base.span(slot))?.key()?)
        } else if span.is_missing() {
            Named::Nothing
        } else {
            Named::Stored(target.record(span)?.key()?)
        };
        Ok((spec, named))
    }

    /// The places in the frame of parent `i`; `None` where its field is null. A reference that is no list has one place for every parent.
    #[inline(always)]
    pub fn of(&self, i: usize) -> Option<std::ops::Range<usize>> {
        self.present[i].then(|| self.starts[i] as usize..self.starts[i + 1] as usize)
    }
}

impl Frame {
    /// Spans there is room for, on all levels.
    pub fn capacity(&self) -> usize {
        self.spans.capacity() + self.links.iter().map(|links| links.frame.capacity()).sum::<usize>()
    }

    /// Follows the node's references from `spans` on. Linear in the records reached, of which cycles in the data can make
    /// any number: `deadline` is looked at on the way. Keeps its memory from call to call.
    pub fn follow(&mut self, version: &Version, node: &Node, deadline: Option<Instant>) -> Result<()> {
        let of_type = &version.types[node.type_place];
        self.prefetch_asides(of_type, node, true);
        self.links.resize_with(node.children.len(), Links::default);
        for (child, links) in node.children.iter().zip(&mut self.links) {
            let sides = [Side::new(of_type, child, Layer::Base), Side::new(of_type, child, Layer::Overlay)];
            let target = version.types[child.node.type_place].layers.views();
            let spans = &mut links.frame.spans;
            spans.clear();
            links.present.clear();
            links.starts.clear();
            links.starts.push(0);
            for (i, parent) in self.spans.iter().enumerate() {
                if i % LOOK == LOOK - 1 && deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                    return Err(Error::Deadline);
                }
                let present = !parent.is_missing() && {
                    let side = &sides[parent.layer() as usize];
                    side.codes(of_type, *parent, |code| {
                        let span = side.span(code);
                        if span.offset == PENDING {
                            target.prefetch(span.ordinal);
                        } else {
                            target.ask(span, true);
                        }
                        spans.push(span);
                    })?
                };
                if !present && !child.list {
                    spans.push(Span::MISSING);
                }
                links.present.push(present);
                links.starts.push(spans.len() as u32);
            }
        }
        self.prefetch_asides(of_type, node, false);
        for (child, links) in node.children.iter().zip(&mut self.links) {
            let target = version.types[child.node.type_place].layers.views();
            let whole = !child.node.outputs.is_empty();
            for span in links.frame.spans.iter_mut().filter(|span| span.offset == PENDING) {
                *span = target.locate(span.ordinal);
                if span.is_missing() {
                    if span.gone().is_some() {
                        continue;
                    }
                    return Err(of_type.layers.base.damaged("records", "a reference leads to a hole"));
                }
                target.ask(*span, whole);
            }
        }
        for (child, links) in node.children.iter().zip(&mut self.links) {
            links.frame.follow(version, &child.node, deadline)?;
        }
        Ok(())
    }

    /// Asks for what leads to the records' fields in groups, or then for these.
    fn prefetch_asides(&self, of_type: &Type, node: &Node, first: bool) {
        for group in &node.groups {
            let view = of_type.layers.groups[*group].view();
            for span in self.spans.iter().filter(|span| !span.is_missing() && span.layer() == Layer::Base) {
                if first { view.prefetch(span.ordinal) } else { view.prefetch_record(view.span(span.ordinal)) }
            }
        }
    }
}

/// How a reference is read from the records of one layer.
struct Side<'a> {
    place: Place,
    view: View<'a>,
    source: usize,
    field: Option<&'a Field>,
    dangling: u64,
    resolved: &'a Resolved,
}

impl<'a> Side<'a> {
    fn new(of_type: &'a Type, child: &Child, layer: Layer) -> Self {
        let place = child.places[layer as usize];
        let field = match place {
            Place::Record(at) => Some(&of_type.layers.blob(layer).directory().fields[at]),
            Place::Aside(group, at) => Some(&of_type.layers.groups[group].directory().fields[at]),
            Place::Nowhere => None,
        };
        let source = source(layer, place);
        let dangling = field.and_then(|field| field.dangling).map_or(0, |table| table.count);
        let view = of_type.layers.blob(layer).view();
        Self { place, view, source, field, dangling, resolved: &of_type.resolved[child.field][source] }
    }

    /// Tells `each` the codes of the record at `parent`; false where the field is null.
    #[inline(always)]
    fn codes(&self, of_type: &Type, parent: Span, each: impl FnMut(Option<u64>)) -> Result<bool> {
        let (record, field) = match (self.place, self.field) {
            (Place::Record(_), Some(field)) => (self.view.record(parent.bare())?, field),
            (Place::Aside(group, _), Some(field)) => (of_type.layers.aside(group, parent.ordinal)?, field),
            _ => return Ok(false),
        };
        record.codes(field, each)
    }

    /// Where a code leads.
    #[inline(always)]
    fn span(&self, code: Option<u64>) -> Span {
        match code {
            None => Span::MISSING,
            Some(code) if code < self.dangling => {
                let ordinal = code as u32;
                let unknown = Span { offset: DANGLING + self.source as u64, length: 0, ordinal };
                if self.resolved.is_empty() { unknown } else { self.resolved.get(&ordinal).copied().unwrap_or(unknown) }
            }
            Some(code) => {
                let ordinal = u32::try_from(code - self.dangling).unwrap_or(u32::MAX);
                Span { offset: PENDING, length: 1, ordinal }
            }
        }
    }
}
