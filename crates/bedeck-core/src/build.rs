//! Building a version's blobs: rows of all types in, one file a type out.
//!
//! The bytes depend on records, keys, options and nothing else: rows are placed by the hash of their key, tables are sorted, and
//! what threads do is put back in order before it is written.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use arrow_array::RecordBatch;
use arrow_schema::Schema;
use serde::Serialize;

use crate::blob::Blob;
use crate::checksum::BlobSums;
use crate::directory::{Directory, KeySpec, LocatorSpec, RECORDS_PADDING};
use crate::encode::{Encoded, encode_segment};
use crate::error::{Error, Result};
use crate::ingest::{Chunk, Ingested, Ingester, KeyForm, key_form};
use crate::key::KeyKind;
use crate::locator;
use crate::lookup::{BATCH, Keys};
use crate::measure::{Measured, SEGMENT, digest, measure};
use crate::parallel;
use crate::plan::{Plan, plan};
use crate::row::Cursor;
use crate::spec::TypeSpec;
use crate::stats::Stats;
use crate::table::Table;
use crate::writer::BlobWriter;

/// Called between pieces of work: what it returns ends the work, where it is an error.
pub type Pause<'a> = &'a (dyn Fn() -> Result<()> + Sync);

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

struct Input {
    spec: TypeSpec,
    origins: Vec<String>,
    chunks: Vec<Chunk>,
    stats: Vec<Stats>,
    rows: u64,
    forms: Vec<Option<KeyForm>>,
    all_base62: bool,
    all_uuid: bool,
}

/// Collects the rows of all types, then writes their blobs.
pub struct Builder {
    threads: usize,
    inputs: Vec<Input>,
}

impl Builder {
    /// A builder that uses so many threads.
    pub fn new(threads: usize) -> Self {
        Self { threads: threads.max(1), inputs: Vec::new() }
    }

