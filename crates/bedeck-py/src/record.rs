//! A record that makes Python objects only of what is asked of it.

use std::sync::Arc;

use bedeck_core::gather::Frame;
use bedeck_core::locator::Span;
use bedeck_core::selection::From;
use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use crate::error::OrRaise;
use crate::selection::Program;

/// One record, as a mapping of names to values. It pins the version it is from; `dict(record)` does not.
#[pyclass(frozen, mapping, module = "bedeck")]
pub struct Record {
    program: Arc<Program>,
    span: Span,
}

impl Record {
    pub fn new(program: Arc<Program>, span: Span) -> Self {
        Self { program, span }
    }

    fn place(&self, name: &Bound<'_, PyAny>) -> PyResult<Option<usize>> {
        let Ok(name) = name.cast::<PyString>() else { return Ok(None) };
        // A lone surrogate has no UTF-8, and names nothing.
        let Ok(name) = name.to_str() else { return Ok(None) };
        Ok(self.program.node.outputs.iter().position(|output| output.name == name))
    }

    fn value<'py>(&self, py: Python<'py>, place: usize) -> PyResult<Bound<'py, PyAny>> {
        let Program { version, node, .. } = &*self.program;
        let mut frame = Frame { spans: vec![self.span], links: Vec::new() };
        if matches!(node.outputs[place].from, From::Keys(_) | From::Through(_)) {
            frame.follow(version, node, None).or_raise(py)?;
        }
        let record = version.types[node.type_place].layers.record(self.span).or_raise(py)?;
        self.program.level().output(py, &frame, 0, &record, place)
    }

    fn names<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.program.shape.names())
    }

    fn dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let Program { version, node, .. } = &*self.program;
        let mut frame = Frame { spans: vec![self.span], links: Vec::new() };
        frame.follow(version, node, None).or_raise(py)?;
        self.program.level().dict(py, &frame, 0)
    }
}

fn view<'py>(record: &Bound<'py, Record>, class: &str) -> PyResult<Bound<'py, PyAny>> {
    record.py().import("collections.abc")?.getattr(class)?.call1((record,))
}

#[pymethods]
impl Record {
    fn __getitem__<'py>(&self, py: Python<'py>, name: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        match self.place(name)? {
            Some(place) => self.value(py, place),
            None => Err(PyKeyError::new_err((name.clone().unbind(),))),
        }
    }

    #[pyo3(signature = (name, default=None))]
    fn get<'py>(
        &self,
        py: Python<'py>,
        name: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        match self.place(name)? {
            Some(place) => self.value(py, place),
            None => Ok(default.unwrap_or_else(|| py.None().into_bound(py))),
        }
    }

    fn __contains__(&self, name: &Bound<'_, PyAny>) -> PyResult<bool> {
        Ok(self.place(name)?.is_some())
    }

    fn __len__(&self) -> usize {
        self.program.node.outputs.len()
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.names(py)?.call_method0("__iter__")
    }

    fn keys<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        view(slf, "KeysView")
    }

    fn values<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        view(slf, "ValuesView")
    }

    fn items<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        view(slf, "ItemsView")
    }

    fn __eq__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let mine = self.dict(py)?;
        if let Ok(other) = other.cast::<Self>() {
            return Ok(mine.eq(other.get().dict(py)?)?.into_pyobject(py)?.to_owned().into_any().unbind());
        }
        let mapping = py.import("collections.abc")?.getattr("Mapping")?;
        if !other.is_instance(&mapping)? {
            return Ok(py.NotImplemented());
        }
        let theirs = PyDict::new(py);
        theirs.update(other.cast()?)?;
        Ok(mine.eq(theirs)?.into_pyobject(py)?.to_owned().into_any().unbind())
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("Record({})", self.dict(py)?.repr()?))
    }

    /// A record pickles as the plain dict that it is equal to: the store may be out of reach where it is read again.
    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let class = py.get_type::<PyDict>();
        PyTuple::new(py, [class.into_any(), PyTuple::new(py, [self.dict(py)?])?.into_any()])
    }
}
