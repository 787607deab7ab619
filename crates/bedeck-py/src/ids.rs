//! Ids from Python as stored keys.

use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use bedeck_core::directory::KeySpec;
use bedeck_core::key::{KeyKind, MAX_KEY, parse_base62, parse_uuid};
use bedeck_core::lookup::Keys;
use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyByteArray, PyBytes, PyInt, PyList, PyString, PyTuple, PyType};

use crate::arrow::import_array;
use crate::asked::{Given, Listed};

static UUID: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// Keys in stored form, owned: ids may change or go away once the GIL is released.
pub enum Ids {
    /// Keys of a fixed width.
    Fixed(Keys<'static>),
    /// Keys of any length, as ranges of one buffer.
    Bytes(Vec<u8>, Vec<Option<Range<usize>>>),
}

impl Ids {
    fn new(spec: &KeySpec, capacity: usize) -> Self {
        if spec.width > 0 {
            Self::Fixed(Keys::with_capacity(spec, capacity))
        } else {
            Self::Bytes(Vec::new(), Vec::with_capacity(capacity))
        }
    }

    /// Lends the keys to `work`.
    pub fn with<T>(&self, work: impl FnOnce(&Keys<'_>) -> T) -> T {
        match self {
            Self::Fixed(keys) => work(keys),
            Self::Bytes(bytes, ranges) => {
                work(&Keys::Bytes(ranges.iter().map(|r| r.clone().map(|r| &bytes[r])).collect()))
            }
        }
    }

    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Self::Fixed(keys) => keys.len(),
            Self::Bytes(_, ranges) => ranges.len(),
        }
    }

    #[inline(always)]
    fn push_wide(&mut self, key: Option<u128>) {
        if let Self::Fixed(Keys::Wide(keys)) = self {
            keys.push(key.map(u128::to_be_bytes));
        }
    }

    #[inline(always)]
    fn push_word(&mut self, key: Option<u64>) {
        if let Self::Fixed(Keys::Word(keys)) = self {
            keys.push(key.map(u64::to_le_bytes));
        }
    }

    #[inline(always)]
    fn push_bytes(&mut self, key: &[u8]) {
        if let Self::Bytes(bytes, ranges) = self {
            let start = bytes.len();
            ranges.push((key.len() <= MAX_KEY).then(|| start..start + key.len()));
            if key.len() <= MAX_KEY {
                bytes.extend_from_slice(key);
            }
        }
    }

    /// What cannot be a key of the type.
    fn push_none(&mut self) {
        match self {
            Self::Fixed(Keys::Wide(keys)) => keys.push(None),
            Self::Fixed(Keys::Word(keys)) => keys.push(None),
            Self::Fixed(Keys::Bytes(keys)) => keys.push(None),
            Self::Bytes(_, ranges) => ranges.push(None),
        }
    }

    /// Text or its UTF-8, for the kinds that are written as text.
    #[inline(always)]
    fn push_text(&mut self, kind: KeyKind, text: &[u8]) {
        match kind {
            KeyKind::Base62 => self.push_wide(parse_base62(text)),
            KeyKind::Uuid => self.push_wide(parse_uuid(text)),
            _ => self.push_bytes(text),
        }
    }
}

/// What keys of a kind are in Python.
const fn accepted(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::Base62 => "str, or bytes of the 22 characters",
        KeyKind::Uuid => "uuid.UUID, str, or 16 bytes",
        KeyKind::Int => "int",
        KeyKind::String => "str, or bytes of its UTF-8",
        KeyKind::Bytes => "bytes",
    }
}

