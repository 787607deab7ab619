//! The layers of a type in the making: those before that stay, and those that are written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::blob::Blob;
use crate::build::{Layer, Site};
use crate::checksum::BlobSums;
use crate::dangling::lost;
use crate::directory::Kind;
use crate::error::{Error, Result};
use crate::group::Group;
use crate::held::Held;
use crate::intake::{Input, counted};
use crate::job::Job;
use crate::layers::Layers;
use crate::ledger::Ledger;
use crate::measure::{Measured, Subject};
use crate::plan::{Part, plan};
use crate::target::Standing;
use crate::version::Type;

/// A type whose layers are made.
pub struct Laying<'a> {
    pub input: &'a Input,
    /// The type before, and the same without its overlay.
    pub parent: &'a Type,
    pub under: &'a Type,
    pub held: &'a Held,
    pub ledger: &'a Ledger,
    /// What each field refers to, and how many ordinals there are.
    pub standings: Vec<Option<(&'a Standing<'a>, u64)>>,
    pub site: &'a Site<'a>,
}

/// Layers in the order of the manifest.
#[derive(Debug, Default)]
pub struct Stack {
    pub layers: Vec<Layer>,
    pub sums: Vec<BlobSums>,
    blobs: Vec<Arc<Blob>>,
    /// Whether a group is new.
    pub grouped: bool,
}

impl Stack {
    /// All layers of a type as they are.
    pub fn of(parent: &Type) -> Self {
        let mut stack = Self::default();
        (0..parent.sums.len()).for_each(|place| stack.keep(parent, place));
        stack
    }

    /// Whether all are those before.
    pub fn is_kept(&self, parent: &Type) -> bool {
        self.sums == parent.sums
    }

    /// All of them, as they are read.
    pub fn stacked(&self) -> Result<Layers> {
        let hashes: Vec<&str> = self.sums.iter().map(|sums| sums.hash.as_str()).collect();
        Layers::new(self.blobs.clone(), &hashes)
    }

    fn keep(&mut self, parent: &Type, place: usize) {
        self.layers.push(Layer::Kept { kept: place });
        self.sums.push(parent.sums[place].clone());
        self.blobs.extend(parent.layers.shared().nth(place).cloned());
    }

    /// Adds a blob that was written, unless it is one of those before.
    fn add(&mut self, parent: &Type, kind: Kind, blob: BlobSums, site: &Site<'_>) -> Result<()> {
        if let Some(place) = parent.sums.iter().position(|sums| *sums == blob) {
            self.keep(parent, place);
            return Ok(());
        }
        self.blobs.push(Arc::new(Blob::open_path(&site.directory.join(&blob.name))?));
        self.sums.push(blob.clone());
        self.layers.push(Layer::Written { kind, blob });
        Ok(())
    }
}

impl Laying<'_> {
    /// Writes what changed over the base, whose groups stay where nothing lies over all their fields. `subject` and `measured` are the rows of
    /// the overlay.
    pub fn write(&self, subject: &Subject<'_>, measured: &Measured, group: Option<Group>) -> Result<Stack> {
        let Self { input, parent, held, ledger, site, .. } = self;
        let mut stack = Stack::default();
        let (base, hash, slots) = (&parent.layers.base, parent.sums[0].hash.as_str(), parent.layers.slots());
        stack.keep(parent, 0);
        let fresh: Vec<usize> = group.iter().flat_map(|group| group.numbers().into_keys()).collect();
        let fresh = fresh.iter().map(|place| input.spec.fields[*place].id);
        self.groups_that_stay(fresh.collect()).into_iter().for_each(|place| stack.keep(parent, place));
        if let Some(group) = group {
            stack.add(parent, Kind::Group, group.write(input, base, hash, site)?, site)?;
            stack.grouped = true;
        }
        let sections = ledger.sections(slots, &held.gone);
        if sections.iter().all(|(name, bytes)| *name == "changes" || bytes.is_empty()) {
            return Ok(stack);
        }
        let ordinals: Vec<Option<u64>> = self.standings.iter().map(|standing| Some(standing.as_ref()?.1)).collect();
        let part = Part { kind: Kind::Overlay, fields: vec![true; input.spec.fields.len()] };
        let plan = &plan(subject, measured, &ordinals, part);
        let epoch = &base.directory().epoch;
        let job = Job { input, subject, plan, measured, epoch, base: Some(hash), sections: &sections, site };
        stack.add(parent, Kind::Overlay, job.write()?, site)?;
        Ok(stack)
    }

    /// The places, among all layers, of groups with a field that none of those over it has, and the schema does.
    fn groups_that_stay(&self, fresh: BTreeSet<u32>) -> Vec<usize> {
        let known: BTreeSet<u32> = self.input.spec.fields.iter().map(|field| field.id).collect();
        let (mut covered, mut stay) = (fresh, Vec::new());
        for (i, group) in self.parent.layers.groups.iter().enumerate() {
            let ids: BTreeSet<u32> = group.directory().fields.iter().map(|field| field.id).collect();
            if ids.intersection(&known).any(|id| !covered.contains(id)) {
                stay.push(self.parent.layers.groups.len() - i);
                covered.extend(ids);
            }
        }
        stay.reverse();
        stay
    }

    /// For each field, how many references there are to how many keys without a record, in all layers. Refuses them where the type is strict.
    pub fn dangling(&self, measured: &Measured) -> Result<BTreeMap<String, (u64, u64)>> {
        let Self { input, under, held, ledger, site, .. } = self;
        let changed = ledger.changed(under.layers.slots(), &held.gone);
        let standings = self.standings.iter().map(|standing| standing.map(|(standing, _)| standing));
        let mut counts = input.dangling(measured);
        for lost in lost(input, under, &standings.collect::<Vec<_>>(), &changed, site)? {
            let field = &input.spec.fields[lost.field];
            let column = &measured.columns[lost.field];
            let keys = lost.keys(column.dangling.iter().map(AsRef::as_ref))?;
            let Some((slot, key)) = &lost.first else { continue };
            if input.spec.strict {
                let (mut shown, record) = (Vec::new(), under.layers.base.record(under.layers.base.span(*slot))?);
                crate::json::write_key(&input.key, record.key()?, &mut shown);
                let key = lost.key().shown(key);
                return Err(Error::DanglingReference(format!(
                    "type {:?}, field {:?}: {} to {} without a record, the first by {} to {key}; strict = false keeps them as keys",
                    input.spec.name,
                    field.name,
                    counted(column.dangling_uses + lost.uses, "reference"),
                    counted(keys, "key"),
                    String::from_utf8_lossy(&shown),
                )));
            }
            counts.insert(field.name.clone(), (column.dangling_uses + lost.uses, keys));
        }
        Ok(counts)
    }
}
