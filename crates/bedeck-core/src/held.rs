//! A type whose rows were held against the version before: what is left of them for an overlay, and what is gone.

use std::sync::Arc;

use rustc_hash::FxHashSet;

use crate::build::Site;
use crate::carry::carry;
use crate::changes::DELETED;
use crate::cycle::{Before, Changes, Options};
use crate::error::Result;
use crate::forms::{Reader, Sum};
use crate::intake::Input;
use crate::layers::{Layer, Layers};
use crate::lookup::{BATCH, Keys};
use crate::marks::Marks;
use crate::row::{FieldLayout, Layout};
use crate::rows::{Drain, Rows, Scatter};
use crate::sift::{Sift, Sifted};

/// A type whose rows were held against the version before.
pub struct Held {
    pub input: Input,
    /// All rows.
    rows: Rows,
    /// The place of the type in [`Before`].
    pub place: usize,
    pub sifted: Sifted,
    /// The rows of the next overlay; some of them only, where they are too many.
    pub kept: Option<Rows>,
    /// How many they are.
    count: u64,
    /// Slots of the base that are deleted now, and that were before.
    pub gone: Marks,
    pub gone_before: Marks,
    /// Records of the version before that are gone.
    pub removed: Sum,
    /// In an update, the records of the overlay before.
    pub overlay_before: Sum,
    records: u64,
    /// Records that may lie over these.
    most: u64,
    /// Keys there are ordinals for beyond those of the base.
    inserted: u64,
    slots: u64,
}

impl Held {
    /// Holds the rows of a type against the version before, in which it has this place; `most` records may lie over its base. An update
    /// deletes the keys `deleted`.
    #[expect(clippy::too_many_arguments, reason = "all that a cycle knows of a type")]
    pub fn new(
        mut input: Input,
        rows: Rows,
        before: &Before,
        place: usize,
        most: u64,
        deleted: &FxHashSet<Vec<u8>>,
        options: &Options,
        site: &Site<'_>,
    ) -> Result<Self> {
        let layers = &before.parent.types[place].layers;
        let base = layers.base.directory();
        let rows = input.grouped(rows, base.index.seed, site)?;
        let drain = Arc::new(Drain::create(site.directory, "kept")?);
        let mut scatter = Scatter::new(drain.clone(), site.block);
        let mut count = 0;
        let sifted = {
            let layout = layout(&input, before, place);
            let (bases, parent, canon) = (&before.bases, &before.parent, &before.canons[place]);
            let canons = (&canon.0, &canon.1);
            let (rows, update) = (&rows, options.update);
            let sift = Sift { input: &input, rows, layout: &layout, bases, parent, canons, deleted, update, site };
            let share = (!options.update && !options.compact).then_some(options.group_share);
            sift.run(share, &mut |kept| {
                count += kept.len() as u64;
                if options.compact || count > most { Ok(()) } else { sift.keep(kept, &mut scatter) }
            })?
        };
        let gone_before = gone(layers);
        let gone = Marks::new(layers.slots().into());
        let (mut removed, mut overlay_before) = (Sum::default(), Sum::default());
        if options.update {
            gone_before.ones().filter(|slot| !sifted.seen.has(*slot)).for_each(|slot| gone.set(slot));
            delete(&input, before, place, deleted, &gone, &sifted.superseded, &mut removed)?;
            let (canon, superseded) = (&before.canons[place].1, &sifted.superseded);
            let carried = carry(&mut input, &before.parent, canon, superseded, &mut scatter, site)?;
            overlay_before = carried.0;
            count += carried.1;
        } else {
            let there = |slot: &u32| !layers.base.span(*slot).is_missing() && !sifted.seen.has(*slot);
            (0..layers.slots()).filter(there).for_each(|slot| gone.set(slot));
            removed.records = layers.records() - sifted.tally.known;
        }
        let kept = Some(Rows::new(drain, [scatter], (input.key.kind, 0))?);
        let inserted = layers.over().map_or(0, |(_, changes)| changes.insertions().into());
        let (records, slots) = (base.records, layers.slots().into());
        Ok(Self {
            input,
            rows,
            place,
            sifted,
            kept,
            count,
            gone,
            gone_before,
            removed,
            overlay_before,
            records,
            most,
            inserted,
            slots,
        })
    }

    /// Why it needs a new base, if it does.
    pub fn why_anew(&self) -> Option<String> {
        let name = &self.input.spec.name;
        let changed = self.count + self.gone.count();
        if changed > self.most {
            return Some(format!(
                "type {name:?}: {changed} records are replaced, inserted or deleted over a base of {}, and {} may be",
                self.records, self.most
            ));
        }
        // Two of the numbers of an ordinal have a meaning of their own.
        (self.slots + self.inserted + self.count > u64::from(u32::MAX) - 2).then(|| {
            format!("type {name:?}: {} keys were inserted since its base, which has no more ordinals", self.inserted)
        })
    }

    /// How the rows differ from the version before.
    pub fn changes(&self) -> Changes {
        Changes::new(&self.input, &self.sifted.tally, self.removed.records)
    }

    /// The type and all its rows.
    pub fn release(self) -> (Input, Rows) {
        (self.input, self.rows)
    }
}

/// How the rows of a type are read; the keys that it refers to are of the kinds they were before.
fn layout<'a>(input: &'a Input, before: &Before, place: usize) -> Layout<'a> {
    let kind = |place: usize| before.bases.types[place].layers.base.directory().key.kind;
    let targets = &before.bases.types[place].targets;
    let fields = input.spec.by_id().into_iter().map(|place| FieldLayout {
        id: input.spec.fields[place].id,
        field_type: &input.spec.fields[place].field_type,
        target: targets[place].map(kind),
        values: &input.dictionaries[place].by_code,
    });
    Layout { kind: input.key.kind, fields: fields.collect() }
}

/// The slots of the base that are deleted.
fn gone(layers: &Layers) -> Marks {
    let gone = Marks::new(layers.slots().into());
    if let Some((_, changes)) = layers.over() {
        let deleted = (0..layers.slots()).filter(|slot| changes.has(*slot) && changes.place(*slot) == DELETED);
        deleted.for_each(|slot| gone.set(slot));
    }
    gone
}

/// Deletes keys: marks their slots, in the base and in the overlay, and adds up the records they had. What has none is passed over.
fn delete(
    input: &Input,
    before: &Before,
    place: usize,
    deleted: &FxHashSet<Vec<u8>>,
    gone: &Marks,
    superseded: &Marks,
    removed: &mut Sum,
) -> Result<()> {
    let mut reader = Reader::new(&before.parent, &before.canons[place].1);
    let deleted: Vec<&[u8]> = deleted.iter().map(Vec::as_slice).collect();
    for batch in deleted.chunks(BATCH) {
        let (mut keys, mut spans) = (Keys::with_capacity(&input.key, batch.len()), Vec::new());
        batch.iter().for_each(|stored| keys.push(Some(stored)));
        keys.find_in(&reader.layers().base, 0..keys.len(), false, &mut spans)?;
        spans.iter().filter(|span| !span.is_missing()).for_each(|span| gone.set(span.ordinal));
        reader.find(&keys)?;
        for i in 0..batch.len() {
            let span = reader.span(i);
            if span.is_missing() {
                continue;
            }
            if span.layer() == Layer::Overlay {
                superseded.set(span.ordinal);
            }
            let form = reader.form(i)?;
            removed.add(form, form.digest());
        }
    }
    Ok(())
}
