//! A cycle over a version: what changed since goes over its bases, or, where that is too much or cannot be, into new ones.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::bases::{self, connected, targets};
use crate::build::{Builder, Built, Progress, Report};
use crate::canonical::Canon;
use crate::error::Result;
use crate::held::Held;
use crate::intake::Input;
use crate::over;
use crate::rows::Rows;
use crate::sift::Tally;
use crate::version::{Described, Type, Version};

/// What a cycle is told.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Whether the rows are those that are new or other than before, and the rest is as it was. Otherwise they are all there are.
    pub update: bool,
    /// A number that differs in more than this share of the records of a base goes into a group of its own.
    pub group_share: f64,
    /// Where more than this share of the records of a base are replaced, inserted or deleted, there is a new base. A base that has less
    /// than a twentieth of the records that references connect counts as if it had as many: the new bases are of all these.
    pub compact_share: f64,
    /// Whether there is a new base for every type.
    pub compact: bool,
    /// The digest of each type in the version before; an update goes on from it.
    pub digests: BTreeMap<String, String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { update: false, group_share: 0.05, compact_share: 0.2, compact: false, digests: BTreeMap::new() }
    }
}

/// What came of a cycle.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// All types.
    Types(Vec<Cycled>),
    /// Nothing, and nothing was written: an update cannot make the new bases that are needed, for this reason.
    Compact(String),
}

/// What became of one type.
#[derive(Debug, Serialize)]
pub struct Cycled {
    /// What its layers are to those before.
    pub kind: Kind,
    /// Why it has a new base.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What it is now.
    #[serde(flatten)]
    pub built: Built,
    /// How it differs from the version before; nothing where they cannot be compared.
    pub changes: Option<Changes>,
}

/// What the layers of a type are to those before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The same.
    Kept,
    /// The same base, and others over it.
    Over,
    /// A new base.
    Anew,
}

/// How the records of a type differ from those of the version before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// Keys that it has not.
    pub added: u64,
    /// Keys that it has and are gone.
    pub removed: u64,
    /// Records that are others.
    pub changed: u64,
    /// For each field, in how many of these it is another.
    pub fields: BTreeMap<String, u64>,
}

impl Changes {
    /// What rows were found to change, of a type with these fields; `removed` records are gone.
    pub fn new(input: &Input, tally: &Tally, removed: u64) -> Self {
        let names = input.spec.by_id().into_iter().map(|place| input.spec.fields[place].name.clone());
        let (added, changed) = (tally.rows - tally.known, tally.changed);
        Self { added, removed, changed, fields: names.zip(tally.changes.iter().copied()).collect() }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.added + self.removed + self.changed == 0
    }
}

/// The version before as a cycle reads it: with the fields of the cycle's schema.
pub struct Before {
    /// Without overlays.
    pub bases: Version,
    /// With them.
    pub parent: Version,
    /// For each type of both, how its records are read.
    pub canons: Vec<(Canon, Canon)>,
    /// For each type, whether it had a field that the schema has not.
    pub wider: Vec<bool>,
}

impl Before {
    /// Of `current`, the types that `inputs` chooses.
    fn new<'a>(current: &Version, inputs: impl Iterator<Item = &'a Input>) -> Result<Self> {
        let mut wider = Vec::new();
        let types = inputs.map(|input| {
            let before = &current.types[current.find(&input.spec.name)?];
            let is_known = |id: u32| input.spec.fields.iter().any(|field| field.id == id);
            wider.push(!before.fields.iter().all(|field| is_known(field.id)));
            Ok(Type { fields: described(input), targets: Vec::new(), resolved: Vec::new(), ..before.clone() })
        });
        let parent = Version { types: types.collect::<Result<_>>()? }.connect()?;
        let bases = parent.bases()?;
        let canons = (0..parent.types.len()).map(|place| Ok((Canon::new(&bases, place)?, Canon::new(&parent, place)?)));
        let canons = canons.collect::<Result<_>>()?;
        Ok(Self { bases, parent, canons, wider })
    }
}

