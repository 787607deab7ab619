//! From records to the records they refer to, level by level, each level in passes over the whole batch.

use std::time::Instant;

use crate::directory::KeySpec;
use crate::error::{Error, Result};
use crate::key::KeyKind;
use crate::locator::{Span, line_of};
use crate::lookup::prefetch_record;
use crate::prefetch::prefetch;
use crate::selection::Node;
use crate::version::Version;

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

/// The offset of a span that stands for a dangling key; its ordinal is the key's place in the field's table.
const DANGLING: u64 = u64::MAX;

impl Span {
    /// The place in the table of dangling keys, for a reference whose key has no record.
    #[inline(always)]
    pub fn dangling(&self) -> Option<u64> {
        (self.length == 0 && self.offset == DANGLING).then_some(u64::from(self.ordinal))
    }
}

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
        let blob = &version.types[node.type_place].blob;
        let target = &version.types[node.children[child].node.type_place].blob;
        let spec = &target.directory().key;
        let dangling = blob.directory().fields[node.children[child].field].dangling;
        let named = match (span.dangling(), dangling) {
            (Some(place), Some(table)) => match (spec.kind, blob.entry(table, place)?) {
                (KeyKind::Int | KeyKind::Bytes, stored) => Named::Stored(stored),
                (_, text) => Named::Text(text),
            },
            _ if span.is_missing() => Named::Nothing,
            _ => Named::Stored(target.record(span)?.key()?),
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
        self.links.resize_with(node.children.len(), Links::default);
        for (child, links) in node.children.iter().zip(&mut self.links) {
            let field = &of_type.blob.directory().fields[child.field];
            let target = &version.types[child.node.type_place].blob;
            let (locator, width) = (target.locator(), target.directory().locator.width);
            let dangling = field.dangling.map_or(0, |table| table.count);
            let spans = &mut links.frame.spans;
            spans.clear();
            links.present.clear();
            links.starts.clear();
            links.starts.push(0);
            for (i, parent) in self.spans.iter().enumerate() {
                if i % LOOK == LOOK - 1 && deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                    return Err(Error::Deadline);
                }
                let present = !parent.is_missing()
                    && of_type.blob.record(*parent)?.codes(field, |code| {
                        spans.push(match code {
                            None => Span::MISSING,
                            Some(code) if code < dangling => Span { offset: DANGLING, length: 0, ordinal: code as u32 },
                            Some(code) => {
                                let ordinal = u32::try_from(code - dangling).unwrap_or(u32::MAX);
                                prefetch(locator, line_of(ordinal, width).0);
                                Span { offset: 0, length: 1, ordinal }
                            }
                        });
                    })?;
                if !present && !child.list {
                    spans.push(Span::MISSING);
                }
                links.present.push(present);
                links.starts.push(spans.len() as u32);
            }
        }
        for (child, links) in node.children.iter().zip(&mut self.links) {
            let target = &version.types[child.node.type_place].blob;
            for span in links.frame.spans.iter_mut().filter(|s| !s.is_missing()) {
                *span = target.span(span.ordinal);
                if span.is_missing() {
                    return Err(of_type.blob.damaged("records", "a reference leads to a hole"));
                }
                let fixed = target.directory().record.fixed;
                let needed = if child.node.outputs.is_empty() { span.length.min(fixed) } else { span.length };
                prefetch_record(target, Span { length: needed, ..*span });
            }
        }
        for (child, links) in node.children.iter().zip(&mut self.links) {
            links.frame.follow(version, &child.node, deadline)?;
        }
        Ok(())
    }
}
