//! What the body of a request asks for, read from its JSON.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Unexpected, Visitor};

use crate::ids::Ids;

/// An id as JSON writes it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Id {
    /// Text as it is in the body, from one place to another.
    Plain(usize, usize),
    /// Text that had escapes, from one place of what was made of it to another.
    Escaped(usize, usize),
    /// A whole number.
    Natural(u64),
    /// One below 0.
    Negative(i64),
    /// A number that is in no range of keys.
    Beyond,
}

/// Ids that were read, in order, and where their text is.
struct List {
    body: Py<PyBytes>,
    escaped: Vec<u8>,
    ids: Vec<Id>,
}

impl List {
    fn given<'a>(&'a self, py: Python<'a>, id: Id) -> Given<'a> {
        match id {
            Id::Plain(start, end) => Given::Text(&self.body.as_bytes(py)[start..end]),
            Id::Escaped(start, end) => Given::Text(&self.escaped[start..end]),
            Id::Natural(number) => Given::Number(number.into()),
            Id::Negative(number) => Given::Number(number.into()),
            Id::Beyond => Given::Beyond,
        }
    }
}

/// The ids of a request, or a part of them: a list of them to whatever takes ids.
#[pyclass(frozen, sequence)]
pub struct Listed {
    list: Arc<List>,
    from: usize,
    to: usize,
}

impl Listed {
    /// How many.
    pub fn len(&self) -> usize {
        self.to - self.from
    }

    /// As keys of a kind, appended to `out`. Gives the place of the first that cannot be one at all, in the whole list.
    pub fn push(
        &self,
        py: Python<'_>,
        out: &mut Ids,
        mut push: impl FnMut(&mut Ids, Given<'_>) -> bool,
    ) -> Result<(), usize> {
        let ids = &self.list.ids[self.from..self.to];
        ids.iter().position(|id| !push(out, self.list.given(py, *id))).map_or(Ok(()), |place| Err(self.from + place))
    }
}

/// An id, with its text at hand.
pub enum Given<'a> {
    /// Text, in UTF-8.
    Text(&'a [u8]),
    /// A whole number.
    Number(i128),
    /// A number that is in no range of keys.
    Beyond,
}

#[pymethods]
impl Listed {
    fn __len__(&self) -> usize {
        self.len()
    }

    fn __getitem__<'py>(&self, py: Python<'py>, place: usize) -> PyResult<Bound<'py, PyAny>> {
        let ids = &self.list.ids[self.from..self.to];
        let id = ids.get(place).ok_or_else(|| PyIndexError::new_err(format!("there are {} ids", ids.len())))?;
        Ok(match self.list.given(py, *id) {
            Given::Text(text) => PyString::new(py, &String::from_utf8_lossy(text)).into_any(),
            Given::Number(number) => number.into_pyobject(py)?.into_any(),
            Given::Beyond => f64::INFINITY.into_pyobject(py)?.into_any(),
        })
    }

    /// Those at the places `start` up to `end`; as many of them as there are.
    fn part(&self, start: usize, end: usize) -> Self {
        let from = self.from.saturating_add(start).min(self.to);
        Self { list: self.list.clone(), from, to: self.from.saturating_add(end).clamp(from, self.to) }
    }
}

/// The ids of a body, and the text of those that have escapes. Those that have none are where they are in memory.
struct Found {
    ids: Vec<Id>,
    escaped: Vec<u8>,
}

impl Found {
    /// The same with places in the body.
    fn of(mut self, body: &Bound<'_, PyBytes>) -> List {
        let origin = body.as_bytes().as_ptr().addr();
        for id in &mut self.ids {
            if let Id::Plain(start, end) = id {
                (*start, *end) = (*start - origin, *end - origin);
            }
        }
        List { body: body.clone().unbind(), escaped: self.escaped, ids: self.ids }
    }
}

impl<'de> Deserialize<'de> for Found {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Found;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a list of ids")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Found, A::Error> {
                let mut found = Found { ids: Vec::with_capacity(USUAL), escaped: Vec::new() };
                while seq.next_element_seed(Next(&mut found))?.is_some() {}
                Ok(found)
            }
        }

        from.deserialize_seq(Reader)
    }
}