/// The fields of a type as a version has them.
pub fn described(input: &Input) -> Vec<Described> {
    let fields = input.spec.fields.iter().map(|field| Described {
        id: field.id,
        name: field.name.clone(),
        aliases: Vec::new(),
        field_type: field.field_type.clone(),
        reference: field.reference.clone(),
    });
    fields.collect()
}

impl Builder {
    /// Builds on `current`: finds what the rows change of it, and writes overlays and groups over its bases, or new bases for types that need
    /// them and for all that references connect these with. Everything written is read again and proved equal to the rows.
    ///
    /// `report` is called as for [`Builder::finish`]; with stage `compact`, before anything is written, for each type that gets a new base,
    /// with the bytes of the one it has.
    pub fn finish_over(mut self, current: &Version, options: &Options, report: Report<'_>) -> Result<Outcome> {
        let before = |name: &str| current.find(name).ok().map(|place| &current.types[place]);
        let types = self.close(&|name| before(name).map(|t| &t.layers.base.directory().key))?;
        let mut deleted = std::mem::take(&mut self.deleted);
        let site = self.site(report);
        let (inputs, mut rows): (Vec<Input>, Vec<Option<Rows>>) =
            types.into_iter().map(|(input, rows)| (input, Some(rows))).unzip();
        let groups = connected(&targets(&inputs.iter().collect::<Vec<_>>())?);

        let apart: Vec<Option<String>> =
            inputs.iter().map(|input| why_apart(input, before(&input.spec.name))).collect();
        let mut reasons = shared(&groups, &apart, &epochs(&inputs, current));
        let like: Vec<bool> = reasons.iter().map(Option::is_none).collect();
        if options.compact {
            reasons.iter_mut().for_each(|reason| _ = reason.get_or_insert("new bases were asked for".to_owned()));
        }
        if let (true, Some(reason)) = (options.update, reasons.iter().flatten().next()) {
            return Ok(Outcome::Compact(reason.clone()));
        }
        let before = Before::new(current, inputs.iter().zip(&like).filter(|(_, like)| **like).map(|(input, _)| input))?;
        let most = most(&inputs, current, &groups, options);
        let mut held: Vec<Option<Held>> = Vec::new();
        let mut inputs: Vec<Option<Input>> = inputs.into_iter().map(Some).collect();
        let mut place = 0;
        for i in 0..inputs.len() {
            held.push(None);
            if like[i]
                && let (Some(input), Some(mine)) = (inputs[i].take(), rows[i].take())
            {
                let deleted = deleted.remove(&input.spec.name).unwrap_or_default();
                let of_type = Held::new(input, mine, &before, place, most[i], &deleted, options, &site)?;
                place += 1;
                reasons[i] = reasons[i].take().or_else(|| of_type.why_anew());
                held[i] = Some(of_type);
            }
        }
        let reasons = shared(&groups, &reasons, &vec![None; groups.len()]);
        if let (true, Some(reason)) = (options.update, reasons.iter().flatten().next()) {
            return Ok(Outcome::Compact(reason.clone()));
        }
        let (mut anew, mut stay) = (Vec::new(), Vec::new());
        for (i, of_type) in held.into_iter().enumerate() {
            match (of_type, &reasons[i]) {
                (Some(of_type), None) => stay.push(of_type),
                (Some(of_type), Some(reason)) => {
                    let changes = of_type.changes();
                    anew.push((of_type.release(), Some(changes), reason.clone()));
                }
                (None, reason) => {
                    if let (Some(input), Some(rows)) = (inputs[i].take(), rows[i].take()) {
                        anew.push(((input, rows), None, reason.clone().unwrap_or_default()));
                    }
                }
            }
        }
        for ((input, _), ..) in &anew {
            if let Some(t) = current.find(&input.spec.name).ok().map(|place| &current.types[place]) {
                let bytes = t.sums.iter().map(|sums| sums.size).sum();
                report(Progress { type_name: &input.spec.name, stage: "compact", done: 0, of: bytes })?;
            }
        }
        let (types, told): (Vec<_>, Vec<_>) =
            anew.into_iter().map(|(type_, changes, reason)| (type_, (changes, reason))).unzip();
        let built = bases::write(types, &site)?.into_iter().zip(told);
        let built =
            built.map(|(built, (changes, reason))| Cycled { kind: Kind::Anew, reason: Some(reason), built, changes });
        let mut cycled: Vec<Cycled> = built.collect();
        cycled.append(&mut over::write(stay, &before, options, &site)?);
        cycled.sort_by(|a, b| a.built.name.cmp(&b.built.name));
        Ok(Outcome::Types(cycled))
    }
}

