//! Building a version's blobs: rows of all types in, one file a type out.
//!
//! The bytes depend on rows, keys, options and nothing else: rows are placed by the hash of their key, tables are sorted, and
//! what threads do is put back in order before it is written. (Rows that are dropped leave one trace: they count where it is decided
//! whether a field has few enough values to be interned.)

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use arrow_schema::Schema;
use serde::Serialize;

use crate::checksum::BlobSums;
use crate::directory::KeySpec;
use crate::error::{Error, Result};
use crate::ingest::KeyForm;
use crate::intake::{Input, Intake, form, referred};
use crate::job::Job;
use crate::key::KeyKind;
use crate::measure::{Measured, Subject, measure};
use crate::plan::plan;
use crate::roster::Roster;
use crate::rows::GROUPS;
use crate::spec::TypeSpec;
use crate::spill::Spill;
use crate::table::Table;

/// How far a build has come.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// The type that is worked on.
    pub type_name: &'a str,
    /// What is done with it: `index`, `resolve`, `write` or `check`.
    pub stage: &'static str,
    /// Slots done.
    pub done: u64,
    /// All its slots; 0 where that is not known yet.
    pub of: u64,
}

/// Called between pieces of work: what it returns ends the work, where it is an error.
pub type Report<'a> = &'a (dyn Fn(Progress<'_>) -> Result<()> + Sync);

/// What became of one type.
#[derive(Debug, Serialize)]
pub struct Built {
    /// The type's name.
    pub name: String,
    /// Rows read.
    pub rows: u64,
    /// Records written.
    pub records: u64,
    /// Rows dropped because their key came twice.
    pub dropped: u64,
    /// The key as it was built.
    pub key: KeySpec,
    /// The content digest.
    pub digest: String,
    /// The epoch.
    pub epoch: String,
    /// For each reference field with keys that have no record: how many uses, and how many different keys.
    pub dangling: BTreeMap<String, (u64, u64)>,
    /// The file and its checksums.
    pub blob: BlobSums,
}

/// Collects the rows of all types, then writes their blobs.
pub struct Builder {
    threads: usize,
    directory: PathBuf,
    memory: usize,
    intakes: Vec<Intake>,
}

/// Bytes of a group of rows that are written together, at most: more would save no time.
const BLOCK: usize = 128 << 10;
/// Bytes that dictionaries and what is handed from thread to thread take, however many records there are.
const WORKING: usize = 64 << 20;
/// Bytes that the pieces of work of each thread take.
const WORKING_EACH: usize = 12 << 20;
/// Threads that are of use.
const MOST_THREADS: usize = 256;

impl Builder {
    /// A builder that uses so many threads, writes to `directory`, rows that wait for their turn too, and keeps at most about a quarter
    /// of `memory` bytes of them in memory.
    pub fn new(directory: &Path, threads: usize, memory: usize) -> Self {
        let threads = threads.clamp(1, MOST_THREADS);
        Self { threads, directory: directory.to_owned(), memory, intakes: Vec::new() }
    }

    /// Bytes of a group of rows that are written together.
    fn block(&self) -> usize {
        (self.memory / 4 / self.threads / GROUPS).clamp(1 << 10, BLOCK)
    }

    /// Refuses to go on where what grows with the records does not fit the memory that is allowed.
    fn check_memory(&self, tables: &[Table]) -> Result<()> {
        let slots = |table: &Table| table.index.shape.total_slots() as usize;
        let indexes: usize = tables.iter().map(|table| table.index.pilots.len() + slots(table) / 8).sum();
        let lines = tables.iter().map(|table| slots(table) / 14 * 64).max().unwrap_or(0);
        let needed = indexes + lines + WORKING + self.threads * WORKING_EACH;
        if needed <= self.memory {
            return Ok(());
        }
        let mib = |bytes: usize| bytes.div_ceil(1 << 20);
        Err(Error::Io(format!(
            "the build needs {} MiB of memory for so many records, and is allowed {} MiB: allow it more (memory)",
            mib(needed),
            mib(self.memory)
        )))
    }

    /// Declares a type; the one before has all its sources.
    pub fn add_type(&mut self, spec: TypeSpec) -> Result<()> {
        if let Some(before) = self.intakes.last_mut() {
            before.rest()?;
        }
        self.intakes.push(Intake::new(spec, &self.directory)?);
        Ok(())
    }

    /// Takes all batches of a source of the type `name`, which have this schema. Batches are read on this thread and turned
    /// into rows on the others.
    pub fn add_source(
        &mut self,
        name: &str,
        origin: &str,
        schema: &Schema,
        batches: impl Iterator<Item = Result<RecordBatch>>,
    ) -> Result<u64> {
        let (threads, block) = (self.threads, self.block());
        let intake = self
            .intakes
            .iter_mut()
            .find(|intake| intake.spec.name == name)
            .ok_or_else(|| Error::Schema(format!("no type {name:?} was declared")))?;
        intake.add(origin, schema, batches, threads, block)
    }

    /// Indexes, resolves, lays out and writes all types into the directory, then looks up every key in the files written. `report` is
    /// called now and then on this thread, and ends the build with its error.
    pub fn finish(mut self, report: Report<'_>) -> Result<Vec<Built>> {
        self.intakes.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
        let (mut referred, block) = (referred(&self.intakes), self.block());
        let (mut inputs, mut tables) = (Vec::new(), Vec::new());
        for intake in std::mem::take(&mut self.intakes) {
            let referred = referred.remove(&intake.spec.name);
            let (input, table) = intake.index(&self.directory, block, self.threads, referred, report)?;
            inputs.push(input);
            tables.push(table);
        }
        self.check_memory(&tables)?;
        let places = targets(&inputs, &tables)?;
        let rosters = (0..tables.len()).map(|place| {
            let name = &inputs[place].spec.name;
            let pause = || report(Progress { type_name: name, stage: "index", done: 0, of: 0 });
            let is_target = places.iter().flatten().flatten().any(|target| *target == place);
            is_target.then(|| Roster::new(&tables[place], &self.directory, &pause)).transpose()
        });
        let rosters: Vec<Option<Roster<'_>>> = rosters.collect::<Result<_>>()?;
        let subjects = inputs.iter().enumerate().map(|(i, input)| Subject {
            spec: &input.spec,
            table: &tables[i],
            rosters: places[i].iter().map(|target| rosters[(*target)?].as_ref()).collect(),
            printed: input.printed(&places[i], &tables),
            dictionaries: &input.dictionaries,
        });
        let subjects: Vec<Subject<'_>> = subjects.collect();
        let mut measured = Vec::new();
        for (input, subject) in inputs.iter().zip(&subjects) {
            let spill = Spill::create(&self.directory, "ordinals")?;
            let found = measure(subject, spill, &|done| report(input.progress("resolve", done, subject.table)))?;
            input.check_lengths(&found)?;
            input.check_dangling(&found, &places[measured.len()], &tables)?;
            measured.push(found);
        }
        let epochs = epochs(&inputs, &places, &tables, &measured);
        let mut built = Vec::new();
        for (i, (input, subject)) in inputs.iter().zip(&subjects).enumerate() {
            let slots: Vec<Option<u64>> =
                places[i].iter().map(|t| t.map(|t| tables[t].index.shape.total_slots())).collect();
            let layout =
                plan(&input.spec, &tables[i].index.key, &input.dictionaries, &measured[i], &slots, &subject.printed);
            let job = Job {
                input,
                subject,
                plan: &layout,
                measured: &measured[i],
                epoch: &epochs[i],
                threads: self.threads,
                report,
            };
            built.push(job.write(&self.directory)?);
        }
        Ok(built)
    }
}

/// For each type and field, the place of the type it refers to.
fn targets(inputs: &[Input], tables: &[Table]) -> Result<Vec<Vec<Option<usize>>>> {
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
                    let key = &tables[place].index.key;
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

/// The epoch of each type: one for all that references connect.
fn epochs(inputs: &[Input], places: &[Vec<Option<usize>>], tables: &[Table], measured: &[Measured]) -> Vec<String> {
    let mut group: Vec<usize> = (0..tables.len()).collect();
    for (i, targets) in places.iter().enumerate() {
        for target in targets.iter().flatten() {
            let (from, to) = (group[i], group[*target]);
            group.iter_mut().filter(|g| **g == from).for_each(|g| *g = to);
        }
    }
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
