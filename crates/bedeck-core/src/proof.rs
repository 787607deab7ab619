//! The proof that layers hold what they should: everything in them read again, through the passes that will serve it.

use crate::build::Site;
use crate::canonical::Canon;
use crate::changes::DELETED;
use crate::cycle::Before;
use crate::error::{Error, Result};
use crate::forms::{Reader, Sum};
use crate::held::Held;
use crate::intake::Input;
use crate::layers::{Layer, Layers};
use crate::ledger::Ledger;
use crate::locator::Span;
use crate::lookup::{BATCH, Keys};
use crate::marks::Marks;
use crate::measure::Measured;
use crate::parallel;
use crate::table::SEGMENT;
use crate::version::{Place, Version};

/// The sum over the records of one layer of a type, all others of it applied.
fn sum(input: &Input, version: &Version, canon: &Canon, layer: Layer, site: &Site<'_>) -> Result<Sum> {
    let layers = &version.types[canon.node.type_place].layers;
    let pieces: Vec<_> = layers.pieces(SEGMENT).filter(|(of, _)| *of == layer).collect();
    add(input, pieces.len(), site, |i| {
        let (layer, slots) = pieces[i].clone();
        sum_of(version, canon, layers.spans(layer, slots))
    })
}

/// The sum over the records in these slots of a base, of which `version` has no overlay.
fn sum_marked(input: &Input, version: &Version, canon: &Canon, marks: &Marks, site: &Site<'_>) -> Result<Sum> {
    let layers = &version.types[canon.node.type_place].layers;
    let slots: Vec<u32> = marks.ones().collect();
    let pieces: Vec<&[u32]> = slots.chunks(SEGMENT as usize).collect();
    add(input, pieces.len(), site, |i| sum_of(version, canon, pieces[i].iter().map(|slot| layers.base.span(*slot))))
}

fn add(input: &Input, count: usize, site: &Site<'_>, work: impl Fn(usize) -> Result<Sum> + Sync) -> Result<Sum> {
    let (mut sum, mut done, mut outcome) = (Sum::default(), 0, Ok(()));
    parallel::ordered(site.threads, count, work, |found: Result<Sum>| {
        done += 1;
        outcome = found.and_then(|found| {
            sum.merge(&found);
            input.tell(site, "check", done, count as u64)
        });
        outcome.is_ok()
    });
    outcome.map(|()| sum)
}

fn sum_of(version: &Version, canon: &Canon, spans: impl Iterator<Item = Span>) -> Result<Sum> {
    let (mut reader, mut sum) = (Reader::new(version, canon), Sum::default());
    for batch in spans.collect::<Vec<_>>().chunks(BATCH) {
        reader.take(batch)?;
        for i in 0..batch.len() {
            let form = reader.form(i)?;
            sum.add(form, form.digest());
        }
    }
    Ok(sum)
}

/// What a type is to be, and what its layers are.
pub struct Proof<'a> {
    pub held: &'a Held,
    pub ledger: &'a Ledger,
    pub before: &'a Before,
    /// The version with the new layers, and how records of the type are read from it.
    pub version: &'a Version,
    pub canon: &'a Canon,
    /// The rows of the overlay.
    pub measured: &'a Measured,
    pub site: &'a Site<'a>,
}

