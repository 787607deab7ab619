//! Records as Python objects.

use bedeck_core::directory::{Field, KeySpec};
use bedeck_core::error::Error;
use bedeck_core::gather::{Frame, Named};
use bedeck_core::key::{KeyKind, print_base62, print_uuid};
use bedeck_core::locator::Span;
use bedeck_core::record::{Record, Value};
use bedeck_core::selection::{From, Node, Source};
use bedeck_core::text::unescape;
use bedeck_core::time::civil;
use bedeck_core::types::{Scalar, Unit};
use bedeck_core::version::Version;
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDate, PyDateTime, PyDict, PyList, PyString, PyTzInfo};

use crate::error::{OrRaise, to_py};

/// What a node needs in Python: interned names, and time zones, one an output each.
pub struct Shape {
    names: Vec<Py<PyString>>,
    zones: Vec<Option<Py<PyTzInfo>>>,
    children: Vec<Shape>,
}

impl Shape {
    /// Prepares a compiled node.
    pub fn new(py: Python<'_>, version: &Version, node: &Node) -> PyResult<Self> {
        let fields = &version.types[node.type_place].fields;
        let zone = |from: &From| match from {
            From::Field(i) => match &fields[*i].field_type.scalar {
                Scalar::Timestamp(_, Some(name)) => time_zone(py, name).map(Some),
                _ => Ok(None),
            },
            _ => Ok(None),
        };
        Ok(Self {
            names: node.outputs.iter().map(|o| PyString::intern(py, &o.name).unbind()).collect(),
            zones: node.outputs.iter().map(|o| zone(&o.from)).collect::<PyResult<_>>()?,
            children: node.children.iter().map(|c| Self::new(py, version, &c.node)).collect::<PyResult<_>>()?,
        })
    }

    /// The names of the outputs.
    pub fn names(&self) -> &[Py<PyString>] {
        &self.names
    }
}

fn time_zone(py: Python<'_>, name: &str) -> PyResult<Py<PyTzInfo>> {
    let zone = py.import("bedeck.zones")?.getattr("zone")?.call1((name,))?;
    Ok(zone.cast_into::<PyTzInfo>()?.unbind())
}

/// A version, a node of a selection, and its shape: what all records of one level share.
#[derive(Clone, Copy)]
pub struct Level<'a> {
    /// The version.
    pub version: &'a Version,
    /// The node.
    pub node: &'a Node,
    /// Its shape.
    pub shape: &'a Shape,
}

impl<'a> Level<'a> {
    fn child(&self, child: usize) -> Self {
        Self { version: self.version, node: &self.node.children[child].node, shape: &self.shape.children[child] }
    }

    /// Record `i` of `frame` as a dict, `None` where there is none.
    #[inline]
    pub fn dict<'py>(&self, py: Python<'py>, frame: &Frame, i: usize) -> PyResult<Bound<'py, PyAny>> {
        let span = frame.spans[i];
        if span.is_missing() {
            return Ok(py.None().into_bound(py));
        }
        let record = self.version.types[self.node.type_place].layers.record(span).or_raise(py)?;
        let dict = PyDict::new(py);
        for (place, name) in self.shape.names.iter().enumerate() {
            dict.set_item(name, self.output(py, frame, i, &record, place)?)?;
        }
        Ok(dict.into_any())
    }

    /// The value of one output of record `i`.
    #[inline]
    pub fn output<'py>(
        &self,
        py: Python<'py>,
        frame: &Frame,
        i: usize,
        record: &Record<'a>,
        place: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (layers, span) = (&self.version.types[self.node.type_place].layers, frame.spans[i]);
        let field = |record: &Record<'a>, field: &'a Field| {
            let zone = self.shape.zones[place].as_ref();
            value(py, &field.field_type.scalar, zone, record.value(field).or_raise(py)?)
                .map_err(|error| self.unsound(py, span, &field.name, error))
        };
        match self.node.steps_of(span)[place].source {
            Source::Key => {
                let spec = &layers.base.directory().key;
                key(py, spec, record.key().or_raise(py)?).map_err(|error| self.unsound(py, span, &spec.field, error))
            }
            Source::Field(at) => field(record, &layers.blob(span.layer()).columns()[at]),
            Source::Aside(group, at) => {
                field(&layers.aside(group, span.ordinal).or_raise(py)?, &layers.groups[group].columns()[at])
            }
            Source::Nothing => Ok(py.None().into_bound(py)),
            Source::Keys(child) => self
                .links(py, frame, i, child, |at| self.referenced_key(py, frame, child, at))
                .map_err(|error| self.unsound(py, span, &self.node.outputs[place].name, error)),
            Source::Through(child) => {
                self.links(py, frame, i, child, |at| self.child(child).dict(py, &frame.links[child].frame, at))
            }
        }
    }

    /// What Python finds wrong with a stored value, as damage to its file.
    #[cold]
    fn unsound(&self, py: Python<'_>, span: Span, field: &str, error: PyErr) -> PyErr {
        if error.is_instance_of::<PyValueError>(py) || error.is_instance_of::<PyOverflowError>(py) {
            let blob = self.version.types[self.node.type_place].layers.blob(span.layer());
            return to_py(py, &blob.damaged("records", &format!("field {field:?}: {error}")));
        }
        error
    }

    fn links<'py>(
        &self,
        py: Python<'py>,
        frame: &Frame,
        i: usize,
        child: usize,
        each: impl Fn(usize) -> PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        match frame.links[child].of(i) {
            None => Ok(py.None().into_bound(py)),
            Some(places) if self.node.children[child].list => {
                let list = PyList::empty(py);
                for at in places {
                    list.append(each(at)?)?;
                }
                Ok(list.into_any())
            }
            Some(places) => each(places.start),
        }
    }

    fn referenced_key<'py>(
        &self,
        py: Python<'py>,
        frame: &Frame,
        child: usize,
        at: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        match frame.links[child].named(self.version, self.node, child, at).or_raise(py)? {
            (_, Named::Nothing) => Ok(py.None().into_bound(py)),
            (spec, Named::Stored(stored)) => key(py, spec, stored),
            (_, Named::Text(text)) => string(py, text),
        }
    }
}

