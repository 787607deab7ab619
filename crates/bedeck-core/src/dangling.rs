//! References of records that stay, to keys that have no record any more, or still none.

use std::ops::Range;

use crate::blob::Blob;
use crate::build::Site;
use crate::directory::{Field, KeySpec, Table};
use crate::error::Result;
use crate::intake::Input;
use crate::layers::Layer;
use crate::lookup::Keys;
use crate::marks::Marks;
use crate::parallel;
use crate::roster::{BATCH, DANGLING};
use crate::table::SEGMENT;
use crate::target::{self, Standing, Target, Wanted};
use crate::version::{Place, Type};

/// What a field of the records that stay refers to in vain.
pub struct Lost<'a> {
    /// The place of the field in the schema.
    pub field: usize,
    /// How often.
    pub uses: u64,
    /// The first record that does, and the key as text.
    pub first: Option<(u32, Vec<u8>)>,
    standing: &'a Standing<'a>,
    place: Place,
    blob: &'a Blob,
    described: &'a Field,
    /// Entries of the table of dangling keys that have a record by now.
    found: Marks,
    /// Entries that are used and have none.
    entries: Marks,
    /// Slots of the base referred to that are used and deleted.
    slots: Marks,
}

/// What a piece of the records adds to each field: uses, and the first of them.
type Piece = Vec<(u64, Option<(u32, u64)>)>;

/// Goes through the records of a base that stay, those that `changed` does not mark; `standings` are what each field of the schema refers to.
pub fn lost<'a>(
    input: &Input,
    of_type: &'a Type,
    standings: &[Option<&'a Standing<'a>>],
    changed: &Marks,
    site: &Site<'_>,
) -> Result<Vec<Lost<'a>>> {
    let each = standings.iter().enumerate().filter_map(|(field, standing)| Some((field, (*standing)?)));
    let fields = each.map(|(field, standing)| Lost::new(of_type, field, standing));
    let mut fields: Vec<Lost<'a>> = fields.filter_map(Result::transpose).collect::<Result<_>>()?;
    if fields.is_empty() {
        return Ok(fields);
    }
    let slots = of_type.layers.slots();
    let pieces: Vec<Range<u32>> =
        (0..slots).step_by(SEGMENT as usize).map(|at| at..at.saturating_add(SEGMENT).min(slots)).collect();
    let (mut done, mut outcome) = (0, Ok(()));
    let mut sums: Piece = vec![(0, None); fields.len()];
    parallel::ordered(
        site.threads,
        pieces.len(),
        |i| pass(of_type, &fields, changed, pieces[i].clone()),
        |found: Result<Piece>| {
            done = pieces.len().min(done + 1);
            outcome = found.and_then(|piece| {
                for (sum, here) in sums.iter_mut().zip(piece) {
                    *sum = (sum.0 + here.0, sum.1.or(here.1));
                }
                input.tell(site, "resolve", done as u64, pieces.len() as u64)
            });
            outcome.is_ok()
        },
    );
    outcome?;
    for (field, (uses, first)) in fields.iter_mut().zip(sums) {
        field.uses = uses;
        field.first = first.map(|(slot, code)| field.text(code).map(|text| (slot, text))).transpose()?;
    }
    Ok(fields)
}

