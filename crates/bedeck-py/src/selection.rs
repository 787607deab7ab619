//! A selection compiled against a version, and what can be asked of it.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bedeck_core::columns::Columns;
use bedeck_core::decorate::{self, Missing, Stop};
use bedeck_core::error::Error;
use bedeck_core::gather::Frame;
use bedeck_core::json::{Page, write_record};
use bedeck_core::locator::Span;
use bedeck_core::selection::Node;
use bedeck_core::sink::Sink;
use bedeck_core::version::Version;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyBytes, PyList, PyTuple};

use crate::answer::{Batches, Scan};
use crate::asked::Listed;
use crate::error::{OrRaise, raise, to_py};
use crate::ids::{Ids, parse, parse_one};
use crate::objects::{Level, Shape};
use crate::record::Record;

/// A compiled selection with its version; shared by the records made from it.
pub struct Program {
    /// The version.
    pub version: Arc<Version>,
    /// What is taken.
    pub node: Node,
    /// The same in Python.
    pub shape: Shape,
}

impl Program {
    /// What all records of the selection share.
    pub fn level(&self) -> Level<'_> {
        Level { version: &self.version, node: &self.node, shape: &self.shape }
    }
}

/// A selection compiled against one version.
#[pyclass(frozen)]
pub struct Compiled(pub Arc<Program>);

enum Failure {
    Stop(Stop),
    Python(PyErr),
}

impl From<Stop> for Failure {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Self {
        Self::Python(error)
    }
}

/// Ids from which on rendering JSON lets other threads run: below, taking the lock again costs more than it gives.
const DETACH_FROM: usize = 256;

/// Bytes that a thread's buffer may have and be kept for its next list.
const KEPT: usize = 1 << 20;

thread_local! {
    static BUFFER: Cell<Sink> = Cell::default();
}

fn missing_from(name: &Bound<'_, PyAny>) -> PyResult<Missing> {
    match name.extract::<PyBackedStr>().as_deref() {
        Ok("null") => Ok(Missing::Null),
        Ok("drop") => Ok(Missing::Drop),
        Ok("error") => Ok(Missing::Error),
        _ => {
            let shown = name.repr()?;
            Err(PyValueError::new_err(format!("missing={shown}: expected \"null\", \"drop\" or \"error\"")))
        }
    }
}

fn deadline_in(seconds: Option<f64>) -> PyResult<Option<Instant>> {
    let Some(seconds) = seconds else { return Ok(None) };
    if seconds.is_nan() {
        return Err(PyValueError::new_err("deadline: not a number of seconds"));
    }
    // What passes the range of the clock is never.
    Ok(Duration::try_from_secs_f64(seconds.max(0.0)).ok().and_then(|wait| Instant::now().checked_add(wait)))
}

impl Compiled {
    fn parse(&self, ids: &Bound<'_, PyAny>) -> PyResult<Ids> {
        let program = &*self.0;
        parse(&program.version.types[program.node.type_place].layers.base.directory().key, ids)
    }

    /// Goes through the slices of a list with the GIL held, but for a moment between two of them: a long list must not stop
    /// every other thread.
    fn each(
        &self,
        py: Python<'_>,
        node: &Node,
        ids: &Bound<'_, PyAny>,
        missing: &Bound<'_, PyAny>,
        seconds: Option<f64>,
        mut each: impl FnMut(&Frame) -> PyResult<()>,
    ) -> PyResult<()> {
        let program = &*self.0;
        let (missing, deadline) = (missing_from(missing)?, deadline_in(seconds)?);
        let keys = self.parse(ids)?;
        let done: Result<(), Failure> = keys.with(|keys| {
            decorate::decorate(&program.version, node, keys, missing, deadline, |start, frame| {
                if start > 0 {
                    py.detach(|| {});
                    py.check_signals().map_err(Failure::Python)?;
                }
                each(frame).map_err(Failure::Python)
            })
        });
        done.map_err(|failure| match failure {
            Failure::Stop(stop) => self.stopped(py, ids, stop, seconds),
            Failure::Python(error) => error,
        })
    }

    fn stopped(&self, py: Python<'_>, ids: &Bound<'_, PyAny>, stop: Stop, seconds: Option<f64>) -> PyErr {
        match stop {
            Stop::Failed(Error::Deadline) if seconds.is_some_and(|left| left <= 0.0) => raise(
                py,
                "DeadlineError",
                "the deadline had passed when the call began: a deadline is a time of time.monotonic(), not a duration, \
                 as in deadline=time.monotonic() + 0.05"
                    .to_owned(),
            ),
            Stop::Failed(error) => to_py(py, &error),
            Stop::Missing(place) => {
                // Of these alone it is sure that asking for an item gives the item, and does nothing else.
                let exact = ids.is_exact_instance_of::<PyList>()
                    || ids.is_exact_instance_of::<PyTuple>()
                    || ids.is_exact_instance_of::<Listed>();
                let shown = if exact { ids.get_item(place).and_then(|id| id.repr()).ok() } else { None };
                let shown = shown.map_or_else(|| "it".to_owned(), |id| id.to_string());
                let name = &self.0.version.types[self.0.node.type_place].name;
                raise(
                    py,
                    "MissingKeyError",
                    format!("ids[{place}]: {shown} is not in type {name:?}; missing=\"null\" or \"drop\" lets it pass"),
                )
            }
        }
    }
}