/// A stored key in Python: an int, bytes, or str.
pub fn key<'py>(py: Python<'py>, spec: &KeySpec, stored: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    match (spec.kind, stored.first_chunk::<16>(), stored.first_chunk::<8>()) {
        (KeyKind::Base62, Some(key), _) => string(py, &print_base62(u128::from_be_bytes(*key))),
        (KeyKind::Uuid, Some(key), _) => string(py, &print_uuid(u128::from_be_bytes(*key))),
        (KeyKind::Int, _, Some(key)) if spec.signed => i64::from_le_bytes(*key).into_bound_py_any(py),
        (KeyKind::Int, _, Some(key)) => u64::from_le_bytes(*key).into_bound_py_any(py),
        (KeyKind::Bytes, _, _) => Ok(PyBytes::new(py, stored).into_any()),
        _ => string(py, stored),
    }
}

#[inline(always)]
fn string<'py>(py: Python<'py>, utf8: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    PyString::from_bytes(py, utf8).map(Bound::into_any)
}

#[inline(always)]
fn value<'py>(
    py: Python<'py>,
    scalar: &Scalar,
    zone: Option<&Py<PyTzInfo>>,
    value: Value<'_>,
) -> PyResult<Bound<'py, PyAny>> {
    match value {
        Value::Null => Ok(py.None().into_bound(py)),
        Value::Bool(b) => Ok(PyBool::new(py, b).to_owned().into_any()),
        Value::Int(n) => n.into_bound_py_any(py),
        Value::UInt(n) => n.into_bound_py_any(py),
        Value::Float32(x) => f64::from(x).into_bound_py_any(py),
        Value::Float64(x) => x.into_bound_py_any(py),
        Value::Text(text) => string(py, &unescape(text)),
        Value::Binary(bytes) => Ok(PyBytes::new(py, bytes).into_any()),
        Value::Date(days) => {
            let (year, month, day) = civil(days);
            Ok(PyDate::new(py, year as i32, month as u8, day as u8)?.into_any())
        }
        Value::Instant(ticks) => instant(py, scalar, zone, ticks),
        Value::List(list) => {
            let out = PyList::empty(py);
            for item in list.items() {
                out.append(self::value(py, scalar, zone, item)?)?;
            }
            Ok(out.into_any())
        }
    }
}

fn instant<'py>(
    py: Python<'py>,
    scalar: &Scalar,
    zone: Option<&Py<PyTzInfo>>,
    ticks: i64,
) -> PyResult<Bound<'py, PyAny>> {
    let Scalar::Timestamp(unit, _) = scalar else {
        return Err(to_py(py, &Error::Damaged("an instant without a unit".into())));
    };
    let micros = match unit {
        Unit::Second => i128::from(ticks) * 1_000_000,
        Unit::Milli => i128::from(ticks) * 1_000,
        Unit::Micro => i128::from(ticks),
        Unit::Nano => i128::from(ticks).div_euclid(1_000),
    };
    let (days, in_day) = (micros.div_euclid(86_400_000_000) as i64, micros.rem_euclid(86_400_000_000) as u64);
    let (year, month, day) = civil(days);
    let seconds = in_day / 1_000_000;
    let (hour, minute, second) = ((seconds / 3600) as u8, (seconds / 60 % 60) as u8, (seconds % 60) as u8);
    let utc = zone.map(|_| PyTzInfo::utc(py)).transpose()?.map(|utc| utc.to_owned());
    let moment = PyDateTime::new(
        py,
        year as i32,
        month as u8,
        day as u8,
        hour,
        minute,
        second,
        (in_day % 1_000_000) as u32,
        utc.as_ref(),
    )?;
    match (zone, &utc) {
        (Some(zone), Some(utc)) if !zone.is(utc) => moment.call_method1(intern!(py, "astimezone"), (zone,)),
        _ => Ok(moment.into_any()),
    }
}
