//! The core's errors as those of `bedeck.errors`.

use bedeck_core::error::Error;
use pyo3::prelude::*;

/// The class in `bedeck.errors` with this name, raised with `text`.
pub fn raise(py: Python<'_>, class: &str, text: String) -> PyErr {
    match py.import("bedeck.errors").and_then(|module| module.getattr(class)).and_then(|class| class.call1((text,))) {
        Ok(instance) => PyErr::from_value(instance),
        Err(error) => error,
    }
}

/// An error of the core as a Python exception.
pub fn to_py(py: Python<'_>, error: &Error) -> PyErr {
    let class = match error {
        Error::Schema(_) => "SchemaError",
        Error::Selection(_) => "SelectionError",
        Error::Source(_) => "SourceError",
        Error::DuplicateKey(_) => "DuplicateKeyError",
        Error::DanglingReference(_) => "DanglingReferenceError",
        Error::NotFound(_) => "NotFoundError",
        Error::Damaged(_) => "DamagedError",
        Error::Format(_) => "FormatError",
        Error::Io(_) => "StoreError",
        Error::Deadline => "DeadlineError",
    };
    raise(py, class, error.to_string())
}

/// Turns the error of a result into a Python exception.
pub trait OrRaise<T> {
    /// The value, or the exception.
    fn or_raise(self, py: Python<'_>) -> PyResult<T>;
}

impl<T> OrRaise<T> for Result<T, Error> {
    #[inline]
    fn or_raise(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|error| to_py(py, &error))
    }
}
