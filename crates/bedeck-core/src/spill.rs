//! Temporary data of a build: appended to a file by many threads, then mapped.
//!
//! The file has no name from the moment it is made, so it goes when the process goes, however that ends.

use std::fs::{File, OpenOptions};
use std::ops::Deref;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::Mmap;

use crate::error::{Error, Result};

/// A nameless file that grows.
#[derive(Debug)]
pub struct Spill {
    path: PathBuf,
    file: File,
    end: AtomicU64,
}

impl Spill {
    /// An empty one on the file system of `directory`; `name` is for errors.
    pub fn create(directory: &Path, name: &str) -> Result<Self> {
        let path = directory.join(name);
        let failed = |e: std::io::Error| Error::io(&path, &e);
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).map_err(failed)?;
        std::fs::remove_file(&path).map_err(failed)?;
        Ok(Self { path, file, end: AtomicU64::new(0) })
    }

    /// Appends `bytes` and returns where they start. Threads may append at once.
    pub fn append(&self, bytes: &[u8]) -> Result<u64> {
        let at = self.end.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.file
            .write_all_at(bytes, at)
            .map_err(|e| Error::Io(format!("{}: {e} (temporary data of the build)", self.path.display())))?;
        Ok(at)
    }

    /// Bytes appended so far.
    pub fn len(&self) -> u64 {
        self.end.load(Ordering::Relaxed)
    }

    /// All that was appended, to be read.
    pub fn map(self) -> Result<Pages> {
        if self.len() == 0 {
            return Ok(Pages::default());
        }
        // SAFETY: the file has no name, nobody else has it open, and with `self` ends the only way to write it.
        let map = unsafe { Mmap::map(&self.file) };
        map.map(|map| Pages(Some(map))).map_err(|e| Error::io(&self.path, &e))
    }
}

/// What was appended, mapped.
#[derive(Debug, Default)]
pub struct Pages(Option<Mmap>);

impl Deref for Pages {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.as_deref().unwrap_or(&[])
    }
}

impl Pages {
    /// The bytes as little-endian words of 8; what is left over is not among them.
    pub fn words(&self) -> &[[u8; 8]] {
        self.as_chunks().0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_threads_append_is_whole_and_leaves_no_file() {
        let directory = std::env::temp_dir().join(format!("bedeck-spill-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let spill = Spill::create(&directory, "rows").unwrap();
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0);
        let places: Vec<Vec<u64>> = std::thread::scope(|scope| {
            let start = |byte: u8| {
                let spill = &spill;
                scope.spawn(move || (0..100).map(|i| spill.append(&vec![byte; i]).unwrap()).collect())
            };
            let threads: Vec<_> = (0..4).map(start).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(spill.len(), 4 * (0..100).sum::<u64>());
        let pages = spill.map().unwrap();
        for (byte, places) in (0u8..).zip(places) {
            for (length, at) in places.into_iter().enumerate() {
                assert!(pages[at as usize..at as usize + length].iter().all(|b| *b == byte));
            }
        }
        std::fs::remove_dir(&directory).unwrap();
        assert!(Spill::create(&directory, "rows").is_err());
    }
}
