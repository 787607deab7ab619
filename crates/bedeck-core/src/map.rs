//! A file mapped into memory, read-only.

use std::ffi::CString;
use std::fs::OpenOptions;
use std::ops::{Deref, Range};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use crate::error::{Error, Result};

/// Bytes between two reports of progress, and between two chances to stop.
const STEP: usize = 64 << 20;

/// Bytes of a huge page, and of the smallest file that is asked to be in such pages.
#[cfg(target_os = "linux")]
const HUGE: usize = 2 << 20;

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
            let map = unsafe { Mmap::map(&file) }.map_err(|e| unmappable(path, meta.len(), &e))?;
            #[cfg(target_os = "linux")]
            if map.len() >= HUGE {
                // What is not in the page cache yet is then read into huge pages, by kernels that have them for files: a
                // refusal costs time only.
                let _ = map.advise(memmap2::Advice::HugePage);
            }
            Some(map)
        };
        // SAFETY: `name` is a C string that lives through the call.
        let may_write = |name: CString| unsafe { libc::access(name.as_ptr(), libc::W_OK) } == 0;
        // SAFETY: `geteuid` only tells a number.
        let owns = meta.uid() == unsafe { libc::geteuid() };
        let tells = owns || CString::new(path.as_os_str().as_bytes()).is_ok_and(may_write);
        Ok(Self { path: path.to_owned(), bytes, tells })
    }

    /// The file's path when it was mapped.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The address of the first byte in this process; where nothing is mapped, of no byte.
    pub fn address(&self) -> usize {
        self.as_ptr() as usize
    }

    /// Reads every page into the page cache and into this process's page tables; `progress` is told the bytes done and stops it with `false`.
    ///
    /// An error where a page cannot be read: the disk failed, or the file was truncated. Only kernels that cannot populate a range,
    /// which means touching it, die of that as every reader does.
    pub fn populate(&self, mut progress: impl FnMut(usize) -> bool) -> Result<()> {
        for range in self.steps() {
            let end = range.end;
            match populate_range(&self[range.clone()]) {
                Ok(()) => {}
                Err(error) if is_unknown(&error) => {
                    let sum = self[range].iter().step_by(page()).fold(0u8, |sum, byte| sum ^ byte);
                    std::hint::black_box(sum);
                }
                Err(error) => return Err(self.unreadable(&range, &error)),
            }
            if !progress(end) {
                break;
            }
        }
        Ok(())
    }

    /// Locks every page in memory until this is dropped or [`unlocked`](Self::unlock), reading it first if need be; `progress` as for
    /// [`populate`](Self::populate). Gives the system's error where it refuses; what was locked until then stays so.
    pub fn lock(&self, mut progress: impl FnMut(usize) -> bool) -> std::io::Result<()> {
        for range in self.steps() {
            let (end, bytes) = (range.end, &self[range]);
            // SAFETY: the range is mapped; locking changes none of it.
            if unsafe { libc::mlock(bytes.as_ptr().cast(), bytes.len()) } != 0 {
                return Err(std::io::Error::last_os_error());
            }
            if !progress(end) {
                break;
            }
        }
        Ok(())
    }

    /// Lets the system evict all pages again.
    pub fn unlock(&self) {
        if !self.is_empty() {
            // SAFETY: the range is this mapping; unlocking changes none of it.
            unsafe { libc::munlock(self.as_ptr().cast(), self.len()) };
        }
    }

    /// Bytes of the file in the page cache now, as `mincore` tells.
    ///
    /// `None` where the system does not tell: Linux says "all" to whoever neither owns the file nor may write it.
    pub fn resident(&self) -> Option<u64> {
        if !self.tells {
            return None;
        }
        let mut resident = 0;
        for range in self.steps() {
            let bytes = &self[range];
            let mut state = vec![0u8; bytes.len().div_ceil(page())];
            // SAFETY: the range is mapped, and `state` has a byte for each of its pages.
            let failed =
                unsafe { libc::mincore(bytes.as_ptr() as *mut libc::c_void, bytes.len(), state.as_mut_ptr().cast()) };
            if failed != 0 {
                return None;
            }
            let pages = state.iter().filter(|page| **page & 1 == 1).count();
            resident += (pages * page()).min(bytes.len()) as u64;
        }
        Some(resident)
    }

    /// Pieces to work on, each from a page's start on, with chances to stop between them.
    fn steps(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let length = self.len();
        (0..length).step_by(STEP).map(move |start| start..length.min(start + STEP))
    }

    fn unreadable(&self, range: &Range<usize>, error: &std::io::Error) -> Error {
        let why = if error.raw_os_error() == Some(libc::ENOMEM) {
            "the system has no memory left for them"
        } else {
            "the disk fails, or somebody truncated the file; restore it from another copy of the store, or build again"
        };
        let path = self.path.display();
        Error::Io(format!("{path}: bytes {}..{} cannot be read ({error}): {why}", range.start, range.end))
    }
}

fn unmappable(path: &Path, bytes: u64, error: &std::io::Error) -> Error {
    Error::Io(format!(
        "{}: {bytes} bytes cannot be mapped ({error}): this process may not address as many, see ulimit -v",
        path.display()
    ))
}

/// Bytes a page.
fn page() -> usize {
    // SAFETY: `sysconf` only reads a constant of the system.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

/// Maps a range in one go. Linux can since 5.14.
fn populate_range(bytes: &[u8]) -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    // SAFETY: the range is mapped; reading its pages ahead changes none of it.
    let done =
        unsafe { libc::madvise(bytes.as_ptr() as *mut libc::c_void, bytes.len(), libc::MADV_POPULATE_READ) } == 0;
    #[cfg(not(target_os = "linux"))]
    let done = bytes.is_empty();
    if done { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// Whether this is what a system says that cannot populate ranges.
fn is_unknown(error: &std::io::Error) -> bool {
    cfg!(not(target_os = "linux")) || error.raw_os_error() == Some(libc::EINVAL)
}

impl Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.as_deref().unwrap_or(&[])
    }
}
