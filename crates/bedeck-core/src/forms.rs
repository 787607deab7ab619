//! Canonical forms of records, a batch at a time, and what tells one from another.

use crate::canonical::{Canon, Memo};
use crate::error::Result;
use crate::gather::Frame;
use crate::layers::Layers;
use crate::locator::Span;
use crate::lookup::Keys;
use crate::measure::digest;
use crate::version::Version;

/// The canonical form of one record.
#[derive(Debug, Default, Clone)]
pub struct Form {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Where in them the key ends, and where each field does, in ascending order of id.
    pub ends: Vec<usize>,
}

impl Form {
    /// Makes room for another one.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// What a field has in it, by its place in the order of ids: nothing where it is null.
    #[inline]
    pub fn field(&self, place: usize) -> &[u8] {
        &self.bytes[self.ends[place]..self.ends[place + 1]]
    }

    /// The fields, by their places, that are not the same in both, which have the same fields.
    pub fn differing<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = usize> + 'a {
        (0..self.ends.len() - 1).filter(|place| self.field(*place) != other.field(*place))
    }

    /// The fields, by their places, that are null.
    pub fn nulls(&self) -> impl Iterator<Item = usize> + '_ {
        self.ends.windows(2).enumerate().filter(|(_, ends)| ends[0] == ends[1]).map(|(place, _)| place)
    }

    /// What it adds to a digest.
    pub fn digest(&self) -> u128 {
        digest(&self.bytes)
    }
}

/// Reads records of one type of a version.
pub struct Reader<'a> {
    version: &'a Version,
    canon: &'a Canon,
    frame: Frame,
    memo: Memo,
    form: Form,
}

impl<'a> Reader<'a> {
    /// One that has read nothing yet.
    pub fn new(version: &'a Version, canon: &'a Canon) -> Self {
        Self { version, canon, frame: Frame::default(), memo: Memo::default(), form: Form::default() }
    }

    /// The layers it reads.
    pub fn layers(&self) -> &'a Layers {
        &self.version.types[self.canon.node.type_place].layers
    }

    /// Finds the records of these keys, at most [`crate::lookup::BATCH`]: where they are, missing for each that is not there.
    pub fn find(&mut self, keys: &Keys<'_>) -> Result<&[Span]> {
        self.frame.spans.clear();
        keys.find(self.layers(), 0..keys.len(), true, &mut self.frame.spans)?;
        self.follow()
    }

    /// Takes records that are there, at most as many.
    pub fn take(&mut self, spans: &[Span]) -> Result<&[Span]> {
        self.frame.spans.clear();
        self.frame.spans.extend_from_slice(spans);
        let views = self.layers().views();
        spans.iter().for_each(|span| views.ask(*span, true));
        self.follow()
    }

    fn follow(&mut self) -> Result<&[Span]> {
        self.frame.follow(self.version, &self.canon.node, None)?;
        Ok(&self.frame.spans)
    }

    /// Where record `i` of those is.
    pub fn span(&self, i: usize) -> Span {
        self.frame.spans[i]
    }

    /// The form of record `i` of those, which is there.
    pub fn form(&mut self, i: usize) -> Result<&Form> {
        self.form.clear();
        let Self { version, canon, frame, memo, form } = self;
        canon.write(version, frame, i, memo, &mut form.bytes, &mut form.ends)?;
        Ok(&self.form)
    }
}

/// The sum over records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sum {
    /// Records.
    pub records: u64,
    /// Of their digests.
    pub digest: u128,
    /// For each field, in ascending order of id, those that have no value.
    pub nulls: Vec<u64>,
}

impl Sum {
    /// Adds a record, whose form is given.
    pub fn add(&mut self, form: &Form, digest: u128) {
        self.nulls.resize(form.ends.len() - 1, 0);
        self.records += 1;
        self.digest = self.digest.wrapping_add(digest);
        form.nulls().for_each(|place| self.nulls[place] += 1);
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: &Self) {
        self.records += other.records;
        self.digest = self.digest.wrapping_add(other.digest);
        self.nulls.resize(self.nulls.len().max(other.nulls.len()), 0);
        self.nulls.iter_mut().zip(&other.nulls).for_each(|(mine, theirs)| *mine += theirs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(fields: [&[u8]; 3]) -> Form {
        let mut form = Form { bytes: b"key".to_vec(), ends: vec![3] };
        for field in fields {
            form.bytes.extend_from_slice(field);
            form.ends.push(form.bytes.len());
        }
        form
    }

    #[test]
    fn fields_are_told_apart_one_by_one() {
        let (one, other) = (form([b"\x01a", b"", b"\x03c"]), form([b"\x01ab", b"", b""]));
        assert_eq!(one.differing(&other).collect::<Vec<_>>(), [0, 2]);
        assert_eq!(one.differing(&one).count(), 0);
        assert_eq!((one.field(1), one.field(2)), (&b""[..], &b"\x03c"[..]));
        assert_eq!((one.nulls().collect::<Vec<_>>(), other.nulls().collect::<Vec<_>>()), (vec![1], vec![1, 2]));
    }

    #[test]
    fn sums_do_not_depend_on_the_order() {
        let forms = [form([b"\x01a", b"", b""]), form([b"", b"", b""]), form([b"\x01a", b"\x02b", b"\x03c"])];
        let sum = |order: [usize; 3]| {
            let mut sum = Sum::default();
            order.iter().for_each(|i| sum.add(&forms[*i], forms[*i].digest()));
            sum
        };
        let mut merged = Sum::default();
        merged.merge(&sum([2, 0, 1]));
        assert_eq!((merged.records, merged.nulls.as_slice()), (3, &[1, 2, 2][..]));
        assert_eq!(merged, sum([0, 1, 2]));
    }
}
