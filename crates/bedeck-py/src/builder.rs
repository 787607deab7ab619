//! Building from Python.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use arrow_array::RecordBatchReader;
use bedeck_core::build;
use bedeck_core::cycle::Options;
use bedeck_core::error::Error;
use bedeck_core::lookup::Keys;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use serde::Serialize;

use crate::arrow::import_stream;
use crate::error::OrRaise;
use crate::ids::parse;
use crate::version::Version;

/// Collects the rows of all types, then writes their blobs.
#[pyclass(frozen)]
pub struct Builder {
    builder: Mutex<Option<build::Builder>>,
    /// Ids to delete, by type: which kind of keys they are, the version tells that they are deleted from.
    deleted: Mutex<Vec<(String, Py<PyAny>)>>,
}

impl Builder {
    fn with<T>(&self, work: impl FnOnce(&mut Option<build::Builder>) -> T) -> T {
        work(&mut self.builder.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ends the building: `work` is given the builder, and what to tell how far it has come.
    fn end<T: Serialize + Send>(
        &self,
        py: Python<'_>,
        report: Option<Py<PyAny>>,
        work: impl FnOnce(build::Builder, build::Report<'_>) -> Result<T, Error> + Send,
    ) -> PyResult<String> {
        let builder = self.with(Option::take).ok_or_else(finished)?;
        let signal = Mutex::new(None);
        let tell = |at: build::Progress<'_>| {
            let told = Python::attach(|py| {
                py.check_signals()?;
                report
                    .as_ref()
                    .map_or(Ok(()), |report| report.call1(py, (at.type_name, at.stage, at.done, at.of)).map(drop))
            });
            told.map_err(|raised| {
                *signal.lock().unwrap_or_else(PoisonError::into_inner) = Some(raised);
                Error::Io("interrupted".into())
            })
        };
        let made = py.detach(|| work(builder, &tell));
        if let Some(raised) = signal.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(raised);
        }
        serde_json::to_string(&made.or_raise(py)?).map_err(|e| PyRuntimeError::new_err(e.to_string()))
    }
}

#[pymethods]
impl Builder {
    #[new]
    fn new(directory: PathBuf, threads: usize, memory: usize) -> Self {
        let builder = Mutex::new(Some(build::Builder::new(&directory, threads, memory)));
        Self { builder, deleted: Mutex::default() }
    }

    /// Declares a type; `spec` is the JSON of a `TypeSpec`.
    fn add_type(&self, py: Python<'_>, spec: &str) -> PyResult<()> {
        let spec = serde_json::from_str(spec).map_err(|e| PyValueError::new_err(e.to_string()))?;
        self.with(|builder| builder.as_mut().map(|b| b.add_type(spec))).ok_or_else(finished)?.or_raise(py)
    }

    /// Takes all rows of an object with `__arrow_c_stream__`; returns how many there were.
    fn add_source(&self, py: Python<'_>, name: &str, origin: &str, source: &Bound<'_, PyAny>) -> PyResult<u64> {
        let reader = import_stream(source)?;
        let schema = reader.schema();
        let batches = reader.map(|batch| batch.map_err(|e| Error::Source(format!("{origin}: {e}"))));
        let rows =
            py.detach(|| self.with(|builder| builder.as_mut().map(|b| b.add_source(name, origin, &schema, batches))));
        rows.ok_or_else(finished)?.or_raise(py)
    }

    /// Lets go of all rows, where the build ends before its time.
    fn close(&self) {
        self.with(Option::take);
    }

    /// Writes all blobs into the directory and checks them; returns the JSON of a list of `Built`. `report` is called with a type, a stage,
    /// the slots done and all slots. What it raises ends the build; so does Ctrl-C.
    fn finish(&self, py: Python<'_>, report: Option<Py<PyAny>>) -> PyResult<String> {
        self.end(py, report, |builder, tell| builder.finish(tell))
    }

    /// Takes ids of records to delete, in an update.
    fn delete(&self, name: String, ids: Py<PyAny>) {
        self.deleted.lock().unwrap_or_else(PoisonError::into_inner).push((name, ids));
    }

    /// Writes what the rows change of the version `current` as overlays and groups over its bases, or new bases; `options` is the JSON of
    /// `Options`, and `report` as for `finish`. Returns the JSON of an `Outcome`.
    fn finish_over(
        &self,
        py: Python<'_>,
        current: &Version,
        options: &str,
        report: Option<Py<PyAny>>,
    ) -> PyResult<String> {
        let options: Options = serde_json::from_str(options).map_err(|e| PyValueError::new_err(e.to_string()))?;
        let deleted = std::mem::take(&mut *self.deleted.lock().unwrap_or_else(PoisonError::into_inner));
        let version = current.version.clone();
        for (name, ids) in deleted {
            let spec = &version.types[version.find(&name).or_raise(py)?].layers.base.directory().key;
            let ids = parse(spec, ids.bind(py))?;
            self.with(|builder| builder.as_mut().map(|builder| ids.with(|keys| delete(builder, &name, keys))))
                .ok_or_else(finished)?;
        }
        self.end(py, report, |builder, tell| builder.finish_over(&version, &options, tell))
    }
}

/// Deletes keys; what cannot be one is in no catalogue.
fn delete(builder: &mut build::Builder, name: &str, keys: &Keys<'_>) {
    match keys {
        Keys::Wide(keys) => keys.iter().flatten().for_each(|key| builder.delete(name, key)),
        Keys::Word(keys) => keys.iter().flatten().for_each(|key| builder.delete(name, key)),
        Keys::Bytes(keys) => keys.iter().flatten().for_each(|key| builder.delete(name, key)),
    }
}

fn finished() -> PyErr {
    PyRuntimeError::new_err("this builder has finished")
}