impl Proof<'_> {
    /// Proves that the layers hold the rows, all there are, if any layer is new: gives their digest, and how many have no value in each field.
    pub fn of_all(&self, grouped: bool, written: bool) -> Result<(u128, Vec<u64>)> {
        let Self { held, ledger, version, canon, site, .. } = self;
        let (tally, layers) = (&held.sifted.tally, self.layers());
        if written {
            let mut same = Sum { records: tally.same, digest: tally.same_digest, ..Sum::default() };
            let unchanged =
                layers.base.directory().records.checked_sub(ledger.replaced.len() as u64 + held.gone.count());
            let mut sound = unchanged == Some(same.records);
            if grouped {
                let read = sum(&held.input, version, canon, Layer::Base, site)?;
                sound &= (read.records, read.digest) == (same.records, same.digest);
            }
            same.merge(&sum(&held.input, version, canon, Layer::Overlay, site)?);
            sound &= (same.records, same.digest) == (tally.rows, tally.digest) && layers.records() == tally.rows;
            self.check(sound)?;
        }
        Ok((tally.digest, tally.nulls.clone()))
    }

    /// Proves the same of an update: that the layers hold what those before did, whose digest was `digest`, but for what the update brings.
    pub fn of_update(&self, digest: Option<&String>, written: bool) -> Result<(u128, Vec<u64>)> {
        let Self { held, ledger, before, version, canon, site, measured } = self;
        let (input, tally, layers) = (&held.input, &held.sifted.tally, self.layers());
        let canons = &before.canons[held.place];
        let changed = ledger.changed(layers.slots(), &held.gone);
        let replaced = sum_marked(input, &before.bases, &canons.0, &changed, site)?;
        let was = self.digest_before(digest)?;
        let now = was.wrapping_sub(tally.before).wrapping_sub(held.removed.digest).wrapping_add(tally.digest);
        if written {
            let restored = match before.parent.types[held.place].layers.over() {
                Some((_, changes)) => {
                    let marks = Marks::new(layers.slots().into());
                    (0..layers.slots()).filter(|slot| changes.has(*slot)).for_each(|slot| marks.set(slot));
                    sum_marked(input, &before.bases, &canons.0, &marks, site)?
                }
                None => Sum::default(),
            };
            let overlay = sum(input, version, canon, Layer::Overlay, site)?;
            let held_now = was
                .wrapping_sub(held.overlay_before.digest)
                .wrapping_add(restored.digest)
                .wrapping_sub(replaced.digest)
                .wrapping_add(overlay.digest);
            let parent = before.parent.types[held.place].layers.records();
            let records = parent - held.removed.records + (tally.rows - tally.known);
            self.check(held_now == now && layers.records() == records)?;
        }
        let nulls = input.spec.by_id().into_iter().enumerate().map(|(order, place)| {
            let of_replaced = replaced.nulls.get(order).copied().unwrap_or(0);
            self.nulls_under(input.spec.fields[place].id) - of_replaced + measured.columns[place].nulls
        });
        Ok((now, nulls.collect()))
    }

    fn layers(&self) -> &Layers {
        &self.version.types[self.canon.node.type_place].layers
    }

    fn check(&self, sound: bool) -> Result<()> {
        if !sound {
            return Err(wrong(&self.held.input, "what was written is not what the rows say"));
        }
        self.check_keys()
    }

    /// The digest of the version before, with the fields of the schema: the one it has, unless a field is gone or it is not told.
    fn digest_before(&self, told: Option<&String>) -> Result<u128> {
        let Self { held, before, site, .. } = self;
        let told = told.and_then(|digest| u128::from_str_radix(digest, 16).ok());
        if let (Some(digest), false) = (told, before.wider[held.place]) {
            return Ok(digest);
        }
        let canon = &before.canons[held.place].1;
        let mut all = sum(&held.input, &before.parent, canon, Layer::Base, site)?;
        all.merge(&sum(&held.input, &before.parent, canon, Layer::Overlay, site)?);
        Ok(all.digest)
    }

    /// How many records of the base, with its groups, have no value in a field.
    fn nulls_under(&self, id: u32) -> u64 {
        let under = &self.before.bases.types[self.held.place];
        match under.place(id, Layer::Base) {
            Place::Record(at) => under.layers.base.directory().fields[at].nulls,
            Place::Aside(group, at) => under.layers.groups[group].directory().fields[at].nulls,
            Place::Nowhere => under.layers.base.directory().records,
        }
    }

    /// Looks up every key of the overlay, and every one that is deleted, in all layers: each has to lead to its record, by its ordinal too, or
    /// nowhere.
    fn check_keys(&self) -> Result<()> {
        let Self { held, ledger, site, .. } = self;
        let (input, layers) = (&held.input, self.layers());
        let lost = || Err::<Sum, Error>(wrong(input, "a key is not found after the build"));
        let key = &layers.base.directory().key;
        let pieces: Vec<_> = layers.pieces(SEGMENT).filter(|(layer, _)| *layer == Layer::Overlay).collect();
        let found = add(input, pieces.len(), site, |i| {
            let (layer, slots) = pieces[i].clone();
            let spans: Vec<Span> = layers.spans(layer, slots).collect();
            for batch in spans.chunks(BATCH) {
                let (mut keys, mut found) = (Keys::with_capacity(key, batch.len()), Vec::new());
                for span in batch {
                    keys.push(Some(layers.record(*span)?.key()?));
                }
                keys.find(layers, 0..keys.len(), false, &mut found)?;
                let located = batch.iter().map(|span| layers.views().locate(ledger.ordinals[span.ordinal as usize]));
                if found != batch || !located.eq(batch.iter().copied()) {
                    return lost();
                }
            }
            Ok(Sum { records: spans.len() as u64, ..Sum::default() })
        })?;
        let slots: Vec<u32> = held.gone.ones().collect();
        let mut sound = found.records == ledger.records();
        for batch in slots.chunks(BATCH) {
            let (mut keys, mut found) = (Keys::with_capacity(key, batch.len()), Vec::new());
            for slot in batch {
                keys.push(Some(layers.base.record(layers.base.span(*slot))?.key()?));
            }
            keys.find(layers, 0..keys.len(), false, &mut found)?;
            sound &= found.iter().all(Span::is_missing);
        }
        let deleted = ledger.inserted.iter().enumerate().filter(|(_, slot)| **slot == DELETED);
        sound &= deleted.map(|(i, _)| layers.views().locate(layers.slots() + i as u32)).all(|span| span.is_missing());
        if sound { Ok(()) } else { lost().map(|_| ()) }
    }
}

/// An error that should never be seen.
fn wrong(input: &Input, what: &str) -> Error {
    Error::Io(format!("type {:?}: {what}; this is a bug in bedeck", input.spec.name))
}
