//! The last step of a build for one type: its records laid out, written, and looked up in the finished file.

use crate::blob::Blob;
use crate::build::Site;
use crate::checksum::BlobSums;
use crate::directory::{Directory, Kind, LocatorSpec, RECORDS_PADDING};
use crate::encode::{Encoded, encode_segment};
use crate::error::{Error, Result};
use crate::intake::Input;
use crate::locator;
use crate::lookup::{BATCH, Keys};
use crate::measure::{Measured, Subject, digest};
use crate::parallel;
use crate::plan::Plan;
use crate::spill::Spill;
use crate::table::SEGMENT;
use crate::writer::BlobWriter;

/// The last step for one blob of a type.
pub struct Job<'a> {
    pub input: &'a Input,
    pub subject: &'a Subject<'a>,
    pub plan: &'a Plan,
    pub measured: &'a Measured,
    pub epoch: &'a str,
    /// The hash of the base that a group or an overlay lies over.
    pub base: Option<&'a str>,
    /// What an overlay has besides: sections by name, in order.
    pub sections: &'a [(&'static str, Vec<u8>)],
    pub site: &'a Site<'a>,
}

impl Job<'_> {
    /// Writes the blob, and checks it.
    pub fn write(&self) -> Result<BlobSums> {
        let Self { input, subject, plan, measured, site, .. } = self;
        let (spec, table) = (&input.spec, subject.table);
        let index = &table.index;
        let path = site.directory.join(format!("{}.blob", spec.name));
        let mut writer = BlobWriter::create(&path)?;
        let pilots = if plan.part.kind == Kind::Group { &[][..] } else { &index.pilots };
        writer.begin("pilots", pilots.len() as u64)?;
        writer.append(pilots)?;

        let slots = index.shape.total_slots();
        writer.begin("records", slots * u64::from(plan.record.fixed))?;
        let mut locator = locator::Writer::default();
        let heap = Spill::create(site.directory, "heap")?;
        let mut field_bytes = vec![0u64; spec.fields.len()];
        let mut record_bytes = 0;
        table.each_segment(
            |placed, i, slots| encode_segment(subject, plan, placed, slots, measured.ordinals(i)),
            |mut segment: Encoded, done| {
                let base = heap.append(&segment.heap)?;
                for at in &segment.pointers {
                    if let Some(pointer) = segment.records[*at..].first_chunk_mut::<8>() {
                        *pointer = (u64::from_le_bytes(*pointer) + base).to_le_bytes();
                    }
                }
                segment.lengths.iter().try_for_each(|length| locator.push(*length))?;
                field_bytes.iter_mut().zip(&segment.field_bytes).for_each(|(all, here)| *all += here);
                record_bytes += segment.records.len() as u64;
                writer.append(&segment.records)?;
                input.tell(site, "write", done.into(), slots)
            },
        )?;
        writer.append(&[0; RECORDS_PADDING as usize])?;
        let heap = heap.map()?;
        writer.begin("heap", heap.len() as u64)?;
        writer.append(&heap)?;
        writer.begin("values", plan.values.len() as u64)?;
        writer.append(&plan.values)?;
        let (lines, width) = locator.finish()?;
        writer.begin("locator", lines.len() as u64)?;
        writer.append(&lines)?;
        for (name, bytes) in self.sections {
            writer.begin(name, bytes.len() as u64)?;
            writer.append(bytes)?;
        }

        let records = table.records;
        let mut fields = Vec::new();
        for (mut field, bytes) in plan.fields.iter().cloned().zip(field_bytes) {
            let packed = field.bits.map_or(0, |b| u64::from(b.bits))
                + field.vars().map(|v| u64::from(v.bits)).sum::<u64>()
                + u64::from(field.null_bit.is_some());
            let tables: u64 = field.values.iter().chain(&field.dangling).map(|t| table_bytes(&plan.values, t)).sum();
            field.bytes = bytes + (records * packed).div_ceil(8) + tables;
            fields.push(field);
        }
        let mut chosen = plan.part.fields.iter();
        fields.retain(|_| chosen.next() == Some(&true));
        let bits = (pilots.len() as u64 * 8 * 1000).checked_div(records).unwrap_or(0);
        let counters = [
            ("holes", slots - records),
            ("index_bits_per_1000_keys", bits),
            ("record_bytes", record_bytes),
            ("heap_bytes", heap.len() as u64),
        ];
        let described = Directory {
            type_name: spec.name.clone(),
            kind: plan.part.kind,
            base: self.base.map(str::to_owned),
            records,
            epoch: self.epoch.to_owned(),
            digest: format!("{:032x}", measured.digest),
            key: index.key.clone(),
            index: index.shape,
            locator: LocatorSpec { width },
            record: plan.record,
            fields,
            sections: writer.sections.clone(),
            counters: counters.into_iter().map(|(name, count)| (name.to_owned(), count)).collect(),
        };
        let blob = writer.finish(&described)?;
        let written = site.directory.join(&blob.name);
        std::fs::rename(&path, &written).map_err(|e| Error::io(&written, &e))?;
        let finished = Blob::open_path(&written)?;
        let mut outcome = Ok(());
        finished.map().populate(|_| {
            outcome = input.tell(site, "check", 0, slots);
            outcome.is_ok()
        })?;
        outcome?;
        if plan.part.kind != Kind::Group {
            self.check(&finished)?;
        }
        Ok(blob)
    }

    /// Looks up every key of the finished file, through the very passes that will serve it: each has to lead to its own record, and all of
    /// them have to be the keys of the sources.
    fn check(&self, blob: &Blob) -> Result<()> {
        let key = &self.subject.table.index.key;
        let slots = self.subject.table.index.shape.total_slots() as u32;
        let wrong = |slot: u32| {
            Error::Io(format!(
                "{}: the key in slot {slot} is not found after the build; this is a bug in bedeck",
                blob.map().path().display()
            ))
        };
        let segment = |i: usize| {
            let start = i as u32 * SEGMENT;
            let (mut spans, mut found) = (Vec::new(), Vec::new());
            let (mut sum, mut text, mut canonical) = (0u128, Vec::new(), Vec::new());
            let records: Vec<_> = blob.spans(start..start.saturating_add(SEGMENT).min(slots)).collect();
            for batch in records.chunks(BATCH) {
                let mut keys = Keys::with_capacity(key, batch.len());
                for span in batch {
                    let stored = blob.record(*span)?.key()?;
                    keys.push(Some(stored));
                    text.clear();
                    key.kind.print(stored, &mut text);
                    canonical.clear();
                    crate::row::write_canonical_key(key.kind, &text, &mut canonical);
                    sum = sum.wrapping_add(digest(&canonical));
                }
                spans.clear();
                keys.find_in(blob, 0..keys.len(), false, &mut spans)?;
                found.extend_from_slice(&spans);
            }
            match records.iter().zip(&found).find(|(at, found)| at != found) {
                Some((at, _)) => Err(wrong(at.ordinal)),
                None => Ok(sum),
            }
        };
        let (mut sum, mut done, mut outcome) = (0u128, 0, Ok(()));
        let segments = (slots as usize).div_ceil(SEGMENT as usize);
        parallel::ordered(self.site.threads, segments, segment, |found: Result<u128>| {
            done = SEGMENT.saturating_add(done).min(slots);
            outcome = found.and_then(|found| {
                sum = sum.wrapping_add(found);
                self.input.tell(self.site, "check", done.into(), slots.into())
            });
            outcome.is_ok()
        });
        outcome?;
        if sum == self.measured.key_digest { Ok(()) } else { Err(wrong(0)) }
    }
}

fn table_bytes(values: &[u8], table: &crate::directory::Table) -> u64 {
    let last = table.offset as usize + 8 * table.count as usize;
    let end = values.get(last..).and_then(|b| b.first_chunk()).map_or(0, |b| u64::from_le_bytes(*b));
    8 * (table.count + 1) + end
}
