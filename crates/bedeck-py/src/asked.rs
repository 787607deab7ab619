//! What the body of a request asks for, read from its JSON.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};
use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};

use crate::ids::Ids;

/// An id as JSON writes it.
#[derive(Debug, Clone, PartialEq)]
pub enum Id {
    /// A part of the text of its list.
    Text(u32, u32),
    /// A whole number.
    Number(i128),
    /// A number that is in no range of keys.
    Beyond,
}

/// Ids that were read, in order, and the text of all of them.
#[derive(Default)]
struct List {
    text: Vec<u8>,
    ids: Vec<Id>,
}

/// The ids of a request, or a part of them: a list of them to whatever takes ids.
#[pyclass(frozen, sequence)]
pub struct Listed {
    list: Arc<List>,
    from: usize,
    to: usize,
}

impl Listed {
    /// As keys of a kind, appended to `out`. Gives the place of the first that cannot be one at all.
    pub fn push(&self, out: &mut Ids, mut push: impl FnMut(&mut Ids, Given<'_>) -> bool) -> Result<(), usize> {
        for (place, id) in self.list.ids[self.from..self.to].iter().enumerate() {
            let given = match *id {
                Id::Text(start, end) => Given::Text(&self.list.text[start as usize..end as usize]),
                Id::Number(number) => Given::Number(number),
                Id::Beyond => Given::Beyond,
            };
            if !push(out, given) {
                return Err(place);
            }
        }
        Ok(())
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
        self.to - self.from
    }

    fn __getitem__<'py>(&self, py: Python<'py>, place: usize) -> PyResult<Bound<'py, PyAny>> {
        let ids = &self.list.ids[self.from..self.to];
        match ids.get(place) {
            None => Err(PyIndexError::new_err(format!("there are {} ids", ids.len()))),
            Some(Id::Text(start, end)) => {
                let text = &self.list.text[*start as usize..*end as usize];
                Ok(PyString::new(py, &String::from_utf8_lossy(text)).into_any())
            }
            Some(Id::Number(number)) => Ok(number.into_pyobject(py)?.into_any()),
            Some(Id::Beyond) => Ok(f64::INFINITY.into_pyobject(py)?.into_any()),
        }
    }

    /// Those at the places `start` up to `end`; as many of them as there are.
    fn part(&self, start: usize, end: usize) -> Self {
        let from = self.from.saturating_add(start).min(self.to);
        Self { list: self.list.clone(), from, to: self.from.saturating_add(end).clamp(from, self.to) }
    }
}

struct ManyIds(List);

impl<'de> Deserialize<'de> for ManyIds {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = List;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a list of ids")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<List, A::Error> {
                let mut list = List::default();
                while let Some(one) = seq.next_element::<One<'de>>()? {
                    list.ids.push(match one {
                        One::Text(text) => {
                            let start = list.text.len();
                            list.text.extend_from_slice(text.as_bytes());
                            let within = |at| u32::try_from(at).map_err(|_| A::Error::custom("ids of over 4 GiB"));
                            Id::Text(within(start)?, within(list.text.len())?)
                        }
                        One::Number(number) => Id::Number(number),
                        One::Beyond => Id::Beyond,
                    });
                }
                Ok(list)
            }
        }

        from.deserialize_seq(Reader).map(Self)
    }
}

enum One<'a> {
    Text(Cow<'a, str>),
    Number(i128),
    Beyond,
}

impl<'de> Deserialize<'de> for One<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = One<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an id, which is text or a whole number")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<One<'de>, E> {
                Ok(One::Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<One<'de>, E> {
                Ok(One::Text(Cow::Owned(text.to_owned())))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<One<'de>, E> {
                Ok(One::Number(number.into()))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<One<'de>, E> {
                Ok(One::Number(number.into()))
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<One<'de>, E> {
                // Whole numbers that pass 64 bits come as these.
                if number.fract() == 0.0 && number.abs() >= 9.2e18 {
                    Ok(One::Beyond)
                } else {
                    Err(E::invalid_type(serde::de::Unexpected::Float(number), &self))
                }
            }
        }

        from.deserialize_any(Reader)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfOne<'a> {
    ids: ManyIds,
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
    serde_json::from_slice(body).map_err(|error| PyValueError::new_err(error.to_string()))
}

fn names<'py>(py: Python<'py>, fields: Option<Vec<Cow<'_, str>>>) -> PyResult<Option<Bound<'py, PyTuple>>> {
    fields.map(|fields| PyTuple::new(py, fields)).transpose()
}

/// Ids, fields, `missing` and `partial`.
type Asked<'py, I, F> = (I, F, Option<Cow<'py, str>>, bool);

/// The ids, fields, `missing` and `partial` of a request for records of one type. `ValueError` where it is no such request.
#[pyfunction]
pub fn read_ids<'py>(py: Python<'py>, body: &'py [u8]) -> PyResult<Asked<'py, Listed, Option<Bound<'py, PyTuple>>>> {
    let OfOne { ids: ManyIds(list), fields, missing, partial } = read(body)?;
    let to = list.ids.len();
    Ok((Listed { list: Arc::new(list), from: 0, to }, names(py, fields)?, missing, partial))
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
