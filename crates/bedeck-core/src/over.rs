//! What changed of types, as overlays and groups over the bases they have.

use std::collections::BTreeMap;

use crate::bases::targets;
use crate::build::{Built, Site};
use crate::canonical::Canon;
use crate::changes::DELETED;
use crate::cycle::{Before, Cycled, Kind, Options, described};
use crate::error::Result;
use crate::held::Held;
use crate::intake::Input;
use crate::layers::Layers;
use crate::ledger::Ledger;
use crate::measure::{Measured, Subject};
use crate::proof::Proof;
use crate::roster::Roster;
use crate::spec::OnDuplicate;
use crate::stack::{Laying, Stack};
use crate::table::Table;
use crate::target::{Standing, Target};
use crate::version::{Type, Version};

/// What a type was found to have over its base.
struct Laid {
    stack: Stack,
    measured: Measured,
    dangling: BTreeMap<String, (u64, u64)>,
}

/// Writes overlays, and groups, for types that refer to none but each other, and proves them.
pub fn write(mut held: Vec<Held>, before: &Before, options: &Options, site: &Site<'_>) -> Result<Vec<Cycled>> {
    let (mut tables, mut groups) = (Vec::new(), Vec::new());
    for of_type in &mut held {
        let rows = of_type.kept.take();
        tables.extend(rows.map(|rows| of_type.input.table(rows, OnDuplicate::Last, site)).transpose()?);
        groups.push(of_type.sifted.group.take());
    }
    let parents: Vec<&Type> = held.iter().map(|of_type| &before.parent.types[of_type.place]).collect();
    check_memory(&tables, &parents, site)?;
    let inputs: Vec<&Input> = held.iter().map(|of_type| &of_type.input).collect();
    let all = || tables.iter().zip(&parents).zip(&inputs);
    let ledgers = all().map(|((table, parent), input)| Ledger::new(table, &parent.layers, input, site));
    let ledgers: Vec<Ledger> = ledgers.collect::<Result<_>>()?;
    let standings = all().zip(&held).zip(&ledgers).map(|((((table, parent), input), of_type), ledger)| {
        let roster = Roster::new(table, site.directory, &|| input.tell(site, "index", 0, 0))?;
        Ok(Standing { layers: &parent.layers, roster, ordinals: &ledger.ordinals, gone: &of_type.gone })
    });
    let standings: Vec<Standing<'_>> = standings.collect::<Result<_>>()?;
    let places = targets(&inputs)?;
    let moved: Vec<bool> = (0..held.len()).map(|i| is_moved(&parents[i].layers, &ledgers[i], &held[i])).collect();
    let mut laid = Vec::new();
    for (i, group) in groups.into_iter().enumerate() {
        let of_field = |target: Option<usize>| target.map(|target| (&standings[target], ledgers[target].ordinals()));
        let laying = Laying {
            input: inputs[i],
            parent: parents[i],
            under: &before.bases.types[held[i].place],
            held: &held[i],
            ledger: &ledgers[i],
            standings: places[i].iter().map(|target| of_field(*target)).collect(),
            site,
        };
        let subject = Subject {
            spec: &inputs[i].spec,
            table: &tables[i],
            targets: places[i].iter().map(|target| target.map(|target| Target::Layers(&standings[target]))).collect(),
            printed: inputs[i].printed(&places[i], &inputs),
            dictionaries: &inputs[i].dictionaries,
        };
        let measured = inputs[i].measure(&subject, site)?;
        inputs[i].check_dangling(&measured, &places[i], &inputs)?;
        let dangling = laying.dangling(&measured)?;
        let stale = parents[i].layers.overlay.is_some() && places[i].iter().flatten().any(|target| moved[*target]);
        let stack = if stale || !held[i].changes().is_empty() {
            laying.write(&subject, &measured, group)?
        } else {
            Stack::of(parents[i])
        };
        laid.push(Laid { stack, measured, dangling });
    }
    prove(&held, &ledgers, laid, before, options, site)
}

/// Refuses to go on where marks of all slots, and what is kept for each record of an overlay, take more memory than is allowed.
fn check_memory(tables: &[Table], parents: &[&Type], site: &Site<'_>) -> Result<()> {
    let marks: usize = parents.iter().map(|parent| parent.layers.slots() as usize / 8 * 4).sum();
    let slots = |table: &Table| table.index.shape.total_slots() as usize;
    site.check_memory(marks + tables.iter().map(|table| table.memory() + slots(table) * 16).sum::<usize>())
}

/// Whether other keys have records than before: what refers to the type is to be resolved anew.
fn is_moved(layers: &Layers, ledger: &Ledger, held: &Held) -> bool {
    let changes = layers.over().map(|(_, changes)| changes);
    let count = changes.map_or(0, |changes| changes.insertions() as usize);
    let mut now = ledger.inserted.iter().zip(0..);
    let same = now.all(|(slot, i)| changes.is_some_and(|c| (c.inserted(i) == DELETED) == (*slot == DELETED)));
    ledger.inserted.len() != count || !same || !held.gone.equals(&held.gone_before)
}

/// Reads all layers again, and tells what the types are now.
fn prove(
    held: &[Held],
    ledgers: &[Ledger],
    laid: Vec<Laid>,
    before: &Before,
    options: &Options,
    site: &Site<'_>,
) -> Result<Vec<Cycled>> {
    let types = held.iter().zip(&laid).map(|(of_type, Laid { stack, .. })| {
        let (name, fields) = (of_type.input.spec.name.clone(), described(&of_type.input));
        let (layers, sums) = (stack.stacked()?, stack.sums.clone());
        Ok(Type { name, fields, layers, sums, targets: Vec::new(), resolved: Vec::new() })
    });
    let version = Version { types: types.collect::<Result<_>>()? }.connect()?;
    let mut cycled = Vec::new();
    for (i, (of_type, Laid { stack, measured, dangling })) in held.iter().zip(laid).enumerate() {
        let Held { input, place, .. } = of_type;
        let canon = &Canon::new(&version, i)?;
        let proof =
            Proof { held: of_type, ledger: &ledgers[i], before, version: &version, canon, measured: &measured, site };
        let written = !stack.is_kept(&before.parent.types[*place]);
        let (digest, nulls) = match options.update {
            true => proof.of_update(options.digests.get(&input.spec.name), written)?,
            false => proof.of_all(stack.grouped, written)?,
        };
        let base = version.types[i].layers.base.directory();
        let names = input.spec.by_id().into_iter().map(|place| input.spec.fields[place].name.clone());
        let built = Built {
            name: input.spec.name.clone(),
            rows: input.rows,
            records: version.types[i].layers.records(),
            dropped: of_type.sifted.dropped,
            key: input.key.clone(),
            digest: format!("{digest:032x}"),
            epoch: base.epoch.clone(),
            dangling,
            nulls: names.zip(nulls).collect(),
            layers: stack.layers,
        };
        let kind = if written { Kind::Over } else { Kind::Kept };
        cycled.push(Cycled { kind, reason: None, built, changes: Some(of_type.changes()) });
    }
    Ok(cycled)
}
