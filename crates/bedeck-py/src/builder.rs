//! Building from Python.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use arrow_array::RecordBatchReader;
use bedeck_core::build;
use bedeck_core::error::Error;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use crate::arrow::import_stream;
use crate::error::OrRaise;

/// Collects the rows of all types, then writes their blobs.
#[pyclass(frozen)]
pub struct Builder(Mutex<Option<build::Builder>>);

impl Builder {
    fn with<T>(&self, work: impl FnOnce(&mut Option<build::Builder>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[pymethods]
impl Builder {
    #[new]
    fn new(directory: PathBuf, threads: usize, memory: usize) -> Self {
        Self(Mutex::new(Some(build::Builder::new(&directory, threads, memory))))
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
        let built = py.detach(|| builder.finish(&tell));
        if let Some(raised) = signal.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(raised);
        }
        serde_json::to_string(&built.or_raise(py)?).map_err(|e| PyRuntimeError::new_err(e.to_string()))
    }
}

fn finished() -> PyErr {
    PyRuntimeError::new_err("this builder has finished")
}
