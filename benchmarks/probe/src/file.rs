//! The file that is probed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use memmap2::Mmap;

const CHUNK: usize = 1 << 20;
const PAGE: usize = 4096;

/// A file, mapped shared and read-only, every page of it in memory.
pub struct Probed {
    map: Mmap,
    _made: Option<Made>,
}

/// A file made for this, removed at the end.
struct Made(PathBuf);

impl Probed {
    /// Maps a file that is there.
    pub fn existing(path: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Self { map: map(&File::open(path)?)?, _made: None })
    }

    /// Makes a file of so many bytes, which must not be there, and maps it.
    pub fn made(path: impl AsRef<Path>, bytes: usize) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        let made = Made(path.as_ref().to_owned());
        let chunk: Vec<u8> = (0..=u8::MAX).cycle().take(CHUNK).collect();
        for at in (0..bytes).step_by(CHUNK) {
            file.write_all(&chunk[..CHUNK.min(bytes - at)])?;
        }
        Ok(Self { map: map(&file)?, _made: Some(made) })
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.map
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            eprintln!("bedeck-probe: {}: {error}", self.0.display());
        }
    }
}

/// Maps a file and touches every page of it.
fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: the bytes are only read, as `u8` and `u64`, for which any value is right.
    let map = unsafe { Mmap::map(file) }?;
    #[cfg(target_os = "linux")]
    if map.advise(memmap2::Advice::PopulateRead).is_ok() {
        return Ok(map);
    }
    std::hint::black_box(map.iter().step_by(PAGE).fold(0u8, |sum, byte| sum ^ byte));
    Ok(map)
}
