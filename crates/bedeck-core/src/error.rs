//! What can go wrong, as the caller has to tell it apart.

use std::fmt;
use std::path::Path;

/// An error of the core; the text names the file, type, field, row or key, and the way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// A schema, type or field declaration does not make sense.
    Schema(String),
    /// A field or type was asked for that does not exist.
    Selection(String),
    /// A row of a source cannot be taken.
    Source(String),
    /// The same key more than once in a source.
    DuplicateKey(String),
    /// A reference to a key that has no record, where that is refused.
    DanglingReference(String),
    /// A file is not there.
    NotFound(String),
    /// Checksum, size or structure of a file is wrong.
    Damaged(String),
    /// Not a bedeck file, or one of a newer format.
    Format(String),
    /// The operating system refused.
    Io(String),
    /// The time given for a request was up before its answer was whole.
    Deadline,
}

/// The result of everything here that can fail.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of the operating system about `path`.
    pub fn io(path: &Path, error: &std::io::Error) -> Self {
        let text = format!("{}: {error}", path.display());
        if error.kind() == std::io::ErrorKind::NotFound { Self::NotFound(text) } else { Self::Io(text) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Schema(text)
            | Self::Selection(text)
            | Self::Source(text)
            | Self::DuplicateKey(text)
            | Self::DanglingReference(text)
            | Self::NotFound(text)
            | Self::Damaged(text)
            | Self::Format(text)
            | Self::Io(text) => f.write_str(text),
            Self::Deadline => f.write_str("the deadline passed before the answer was whole"),
        }
    }
}

impl std::error::Error for Error {}
