//! Answers in Arrow's form.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchReader};
use arrow_schema::{ArrowError, SchemaRef};
use bedeck_core::columns::{Columns, schema};
use bedeck_core::error::Error;
use bedeck_core::gather::Frame;
use bedeck_core::layers::Layer;
use bedeck_core::lookup::BATCH;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use crate::arrow::{export_batches, export_schema, export_stream};
use crate::selection::Program;

/// Arrow batches, for whatever takes `__arrow_c_stream__`: pyarrow, polars, duckdb, pandas. Can be taken more than once.
#[pyclass(frozen, module = "bedeck")]
pub struct Batches {
    schema: SchemaRef,
    batches: Arc<[RecordBatch]>,
}

impl Batches {
    pub fn new(schema: SchemaRef, batches: Vec<RecordBatch>) -> Self {
        Self { schema, batches: batches.into() }
    }
}

#[pymethods]
impl Batches {
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        // The interface lets a producer answer in its own schema where it cannot meet the one requested.
        let _ = requested_schema;
        export_batches(py, self.schema.clone(), self.batches.clone())
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        export_schema(py, &self.schema)
    }

    fn __len__(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    fn __repr__(&self) -> String {
        let names: Vec<&str> = self.schema.fields().iter().map(|f| f.name().as_str()).collect();
        format!("<bedeck.Batches: {} rows of {}>", self.__len__(), names.join(", "))
    }
}

/// All records of a type, read while they are asked for.
#[pyclass(frozen)]
pub struct Scan(pub Arc<Program>);

#[pymethods]
impl Scan {
    fn __arrow_c_stream__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        export_stream(py, Box::new(Reader::new(self.0.clone())))
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        export_schema(py, &schema(&self.0.version, &self.0.node))
    }
}

struct Reader {
    program: Arc<Program>,
    /// The pieces that are left.
    pieces: Box<dyn Iterator<Item = (Layer, Range<u32>)> + Send>,
    /// The slice being read, and how many of its records are done: a batch may be full in the middle of it.
    frame: Frame,
    done: usize,
}

impl Reader {
    fn new(program: Arc<Program>) -> Self {
        let pieces = Box::new(program.version.types[program.node.type_place].layers.pieces(BATCH as u32));
        Self { program, pieces, frame: Frame::default(), done: 0 }
    }

    fn batch(&mut self) -> Result<Option<RecordBatch>, Error> {
        let program = self.program.clone();
        let mut columns = Columns::new(&program.version, &program.node);
        while !columns.is_full() {
            if self.done == self.frame.spans.len() && !self.refill()? {
                break;
            }
            if self.done < self.frame.spans.len() {
                columns.push(&self.frame, self.done)?;
                self.done += 1;
            }
        }
        if columns.rows() == 0 { Ok(None) } else { columns.take().map(Some) }
    }

    /// Reads the next slice; false after the last.
    fn refill(&mut self) -> Result<bool, Error> {
        let Program { version, node, .. } = &*self.program;
        let Some((layer, slots)) = self.pieces.next() else { return Ok(false) };
        self.frame.spans.clear();
        self.frame.spans.extend(version.types[node.type_place].layers.spans(layer, slots));
        self.done = 0;
        self.frame.follow(version, node, None)?;
        Ok(true)
    }
}

impl Iterator for Reader {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.batch().map_err(|e| ArrowError::ExternalError(Box::new(e))).transpose()
    }
}

impl RecordBatchReader for Reader {
    fn schema(&self) -> SchemaRef {
        schema(&self.program.version, &self.program.node)
    }
}
