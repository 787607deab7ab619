//! A version opened from Python.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bedeck_core::blob::Blob;
use bedeck_core::diff::{Side, diff};
use bedeck_core::error::{Error, Result};
use bedeck_core::layers::Layer;
use bedeck_core::lookup::BATCH;
use bedeck_core::map::Map;
use bedeck_core::selection::Node;
use bedeck_core::version::{self, TypeEntry};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::MutexExt;

use crate::error::{OrRaise, to_py};
use crate::objects::{Shape, key};
use crate::selection::{Compiled, Program};

/// The blobs of all types at one state of the data. Immutable; its files stay mapped until the last object made from it is gone.
#[pyclass(frozen)]
pub struct Version {
    pub version: Arc<version::Version>,
}

/// Tells Python how many bytes are done; an exception there, Ctrl-C among them, ends the work.
fn report(progress: Option<&Py<PyAny>>, done: u64) -> PyResult<()> {
    Python::attach(|py| {
        if let Some(progress) = progress {
            progress.call1(py, (done,))?;
        }
        py.check_signals()
    })
}

#[pymethods]
impl Version {
    /// Opens the blobs in the folder `blobs` that `entries` (JSON of a list of name, fields and layers, as in a manifest) lists.
    /// Those whose file names are in `verify` are checked against their checksums first, on `threads` threads; what `before` has open is taken
    /// from there, as it is.
    #[staticmethod]
    fn open(
        py: Python<'_>,
        blobs: PathBuf,
        entries: &str,
        verify: Vec<String>,
        threads: usize,
        before: Option<&Self>,
    ) -> PyResult<Self> {
        let entries: Vec<TypeEntry> = serde_json::from_str(entries)
            .map_err(|e| {
                Error::Damaged(format!("the manifest does not describe the blobs in {}: {e}", blobs.display()))
            })
            .or_raise(py)?;
        let before = before.map(|before| &*before.version);
        let opened = py.detach(|| {
            version::Version::open(&blobs, entries, before, |map, sums| {
                if verify.contains(&sums.name) { sums.verify(map, threads) } else { Ok(()) }
            })
        });
        Ok(Self { version: Arc::new(opened.or_raise(py)?) })
    }

    /// The names of the types, ascending.
    fn types(&self) -> Vec<&str> {
        self.version.types.iter().map(|t| t.name.as_str()).collect()
    }

    /// Records of a type.
    fn len(&self, py: Python<'_>, name: &str) -> PyResult<u64> {
        Ok(self.version.types[self.version.find(name).or_raise(py)?].layers.records())
    }

    /// The directories of a type's blobs, as JSON of a list in the order of its layers.
    fn directories(&self, py: Python<'_>, name: &str) -> PyResult<String> {
        let layers = &self.version.types[self.version.find(name).or_raise(py)?].layers;
        let directories: Vec<_> = layers.blobs().map(Blob::directory).collect();
        serde_json::to_string(&directories).map_err(|e| PyValueError::new_err(e.to_string()))
    }

    /// Compiles a selection: field names and dotted ways, or every field of the type itself.
    fn compile(&self, py: Python<'_>, name: &str, paths: Option<Vec<String>>) -> PyResult<Compiled> {
        let node = Node::compile(&self.version, name, paths.as_deref()).or_raise(py)?;
        self.program(py, node)
    }

    /// The key and all fields of a type.
    fn whole(&self, py: Python<'_>, name: &str) -> PyResult<Compiled> {
        let node = self.version.find(name).and_then(|place| Node::whole(&self.version, place)).or_raise(py)?;
        self.program(py, node)
    }

    /// All keys of a type, in the order of its records.
    fn keys(&self, py: Python<'_>, name: &str) -> PyResult<Keys> {
        let place = self.version.find(name).or_raise(py)?;
        let pieces = Box::new(self.version.types[place].layers.pieces(BATCH as u32));
        Ok(Keys { version: self.version.clone(), place, state: Mutex::new((pieces, Vec::new().into_iter())) })
    }

    /// Bytes of all files.
    fn size(&self) -> u64 {
        self.maps().map(|(_, map)| map.len() as u64).sum()
    }

    /// For each file: the name of its type, the address and the bytes of the file as it is mapped here, and how many of them are in the page cache;
    /// `None` where the system does not tell this user.
    fn residency(&self, py: Python<'_>) -> Vec<(String, usize, usize, Option<u64>)> {
        let told = |(name, map): (&str, &Map)| (name.to_owned(), map.address(), map.len(), map.resident());
        py.detach(|| self.maps().map(told).collect())
    }