/// Ids that most lists have at the most.
const USUAL: usize = 128;

/// Reads one id, and appends it to the others.
struct Next<'a>(&'a mut Found);

impl<'de> DeserializeSeed<'de> for Next<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Next<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an id, which is text or a whole number")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<(), E> {
        let start = text.as_ptr().addr();
        self.0.ids.push(Id::Plain(start, start + text.len()));
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let Found { ids, escaped } = self.0;
        let start = escaped.len();
        escaped.extend_from_slice(text.as_bytes());
        ids.push(Id::Escaped(start, escaped.len()));
        Ok(())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.0.ids.push(Id::Natural(number));
        Ok(())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.0.ids.push(Id::Negative(number));
        Ok(())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        // Whole numbers that pass 64 bits come as these.
        if number.fract() != 0.0 || number.abs() < 9.2e18 {
            return Err(E::invalid_type(Unexpected::Float(number), &self));
        }
        self.0.ids.push(Id::Beyond);
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfOne<'a> {
    ids: Found,
    #[serde(borrow, default)]
    fields: Option<Vec<Cow<'a, str>>>,
    #[serde(borrow, default)]
    missing: Option<Cow<'a, str>>,
    #[serde(default)]
    partial: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfSeveral<'a> {
    #[serde(borrow)]
    uris: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    fields: BTreeMap<Cow<'a, str>, Option<Vec<Cow<'a, str>>>>,
    #[serde(borrow, default)]
    missing: Option<Cow<'a, str>>,
    #[serde(default)]
    partial: bool,
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> PyResult<T> {
    let wrong = |error: &dyn fmt::Display| PyValueError::new_err(error.to_string());
    let text = std::str::from_utf8(body).map_err(|error| wrong(&error))?;
    if body.trim_ascii_start().first() == Some(&b'[') {
        return Err(wrong(&"a JSON object is expected, not an array"));
    }
    serde_json::from_str(text).map_err(|error| wrong(&error))
}

/// The fields that were named last, and the same in Python: mostly they are named again.
static LAST: Mutex<Option<(Vec<String>, Py<PyTuple>)>> = Mutex::new(None);

fn names<'py>(py: Python<'py>, fields: Option<Vec<Cow<'_, str>>>) -> PyResult<Option<Bound<'py, PyTuple>>> {
    let Some(fields) = fields else { return Ok(None) };
    // Nobody waits for the lock: whoever holds it may have to wait for the GIL.
    if let Ok(last) = LAST.try_lock()
        && let Some((names, tuple)) = &*last
        && *names == fields
    {
        return Ok(Some(tuple.bind(py).clone()));
    }
    let tuple = PyTuple::new(py, &fields)?;
    let now = (fields.into_iter().map(Cow::into_owned).collect(), tuple.clone().unbind());
    let _past = LAST.try_lock().ok().and_then(|mut last| last.replace(now));
    Ok(Some(tuple))
}

/// Ids, fields, `missing` and `partial`.
type Asked<'py, I, F> = (I, F, Option<Cow<'py, str>>, bool);

/// The ids, fields, `missing` and `partial` of a request for records of one type. `ValueError` where it is no such request.
#[pyfunction]
pub fn read_ids<'py>(
    py: Python<'py>,
    body: &'py Bound<'py, PyBytes>,
) -> PyResult<Asked<'py, Listed, Option<Bound<'py, PyTuple>>>> {
    let OfOne { ids, fields, missing, partial } = read(body.as_bytes())?;
    let to = ids.ids.len();
    Ok((Listed { list: Arc::new(ids.of(body)), from: 0, to }, names(py, fields)?, missing, partial))
}

/// The uris, fields by type, `missing` and `partial` of a request for records of several types. `ValueError` as above.
#[pyfunction]
pub fn read_uris<'py>(
    py: Python<'py>,
    body: &'py [u8],
) -> PyResult<Asked<'py, Bound<'py, PyList>, Bound<'py, PyDict>>> {
    let OfSeveral { uris, fields, missing, partial } = read(body)?;
    let by_type = PyDict::new(py);
    for (name, fields) in fields {
        by_type.set_item(name, names(py, fields)?)?;
    }
    Ok((PyList::new(py, uris)?, by_type, missing, partial))
}
