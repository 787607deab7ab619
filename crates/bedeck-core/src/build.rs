//! Building a version's blobs: rows of all types in, one file a type out.
//!
//! The bytes depend on rows, keys, options and nothing else: rows are placed by the hash of their key, tables are sorted, and
//! what threads do is put back in order before it is written. (Rows that are dropped leave one trace: they count where it is decided
//! whether a field has few enough values to be interned.)

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use arrow_array::RecordBatch;
use arrow_schema::Schema;
use serde::Serialize;

use crate::blob::Blob;
use crate::checksum::BlobSums;
use crate::dictionary::Values;
use crate::directory::{Directory, KeySpec, LocatorSpec, RECORDS_PADDING};
use crate::encode::{Encoded, encode_segment};
use crate::error::{Error, Result};
use crate::ingest::{Ingester, KeyForm, Shared, key_form};
use crate::key::KeyKind;
use crate::locator;
use crate::lookup::{BATCH, Keys};
use crate::measure::{Measured, Subject, digest, measure};
use crate::parallel;
use crate::plan::{Plan, plan};
use crate::roster::Roster;
use crate::rows::{Drain, GROUPS, Rows, Scatter};
use crate::spec::TypeSpec;
use crate::spill::Spill;
use crate::stats::Stats;
use crate::table::{Context, SEGMENT, Table};
use crate::writer::BlobWriter;

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

type Receiver = mpsc::Receiver<(u64, RecordBatch)>;

/// A type while its sources are read.
struct Intake {
    spec: TypeSpec,
    origins: Vec<String>,
    rows: u64,
    forms: Vec<Option<KeyForm>>,
    drain: Arc<Drain>,
    shared: Option<Arc<Shared>>,
    ingesters: Vec<Ingester>,
}

/// A type whose sources have been read.
struct Input {
    spec: TypeSpec,
    origins: Vec<String>,
    rows: u64,
    forms: Vec<Option<KeyForm>>,
    keys: Vec<Stats>,
    dictionaries: Vec<Values>,
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
            before.ingesters.iter_mut().try_for_each(Ingester::rest)?;
        }
        self.intakes.push(Intake {
            origins: Vec::new(),
            rows: 0,
            forms: Vec::new(),
            drain: Arc::new(Drain::create(&self.directory, &spec.name)?),
            shared: None,
            ingesters: Vec::new(),
            spec,
        });
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
        intake.open(origin, schema)?;
        let mut batches = batches.peekable();
        if let Some(Ok(first)) = batches.peek() {
            intake.prepare(first, threads, block);
        }
        let rows = intake.take(origin, batches)?;
        intake.rows += rows;
        Ok(rows)
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

impl Intake {
    /// Notes a source and the forms of its keys.
    fn open(&mut self, origin: &str, schema: &Schema) -> Result<()> {
        let forms: Vec<Option<KeyForm>> = schema.fields().iter().map(|f| key_form(f.data_type())).collect();
        let names = std::iter::once(&self.spec.key.field).chain(self.spec.fields.iter().map(|f| &f.name));
        let is_key = std::iter::once(true).chain(self.spec.fields.iter().map(|f| f.reference.is_some()));
        let mut pairs = self.forms.iter().zip(&forms).zip(names.zip(is_key));
        if let Some((_, (field, _))) = pairs.find(|((before, now), (_, is_key))| *is_key && before != now) {
            return Err(Error::Schema(format!(
                "{origin}: type {:?}, field {field:?}: its keys are of another Arrow type than in {}",
                self.spec.name, self.origins[0]
            )));
        }
        self.forms = forms;
        self.origins.push(origin.to_owned());
        Ok(())
    }

    /// Gets ready for rows, given the first of them.
    fn prepare(&mut self, first: &RecordBatch, threads: usize, block: usize) {
        if let (None, Some(keys)) = (&self.shared, first.columns().first()) {
            let shared = Arc::new(Shared::new(self.spec.clone(), keys));
            let ingester = |_| Ingester::new(shared.clone(), Scatter::new(self.drain.clone(), block));
            self.ingesters = (0..threads).map(ingester).collect();
            self.shared = Some(shared);
        }
    }

