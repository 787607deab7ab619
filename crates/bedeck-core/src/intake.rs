//! A type while its sources are read: batches in, rows on disk out.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use arrow_array::RecordBatch;
use arrow_schema::Schema;

use crate::build::{Progress, Site};
use crate::dictionary::Values;
use crate::directory::KeySpec;
use crate::error::{Error, Result};
use crate::ingest::{Ingester, KeyForm, Shared, key_form, no_values};
use crate::key::KeyKind;
use crate::measure::{Measured, Subject, measure};
use crate::rows::{Drain, Rows, Scatter};
use crate::spec::{OnDuplicate, TypeSpec};
use crate::spill::Spill;
use crate::stats::Stats;
use crate::table::{Context, Table};

type Receiver = mpsc::Receiver<(u64, RecordBatch)>;

/// A type while its sources are read.
pub struct Intake {
    pub spec: TypeSpec,
    origins: Vec<String>,
    rows: u64,
    pub forms: Vec<Option<KeyForm>>,
    drain: Arc<Drain>,
    shared: Option<Arc<Shared>>,
    pub ingesters: Vec<Ingester>,
}

/// A type whose sources have been read.
pub struct Input {
    pub spec: TypeSpec,
    pub key: KeySpec,
    pub origins: Vec<String>,
    pub rows: u64,
    pub forms: Vec<Option<KeyForm>>,
    /// Of references only: what keys there are.
    pub keys: Vec<Stats>,
    pub dictionaries: Vec<Values>,
}

impl Intake {
    /// A type without sources, whose rows go to a file in `directory`.
    pub fn new(spec: TypeSpec, directory: &Path) -> Result<Self> {
        let drain = Arc::new(Drain::create(directory, &spec.name)?);
        let (origins, forms, ingesters) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { spec, origins, rows: 0, forms, drain, shared: None, ingesters })
    }

    /// Takes all batches of a source, which have this schema; gives the number of rows.
    pub fn add(
        &mut self,
        origin: &str,
        schema: &Schema,
        batches: impl Iterator<Item = Result<RecordBatch>>,
        threads: usize,
        block: usize,
    ) -> Result<u64> {
        self.open(origin, schema)?;
        let mut batches = batches.peekable();
        if let Some(Ok(first)) = batches.peek() {
            self.prepare(first, threads, block);
        }
        let rows = self.take(origin, batches)?;
        self.rows += rows;
        Ok(rows)
    }

    /// Lets go of what only further rows would need.
    pub fn rest(&mut self) -> Result<()> {
        self.ingesters.iter_mut().try_for_each(Ingester::rest)
    }

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

    /// Ends the reading. `referred` is the form of the keys that others refer to it by, `known` the key of the version before.
    pub fn close(self, referred: Option<KeyForm>, known: Option<&KeySpec>) -> Result<(Input, Rows)> {
        let key = self.key(referred, known)?;
        let Self { spec, origins, rows, forms, drain, shared, ingesters } = self;
        let mut keys = vec![Stats::default(); spec.fields.len()];
        ingesters.iter().for_each(|ingester| keys.iter_mut().zip(&ingester.keys).for_each(|(a, b)| a.merge(b)));
        let grouped = shared.as_ref().map_or(key.kind, |shared| shared.kind);
        let all = Rows::new(drain, ingesters.into_iter().map(Ingester::finish), (grouped, 0))?;
        let dictionaries = shared.and_then(Arc::into_inner).map_or_else(|| no_values(&spec), Shared::finish);
        Ok((Input { spec, key, origins, rows, forms, keys, dictionaries }, all))
    }

    /// The key of the type; one without rows and without a declared kind is what it was before, or what refers to it.
    fn key(&self, referred: Option<KeyForm>, known: Option<&KeySpec>) -> Result<KeySpec> {
        let field = self.spec.key.field.clone();
        let mut form = self.forms.first().copied().flatten();
        if let (0, Some(known)) = (self.rows, known)
            && self.spec.key.kind.is_none_or(|kind| kind == known.kind)
            && form.is_none_or(|form| form.holds(known))
        {
            return Ok(KeySpec { field, ..known.clone() });
        }
        if self.rows == 0 && self.spec.key.kind.is_none() && form == Some(KeyForm::Text) {
            form = referred.or(form);
        }
        let all = |fits: fn(&Ingester) -> bool| self.rows > 0 && self.ingesters.iter().all(fits);
        // What was text of any form stays that, whatever its keys are by now.
        let text = known.map(|known| known.kind).filter(|kind| form == Some(KeyForm::Text) && *kind == KeyKind::String);
        let kind = self.spec.key.kind.or(text).unwrap_or(match form {
            Some(KeyForm::Int { .. }) => KeyKind::Int,
            Some(KeyForm::Bytes) => KeyKind::Bytes,
            _ if all(|ingester| ingester.all_base62) => KeyKind::Base62,
            _ if all(|ingester| ingester.all_uuid) => KeyKind::Uuid,
            _ => KeyKind::String,
        });
        let key = KeySpec { field, kind, width: kind.width(), signed: form != Some(KeyForm::Int { signed: false }) };
        if form.is_some_and(|form| !form.holds(&key)) {
            return Err(Error::Schema(format!(
                "type {:?}: key {:?} is declared {}, but its column holds another kind of value",
                self.spec.name,
                key.field,
                kind.name()
            )));
        }
        Ok(key)
    }
}

