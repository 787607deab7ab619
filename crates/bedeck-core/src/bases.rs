//! New bases: all records of the types, each with an ordinal of its own, in an epoch of their own.

use crate::build::{Built, Layer, Site};
use crate::directory::Kind;
use crate::error::{Error, Result};
use crate::ingest::KeyForm;
use crate::intake::{Input, form};
use crate::job::Job;
use crate::key::KeyKind;
use crate::measure::{INLINE, Measured, Subject};
use crate::plan::{Part, plan};
use crate::roster::Roster;
use crate::rows::Rows;
use crate::stats::is_internable;
use crate::table::Table;
use crate::target::Target;

/// Indexes, resolves, lays out, writes and checks types that refer to none but each other.
pub fn write(types: Vec<(Input, Rows)>, site: &Site<'_>) -> Result<Vec<Built>> {
    let (mut inputs, mut tables) = (Vec::new(), Vec::new());
    for (input, rows) in types {
        tables.push(input.table(rows, input.spec.on_duplicate, site)?);
        inputs.push(input);
    }
    check_memory(&tables, site)?;
    let known: Vec<&Input> = inputs.iter().collect();
    let places = targets(&known)?;
    let rosters = (0..tables.len()).map(|place| {
        let pause = || inputs[place].tell(site, "index", 0, 0);
        let is_target = places.iter().flatten().flatten().any(|target| *target == place);
        is_target.then(|| Roster::new(&tables[place], site.directory, &pause)).transpose()
    });
    let rosters: Vec<Option<Roster<'_>>> = rosters.collect::<Result<_>>()?;
    let subjects = inputs.iter().enumerate().map(|(i, input)| Subject {
        spec: &input.spec,
        table: &tables[i],
        targets: places[i].iter().map(|target| rosters[(*target)?].as_ref().map(Target::Table)).collect(),
        printed: input.printed(&places[i], &known),
        dictionaries: &input.dictionaries,
    });
    let subjects: Vec<Subject<'_>> = subjects.collect();
    let mut measured = Vec::new();
    for (i, (input, subject)) in inputs.iter().zip(&subjects).enumerate() {
        let found = input.measure(subject, site)?;
        input.check_dangling(&found, &places[i], &known)?;
        measured.push(found);
    }
    let epochs = epochs(&inputs, &places, &tables, &measured);
    let mut built = Vec::new();
    for (i, (input, subject)) in inputs.iter().zip(&subjects).enumerate() {
        let slots: Vec<Option<u64>> =
            places[i].iter().map(|t| t.map(|t| tables[t].index.shape.total_slots())).collect();
        let (mut layers, mut hash) = (Vec::new(), None);
        for part in parts(input, &measured[i]) {
            let (kind, plan) = (part.kind, plan(subject, &measured[i], &slots, part));
            let (measured, epoch, base) = (&measured[i], epochs[i].as_str(), hash.as_deref());
            let job = Job { input, subject, plan: &plan, measured, epoch, base, sections: &[], site };
            let blob = job.write()?;
            hash.get_or_insert(blob.hash.clone());
            layers.push(Layer::Written { kind, blob });
        }
        built.push(Built {
            name: input.spec.name.clone(),
            rows: input.rows,
            records: tables[i].records,
            dropped: tables[i].dropped,
            key: input.key.clone(),
            digest: format!("{:032x}", measured[i].digest),
            epoch: epochs[i].clone(),
            dangling: input.dangling(&measured[i]),
            nulls: input.nulls(&measured[i]),
            layers,
        });
    }
    Ok(built)
}

/// Bytes of text and lists a record, on average, from which on those that are not hot lie aside: two lines.
const ASIDE: u64 = 128;