/// The keys of any iterable of ids, or of a column of NumPy, pandas, polars or Arrow, in which a null is a miss. What can be a key but is not well formed becomes a miss;
/// what cannot be a key of this kind at all is a `TypeError` that names its place.
pub fn parse(spec: &KeySpec, ids: &Bound<'_, PyAny>) -> PyResult<Ids> {
    // What is no list or tuple may say any length.
    let exact = ids.is_exact_instance_of::<PyList>() || ids.is_exact_instance_of::<PyTuple>();
    let mut out = Ids::new(spec, if exact { ids.len()? } else { 0 });
    if let Ok(list) = ids.cast_exact::<PyList>() {
        for (i, id) in list.iter().enumerate() {
            push(spec, &id, i, &mut out)?;
        }
    } else if let Ok(tuple) = ids.cast_exact::<PyTuple>() {
        for (i, id) in tuple.iter_borrowed().enumerate() {
            push(spec, &id, i, &mut out)?;
        }
    } else if let Ok(listed) = ids.cast_exact::<Listed>() {
        out = Ids::new(spec, listed.get().len());
        push_listed(spec, listed, &mut out)?;
    } else if ids.is_instance_of::<PyString>() || ids.is_instance_of::<PyBytes>() {
        return Err(PyTypeError::new_err("ids must be a list of keys, not one key; put it in a list"));
    } else if let Some(array) = as_array(ids)? {
        push_array(spec, &array, &mut out)?;
    } else if let Some(list) = as_list(ids)? {
        for (i, id) in list.iter().enumerate() {
            // In a column, unlike a list, a null is how a value that is not there is written; pandas has one of its own.
            if id.is_none() || id.get_type().name()? == "NAType" {
                out.push_none();
            } else {
                push(spec, &id, i, &mut out)?;
            }
        }
    } else {
        let items = ids.try_iter().map_err(|error| match ids.hasattr("__iter__") {
            Ok(false) => not_a_list(ids),
            _ => error,
        })?;
        for (i, id) in items.enumerate() {
            push(spec, &id?, i, &mut out)?;
        }
    }
    Ok(out)
}

fn not_a_list(ids: &Bound<'_, PyAny>) -> PyErr {
    let name = ids.get_type().name().map_or_else(|_| "this".to_owned(), |name| name.to_string());
    PyTypeError::new_err(format!("ids must be a list of keys, not {name}"))
}

/// A plain Arrow array of ids; one with a dictionary goes the way of Python objects.
fn as_array(ids: &Bound<'_, PyAny>) -> PyResult<Option<ArrayRef>> {
    if !ids.hasattr("__arrow_c_array__")? {
        return Ok(None);
    }
    let array = import_array(ids)?;
    Ok((!matches!(array.data_type(), DataType::Dictionary(..))).then_some(array))
}

/// The items of a column of NumPy, pandas, pyarrow or polars, by the method that makes Python objects of them fastest.
fn as_list<'py>(ids: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyList>>> {
    for method in ["tolist", "to_pylist", "to_list"] {
        if ids.hasattr(method)? {
            let list = ids.call_method0(method)?;
            return list.cast_into().map(Some).map_err(|_| PyTypeError::new_err("ids must have one dimension"));
        }
    }
    Ok(None)
}

/// One id as a list of one.
pub fn parse_one(spec: &KeySpec, id: &Bound<'_, PyAny>) -> PyResult<Ids> {
    let mut out = Ids::new(spec, 1);
    push(spec, id, 0, &mut out)?;
    Ok(out)
}

#[inline(always)]
fn push(spec: &KeySpec, id: &Bound<'_, PyAny>, place: usize, out: &mut Ids) -> PyResult<()> {
    match spec.kind {
        KeyKind::Int => {
            if id.is_instance_of::<PyInt>() && !id.is_instance_of::<PyBool>() {
                return push_int(spec, id, out);
            }
            if !id.is_instance_of::<PyBool>() && !id.is_instance_of::<PyString>() && id.hasattr("__index__")? {
                return push_int(spec, &id.call_method0("__index__")?, out);
            }
        }
        KeyKind::Bytes => {
            if let Ok(bytes) = id.cast::<PyBytes>() {
                out.push_bytes(bytes.as_bytes());
                return Ok(());
            }
            if let Ok(bytes) = id.cast::<PyByteArray>() {
                out.push_bytes(&bytes.to_vec());
                return Ok(());
            }
        }
        kind => {
            if let Ok(text) = id.cast::<PyString>() {
                match text.to_str() {
                    Ok(text) => out.push_text(kind, text.as_bytes()),
                    // A lone surrogate: no UTF-8, so no key.
                    Err(_) => out.push_none(),
                }
                return Ok(());
            }
            if let Ok(bytes) = id.cast::<PyBytes>() {
                match <[u8; 16]>::try_from(bytes.as_bytes()) {
                    Ok(raw) if kind == KeyKind::Uuid => out.push_wide(Some(u128::from_be_bytes(raw))),
                    _ => out.push_text(kind, bytes.as_bytes()),
                }
                return Ok(());
            }
            if kind == KeyKind::Uuid && id.is_instance(UUID.import(id.py(), "uuid", "UUID")?)? {
                out.push_wide(Some(id.getattr(intern!(id.py(), "int"))?.extract()?));
                return Ok(());
            }
        }
    }
    Err(PyTypeError::new_err(format!(
        "ids[{place}]: {} cannot be a key {:?} of kind {} ({})",
        id.get_type().name()?,
        spec.field,
        spec.kind.name(),
        accepted(spec.kind)
    )))
}

