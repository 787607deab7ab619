//! The Arrow PyCapsule interface, both ways.

use std::ffi::CStr;
use std::sync::Arc;

use arrow_array::ffi::{FFI_ArrowArray, from_ffi};
use arrow_array::ffi_stream::{FFI_ArrowArrayStream, RecordBatchStreamReader};
use arrow_array::{ArrayRef, RecordBatch, RecordBatchIterator, RecordBatchReader, make_array};
use arrow_schema::ffi::FFI_ArrowSchema;
use arrow_schema::{ArrowError, SchemaRef};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

const STREAM: &CStr = c"arrow_array_stream";
const SCHEMA: &CStr = c"arrow_schema";
const ARRAY: &CStr = c"arrow_array";

/// The batches of an object with `__arrow_c_stream__`.
pub fn import_stream(source: &Bound<'_, PyAny>) -> PyResult<RecordBatchStreamReader> {
    let capsule = source.call_method0("__arrow_c_stream__")?;
    let capsule = capsule.cast::<PyCapsule>()?;
    let stream = capsule.pointer_checked(Some(STREAM))?.cast::<FFI_ArrowArrayStream>();
    // SAFETY: a capsule of this name points to an ArrowArrayStream (Arrow PyCapsule interface), checked above;
    // `from_raw` moves it out and leaves a released stream behind, as the interface demands of consumers.
    let stream = unsafe { FFI_ArrowArrayStream::from_raw(stream.as_ptr()) };
    RecordBatchStreamReader::try_new(stream)
        .map_err(|e| PyTypeError::new_err(format!("the Arrow stream cannot be read: {e}")))
}

/// The array of an object with `__arrow_c_array__`.
pub fn import_array(source: &Bound<'_, PyAny>) -> PyResult<ArrayRef> {
    let (schema, array): (Bound<'_, PyCapsule>, Bound<'_, PyCapsule>) =
        source.call_method0("__arrow_c_array__")?.extract()?;
    let schema = schema.pointer_checked(Some(SCHEMA))?.cast::<FFI_ArrowSchema>();
    let array = array.pointer_checked(Some(ARRAY))?.cast::<FFI_ArrowArray>();
    // SAFETY: capsules of these names point to an ArrowSchema and an ArrowArray, checked above; both are moved out, and the capsules
    // keep released ones, as the interface demands of consumers.
    let (schema, array) =
        unsafe { (FFI_ArrowSchema::from_raw(schema.as_ptr()), FFI_ArrowArray::from_raw(array.as_ptr())) };
    // SAFETY: the producer promises by the interface that the array is valid for its schema.
    let data = unsafe { from_ffi(array, &schema) };
    data.map(make_array).map_err(|e| PyTypeError::new_err(format!("the Arrow array cannot be read: {e}")))
}

/// A stream of `batches` as a capsule.
pub fn export_stream<'py>(
    py: Python<'py>,
    batches: Box<dyn RecordBatchReader + Send>,
) -> PyResult<Bound<'py, PyCapsule>> {
    PyCapsule::new_with_value(py, FFI_ArrowArrayStream::new(batches), STREAM)
}

/// A stream of batches that are there already.
pub fn export_batches<'py>(
    py: Python<'py>,
    schema: SchemaRef,
    batches: Arc<[RecordBatch]>,
) -> PyResult<Bound<'py, PyCapsule>> {
    let all = (0..batches.len()).map(move |i| Ok::<_, ArrowError>(batches[i].clone()));
    export_stream(py, Box::new(RecordBatchIterator::new(all, schema)))
}

/// A schema as a capsule.
pub fn export_schema<'py>(py: Python<'py>, schema: &SchemaRef) -> PyResult<Bound<'py, PyCapsule>> {
    let schema = FFI_ArrowSchema::try_from(schema.as_ref()).map_err(|e| PyTypeError::new_err(e.to_string()))?;
    PyCapsule::new_with_value(py, schema, SCHEMA)
}