fn pass(of_type: &Type, fields: &[Lost<'_>], changed: &Marks, slots: Range<u32>) -> Result<Piece> {
    let layers = &of_type.layers;
    let mut piece: Piece = vec![(0, None); fields.len()];
    for slot in slots.filter(|slot| !changed.has(*slot)) {
        let span = layers.base.span(slot);
        if span.is_missing() {
            continue;
        }
        for (field, (uses, first)) in fields.iter().zip(&mut piece) {
            let record = match field.place {
                Place::Aside(group, _) => layers.aside(group, slot)?,
                _ => layers.base.record(span)?,
            };
            record.codes(field.described, |code| {
                if let Some(code) = code.filter(|code| field.is_lost(*code)) {
                    *uses += 1;
                    first.get_or_insert((slot, code));
                }
            })?;
        }
    }
    Ok(piece)
}

impl<'a> Lost<'a> {
    /// Gets ready; `None` where no key can be lost.
    fn new(of_type: &'a Type, field: usize, standing: &'a Standing<'a>) -> Result<Option<Self>> {
        let place = of_type.place(of_type.fields[field].id, Layer::Base);
        let (blob, at) = match place {
            Place::Record(at) => (&*of_type.layers.base, at),
            Place::Aside(group, at) => (&*of_type.layers.groups[group], at),
            Place::Nowhere => return Ok(None),
        };
        let described = &blob.directory().fields[at];
        let count = described.dangling.map_or(0, |table| table.count);
        if count == 0 && standing.gone.ones().next().is_none() {
            return Ok(None);
        }
        let (found, entries) = (Marks::new(count), Marks::new(count));
        let slots = Marks::new(standing.layers.slots().into());
        let lost = Self { field, uses: 0, first: None, standing, place, blob, described, found, entries, slots };
        lost.find()?;
        Ok(Some(lost))
    }

    fn table(&self) -> Table {
        self.described.dangling.unwrap_or(Table { offset: 0, count: 0 })
    }

    /// Marks the entries that have a record by now.
    fn find(&self) -> Result<()> {
        let (table, target) = (self.table(), Target::Layers(self.standing));
        let kind = target.key().kind;
        for start in (0..table.count).step_by(BATCH) {
            let (mut stored, mut ends, mut codes) = (Vec::new(), Vec::new(), Vec::new());
            for code in start..table.count.min(start + BATCH as u64) {
                let before = stored.len();
                if kind.store(self.blob.entry(table, code)?, &mut stored) {
                    codes.push(code);
                    ends.push(before..stored.len());
                } else {
                    stored.truncate(before);
                }
            }
            let wanted: Vec<Wanted<'_>> =
                ends.iter().map(|range| Wanted { target, stored: &stored[range.clone()] }).collect();
            let mut ordinals = Vec::new();
            target::find(&wanted, &mut ordinals)?;
            let there = codes.iter().zip(ordinals).filter(|(_, ordinal)| *ordinal != DANGLING);
            there.for_each(|(code, _)| self.found.set(*code as u32));
        }
        Ok(())
    }

    /// Whether a reference leads nowhere, and takes note of it.
    #[inline]
    fn is_lost(&self, code: u64) -> bool {
        let count = self.table().count;
        let (marks, at, lost) = match code.checked_sub(count) {
            None => (&self.entries, code as u32, !self.found.has(code as u32)),
            Some(slot) => (&self.slots, slot as u32, self.standing.gone.has(slot as u32)),
        };
        if lost && !marks.has(at) {
            marks.set(at);
        }
        lost
    }

    /// The key that a code names, as text.
    fn text(&self, code: u64) -> Result<Vec<u8>> {
        let Some(slot) = code.checked_sub(self.table().count) else {
            return self.blob.entry(self.table(), code).map(<[u8]>::to_vec);
        };
        let base = &self.standing.layers.base;
        let mut text = Vec::new();
        base.directory().key.kind.print(base.record(base.span(slot as u32))?.key()?, &mut text);
        Ok(text)
    }

    /// What the keys are.
    pub fn key(&self) -> &KeySpec {
        &self.standing.layers.base.directory().key
    }

    /// How many different keys these are, together with those, given as text.
    pub fn keys<'b>(&self, others: impl Iterator<Item = &'b [u8]>) -> Result<u64> {
        let mut keys = self.entries.count() + self.slots.count();
        for text in others {
            keys += u64::from(!self.has(text)?);
        }
        Ok(keys)
    }

    fn has(&self, text: &[u8]) -> Result<bool> {
        let table = self.table();
        let mut entries = 0..table.count;
        while !entries.is_empty() {
            let middle = entries.start + (entries.end - entries.start) / 2;
            match self.blob.entry(table, middle)?.cmp(text) {
                std::cmp::Ordering::Less => entries.start = middle + 1,
                std::cmp::Ordering::Greater => entries.end = middle,
                std::cmp::Ordering::Equal => return Ok(self.entries.has(middle as u32)),
            }
        }
        let base = &self.standing.layers.base;
        let key = &base.directory().key;
        let (mut stored, mut keys, mut spans) = (Vec::new(), Keys::with_capacity(key, 1), Vec::new());
        if !key.kind.store(text, &mut stored) {
            return Ok(false);
        }
        keys.push(Some(&stored));
        keys.find_in(base, 0..1, false, &mut spans)?;
        Ok(spans.first().is_some_and(|span| !span.is_missing() && self.slots.has(span.ordinal)))
    }
}