    /// Declares a type.
    pub fn add_type(&mut self, spec: TypeSpec) {
        self.inputs.push(Input {
            stats: spec.fields.iter().map(|f| Stats::new(&f.field_type)).collect(),
            forms: Vec::new(),
            spec,
            origins: Vec::new(),
            chunks: Vec::new(),
            rows: 0,
            all_base62: true,
            all_uuid: true,
        });
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
        let threads = self.threads;
        let input = self
            .inputs
            .iter_mut()
            .find(|input| input.spec.name == name)
            .ok_or_else(|| Error::Schema(format!("no type {name:?} was declared")))?;
        let place = input.origins.len() as u32;
        input.origins.push(origin.to_owned());
        let spec = &input.spec;
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
        let ingested: Vec<Ingested> = std::thread::scope(|scope| {
            let fail = &fail;
            let work = |receiver: Arc<Mutex<Receiver>>| {
                let mut ingester = Ingester::new(spec, origin);
                loop {
                    let next = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok((first_row, batch)) = next else { return ingester.finish() };
                    if let Err(error) = ingester.take(place, first_row, &batch) {
                        fail(first_row, error);
                    }
                }
            };
            let start = |_| {
                let receiver = receiver.clone();
                scope.spawn(move || work(receiver))
            };
            let workers: Vec<_> = (0..threads).map(start).collect();
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
        if ingested.len() != threads {
            return Err(Error::Io(format!("{origin}: a thread of the build panicked; this is a bug in bedeck")));
        }
        let forms: Vec<Option<KeyForm>> = schema.fields().iter().map(|f| key_form(f.data_type())).collect();
        let names = std::iter::once(&spec.key.field).chain(spec.fields.iter().map(|f| &f.name));
        let is_key = std::iter::once(true).chain(spec.fields.iter().map(|f| f.reference.is_some()));
        let mut pairs = input.forms.iter().zip(&forms).zip(names.zip(is_key));
        if let Some((_, (field, _))) = pairs.find(|((before, now), (_, is_key))| *is_key && before != now) {
            return Err(Error::Schema(format!(
                "{origin}: type {name:?}, field {field:?}: its keys are of another Arrow type than in {}",
                input.origins[0]
            )));
        }
        input.forms = forms;
        for part in ingested {
            input.chunks.extend(part.chunks);
            input.stats.iter_mut().zip(part.stats).for_each(|(mine, theirs)| mine.merge(theirs));
            input.all_base62 &= part.all_base62;
            input.all_uuid &= part.all_uuid;
        }
        input.rows += rows;
        Ok(rows)
    }

    /// Indexes, resolves, lays out and writes all types into `directory`, then looks up every key in the files
    /// written. `pause` is called now and then on this thread, and ends the build with its error.
    pub fn finish(mut self, directory: &Path, pause: Pause<'_>) -> Result<Vec<Built>> {
        self.inputs.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
        let threads = self.threads;
        let mut tables = Vec::new();
        let mut referred = self.referred();
        for input in &mut self.inputs {
            pause()?;
            let key = input.key(referred.remove(&input.spec.name))?;
            // In the order of the sources, whichever thread had them: rows of equal keys are told apart by it.
            input.chunks.sort_by_key(|chunk| (chunk.origin, chunk.first_row));
            let (name, origins) = (&input.spec.name, &input.origins);
            let describe = |origin: u32, row: u64| format!("{} row {row}", origins[origin as usize]);
            let table = Table::new(std::mem::take(&mut input.chunks), key, input.spec.on_duplicate, threads, describe);
            let table = table.map_err(|error| match error {
                Error::DuplicateKey(text) => Error::DuplicateKey(format!("type {name:?}, {text}")),
                Error::Source(text) => Error::Source(format!("type {name:?}: {text}")),
                other => other,
            })?;
            if table.dropped > 0 {
                // Rows that are not kept must not leave a trace in layout and tables.
                input.stats = input.recount(&table);
            }
            tables.push(table);
        }
        let places = self.targets(&tables)?;
        let mut measured = Vec::new();
        for (i, input) in self.inputs.iter().enumerate() {
            let targets: Vec<Option<&Table>> = places[i].iter().map(|t| t.map(|t| &tables[t])).collect();
            let interned: Vec<bool> = input.stats.iter().map(|stats| stats.interned().is_some()).collect();
            let found = measure(&input.spec, &tables[i], &targets, &interned, threads, pause)?;
            input.check_dangling(&found)?;
            measured.push(found);
        }
        let epochs = self.epochs(&places, &tables, &measured);
        let mut built = Vec::new();
        for (i, input) in self.inputs.iter().enumerate() {
            let slots: Vec<Option<u64>> = places[i].iter().map(|t| t.map(|t| tables[t].shape.total_slots())).collect();
            let targets = places[i].iter().map(|t| t.map(|t| &tables[t])).collect();
            let layout = plan(&input.spec, &tables[i].key, &input.stats, &measured[i], &slots);
            let job = Job {
                input,
                table: &tables[i],
                plan: &layout,
                measured: &measured[i],
                targets,
                epoch: &epochs[i],
                threads,
                pause,
            };
            built.push(job.write(directory)?);
        }
        Ok(built)
    }

    /// For each type that keys refer to, the form of such keys.
    fn referred(&self) -> BTreeMap<String, KeyForm> {
        let mut forms = BTreeMap::new();
        for input in &self.inputs {
            for (i, field) in input.spec.fields.iter().enumerate().filter(|(i, _)| input.stats[*i].scalars > 0) {
                if let (Some(reference), Some(form)) = (&field.reference, input.form(i)) {
                    forms.insert(reference.type_name.clone(), form);
                }
            }
        }
        forms
    }

    /// For each type and field, the place of the type it refers to.
    fn targets(&self, tables: &[Table]) -> Result<Vec<Vec<Option<usize>>>> {
        self.inputs
            .iter()
            .map(|input| {
                let fields = input.spec.fields.iter().enumerate();
                fields
                    .map(|(i, field)| {
                        let Some(reference) = &field.reference else { return Ok(None) };
                        let wrong = |what: String| {
                            Error::Schema(format!("type {:?}, field {:?}: {what}", input.spec.name, field.name))
                        };
                        let place = self.inputs.iter().position(|other| other.spec.name == reference.type_name);
                        let place = place.ok_or_else(|| {
                            wrong(format!("refers to type {:?}, which does not exist", reference.type_name))
                        })?;
                        let key = &tables[place].key;
                        let fits = match (input.form(i), key.kind) {
                            _ if input.stats[i].scalars == 0 => true,
                            (Some(KeyForm::Int { .. }), kind) => kind == KeyKind::Int,
                            (Some(KeyForm::Bytes), kind) => kind == KeyKind::Bytes,
                            (_, kind) => !matches!(kind, KeyKind::Int | KeyKind::Bytes),
                        };
                        let kind = key.kind;
                        let (lowest, highest) = input.stats[i].range.unwrap_or_default();
                        if kind == KeyKind::Int
                            && (!key.signed && lowest < 0 || key.signed && highest > i64::MAX.into())
                        {
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
    fn epochs(&self, places: &[Vec<Option<usize>>], tables: &[Table], measured: &[Measured]) -> Vec<String> {
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
                    let shape = &tables[member].shape;
                    bytes.extend_from_slice(self.inputs[member].spec.name.as_bytes());
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
}

impl Input {
    /// The statistics of the rows that were kept.
    fn recount(&self, table: &Table) -> Vec<Stats> {
        let mut stats: Vec<Stats> = self.spec.fields.iter().map(|f| Stats::new(&f.field_type)).collect();
        let by_id = self.spec.by_id();
        for row in (0..table.shape.total_slots() as u32).filter_map(|slot| table.row(slot)) {
            let mut cursor = Cursor::new(row);
            cursor.key(table.is_int());
            for &place in &by_id {
                let field_type = &self.spec.fields[place].field_type;
                let form = self.spec.fields[place].reference.as_ref().and_then(|_| self.form(place));
                let signed = form.map_or(field_type.scalar.is_signed(), |form| form == KeyForm::Int { signed: true });
                let int_keys = matches!(form, Some(KeyForm::Int { .. }));
                if let Some(value) = cursor.value(field_type, int_keys) {
                    stats[place].recount(field_type, int_keys, signed, value);
                }
            }
        }
        stats
    }

    /// The form of the keys in a field.
    fn form(&self, field: usize) -> Option<KeyForm> {
        self.forms.get(field + 1).copied().flatten()
    }

    /// The key of the type; one without rows and without a declared kind is what refers to it.
    fn key(&self, referred: Option<KeyForm>) -> Result<KeySpec> {
        let field = self.spec.key.field.clone();
        let mut form = self.forms.first().copied().flatten();
        if self.rows == 0 && self.spec.key.kind.is_none() && form == Some(KeyForm::Text) {
            form = referred.or(form);
        }
        let kind = self.spec.key.kind.unwrap_or(match form {
            Some(KeyForm::Int { .. }) => KeyKind::Int,
            Some(KeyForm::Bytes) => KeyKind::Bytes,
            _ if self.rows > 0 && self.all_base62 => KeyKind::Base62,
            _ if self.rows > 0 && self.all_uuid => KeyKind::Uuid,
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

    fn check_dangling(&self, measured: &Measured) -> Result<()> {
        for (i, field) in self.spec.fields.iter().enumerate() {
            if let (true, Some((origin, row, key))) = (self.spec.strict, &measured.dangling_first[i]) {
                return Err(Error::DanglingReference(format!(
                    "type {:?}, field {:?}: {} references to {} keys without a record, the first {:?} at {} row {row}; strict = false keeps them as keys",
                    self.spec.name,
                    field.name,
                    measured.dangling_uses[i],
                    measured.dangling[i].len(),
                    String::from_utf8_lossy(key),
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
    table: &'a Table,
    plan: &'a Plan,
    measured: &'a Measured,
    targets: Vec<Option<&'a Table>>,
    epoch: &'a str,
    threads: usize,
    pause: Pause<'a>,
}

impl Job<'_> {
    fn write(&self, directory: &Path) -> Result<Built> {
        let (spec, table, plan) = (&self.input.spec, self.table, self.plan);
        let path = directory.join(format!("{}.blob", spec.name));
        let mut writer = BlobWriter::create(&path)?;
        writer.begin("pilots", table.pilots.len() as u64)?;
        writer.append(&table.pilots)?;

        let slots = table.shape.total_slots();
        writer.begin("records", slots * u64::from(plan.record.fixed))?;
        let mut lengths: Vec<u32> = Vec::with_capacity(slots as usize);
        let mut heap: Vec<u8> = Vec::new();
        let mut field_bytes = vec![0u64; spec.fields.len()];
        let mut outcome = Ok(());
        let segments = (slots as usize).div_ceil(SEGMENT);
        parallel::ordered(
            self.threads,
            segments,
            |i| encode_segment(spec, table, plan, &self.targets, i, &self.measured.ordinals[i]),
            |mut segment: Encoded| {
                for at in &segment.pointers {
                    if let Some(pointer) = segment.records[*at..].first_chunk_mut::<8>() {
                        *pointer = (u64::from_le_bytes(*pointer) + heap.len() as u64).to_le_bytes();
                    }
                }
                heap.extend_from_slice(&segment.heap);
                lengths.extend_from_slice(&segment.lengths);
                field_bytes.iter_mut().zip(&segment.field_bytes).for_each(|(all, here)| *all += here);
                outcome = writer.append(&segment.records).and_then(|()| (self.pause)());
                outcome.is_ok()
            },
        );
        outcome?;
        let record_bytes: u64 = lengths.iter().map(|l| u64::from(*l)).sum();
        writer.append(&[0; RECORDS_PADDING as usize])?;
        writer.begin("heap", heap.len() as u64)?;
        writer.append(&heap)?;
        writer.begin("values", plan.values.len() as u64)?;
        writer.append(&plan.values)?;
        let width = locator::width_for(&lengths)?;
        let lines = locator::write(&lengths, width);
        writer.begin("locator", lines.len() as u64)?;
        writer.append(&lines)?;

        let records = table.len() as u64;
        let mut fields = plan.fields.clone();
        for (field, bytes) in fields.iter_mut().zip(field_bytes) {
            let packed = field.bits.map_or(0, |b| u64::from(b.bits))
                + field.var.map_or(0, |v| u64::from(v.bits))
                + u64::from(field.null_bit.is_some());
            let tables: u64 = field.values.iter().chain(&field.dangling).map(|t| table_bytes(&plan.values, t)).sum();
            field.bytes = bytes + (records * packed).div_ceil(8) + tables;
        }
        let mut counters = BTreeMap::new();
        counters.insert("holes".to_owned(), slots - records);
        counters.insert(
            "index_bits_per_1000_keys".to_owned(),
            (table.pilots.len() as u64 * 8 * 1000).checked_div(records).unwrap_or(0),
        );
        counters.insert("record_bytes".to_owned(), record_bytes);
        counters.insert("heap_bytes".to_owned(), heap.len() as u64);
        let described = Directory {
            type_name: spec.name.clone(),
            records,
            epoch: self.epoch.to_owned(),
            digest: format!("{:032x}", self.measured.digest),
            key: table.key.clone(),
            index: table.shape,
            locator: LocatorSpec { width },
            record: plan.record,
            fields,
            sections: writer.sections.clone(),
            counters,
        };
        let blob = writer.finish(&described)?;
        let written = directory.join(&blob.name);
        std::fs::rename(&path, &written).map_err(|e| Error::io(&written, &e))?;
        self.check(&Blob::open_path(&written)?)?;
        let dangling = spec.fields.iter().enumerate().filter(|(i, _)| self.measured.dangling_uses[*i] > 0);
        Ok(Built {
            name: spec.name.clone(),
            rows: self.input.rows,
            records,
            dropped: table.dropped,
            key: table.key.clone(),
            digest: described.digest,
            epoch: described.epoch,
            dangling: dangling
                .map(|(i, f)| {
                    (f.name.clone(), (self.measured.dangling_uses[i], self.measured.dangling[i].len() as u64))
                })
                .collect(),
            blob,
        })
    }

    /// Looks up every key in the finished file, through the very passes that will serve it.
    fn check(&self, blob: &Blob) -> Result<()> {
        let slots = self.table.shape.total_slots() as usize;
        let wrong = |slot: u32| {
            Error::Io(format!(
                "{}: the key in slot {slot} is not found after the build; this is a bug in bedeck",
                blob.map().path().display()
            ))
        };
        let segments = parallel::map(self.threads, slots.div_ceil(SEGMENT), |segment| {
            let range = segment * SEGMENT..((segment + 1) * SEGMENT).min(slots);
            let mut spans = Vec::new();
            let mut key_digest = 0u128;
            for start in range.clone().step_by(BATCH) {
                let places: Vec<u32> = (start..(start + BATCH).min(range.end))
                    .map(|s| s as u32)
                    .filter(|s| self.table.row(*s).is_some())
                    .collect();
                let stored: Vec<Vec<u8>> = places
                    .iter()
                    .filter_map(|slot| {
                        let text = Cursor::new(self.table.row(*slot)?).key(self.table.is_int());
                        let mut canonical = Vec::new();
                        if self.table.is_int() {
                            canonical.extend_from_slice(text)
                        } else {
                            crate::row::write_bytes(text, &mut canonical)
                        }
                        key_digest = key_digest.wrapping_add(digest(&canonical));
                        let mut stored = Vec::new();
                        self.table.key.kind.store(text, &mut stored).then_some(stored)
                    })
                    .collect();
                let mut keys = Keys::with_capacity(&self.table.key, stored.len());
                stored.iter().for_each(|key| keys.push(Some(key)));
                spans.clear();
                keys.find(blob, 0..keys.len(), &mut spans)?;
                if let Some((slot, _)) =
                    places.iter().zip(&spans).find(|(slot, span)| span.is_missing() || span.ordinal != **slot)
                {
                    return Err(wrong(*slot));
                }
            }
            Ok(key_digest)
        });
        let found =
            segments.into_iter().try_fold(0u128, |sum, part: Result<u128>| Ok::<_, Error>(sum.wrapping_add(part?)))?;
        if found == self.measured.key_digest { Ok(()) } else { Err(wrong(0)) }
    }
}

fn table_bytes(values: &[u8], table: &crate::directory::Table) -> u64 {
    let last = table.offset as usize + 8 * table.count as usize;
    let end = values.get(last..).and_then(|b| b.first_chunk()).map_or(0, |b| u64::from_le_bytes(*b));
    8 * (table.count + 1) + end
}
