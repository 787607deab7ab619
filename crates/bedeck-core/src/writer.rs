//! Writing a blob: sections one after the other, their checksums on the way.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::checksum::{BlobSums, CHUNK, SectionSums, combine};
use crate::directory::{Directory, Extent, FORMAT, MAGIC, PRELUDE};
use crate::error::{Error, Result};

/// Where sections start at least.
const SMALL: u64 = 64;
/// Where large sections start, so that huge pages can map them.
const HUGE: u64 = 2 << 20;
/// What is large.
const LARGE: u64 = 16 << 20;

/// Bytes a write: whole blocks let the file system use large folios, which the kernel can then map as huge pages.
const BLOCK: usize = 8 << 20;

/// A blob being written. What it is not given whole does not exist: the file is complete after [`BlobWriter::finish`] only.
pub struct BlobWriter {
    path: PathBuf,
    file: File,
    /// What of the next block is there.
    block: Vec<u8>,
    at: u64,
    chunk: blake3::Hasher,
    in_chunk: usize,
    sums: Vec<(SectionSums, Vec<blake3::Hash>)>,
    /// Where sections are, so far.
    pub sections: BTreeMap<String, Extent>,
}

impl BlobWriter {
    /// Creates the file at `path`, which must not exist.
    pub fn create(path: &Path) -> Result<Self> {
        let file = File::create_new(path).map_err(|e| Error::io(path, &e))?;
        let prelude = SectionSums { name: "prelude".into(), offset: 0, length: 0, chunks: Vec::new() };
        let mut writer = Self {
            path: path.to_owned(),
            file,
            block: Vec::new(),
            at: 0,
            chunk: blake3::Hasher::new(),
            in_chunk: 0,
            sums: vec![(prelude, Vec::new())],
            sections: BTreeMap::new(),
        };
        writer.write(&[0; PRELUDE])?;
        Ok(writer)
    }

    /// Ends the section before and starts one of about `expected` bytes.
    pub fn begin(&mut self, name: &str, expected: u64) -> Result<()> {
        let align = if expected >= LARGE { HUGE } else { SMALL };
        let zeros = [0; 4096];
        while !self.at.is_multiple_of(align) {
            let step = (align - self.at % align).min(zeros.len() as u64) as usize;
            self.write(&zeros[..step])?;
        }
        self.end_section();
        self.sections.insert(name.to_owned(), Extent { offset: self.at, length: 0 });
        self.sums
            .push((SectionSums { name: name.to_owned(), offset: self.at, length: 0, chunks: Vec::new() }, Vec::new()));
        Ok(())
    }

    /// Appends to the section that was begun last.
    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        if let Some((sums, _)) = self.sums.last()
            && let Some(extent) = self.sections.get_mut(&sums.name)
        {
            extent.length += bytes.len() as u64;
        }
        self.write(bytes)
    }

    fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        self.at += bytes.len() as u64;
        while !bytes.is_empty() {
            let room = (CHUNK - self.in_chunk).min(BLOCK - self.block.len());
            let (now, rest) = bytes.split_at(bytes.len().min(room));
            self.block.extend_from_slice(now);
            if self.block.len() == BLOCK {
                self.flush()?;
            }
            self.chunk.update(now);
            self.in_chunk += now.len();
            if self.in_chunk == CHUNK {
                self.end_chunk();
            }
            bytes = rest;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.file.write_all(&self.block).map_err(|e| Error::io(&self.path, &e))?;
        self.block.clear();
        Ok(())
    }

    fn end_chunk(&mut self) {
        if let Some((_, hashes)) = self.sums.last_mut() {
            hashes.push(self.chunk.finalize());
        }
        self.chunk.reset();
        self.in_chunk = 0;
    }

    fn end_section(&mut self) {
        if self.in_chunk > 0 {
            self.end_chunk();
        }
        if let Some((sums, _)) = self.sums.last_mut() {
            sums.length = self.at - sums.offset;
        }
    }

    /// Writes directory and prelude, and makes the file durable. The file's final name is in the answer.
    pub fn finish(mut self, directory: &Directory) -> Result<BlobSums> {
        let json = serde_json::to_vec(directory).map_err(|e| Error::Io(format!("{}: {e}", self.path.display())))?;
        self.begin("directory", 0)?;
        let offset = self.at;
        self.append(&json)?;
        self.end_section();

        let mut prelude = vec![0; self.sums[0].0.length as usize];
        prelude[..8].copy_from_slice(&MAGIC);
        prelude[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        prelude[16..24].copy_from_slice(&offset.to_le_bytes());
        prelude[24..32].copy_from_slice(&(json.len() as u64).to_le_bytes());
        self.sums[0].1 = crate::checksum::chunks(&prelude).collect();

        let hash = combine(self.sums.iter().flat_map(|(_, hashes)| hashes)).to_hex().to_string();
        self.flush()?;
        let failed = |e: std::io::Error| Error::io(&self.path, &e);
        self.file.seek(SeekFrom::Start(0)).map_err(failed)?;
        self.file.write_all(&prelude[..PRELUDE]).map_err(failed)?;
        self.file.sync_all().map_err(failed)?;
        if self.at >= LARGE {
            evict(&self.file);
        }
        let sections = self.sums.into_iter().map(|(sums, hashes)| SectionSums {
            chunks: hashes.iter().map(|h| h.to_hex().to_string()).collect(),
            ..sums
        });
        let name = format!("{}-{}.blob", directory.type_name, &hash[..32]);
        Ok(BlobSums { name, size: self.at, hash, sections: sections.collect() })
    }
}

/// Drops a file that is on disk from the page cache: what reads it next gets what the disk has, in the large pieces that huge pages map.
/// (Written pages are of any size the system finds when it is busiest.)
fn evict(file: &File) {
    #[cfg(target_os = "linux")]
    // SAFETY: advice on a file that is open changes nothing but how fast it is read.
    unsafe {
        libc::posix_fadvise(std::os::fd::AsRawFd::as_raw_fd(file), 0, 0, libc::POSIX_FADV_DONTNEED);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = file;
}