impl Input {
    /// Indexes rows of the type.
    pub fn table(&self, rows: Rows, on_duplicate: OnDuplicate, site: &Site<'_>) -> Result<Table> {
        let table = self.with(site, |context| Table::new(rows, self.key.clone(), on_duplicate, context));
        table.map_err(|error| self.named(error))
    }

    /// Groups rows of the type by the hashes of their keys with this seed.
    pub fn grouped(&self, rows: Rows, seed: u64, site: &Site<'_>) -> Result<Rows> {
        self.with(site, |context| rows.grouped(&self.key, seed, context))
    }

    fn with<T>(&self, site: &Site<'_>, work: impl FnOnce(&Context<'_>) -> T) -> T {
        let describe = |origin: u32, row: u64| self.described(origin, row);
        let pause = || self.tell(site, "index", 0, 0);
        work(&Context {
            directory: site.directory,
            block: site.block,
            threads: site.threads,
            describe: &describe,
            pause: &pause,
        })
    }

    /// An error about keys or rows, with the name of the type.
    pub fn named(&self, error: Error) -> Error {
        match error {
            Error::DuplicateKey(text) => Error::DuplicateKey(format!("type {:?}, {text}", self.spec.name)),
            Error::Source(text) => Error::Source(format!("type {:?}: {text}", self.spec.name)),
            other => other,
        }
    }

    /// A row, for a message.
    pub fn described(&self, origin: u32, row: u64) -> String {
        format!("{} row {row}", self.origins[origin as usize])
    }

    /// Reports what is done of a stage.
    pub fn tell(&self, site: &Site<'_>, stage: &'static str, done: u64, of: u64) -> Result<()> {
        (site.report)(Progress { type_name: &self.spec.name, stage, done, of })
    }

    /// For each field, whether its keys are kept as they print: numbers and bytes are not, they take more room so.
    pub fn printed(&self, places: &[Option<usize>], inputs: &[&Self]) -> Vec<bool> {
        let is_text = |target: usize| !matches!(inputs[target].key.kind, KeyKind::Int | KeyKind::Bytes);
        let fields = self.spec.fields.iter().zip(places);
        fields.map(|(field, target)| target.is_some_and(is_text) && self.spec.printed.contains(&field.name)).collect()
    }

    /// Measures rows of the type.
    pub fn measure(&self, subject: &Subject<'_>, site: &Site<'_>) -> Result<Measured> {
        let spill = Spill::create(site.directory, "ordinals")?;
        let of = subject.table.index.shape.total_slots();
        let measured = measure(subject, spill, &|done| self.tell(site, "resolve", done.into(), of))?;
        self.check_lengths(&measured)?;
        Ok(measured)
    }

    /// How many records have no value, for each field.
    pub fn nulls(&self, measured: &Measured) -> BTreeMap<String, u64> {
        self.spec.fields.iter().zip(&measured.columns).map(|(f, c)| (f.name.clone(), c.nulls)).collect()
    }

    /// How many uses of how many different keys without a record each field has.
    pub fn dangling(&self, measured: &Measured) -> BTreeMap<String, (u64, u64)> {
        let columns = self.spec.fields.iter().zip(&measured.columns).filter(|(_, column)| column.dangling_uses > 0);
        columns.map(|(f, c)| (f.name.clone(), (c.dangling_uses, c.dangling.len() as u64))).collect()
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

    pub fn check_dangling(&self, measured: &Measured, places: &[Option<usize>], inputs: &[&Self]) -> Result<()> {
        for (i, field) in self.spec.fields.iter().enumerate() {
            if let (true, Some((origin, row, key))) = (self.spec.strict, &measured.columns[i].dangling_first) {
                return Err(Error::DanglingReference(format!(
                    "type {:?}, field {:?}: {} to {} without a record, the first {} at {} row {row}; strict = false keeps them as keys",
                    self.spec.name,
                    field.name,
                    counted(measured.columns[i].dangling_uses, "reference"),
                    counted(measured.columns[i].dangling.len() as u64, "key"),
                    places[i].map_or_else(String::new, |target| inputs[target].key.shown(key)),
                    self.origins[*origin as usize],
                )));
            }
        }
        Ok(())
    }
}

/// For each type that keys refer to, the form of such keys.
pub fn referred(intakes: &[Intake]) -> BTreeMap<String, KeyForm> {
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
pub fn form(forms: &[Option<KeyForm>], field: usize) -> Option<KeyForm> {
    forms.get(field + 1).copied().flatten()
}

fn no_thread(error: &std::io::Error) -> Error {
    Error::Io(format!(
        "the system gives the build no thread ({error}): ask for fewer (threads), or raise the limit (ulimit -u, pids.max)"
    ))
}

/// A number of things.
pub fn counted(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
