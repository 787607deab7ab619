//! Building a version's blobs: rows of all types in, one file a type out.
//!
//! The bytes depend on rows, keys, options and nothing else: rows are placed by the hash of their key, tables are sorted, and
//! what threads do is put back in order before it is written. (Rows that are dropped leave one trace: they count where it is decided
//! whether a field has few enough values to be interned.)

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use arrow_schema::Schema;
use rustc_hash::FxHashSet;
use serde::Serialize;

use crate::bases;
use crate::checksum::BlobSums;
use crate::directory::{KeySpec, Kind};
use crate::error::{Error, Result};
use crate::intake::{Input, Intake, referred};
use crate::rows::{GROUPS, Rows};
use crate::spec::TypeSpec;

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

/// Where a build works, and with what.
#[derive(Clone, Copy)]
pub struct Site<'a> {
    /// Where it writes.
    pub directory: &'a Path,
    /// Threads to use.
    pub threads: usize,
    /// Bytes of a group of rows that are written together.
    pub block: usize,
    /// Bytes it may take.
    pub memory: usize,
    /// What it tells how far it has come.
    pub report: Report<'a>,
}

impl Site<'_> {
    /// Refuses to go on where what grows with the records takes so many bytes, and that does not fit.
    pub fn check_memory(&self, growing: usize) -> Result<()> {
        let needed = growing + WORKING + self.threads * WORKING_EACH;
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
}

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
    /// For each field, how many records have no value.
    pub nulls: BTreeMap<String, u64>,
    /// Its layers, a base first.
    pub layers: Vec<Layer>,
}

/// A layer of a type.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Layer {
    /// One that the version before has at this place of its layers.
    Kept {
        /// The place.
        kept: usize,
    },
    /// One that was written.
    Written {
        /// What it is to its type.
        kind: Kind,
        /// The file and its checksums.
        blob: BlobSums,
    },
}

/// Collects the rows of all types, then writes their blobs.
pub struct Builder {
    threads: usize,
    directory: PathBuf,
    memory: usize,
    intakes: Vec<Intake>,
    /// Keys to delete, by type, in stored form.
    pub(crate) deleted: BTreeMap<String, FxHashSet<Vec<u8>>>,
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
        Self { threads, directory: directory.to_owned(), memory, intakes: Vec::new(), deleted: BTreeMap::new() }
    }

    /// Bytes of a group of rows that are written together.
    fn block(&self) -> usize {
        (self.memory / 4 / self.threads / GROUPS).clamp(1 << 10, BLOCK)
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

    /// Takes a key of the type `name` to delete, in stored form. Keys are kept in memory. An update only can have any.
    pub fn delete(&mut self, name: &str, stored: &[u8]) {
        self.deleted.entry(name.to_owned()).or_default().insert(stored.to_owned());
    }

    /// Indexes, resolves, lays out and writes all types into the directory, then looks up every key in the files written. `report` is
    /// called now and then on this thread, and ends the build with its error.
    pub fn finish(mut self, report: Report<'_>) -> Result<Vec<Built>> {
        let types = self.close(&|_| None)?;
        bases::write(types, &self.site(report))
    }

    /// Where, and with what, it works.
    pub fn site<'a>(&'a self, report: Report<'a>) -> Site<'a> {
        Site { directory: &self.directory, threads: self.threads, block: self.block(), memory: self.memory, report }
    }

    /// Ends the reading of all types: they and their rows, ascending by name. `known` gives the key that a type had before.
    pub fn close<'a>(&mut self, known: &dyn Fn(&str) -> Option<&'a KeySpec>) -> Result<Vec<(Input, Rows)>> {
        self.intakes.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
        let mut referred = referred(&self.intakes);
        let intakes = std::mem::take(&mut self.intakes).into_iter();
        intakes
            .map(|intake| {
                let (referred, known) = (referred.remove(&intake.spec.name), known(&intake.spec.name));
                intake.close(referred, known)
            })
            .collect()
    }
}