#[pymethods]
impl Compiled {
    /// A dict for each id.
    fn decorate<'py>(
        &self,
        py: Python<'py>,
        ids: &Bound<'py, PyAny>,
        missing: &Bound<'py, PyAny>,
        deadline: Option<f64>,
    ) -> PyResult<Bound<'py, PyList>> {
        let out = PyList::empty(py);
        let level = self.0.level();
        self.each(py, &self.0.node, ids, missing, deadline, |frame| {
            (0..frame.spans.len()).try_for_each(|i| out.append(level.dict(py, frame, i)?))
        })?;
        Ok(out)
    }

    /// One JSON array.
    fn decorate_json<'py>(
        &self,
        py: Python<'py>,
        ids: &Bound<'py, PyAny>,
        missing: &Bound<'py, PyAny>,
        deadline: Option<f64>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        self.answer_json(py, ids, missing, deadline).map(|(json, _)| json)
    }

    /// One JSON array, and for how many ids there was no record.
    fn answer_json<'py>(
        &self,
        py: Python<'py>,
        ids: &Bound<'py, PyAny>,
        missing: &Bound<'py, PyAny>,
        deadline: Option<f64>,
    ) -> PyResult<(Bound<'py, PyBytes>, usize)> {
        let program = &*self.0;
        let (missing, until) = (missing_from(missing)?, deadline_in(deadline)?);
        let keys = self.parse(ids)?;
        let mut json = BUFFER.take();
        json.clear();
        let mut render = || {
            keys.with(|keys| decorate::decorate_json(&program.version, &program.node, keys, missing, until, &mut json))
        };
        let done = if keys.len() >= DETACH_FROM { py.detach(render) } else { render() };
        let answer = done
            .map(|found| (PyBytes::new(py, json.written()), keys.len() - found))
            .map_err(|stop| self.stopped(py, ids, stop, deadline));
        if json.capacity() <= KEPT {
            BUFFER.set(json);
        }
        answer
    }

    /// A JSON object for each id.
    fn fragments<'py>(
        &self,
        py: Python<'py>,
        ids: &Bound<'py, PyAny>,
        missing: &Bound<'py, PyAny>,
        deadline: Option<f64>,
    ) -> PyResult<Bound<'py, PyList>> {
        let (program, out, mut json) = (&*self.0, PyList::empty(py), Sink::default());
        self.each(py, &program.node, ids, missing, deadline, |frame| {
            let page = Page::new(&program.version, &program.node, frame);
            for (i, span) in frame.spans.iter().enumerate() {
                if span.is_missing() {
                    out.append(py.None())?;
                    continue;
                }
                json.clear();
                json.write(|room, scratch| write_record(&page, i, room, scratch)).or_raise(py)?;
                out.append(PyBytes::new(py, json.written()))?;
            }
            Ok(())
        })?;
        Ok(out)
    }

    /// Arrow batches with a row for each id.
    fn decorate_arrow(
        &self,
        py: Python<'_>,
        ids: &Bound<'_, PyAny>,
        missing: &Bound<'_, PyAny>,
        deadline: Option<f64>,
    ) -> PyResult<Batches> {
        let program = &*self.0;
        let mut columns = Columns::new(&program.version, &program.node);
        let mut batches = Vec::new();
        self.each(py, &self.0.node, ids, missing, deadline, |frame| {
            for i in 0..frame.spans.len() {
                columns.push(frame, i).or_raise(py)?;
                if columns.is_full() {
                    batches.push(columns.take().or_raise(py)?);
                }
            }
            Ok(())
        })?;
        if columns.rows() > 0 || batches.is_empty() {
            batches.push(columns.take().or_raise(py)?);
        }
        Ok(Batches::new(bedeck_core::columns::schema(&program.version, &program.node), batches))
    }

    /// A lazy record for each id.
    fn records<'py>(
        &self,
        py: Python<'py>,
        ids: &Bound<'py, PyAny>,
        missing: &Bound<'py, PyAny>,
        deadline: Option<f64>,
    ) -> PyResult<Bound<'py, PyList>> {
        let out = PyList::empty(py);
        // Only the records themselves are looked up: what they refer to is followed when it is asked for.
        let bare = Node::bare(self.0.node.type_place);
        self.each(py, &bare, ids, missing, deadline, |frame| {
            for span in &frame.spans {
                if span.is_missing() {
                    out.append(py.None())?;
                } else {
                    out.append(Record::new(self.0.clone(), *span))?;
                }
            }
            Ok(())
        })?;
        Ok(out)
    }

    /// The lazy record of one id, or `None`.
    fn find(&self, py: Python<'_>, id: &Bound<'_, PyAny>) -> PyResult<Option<Record>> {
        let program = &*self.0;
        let layers = &program.version.types[program.node.type_place].layers;
        let mut spans: Vec<Span> = Vec::with_capacity(1);
        parse_one(&layers.base.directory().key, id)?
            .with(|keys| keys.find(layers, 0..1, true, &mut spans))
            .or_raise(py)?;
        Ok(spans.first().filter(|span| !span.is_missing()).map(|span| Record::new(self.0.clone(), *span)))
    }

    /// All records of the type as a stream of Arrow batches, in slot order.
    fn scan(&self) -> Scan {
        Scan(self.0.clone())
    }
}
