//! The pass over the rows of a type that tells what is not as the version before has it.
//!
//! A group of rows at a time, each looked up in the base, a batch in each pass: memory does not grow with the rows, and the records that a
//! group's keys lead to lie together.

use std::ops::Range;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::build::Site;
use crate::canonical::Canon;
use crate::duplicates::{self, Duplicates, Equal};
use crate::error::{Error, Result};
use crate::forms::{Form, Reader};
use crate::group::{Group, Values, is_number};
use crate::hash::hash;
use crate::intake::Input;
use crate::key::KeyKind;
use crate::layers::{Layer, Layers};
use crate::lookup::{BATCH, Keys};
use crate::marks::Marks;
use crate::parallel;
use crate::row::Layout;
use crate::rows::{GROUPS, Row, Rows, Scatter};
use crate::spec::OnDuplicate;
use crate::version::Version;

/// Rows of one key: where the one that is kept lies, its source and row, and some of those of all.
type Rivals = (u64, (u32, u64), Vec<(u32, u64)>);

/// Rows by which it is decided which numbers go to a new group: those of the first groups, or all where there are fewer.
const SAMPLE: u64 = 1 << 18;

/// What rows are held against.
pub struct Sift<'a> {
    pub input: &'a Input,
    /// Grouped by the hashes of the base's index.
    pub rows: &'a Rows,
    pub layout: &'a Layout<'a>,
    /// The version before, without overlays.
    pub bases: &'a Version,
    /// The version before.
    pub parent: &'a Version,
    /// How records of the type are read from either.
    pub canons: (&'a Canon, &'a Canon),
    /// Keys that are deleted: no row may have one.
    pub deleted: &'a FxHashSet<Vec<u8>>,
    /// Whether it matters what the version before has under the keys of rows.
    pub update: bool,
    pub site: &'a Site<'a>,
}

/// What was found in the rows.
#[derive(Debug, Default)]
pub struct Tally {
    /// Rows with a key of their own.
    pub rows: u64,
    /// Those that the base has a record for.
    pub met: u64,
    /// Those of these that are as the base has them, but for fields that go to a group.
    pub same: u64,
    /// The sum over these.
    pub same_digest: u128,
    /// The sum over all.
    pub digest: u128,
    /// For each field, in ascending order of id, rows that differ there from the base's record.
    pub differing: Vec<u64>,
    /// Rows without a value, for each field.
    pub nulls: Vec<u64>,
    /// Rows that the version before has a record for.
    pub known: u64,
    /// Those of these whose record was another.
    pub changed: u64,
    /// Those of these that differ there, for each field.
    pub changes: Vec<u64>,
    /// The sum over what the version before has under the keys, in an update.
    pub before: u128,
}

/// What became of a group of rows.
#[derive(Debug, Default)]
struct Piece {
    tally: Tally,
    duplicates: (u64, Vec<Equal>),
    kept: Vec<u64>,
    values: Values,
    extent: Range<u64>,
}

/// What became of all rows.
#[derive(Debug)]
pub struct Sifted {
    pub tally: Tally,
    /// Rows dropped because their key came twice.
    pub dropped: u64,
    /// The slots of the base that rows were looked up in and found.
    pub seen: Marks,
    /// The slots of the overlay before whose keys have a row.
    pub superseded: Marks,
    /// The numbers that go to a group.
    pub group: Option<Group>,
}

impl Tally {
    fn new(fields: usize) -> Self {
        let zeros = || vec![0; fields];
        Self { differing: zeros(), nulls: zeros(), changes: zeros(), ..Self::default() }
    }

    fn merge(&mut self, other: &Self) {
        let add = |mine: &mut Vec<u64>, theirs: &[u64]| mine.iter_mut().zip(theirs).for_each(|(a, b)| *a += b);
        self.rows += other.rows;
        self.met += other.met;
        self.same += other.same;
        self.same_digest = self.same_digest.wrapping_add(other.same_digest);
        self.digest = self.digest.wrapping_add(other.digest);
        add(&mut self.differing, &other.differing);
        add(&mut self.nulls, &other.nulls);
        self.known += other.known;
        self.changed += other.changed;
        add(&mut self.changes, &other.changes);
        self.before = self.before.wrapping_add(other.before);
    }

