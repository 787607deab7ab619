//! A file mapped into memory, read-only.

use std::ffi::CString;
use std::fs::OpenOptions;
use std::ops::Deref;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use crate::error::{Error, Result};

/// Bytes between two reports of progress, and between two chances to stop.
const STEP: usize = 64 << 20;

/// A whole file, mapped; shared by all processes that map it. An empty file maps to no bytes.
#[derive(Debug)]
pub struct Map {
    path: PathBuf,
    bytes: Option<Mmap>,
    /// Whether the system tells which pages are in the page cache.
    tells: bool,
}

impl Map {
    /// Maps the file at `path`.
    ///
    /// What mmap cannot promise: a file that somebody truncates afterwards ends the process with SIGBUS when a lost page is read.
    pub fn open(path: &Path) -> Result<Self> {
        // Not to wait for the other end of a pipe.
        let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
        let file = opened.map_err(|e| Error::io(path, &e))?;
        let meta = file.metadata().map_err(|e| Error::io(path, &e))?;
        if !meta.is_file() {
            return Err(Error::Format(format!("{}: not a regular file", path.display())));
        }
        let bytes = if meta.len() == 0 {
            None
        } else {
            // SAFETY: blobs are immutable by contract (docs/caveats.md); the bytes are only ever read as `u8`, and every
            // offset taken from them is checked, so a change underneath gives wrong bytes at worst, which the checksums tell.
            Some(unsafe { Mmap::map(&file) }.map_err(|e| Error::io(path, &e))?)
        };
        // SAFETY: `name` is a C string that lives through the call.
        let may_write = |name: CString| unsafe { libc::access(name.as_ptr(), libc::W_OK) } == 0;
        let tells = CString::new(path.as_os_str().as_bytes()).is_ok_and(may_write);
        Ok(Self { path: path.to_owned(), bytes, tells })
    }

    /// The file's path when it was mapped.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads every page into the page cache and into this process's page tables; `progress` is told the bytes done and stops it with `false`.
    pub fn populate(&self, mut progress: impl FnMut(usize) -> bool) {
        let Some(map) = &self.bytes else { return };
        let mut at = 0;
        while at < map.len() {
            let step = STEP.min(map.len() - at);
            if !populate_range(map, at, step) {
                let sum = map[at..at + step].iter().step_by(page()).fold(0u8, |sum, byte| sum ^ byte);
                std::hint::black_box(sum);
            }
            at += step;
            if !progress(at) {
                return;
            }
        }
    }

    /// Bytes of the file in the page cache now, as `mincore` tells.
    ///
    /// `None` where the system does not tell: Linux says "all" to whoever may not write the file.
    pub fn resident(&self) -> Option<u64> {
        let Some(map) = &self.bytes else { return Some(0) };
        if !self.tells {
            return None;
        }
        let pages = map.len().div_ceil(page());
        let mut state = vec![0u8; pages];
        // SAFETY: the range is exactly this mapping, and `state` has a byte for each of its pages.
        let failed = unsafe { libc::mincore(map.as_ptr() as *mut libc::c_void, map.len(), state.as_mut_ptr().cast()) };
        if failed != 0 {
            return None;
        }
        Some((state.iter().filter(|s| **s & 1 == 1).count() * page()).min(map.len()) as u64)
    }
}

/// Bytes a page.
fn page() -> usize {
    // SAFETY: `sysconf` only reads a constant of the system.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

/// Maps a range in one go; false where the system cannot, and each page has to be touched. Linux can since 5.14.
fn populate_range(map: &Mmap, at: usize, length: usize) -> bool {
    #[cfg(target_os = "linux")]
    return map.advise_range(memmap2::Advice::PopulateRead, at, length).is_ok();
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (map, at, length);
        false
    }
}

impl Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.as_deref().unwrap_or(&[])
    }
}
