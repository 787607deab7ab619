//! BLAKE3 over chunks of sections: one set of hashes serves verification, naming by content and resuming of copies.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::map::Map;

/// Bytes a chunk.
pub const CHUNK: usize = 4 << 20;

/// The chunk hashes of one section, padding up to the next section included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SectionSums {
    /// The section's name.
    pub name: String,
    /// From the start of the file.
    pub offset: u64,
    /// In bytes, with the padding.
    pub length: u64,
    /// BLAKE3 of each chunk, in hex.
    pub chunks: Vec<String>,
}

/// What a manifest says of a blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobSums {
    /// The file's name in `blobs/`.
    pub name: String,
    /// In bytes.
    pub size: u64,
    /// BLAKE3 of all chunk hashes, in hex.
    pub hash: String,
    /// All sections, in file order, without gaps.
    pub sections: Vec<SectionSums>,
}

/// The hashes of the chunks of `bytes`.
pub fn chunks(bytes: &[u8]) -> impl Iterator<Item = blake3::Hash> {
    bytes.chunks(CHUNK).map(blake3::hash)
}

/// The hash of a blob, given those of all its chunks.
pub fn combine<'a>(hashes: impl Iterator<Item = &'a blake3::Hash>) -> blake3::Hash {
    let mut all = blake3::Hasher::new();
    hashes.for_each(|hash| {
        all.update(hash.as_bytes());
    });
    all.finalize()
}

impl BlobSums {
    /// Checks every byte of `map` against these hashes, `threads` chunks at a time, and warms it by the way.
    /// The first damage found, in file order, is named by section and byte range.
    pub fn verify(&self, map: &Map, threads: usize) -> Result<()> {
        let path = map.path().display();
        self.check_shape(map)?;
        let mut jobs = Vec::new();
        for section in &self.sections {
            for (i, expected) in section.chunks.iter().enumerate() {
                let start = section.offset as usize + i * CHUNK;
                let end = (start + CHUNK).min((section.offset + section.length) as usize);
                jobs.push((section, start, end, expected));
            }
        }
        let next = AtomicUsize::new(0);
        let damaged = Mutex::new(usize::MAX);
        std::thread::scope(|scope| {
            let work = || {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    let Some((_, start, end, expected)) = jobs.get(i) else { return };
                    if blake3::hash(&map[*start..*end]).to_hex().as_str() != expected.as_str() {
                        let mut first = damaged.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                        *first = i.min(*first);
                        next.store(jobs.len(), Ordering::Relaxed);
                        return;
                    }
                }
            };
            let helpers = threads.clamp(1, jobs.len().max(1)) - 1;
            // Where the system has no threads to give, this one does all the work.
            (0..helpers).for_each(|_| drop(std::thread::Builder::new().spawn_scoped(scope, work)));
            work();
        });
        match jobs.get(damaged.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)) {
            None => Ok(()),
            Some((section, start, end, _)) => Err(Error::Damaged(format!(
                "{path}: section {}, bytes {start}..{end}: the checksum is wrong; restore the file from another copy of the store, or build again",
                section.name
            ))),
        }
    }

    fn check_shape(&self, map: &Map) -> Result<()> {
        let path = map.path().display();
        if map.len() as u64 != self.size {
            return Err(Error::Damaged(format!(
                "{path}: {} bytes long, but its manifest says {}; restore the file from another copy of the store, or build again",
                map.len(),
                self.size
            )));
        }
        let mut at = 0;
        for section in &self.sections {
            let chunks = section.length.div_ceil(CHUNK as u64);
            if section.offset != at || section.chunks.len() as u64 != chunks {
                return Err(Error::Damaged(format!(
                    "{path}: section {}: its manifest's list of chunks does not fit",
                    section.name
                )));
            }
            at = at.saturating_add(section.length);
        }
        if at != self.size {
            return Err(Error::Damaged(format!("{path}: its manifest's sections do not cover the file")));
        }
        let chunks = self.sections.iter().flat_map(|section| &section.chunks);
        let hashes: Option<Vec<blake3::Hash>> = chunks.map(|chunk| blake3::Hash::from_hex(chunk).ok()).collect();
        if hashes.is_none_or(|hashes| combine(hashes.iter()).to_hex().as_str() != self.hash) {
            return Err(Error::Damaged(format!("{path}: its manifest gives it a hash that is not that of its chunks")));
        }
        Ok(())
    }
}

/// The BLAKE3 of `bytes`, in hex.
pub fn hex(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}