/// Why the records of a type cannot lie over those of the version before.
fn why_apart(input: &Input, before: Option<&Type>) -> Option<String> {
    let name = &input.spec.name;
    let Some(before) = before else { return Some(format!("type {name:?} is new")) };
    let base = before.layers.base.directory();
    if base.key != input.key {
        let shown = |key: &crate::directory::KeySpec| {
            format!("{:?}, {}{}", key.field, if key.signed { "" } else { "unsigned " }, key.kind.name())
        };
        return Some(format!("type {name:?}: its key is {}, and was {}", shown(&input.key), shown(&base.key)));
    }
    for field in &input.spec.fields {
        for blob in before.layers.blobs() {
            let Some(at) = blob.directory().place_of(field.id) else { continue };
            let theirs = &blob.directory().fields[at];
            let target = |reference: &Option<crate::directory::Target>| reference.as_ref().map(|r| r.type_name.clone());
            if !theirs.field_type.widens_to(&field.field_type) {
                let types = format!("is {}, and was {}", field.field_type, theirs.field_type);
                return Some(format!("type {name:?}, field {:?}: {types}", field.name));
            }
            if let (Some(now), Some(then)) = (target(&field.reference), target(&theirs.reference))
                && now != then
            {
                return Some(format!("type {name:?}, field {:?}: refers to {now:?}, and did to {then:?}", field.name));
            }
        }
    }
    None
}

/// How many records may lie over the base of each type.
fn most(inputs: &[Input], current: &Version, groups: &[usize], options: &Options) -> Vec<u64> {
    let records = |input: &Input| {
        current.find(&input.spec.name).map_or(0, |place| current.types[place].layers.base.directory().records)
    };
    let records: Vec<u64> = inputs.iter().map(records).collect();
    let most = (0..groups.len()).map(|i| {
        let connected: u64 = (0..groups.len()).filter(|other| groups[*other] == groups[i]).map(|j| records[j]).sum();
        (records[i].max(connected / 20) as f64 * options.compact_share) as u64
    });
    most.collect()
}

/// The epochs that types have in a version.
fn epochs(inputs: &[Input], current: &Version) -> Vec<Option<String>> {
    let place = |input: &Input| current.find(&input.spec.name).ok();
    inputs.iter().map(|input| Some(current.types[place(input)?].layers.base.directory().epoch.clone())).collect()
}

/// The reason of one type, or the lack of a common epoch, is that of all it is connected with.
fn shared(groups: &[usize], reasons: &[Option<String>], epochs: &[Option<String>]) -> Vec<Option<String>> {
    let of = |i: &usize| {
        let members = (0..groups.len()).filter(|other| groups[*other] == groups[*i]);
        let reason = members.clone().find_map(|other| reasons[other].clone());
        let apart = members.clone().any(|other| epochs[other] != epochs[*i]);
        reason.or_else(|| apart.then(|| "references connect types that none connected before".to_owned()))
    };
    (0..groups.len()).collect::<Vec<_>>().iter().map(of).collect()
}