    /// Takes note of a row that the version before has: as it is there, or not.
    fn compare(&mut self, ours: &Form, theirs: &Form) {
        self.known += 1;
        if ours.bytes != theirs.bytes {
            self.changed += 1;
            ours.differing(theirs).for_each(|place| self.changes[place] += 1);
        }
    }
}

/// What a pass marks, and the fields it leaves aside.
struct Pass<'a> {
    seen: &'a Marks,
    superseded: &'a Marks,
    /// For each field, in ascending order of id, whether it goes to the group.
    aside: Vec<bool>,
    group: Option<&'a Group>,
}

impl Sift<'_> {
    /// Passes over all rows. `keep` is called on this thread with the offsets of those that are not as the base has them. A number that
    /// differs from the base in more than this share of its records, going by a sample of the rows, goes to a group.
    pub fn run(&self, group_share: Option<f64>, keep: &mut dyn FnMut(&[u64]) -> Result<()>) -> Result<Sifted> {
        let slots = |layers: &Layers| layers.over().map_or(0, |(overlay, _)| overlay.directory().index.total_slots());
        let seen = Marks::new(u64::from(self.base().slots()));
        let superseded = Marks::new(slots(self.layers()));
        let fields = self.layout.fields.len();
        let mut orders = Vec::new();
        if let Some(share) = group_share {
            let pass = Pass { seen: &seen, superseded: &superseded, aside: vec![false; fields], group: None };
            let mut tally = Tally::new(fields);
            self.pass(&pass, self.sample(), &mut |_, piece| {
                tally.merge(&piece.tally);
                Ok(())
            })?;
            let is_number = |place: &usize| {
                let field_type = self.layout.fields[*place].field_type;
                !field_type.list && is_number(&field_type.scalar)
            };
            orders = (0..fields).filter(is_number).collect();
            orders.retain(|place| tally.differing[*place] as f64 > share * tally.met as f64);
        }
        let mut group = match orders.is_empty() {
            true => None,
            false => Some(Group::new(self.input, orders.iter().copied(), self.site)?),
        };
        let (mut tally, mut duplicates, mut extents) = (Tally::new(fields), Duplicates::default(), Vec::new());
        let aside = (0..fields).map(|place| orders.contains(&place)).collect();
        let pass = Pass { seen: &seen, superseded: &superseded, aside, group: group.as_ref() };
        self.pass(&pass, 0..GROUPS, &mut |i, piece| {
            keep(&piece.kept)?;
            tally.merge(&piece.tally);
            duplicates.add(piece.duplicates.0, piece.duplicates.1);
            extents.push((i, piece.values, piece.extent));
            Ok(())
        })?;
        let dropped = duplicates.rows;
        if self.input.spec.on_duplicate == OnDuplicate::Error {
            let refused = duplicates.refuse(&self.input.key, &|origin, row| self.input.described(origin, row));
            refused.map_err(|error| self.input.named(error))?;
        }
        for (i, values, extent) in extents {
            group.iter_mut().for_each(|group| group.add(i, &values, extent.clone()));
        }
        Ok(Sifted { tally, dropped, seen, superseded, group })
    }

    /// Puts rows into `scatter`, by the hashes of their keys.
    pub fn keep(&self, offsets: &[u64], scatter: &mut Scatter) -> Result<()> {
        let (kind, mut stored) = (self.layout.kind, Vec::new());
        offsets.iter().try_for_each(|at| {
            let row = self.rows.at(*at, kind == KeyKind::Int);
            stored.clear();
            row.key.store(kind, &mut stored);
            scatter.push(hash(0, &stored), row.origin, row.row, self.rows.body(*at))
        })
    }

    fn base(&self) -> &Layers {
        &self.bases.types[self.canons.0.node.type_place].layers
    }

    fn layers(&self) -> &Layers {
        &self.parent.types[self.canons.1.node.type_place].layers
    }

    /// The first groups that have rows enough to judge all by.
    fn sample(&self) -> Range<usize> {
        let mut rows = 0;
        let last = (0..GROUPS).find(|group| {
            rows += self.rows.count(*group);
            rows >= SAMPLE
        });
        0..last.map_or(GROUPS, |last| last + 1)
    }

    fn pass(
        &self,
        pass: &Pass<'_>,
        groups: Range<usize>,
        sink: &mut dyn FnMut(usize, Piece) -> Result<()>,
    ) -> Result<()> {
        let (mut done, mut outcome) = (groups.start, Ok(()));
        let work = |i: usize| Sieve { sift: self, pass }.sift(groups.start + i);
        parallel::ordered(self.site.threads, groups.len(), work, |piece| {
            outcome = piece.and_then(|piece| sink(done, piece));
            done += 1;
            if outcome.is_ok() {
                outcome = self.input.tell(self.site, "sift", done as u64, GROUPS as u64);
            }
            outcome.is_ok()
        });
        outcome
    }
}

