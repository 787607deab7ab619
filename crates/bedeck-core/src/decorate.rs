//! Decorating a list: keys in, an answer out, a slice at a time.

use std::cell::Cell;
use std::time::Instant;

use crate::error::Error;
use crate::gather::Frame;
use crate::json::{Page, write_record};
use crate::layers::Layers;
use crate::lookup::{BATCH, Keys};
use crate::selection::Node;
use crate::sink::Sink;
use crate::version::Version;

/// What becomes of a key that is not in the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// It stands as null in its place.
    Null,
    /// It is left out.
    Drop,
    /// The first one ends the call.
    Error,
}

/// Why a list was not decorated.
#[derive(Debug)]
pub enum Stop {
    /// The key at this place is not in the catalogue, and [`Missing::Error`] was asked for.
    Missing(usize),
    /// Anything else.
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Looks up `keys` slice by slice, follows the node's references, and hands each slice's records to `each` with the place of its first key.
/// Stops at the first error, at the first missing key where `missing` says so, and between slices once `deadline` has passed.
pub fn decorate<E: From<Stop>>(
    version: &Version,
    node: &Node,
    keys: &Keys<'_>,
    missing: Missing,
    deadline: Option<Instant>,
    mut each: impl FnMut(usize, &Frame) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let layers = &version.types[node.type_place].layers;
    let mut frame = SCRATCH.take();
    let done = slices(version, node, layers, keys, missing, deadline, &mut frame, &mut each);
    if frame.capacity() <= KEPT {
        SCRATCH.set(frame);
    }
    done
}

/// Spans that a thread's frame may have room for and be kept for its next list.
const KEPT: usize = 1 << 16;

thread_local! {
    /// The frame of the last list, for its memory. Taken while it is used: whatever `each` does may come here again.
    static SCRATCH: Cell<Frame> = Cell::default();
}

#[expect(clippy::too_many_arguments, reason = "the body of the function above, apart for its early returns")]
fn slices<E: From<Stop>>(
    version: &Version,
    node: &Node,
    layers: &Layers,
    keys: &Keys<'_>,
    missing: Missing,
    deadline: Option<Instant>,
    frame: &mut Frame,
    each: &mut impl FnMut(usize, &Frame) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    for start in (0..keys.len()).step_by(BATCH) {
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(Stop::Failed(Error::Deadline).into());
        }
        frame.spans.clear();
        let range = start..(start + BATCH).min(keys.len());
        keys.find(layers, range, !node.outputs.is_empty(), &mut frame.spans).map_err(Stop::Failed)?;
        match missing {
            Missing::Null => {}
            Missing::Drop => frame.spans.retain(|span| !span.is_missing()),
            Missing::Error => {
                if let Some(place) = frame.spans.iter().position(|span| span.is_missing()) {
                    return Err(Stop::Missing(start + place).into());
                }
            }
        }
        frame.follow(version, node, deadline).map_err(Stop::Failed)?;
        each(start, frame)?;
    }
    Ok(())
}

/// Decorates `keys` as one JSON array, appended to `sink`; gives how many of them have a record.
pub fn decorate_json(
    version: &Version,
    node: &Node,
    keys: &Keys<'_>,
    missing: Missing,
    deadline: Option<Instant>,
    sink: &mut Sink,
) -> std::result::Result<usize, Stop> {
    sink.write(|room, _| room.byte(b'['))?;
    let (mut first, mut found) = (true, 0);
    decorate(version, node, keys, missing, deadline, |_, frame| {
        let page = Page::new(version, node, frame);
        found += frame.spans.iter().filter(|span| !span.is_missing()).count();
        for i in 0..frame.spans.len() {
            sink.write(|room, scratch| {
                let room = if first { room } else { room.byte(b',')? };
                write_record(&page, i, room, scratch)
            })?;
            first = false;
        }
        Ok::<(), Stop>(())
    })?;
    sink.write(|room, _| room.byte(b']'))?;
    Ok(found)
}