    /// Takes all batches of the source that was opened last.
    fn take(&mut self, origin: &str, batches: impl Iterator<Item = Result<RecordBatch>>) -> Result<u64> {
        let place = self.origins.len() as u32 - 1;
        let ingesters = std::mem::take(&mut self.ingesters);
        let threads = ingesters.len();
        let (sender, receiver) = mpsc::sync_channel::<(u64, RecordBatch)>(threads);
        // Owned by the workers alone: once none is left, sending fails instead of waiting for ever.
        let receiver = Arc::new(Mutex::new(receiver));
        let failed = Mutex::new(None::<(u64, Error)>);
        let fail = |row: u64, error: Error| {
            let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
            if failed.as_ref().is_none_or(|(first, _)| row < *first) {
                *failed = Some((row, error));
            }
        };
        let mut rows = 0;
        self.ingesters = std::thread::scope(|scope| {
            let fail = &fail;
            let work = |mut ingester: Ingester, receiver: Arc<Mutex<Receiver>>| {
                loop {
                    let next = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok((first_row, batch)) = next else { return ingester };
                    if let Err(error) = ingester.take(place, origin, first_row, &batch) {
                        fail(first_row, error);
                    }
                }
            };
            let mut workers = Vec::new();
            for ingester in ingesters {
                let receiver = receiver.clone();
                match std::thread::Builder::new().spawn_scoped(scope, move || work(ingester, receiver)) {
                    Ok(worker) => workers.push(worker),
                    Err(error) => fail(0, no_thread(&error)),
                }
            }
            drop(receiver);
            for batch in batches {
                let stop = failed.lock().unwrap_or_else(PoisonError::into_inner).is_some();
                match batch {
                    _ if stop => break,
                    Ok(batch) => {
                        let first = rows;
                        rows += batch.num_rows() as u64;
                        if sender.send((first, batch)).is_err() {
                            break;
                        }
                    }
                    Err(error) => {
                        fail(rows, error);
                        break;
                    }
                }
            }
            drop(sender);
            workers.into_iter().filter_map(|worker| worker.join().ok()).collect()
        });
        if let Some((_, error)) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(error);
        }
        if self.ingesters.len() != threads {
            return Err(Error::Io(format!("{origin}: a thread of the build panicked; this is a bug in bedeck")));
        }
        Ok(rows)
    }

    /// Ends the reading and indexes the rows.
    fn index(
        self,
        directory: &Path,
        block: usize,
        threads: usize,
        referred: Option<KeyForm>,
        report: Report<'_>,
    ) -> Result<(Input, Table)> {
        let key = self.key(referred)?;
        let Self { spec, origins, rows, forms, drain, shared, ingesters } = self;
        let mut keys = vec![Stats::default(); spec.fields.len()];
        ingesters.iter().for_each(|ingester| keys.iter_mut().zip(&ingester.keys).for_each(|(a, b)| a.merge(b)));
        let grouped = shared.as_ref().map_or(key.kind, |shared| shared.kind);
        let all = Rows::new(drain, ingesters.into_iter().map(Ingester::finish))?;
        let dictionaries = shared.and_then(Arc::into_inner).map_or_else(Vec::new, Shared::finish);
        let dictionaries = dictionaries.into_iter().chain(std::iter::repeat_with(Values::default));
        let dictionaries = dictionaries.take(spec.fields.len()).collect();
        let name = &spec.name;
        let describe = |origin: u32, row: u64| format!("{} row {row}", origins[origin as usize]);
        let pause = || report(Progress { type_name: name, stage: "index", done: 0, of: 0 });
        let context = Context { directory, block, threads, describe: &describe, pause: &pause };
        let table = Table::new(all, key, grouped, spec.on_duplicate, &context).map_err(|error| match error {
            Error::DuplicateKey(text) => Error::DuplicateKey(format!("type {name:?}, {text}")),
            Error::Source(text) => Error::Source(format!("type {name:?}: {text}")),
            other => other,
        })?;
        Ok((Input { spec, origins, rows, forms, keys, dictionaries }, table))
    }

    /// The key of the type; one without rows and without a declared kind is what refers to it.
    fn key(&self, referred: Option<KeyForm>) -> Result<KeySpec> {
        let field = self.spec.key.field.clone();
        let mut form = self.forms.first().copied().flatten();
        if self.rows == 0 && self.spec.key.kind.is_none() && form == Some(KeyForm::Text) {
            form = referred.or(form);
        }
        let all = |fits: fn(&Ingester) -> bool| self.rows > 0 && self.ingesters.iter().all(fits);
        let kind = self.spec.key.kind.unwrap_or(match form {
            Some(KeyForm::Int { .. }) => KeyKind::Int,
            Some(KeyForm::Bytes) => KeyKind::Bytes,
            _ if all(|ingester| ingester.all_base62) => KeyKind::Base62,
            _ if all(|ingester| ingester.all_uuid) => KeyKind::Uuid,
            _ => KeyKind::String,
        });
        let fits = match (kind, form) {
            (_, None) => true,
            (KeyKind::Int, Some(form)) => matches!(form, KeyForm::Int { .. }),
            (KeyKind::Bytes, Some(form)) => form == KeyForm::Bytes,
            (_, Some(form)) => form == KeyForm::Text,
        };
        if !fits {
            return Err(Error::Schema(format!(
                "type {:?}: key {field:?} is declared {}, but its column holds another kind of value",
                self.spec.name,
                kind.name()
            )));
        }
        Ok(KeySpec { field, kind, width: kind.width(), signed: form != Some(KeyForm::Int { signed: false }) })
    }
}