/// The work on one group of rows.
struct Sieve<'a> {
    sift: &'a Sift<'a>,
    pass: &'a Pass<'a>,
}

/// The rows of a batch, and their keys in stored form.
struct Batch<'a> {
    rows: Vec<Row<'a>>,
    stored: Vec<u8>,
    ends: Vec<usize>,
}

impl Batch<'_> {
    fn stored(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(&0).chain(&self.ends);
        starts.zip(&self.ends).map(|(start, end)| &self.stored[*start..*end])
    }
}

impl<'a> Sieve<'a> {
    fn sift(&self, group: usize) -> Result<Piece> {
        let Sift { bases, parent, canons, layout, .. } = self.sift;
        let mut piece = Piece { tally: Tally::new(layout.fields.len()), ..Piece::default() };
        let (mut reader, mut touched, mut form) = (Reader::new(bases, canons.0), Vec::new(), Form::default());
        for batch in self.distinct(group, &mut piece).chunks(BATCH) {
            self.hold_against_base(batch, &mut reader, &mut form, &mut touched, &mut piece)?;
        }
        let mut reader = Reader::new(parent, canons.1);
        for batch in touched.chunks(BATCH) {
            self.hold_against_overlay(batch, &mut reader, &mut form, &mut piece.tally)?;
        }
        if let Some(group) = self.pass.group {
            piece.extent = group.put_down(&mut piece.values)?;
        }
        Ok(piece)
    }

    /// The offsets of the rows of a group, of those with one key the one that is kept.
    fn distinct(&self, group: usize, piece: &mut Piece) -> Vec<u64> {
        let Sift { rows, input, .. } = self.sift;
        let mut offsets: Vec<u64> = rows.offsets_of(group).collect();
        let hashes = rows.hashes(group);
        let mut sorted = hashes.clone();
        sorted.sort_unstable();
        let equal: FxHashSet<u64> = sorted.windows(2).filter(|w| w[0] == w[1]).map(|w| w[0]).collect();
        if equal.is_empty() {
            return offsets;
        }
        let on_duplicate = input.spec.on_duplicate;
        let mut found: FxHashMap<Vec<u8>, Rivals> = FxHashMap::default();
        for (at, _) in offsets.iter().zip(&hashes).filter(|(_, hash)| equal.contains(hash)) {
            let row = self.row(*at);
            let (mut stored, place) = (Vec::new(), (row.origin, row.row));
            row.key.store(input.key.kind, &mut stored);
            let (kept, first, places) = found.entry(stored).or_insert_with(|| (*at, place, Vec::new()));
            if (place > *first) == (on_duplicate == OnDuplicate::Last) {
                (*kept, *first) = (*at, place);
            }
            if on_duplicate == OnDuplicate::Error {
                duplicates::note(place, places);
            }
        }
        let kept: FxHashSet<u64> = found.values().map(|(kept, ..)| *kept).collect();
        let mut all = hashes.iter();
        let count = offsets.len();
        offsets.retain(|at| all.next().is_none_or(|hash| !equal.contains(hash)) || kept.contains(at));
        let told = found.into_iter().filter(|(_, (_, _, places))| places.len() > 1);
        piece.duplicates =
            ((count - offsets.len()) as u64, told.map(|(stored, (_, _, places))| (places, stored)).collect());
        offsets
    }

