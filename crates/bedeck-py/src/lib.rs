//! The module `bedeck._core`: Python objects in, Python objects out; everything between is `bedeck-core`.

mod answer;
mod arrow;
mod asked;
mod builder;
mod error;
mod ids;
mod load;
mod objects;
mod record;
mod selection;
mod version;

use pyo3::prelude::*;

/// Bytes from which on it is worth letting others run meanwhile.
const LONG: usize = 64 << 10;

/// The BLAKE3 of bytes, as 64 hex digits.
#[pyfunction]
fn blake3(py: Python<'_>, data: &[u8]) -> String {
    let hash = || bedeck_core::checksum::hex(data);
    if data.len() < LONG { hash() } else { py.detach(hash) }
}

#[pymodule(gil_used = false)]
mod _core {
    #[pymodule_export]
    use super::answer::Batches;
    #[pymodule_export]
    use super::asked::{Listed, read_ids, read_uris};
    #[pymodule_export]
    use super::blake3;
    #[pymodule_export]
    use super::builder::Builder;
    #[pymodule_export]
    use super::load::load;
    #[pymodule_export]
    use super::record::Record;
    #[pymodule_export]
    use super::selection::Compiled;
    #[pymodule_export]
    use super::version::{Keys, Version};

    /// Whether this is a debug build, whose speed means nothing.
    #[pymodule_export]
    const DEBUG: bool = cfg!(debug_assertions);

    /// The version of the package.
    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");
}