fn push_int(spec: &KeySpec, id: &Bound<'_, PyAny>, out: &mut Ids) -> PyResult<()> {
    let number = if spec.signed { id.extract::<i64>().map(|n| n as u64) } else { id.extract::<u64>() };
    match number {
        Ok(number) => out.push_word(Some(number)),
        Err(error) if error.is_instance_of::<PyOverflowError>(id.py()) => out.push_word(None),
        Err(error) => return Err(error),
    }
    Ok(())
}

/// JSON has text and numbers alone: text that is no key of the kind is a miss, as a number out of range is.
fn push_listed(spec: &KeySpec, listed: &Bound<'_, Listed>, out: &mut Ids) -> PyResult<()> {
    let pushed = listed.get().push(listed.py(), out, |out, given| {
        match (spec.kind, given) {
            (KeyKind::Int, Given::Number(number)) => out.push_word(word(spec, number)),
            (KeyKind::Int, Given::Beyond) => out.push_none(),
            (KeyKind::Int, Given::Text(_)) | (_, Given::Number(_) | Given::Beyond) => return false,
            (kind, Given::Text(text)) => out.push_text(kind, text),
        }
        true
    });
    pushed.map_err(|place| {
        let (given, wanted) = if spec.kind == KeyKind::Int { ("text", "a number") } else { ("a number", "text") };
        PyTypeError::new_err(format!(
            "ids[{place}]: {given} cannot be a key {:?} of kind {}, which is {wanted}",
            spec.field,
            spec.kind.name()
        ))
    })
}

fn word(spec: &KeySpec, number: i128) -> Option<u64> {
    if spec.signed { i64::try_from(number).ok().map(|n| n as u64) } else { u64::try_from(number).ok() }
}

fn push_array(spec: &KeySpec, array: &ArrayRef, out: &mut Ids) -> PyResult<()> {
    let wrong = || {
        PyTypeError::new_err(format!(
            "ids of Arrow type {} cannot be keys {:?} of kind {}",
            array.data_type(),
            spec.field,
            spec.kind.name()
        ))
    };
    macro_rules! numbers {
        ($kind:ty) => {
            for number in array.as_primitive::<$kind>() {
                out.push_word(number.and_then(|number| word(spec, number.into())));
            }
        };
    }
    macro_rules! bytes {
        ($array:expr, $allowed:expr, $raw:expr) => {
            if !$allowed {
                return Err(wrong());
            } else {
                for bytes in $array {
                    match bytes.map(AsRef::<[u8]>::as_ref) {
                        None => out.push_none(),
                        Some(bytes) if $raw && spec.kind == KeyKind::Uuid && bytes.len() == 16 => {
                            out.push_wide(bytes.try_into().ok().map(u128::from_be_bytes));
                        }
                        Some(bytes) => out.push_text(spec.kind, bytes),
                    }
                }
            }
        };
    }
    if array.data_type() == &DataType::Null {
        (0..array.len()).for_each(|_| out.push_none());
        return Ok(());
    }
    let (text, binary) = (!matches!(spec.kind, KeyKind::Int | KeyKind::Bytes), spec.kind != KeyKind::Int);
    if spec.kind == KeyKind::Int {
        match array.data_type() {
            DataType::Int8 => numbers!(Int8Type),
            DataType::Int16 => numbers!(Int16Type),
            DataType::Int32 => numbers!(Int32Type),
            DataType::Int64 => numbers!(Int64Type),
            DataType::UInt8 => numbers!(UInt8Type),
            DataType::UInt16 => numbers!(UInt16Type),
            DataType::UInt32 => numbers!(UInt32Type),
            DataType::UInt64 => numbers!(UInt64Type),
            _ => return Err(wrong()),
        }
        return Ok(());
    }
    match array.data_type() {
        DataType::Utf8 => bytes!(array.as_string::<i32>(), text, false),
        DataType::LargeUtf8 => bytes!(array.as_string::<i64>(), text, false),
        DataType::Utf8View => bytes!(array.as_string_view(), text, false),
        DataType::Binary => bytes!(array.as_binary::<i32>(), binary, true),
        DataType::LargeBinary => bytes!(array.as_binary::<i64>(), binary, true),
        DataType::BinaryView => bytes!(array.as_binary_view(), binary, true),
        DataType::FixedSizeBinary(_) => bytes!(array.as_fixed_size_binary(), binary, true),
        _ => return Err(wrong()),
    }
    Ok(())
}