/// For each type that keys refer to, the form of such keys.
fn referred(intakes: &[Intake]) -> BTreeMap<String, KeyForm> {
    let mut forms = BTreeMap::new();
    for intake in intakes {
        for (i, field) in intake.spec.fields.iter().enumerate() {
            let any = intake.ingesters.iter().any(|ingester| ingester.keys[i].scalars > 0);
            if let (Some(reference), Some(form), true) = (&field.reference, form(&intake.forms, i), any) {
                forms.insert(reference.type_name.clone(), form);
            }
        }
    }
    forms
}

/// The form of the keys in a field, given the forms of all columns.
fn form(forms: &[Option<KeyForm>], field: usize) -> Option<KeyForm> {
    forms.get(field + 1).copied().flatten()
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

impl Input {
    /// For each field, whether its keys are kept as they print: numbers and bytes are not, they take more room so.
    fn printed(&self, places: &[Option<usize>], tables: &[Table]) -> Vec<bool> {
        let is_text = |target: usize| !matches!(tables[target].index.key.kind, KeyKind::Int | KeyKind::Bytes);
        let fields = self.spec.fields.iter().zip(places);
        fields.map(|(field, target)| target.is_some_and(is_text) && self.spec.printed.contains(&field.name)).collect()
    }

    fn progress(&self, stage: &'static str, done: u32, table: &Table) -> Progress<'_> {
        Progress { type_name: &self.spec.name, stage, done: done.into(), of: table.index.shape.total_slots() }
    }

    fn check_lengths(&self, measured: &Measured) -> Result<()> {
        for (field, column) in self.spec.fields.iter().zip(&measured.columns) {
            if let Some((origin, row)) = column.too_long {
                return Err(Error::Source(format!(
                    "{}, row {row}: type {:?}, field {:?}: its keys take more than 2^31 - 1 bytes as they print; leave it out of hot",
                    self.origins[origin as usize], self.spec.name, field.name
                )));
            }
        }
        Ok(())
    }

    fn check_dangling(&self, measured: &Measured, places: &[Option<usize>], tables: &[Table]) -> Result<()> {
        for (i, field) in self.spec.fields.iter().enumerate() {
            if let (true, Some((origin, row, key))) = (self.spec.strict, &measured.columns[i].dangling_first) {
                return Err(Error::DanglingReference(format!(
                    "type {:?}, field {:?}: {} to {} without a record, the first {} at {} row {row}; strict = false keeps them as keys",
                    self.spec.name,
                    field.name,
                    counted(measured.columns[i].dangling_uses, "reference"),
                    counted(measured.columns[i].dangling.len() as u64, "key"),
                    places[i].map_or_else(String::new, |target| tables[target].index.key.shown(key)),
                    self.origins[*origin as usize],
                )));
            }
        }
        Ok(())
    }
}

/// The last step for one type.
struct Job<'a> {
    input: &'a Input,
    subject: &'a Subject<'a>,
    plan: &'a Plan,
    measured: &'a Measured,
    epoch: &'a str,
    threads: usize,
    report: Report<'a>,
}

impl Job<'_> {
    fn write(&self, directory: &Path) -> Result<Built> {
        let Self { input, subject, plan, measured, .. } = self;
        let (spec, table) = (&input.spec, subject.table);
        let index = &table.index;
        let path = directory.join(format!("{}.blob", spec.name));
        let mut writer = BlobWriter::create(&path)?;
        writer.begin("pilots", index.pilots.len() as u64)?;
        writer.append(&index.pilots)?;

        let slots = index.shape.total_slots();
        writer.begin("records", slots * u64::from(plan.record.fixed))?;
        let mut locator = locator::Writer::default();
        let heap = Spill::create(directory, "heap")?;
        let mut field_bytes = vec![0u64; spec.fields.len()];
        let mut record_bytes = 0;
        table.each_segment(
            |placed, i, slots| encode_segment(subject, plan, placed, slots, measured.ordinals(i)),
            |mut segment: Encoded, done| {
                let base = heap.append(&segment.heap)?;
                for at in &segment.pointers {
                    if let Some(pointer) = segment.records[*at..].first_chunk_mut::<8>() {
                        *pointer = (u64::from_le_bytes(*pointer) + base).to_le_bytes();
                    }
                }
                segment.lengths.iter().try_for_each(|length| locator.push(*length))?;
                field_bytes.iter_mut().zip(&segment.field_bytes).for_each(|(all, here)| *all += here);
                record_bytes += segment.records.len() as u64;
                writer.append(&segment.records)?;
                (self.report)(input.progress("write", done, table))
            },
        )?;
        writer.append(&[0; RECORDS_PADDING as usize])?;
        let heap = heap.map()?;
        writer.begin("heap", heap.len() as u64)?;
        writer.append(&heap)?;
        writer.begin("values", plan.values.len() as u64)?;
        writer.append(&plan.values)?;
        let (lines, width) = locator.finish()?;
        writer.begin("locator", lines.len() as u64)?;
        writer.append(&lines)?;

        let records = table.records;
        let mut fields = plan.fields.clone();
        for (field, bytes) in fields.iter_mut().zip(field_bytes) {
            let packed = field.bits.map_or(0, |b| u64::from(b.bits))
                + field.vars().map(|v| u64::from(v.bits)).sum::<u64>()
                + u64::from(field.null_bit.is_some());
            let tables: u64 = field.values.iter().chain(&field.dangling).map(|t| table_bytes(&plan.values, t)).sum();
            field.bytes = bytes + (records * packed).div_ceil(8) + tables;
        }
        let bits = (index.pilots.len() as u64 * 8 * 1000).checked_div(records).unwrap_or(0);
        let counters = [
            ("holes", slots - records),
            ("index_bits_per_1000_keys", bits),
            ("record_bytes", record_bytes),
            ("heap_bytes", heap.len() as u64),
        ];
        let described = Directory {
            type_name: spec.name.clone(),
            records,
            epoch: self.epoch.to_owned(),
            digest: format!("{:032x}", measured.digest),
            key: index.key.clone(),
            index: index.shape,
            locator: LocatorSpec { width },
            record: plan.record,
            fields,
            sections: writer.sections.clone(),
            counters: counters.into_iter().map(|(name, count)| (name.to_owned(), count)).collect(),
        };
        let blob = writer.finish(&described)?;
        let written = directory.join(&blob.name);
        std::fs::rename(&path, &written).map_err(|e| Error::io(&written, &e))?;
        let finished = Blob::open_path(&written)?;
        let mut outcome = Ok(());
        finished.map().populate(|_| {
            outcome = (self.report)(input.progress("check", 0, table));
            outcome.is_ok()
        })?;
        outcome?;
        self.check(&finished)?;
        let dangling = spec.fields.iter().zip(&measured.columns).filter(|(_, column)| column.dangling_uses > 0);
        let dangling = dangling.map(|(f, c)| (f.name.clone(), (c.dangling_uses, c.dangling.len() as u64)));
        Ok(Built {
            name: spec.name.clone(),
            rows: input.rows,
            records,
            dropped: table.dropped,
            key: index.key.clone(),
            digest: described.digest,
            epoch: described.epoch,
            dangling: dangling.collect(),
            blob,
        })
    }

    /// Looks up every key of the finished file, through the very passes that will serve it: each has to lead to its own record, and all of
    /// them have to be the keys of the sources.
    fn check(&self, blob: &Blob) -> Result<()> {
        let key = &self.subject.table.index.key;
        let slots = self.subject.table.index.shape.total_slots() as u32;
        let wrong = |slot: u32| {
            Error::Io(format!(
                "{}: the key in slot {slot} is not found after the build; this is a bug in bedeck",
                blob.map().path().display()
            ))
        };
        let segment = |i: usize| {
            let start = i as u32 * SEGMENT;
            let (mut spans, mut found) = (Vec::new(), Vec::new());
            let (mut sum, mut text, mut canonical) = (0u128, Vec::new(), Vec::new());
            let records: Vec<_> = blob.spans(start..start.saturating_add(SEGMENT).min(slots)).collect();
            for batch in records.chunks(BATCH) {
                let mut keys = Keys::with_capacity(key, batch.len());
                for span in batch {
                    let stored = blob.record(*span)?.key()?;
                    keys.push(Some(stored));
                    text.clear();
                    key.kind.print(stored, &mut text);
                    canonical.clear();
                    crate::row::write_canonical_key(key.kind, &text, &mut canonical);
                    sum = sum.wrapping_add(digest(&canonical));
                }
                spans.clear();
                keys.find(blob, 0..keys.len(), &mut spans)?;
                found.extend_from_slice(&spans);
            }
            match records.iter().zip(&found).find(|(at, found)| at != found) {
                Some((at, _)) => Err(wrong(at.ordinal)),
                None => Ok(sum),
            }
        };
        let (mut sum, mut done, mut outcome) = (0u128, 0, Ok(()));
        let segments = (slots as usize).div_ceil(SEGMENT as usize);
        parallel::ordered(self.threads, segments, segment, |found: Result<u128>| {
            done = SEGMENT.saturating_add(done).min(slots);
            outcome = found.and_then(|found| {
                sum = sum.wrapping_add(found);
                (self.report)(self.input.progress("check", done, self.subject.table))
            });
            outcome.is_ok()
        });
        outcome?;
        if sum == self.measured.key_digest { Ok(()) } else { Err(wrong(0)) }
    }
}

fn no_thread(error: &std::io::Error) -> Error {
    Error::Io(format!(
        "the system gives the build no thread ({error}): ask for fewer (threads), or raise the limit (ulimit -u, pids.max)"
    ))
}

fn counted(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn table_bytes(values: &[u8], table: &crate::directory::Table) -> u64 {
    let last = table.offset as usize + 8 * table.count as usize;
    let end = values.get(last..).and_then(|b| b.first_chunk()).map_or(0, |b| u64::from_le_bytes(*b));
    8 * (table.count + 1) + end
}