/// The blobs of a new base: one, or, where a schema tells what is hot and the rest is large, one for that and one for the text and the lists
/// of the rest. Records that are read often then lie closer together, and the others need not be in memory.
fn parts(input: &Input, measured: &Measured) -> Vec<Part> {
    let fields = input.spec.fields.iter().zip(&measured.columns).zip(&input.dictionaries);
    let sizes = fields.map(|((field, column), dictionary)| {
        let (hot, stats) = (input.spec.hot.contains(&field.name), &column.stats);
        let interned = dictionary.all && stats.interned(&dictionary.by_code).is_some();
        (!hot && !interned && is_internable(&field.field_type)).then(|| match stats.bytes / stats.present.max(1) {
            // A pointer into the heap.
            size if size > INLINE as u64 => 12,
            size => size,
        })
    });
    let sizes: Vec<Option<u64>> = sizes.collect();
    let apart = !input.spec.hot.is_empty() && sizes.iter().flatten().sum::<u64>() >= ASIDE;
    let base = Part { kind: Kind::Base, fields: sizes.iter().map(|size| !apart || size.is_none()).collect() };
    let fields = sizes.iter().map(Option::is_some).collect();
    std::iter::once(base).chain(apart.then_some(Part { kind: Kind::Group, fields })).collect()
}

/// Refuses to go on where what grows with the records does not fit the memory that is allowed.
fn check_memory(tables: &[Table], site: &Site<'_>) -> Result<()> {
    let lines = tables.iter().map(|table| table.index.shape.total_slots() as usize / 14 * 64).max().unwrap_or(0);
    site.check_memory(tables.iter().map(Table::memory).sum::<usize>() + lines)
}

/// For each type and field, the place of the type it refers to.
pub fn targets(inputs: &[&Input]) -> Result<Vec<Vec<Option<usize>>>> {
    inputs
        .iter()
        .map(|input| {
            let fields = input.spec.fields.iter().enumerate();
            fields
                .map(|(i, field)| {
                    let Some(reference) = &field.reference else { return Ok(None) };
                    let wrong = |what: String| {
                        Error::Schema(format!("type {:?}, field {:?}: {what}", input.spec.name, field.name))
                    };
                    let place = inputs.iter().position(|other| other.spec.name == reference.type_name);
                    let place = place.ok_or_else(|| {
                        wrong(format!("refers to type {:?}, which does not exist", reference.type_name))
                    })?;
                    let key = &inputs[place].key;
                    let fits = match (form(&input.forms, i), key.kind) {
                        _ if input.keys[i].scalars == 0 => true,
                        (Some(KeyForm::Int { .. }), kind) => kind == KeyKind::Int,
                        (Some(KeyForm::Bytes), kind) => kind == KeyKind::Bytes,
                        (_, kind) => !matches!(kind, KeyKind::Int | KeyKind::Bytes),
                    };
                    let kind = key.kind;
                    let (lowest, highest) = input.keys[i].range.unwrap_or_default();
                    if kind == KeyKind::Int && (!key.signed && lowest < 0 || key.signed && highest > i64::MAX.into()) {
                        return Err(wrong(format!(
                            "refers to {} keys of type {:?}, but has values from {lowest} to {highest}",
                            if key.signed { "signed" } else { "unsigned" },
                            reference.type_name
                        )));
                    }
                    if fits {
                        Ok(Some(place))
                    } else {
                        Err(wrong(format!(
                            "does not hold keys of type {:?}, which are {}",
                            reference.type_name,
                            kind.name()
                        )))
                    }
                })
                .collect()
        })
        .collect()
}

/// For each type, the first of those that references connect it with.
pub fn connected(places: &[Vec<Option<usize>>]) -> Vec<usize> {
    let mut group: Vec<usize> = (0..places.len()).collect();
    for (i, targets) in places.iter().enumerate() {
        for target in targets.iter().flatten() {
            let (one, other) = (group[i].min(group[*target]), group[i].max(group[*target]));
            group.iter_mut().filter(|g| **g == other).for_each(|g| *g = one);
        }
    }
    group
}

/// The epoch of each type: one for all that references connect.
fn epochs(inputs: &[Input], places: &[Vec<Option<usize>>], tables: &[Table], measured: &[Measured]) -> Vec<String> {
    let group = connected(places);
    (0..tables.len())
        .map(|i| {
            let mut bytes = Vec::new();
            for member in (0..tables.len()).filter(|m| group[*m] == group[i]) {
                let shape = &tables[member].index.shape;
                bytes.extend_from_slice(inputs[member].spec.name.as_bytes());
                bytes.push(0);
                for number in [shape.seed, shape.parts, shape.buckets, shape.slots] {
                    bytes.extend_from_slice(&number.to_le_bytes());
                }
                bytes.extend_from_slice(&measured[member].key_digest.to_le_bytes());
            }
            blake3::hash(&bytes).to_hex()[..32].to_owned()
        })
        .collect()
}
