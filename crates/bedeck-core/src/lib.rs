//! The core of bedeck: a read-only catalogue of records that are found by key, a list at a time.
//!
//! One way through it: Arrow batches -> [`ingest`] -> [`build`] -> blobs (docs/format.md) -> [`version`] -> [`lookup`] -> [`gather`] -> [`json`], [`columns`].
//! Everything read from a file is checked before it is used as an offset or a count; damaged files give errors, never undefined behaviour.

mod bases;
pub mod blob;
pub mod build;
pub mod canonical;
pub mod changes;
pub mod checksum;
pub mod columns;
pub mod decorate;
mod dictionary;
pub mod diff;
pub mod directory;
mod duplicates;
mod encode;
pub mod error;
pub mod gather;
pub mod hash;
pub mod index;
pub mod ingest;
mod intake;
mod job;
pub mod json;
pub mod key;
pub mod layers;
pub mod locator;
pub mod lookup;
pub mod map;
mod measure;
mod parallel;
mod plan;
mod prefetch;
pub mod record;
mod roster;
mod row;
mod rows;
pub mod selection;
pub mod sink;
pub mod spec;
mod spill;
mod stats;
mod table;
mod target;
pub mod text;
pub mod time;
pub mod types;
pub mod version;
mod writer;