    /// Maps every page into this process; `progress` is called with the bytes done so far.
    fn warm(&self, py: Python<'_>, progress: Option<Py<PyAny>>) -> PyResult<()> {
        py.detach(|| {
            self.each(|map, before| {
                let mut outcome = Ok(());
                let populated = map.populate(|done| {
                    outcome = report(progress.as_ref(), before + done as u64);
                    outcome.is_ok()
                });
                outcome.and_then(|()| Python::attach(|py| populated.or_raise(py)))
            })
        })
    }

    /// Locks every page in memory, or none: `None` once that is done, else the number of the system's error.
    fn lock(&self, py: Python<'_>) -> PyResult<Option<i32>> {
        py.detach(|| {
            let mut refused = None;
            let locked = self.each(|map, _| {
                let mut outcome = Ok(());
                if refused.is_none() {
                    let tried = map.lock(|_| {
                        outcome = report(None, 0);
                        outcome.is_ok()
                    });
                    refused = tried.err().map(|error| error.raw_os_error().unwrap_or_default());
                }
                outcome
            });
            if locked.is_err() || refused.is_some() {
                self.maps().for_each(|(_, map)| map.unlock());
            }
            locked.map(|()| refused)
        })
    }

    /// What became of the type `name` from this version to `after`: JSON of a `Difference`, with at most `most` keys a difference, those as JSON
    /// has them. Both have the type, with keys of one kind. `progress` is called with the work done and all of it.
    fn diff(
        &self,
        py: Python<'_>,
        after: &Self,
        name: &str,
        most: usize,
        threads: usize,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<String> {
        let side = |version: &'_ Self| version.version.find(name).or_raise(py);
        let (ours, theirs) = (side(self)?, side(after)?);
        let raised = Mutex::new(None);
        let pause = |done: u64, of: u64| {
            let told = Python::attach(|py| {
                progress.as_ref().map_or(Ok(()), |progress| progress.call1(py, (done, of)).map(drop))?;
                py.check_signals()
            });
            told.map_err(|error| {
                *raised.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                Error::Io("interrupted".into())
            })
        };
        let difference = py.detach(|| {
            let before = Side { version: &self.version, place: ours };
            diff(before, Side { version: &after.version, place: theirs }, most, threads, &pause)
        });
        if let Some(raised) = raised.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(raised);
        }
        serde_json::to_string(&difference.or_raise(py)?).map_err(|e| PyValueError::new_err(e.to_string()))
    }

    /// Checks every byte against its checksum, as it is mapped now.
    fn verify(&self, py: Python<'_>, threads: usize) -> PyResult<()> {
        let check = || -> Result<()> {
            let blobs = self.version.types.iter().flat_map(|t| t.layers.blobs().zip(&t.sums));
            blobs.into_iter().try_for_each(|(blob, sums)| sums.verify(blob.map(), threads))
        };
        py.detach(check).or_raise(py)
    }
}

impl Version {
    /// The mapped files, with the names of their types.
    fn maps(&self) -> impl Iterator<Item = (&str, &Map)> {
        let types = self.version.types.iter();
        types.flat_map(|t| t.layers.blobs().map(|blob| (t.name.as_str(), blob.map())))
    }

    /// Does something with each file; `work` is also told the bytes of those before it.
    fn each(&self, mut work: impl FnMut(&Map, u64) -> PyResult<()>) -> PyResult<()> {
        let mut before = 0;
        self.maps().try_for_each(|(_, map)| {
            work(map, before)?;
            before += map.len() as u64;
            Ok(())
        })
    }

    fn program(&self, py: Python<'_>, node: Node) -> PyResult<Compiled> {
        let shape = Shape::new(py, &self.version, &node)?;
        Ok(Compiled(Arc::new(Program { version: self.version.clone(), node, shape })))
    }
}

/// The pieces of a type that are left to read.
type Pieces = Box<dyn Iterator<Item = (Layer, std::ops::Range<u32>)> + Send>;

/// Iterates over the keys of a type.
#[pyclass(frozen)]
pub struct Keys {
    version: Arc<version::Version>,
    place: usize,
    state: Mutex<(Pieces, std::vec::IntoIter<Py<PyAny>>)>,
}

#[pymethods]
impl Keys {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let layers = &self.version.types[self.place].layers;
        let mut state = self.state.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(next) = state.1.next() {
                return Ok(Some(next));
            }
            let Some((layer, slots)) = state.0.next() else { return Ok(None) };
            let spec = &layers.base.directory().key;
            let mut keys = Vec::with_capacity(BATCH);
            for span in layers.spans(layer, slots) {
                let stored = layers.record(span).and_then(|record| record.key().map(<[u8]>::to_vec)).or_raise(py)?;
                let damaged =
                    |error| layers.blob(layer).damaged("records", &format!("field {:?}: {error}", spec.field));
                keys.push(key(py, spec, &stored).map_err(|error| to_py(py, &damaged(error)))?.unbind());
            }
            state.1 = keys.into_iter();
        }
    }
}