    fn row(&self, at: u64) -> Row<'a> {
        self.sift.rows.at(at, self.sift.layout.kind == KeyKind::Int)
    }

    fn batch(&self, offsets: &[u64]) -> Batch<'a> {
        let mut batch = Batch { rows: Vec::with_capacity(BATCH), stored: Vec::new(), ends: Vec::with_capacity(BATCH) };
        for at in offsets {
            let row = self.row(*at);
            row.key.store(self.sift.layout.kind, &mut batch.stored);
            batch.rows.push(row);
            batch.ends.push(batch.stored.len());
        }
        batch
    }

    fn hold_against_base(
        &self,
        offsets: &[u64],
        reader: &mut Reader<'_>,
        form: &mut Form,
        touched: &mut Vec<u64>,
        piece: &mut Piece,
    ) -> Result<()> {
        let Sift { input, layout, update, deleted, .. } = self.sift;
        let over = self.sift.layers().over();
        let batch = self.batch(offsets);
        let mut keys = Keys::with_capacity(&input.key, offsets.len());
        for stored in batch.stored() {
            if deleted.contains(stored) {
                let mut shown = Vec::new();
                crate::json::write_key(&input.key, stored, &mut shown);
                let shown = String::from_utf8_lossy(&shown);
                return Err(Error::Source(format!(
                    "type {:?}: key {shown} is both given and deleted",
                    input.spec.name
                )));
            }
            keys.push(Some(stored));
        }
        reader.find(&keys)?;
        for (i, (row, at)) in batch.rows.iter().zip(offsets).enumerate() {
            form.clear();
            layout.write(row.key, row.values, &mut form.bytes, &mut form.ends);
            let (digest, span) = (form.digest(), reader.span(i));
            let Piece { tally, kept, values, .. } = piece;
            tally.rows += 1;
            tally.digest = tally.digest.wrapping_add(digest);
            form.nulls().for_each(|place| tally.nulls[place] += 1);
            if span.is_missing() {
                kept.push(*at);
                if over.is_some() {
                    touched.push(*at);
                }
                continue;
            }
            tally.met += 1;
            self.pass.seen.set(span.ordinal);
            let theirs = reader.form(i)?;
            let mut same = true;
            if form.bytes != theirs.bytes {
                for place in form.differing(theirs) {
                    tally.differing[place] += 1;
                    same &= self.pass.aside[place];
                }
            }
            if same {
                tally.same += 1;
                tally.same_digest = tally.same_digest.wrapping_add(digest);
            } else {
                kept.push(*at);
            }
            if let Some(group) = self.pass.group {
                group.note(span.ordinal, form, values);
            }
            if over.is_some_and(|(_, changes)| changes.has(span.ordinal)) {
                touched.push(*at);
                continue;
            }
            tally.compare(form, theirs);
            if *update {
                let theirs = if form.bytes == theirs.bytes { digest } else { theirs.digest() };
                tally.before = tally.before.wrapping_add(theirs);
            }
        }
        Ok(())
    }

    fn hold_against_overlay(
        &self,
        offsets: &[u64],
        reader: &mut Reader<'_>,
        form: &mut Form,
        tally: &mut Tally,
    ) -> Result<()> {
        let batch = self.batch(offsets);
        let mut keys = Keys::with_capacity(&self.sift.input.key, offsets.len());
        batch.stored().for_each(|stored| keys.push(Some(stored)));
        reader.find(&keys)?;
        for (i, row) in batch.rows.iter().enumerate() {
            let span = reader.span(i);
            if span.is_missing() {
                continue;
            }
            if span.layer() == Layer::Overlay {
                self.pass.superseded.set(span.ordinal);
            }
            form.clear();
            self.sift.layout.write(row.key, row.values, &mut form.bytes, &mut form.ends);
            let theirs = reader.form(i)?;
            tally.compare(form, theirs);
            tally.before = tally.before.wrapping_add(theirs.digest());
        }
        Ok(())
    }
}
