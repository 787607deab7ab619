//! Ordinals beyond 2^28 and offsets beyond 2^40, without a blob of that size: by arithmetic, and in files of holes.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bedeck_core::blob::Blob;
use bedeck_core::directory::{Directory, MAGIC, Shape};
use bedeck_core::error::Error;
use bedeck_core::hash::hash;
use bedeck_core::locator::{self, LINE, Span};
use bedeck_core::lookup::find_in;
use bedeck_core::record::Value;
use serde_json::json;

const KEYS: u64 = 256_000_000;
const SLOTS: u64 = (1 << 32) - 2;
const MAX_VALUE: u32 = (1 << 31) - 1;

/// Shapes of 256 million keys, of a little more than 2^28, and of as many slots as there can be.
fn shapes() -> [Shape; 4] {
    let of = |keys: u64| Shape::new(7, Shape::parts_for(keys), keys / Shape::parts_for(keys) + 2_000);
    let most = Shape { seed: 1, parts: 2, buckets: 1 << 29, slots: SLOTS / 2 };
    [of(KEYS), of((1 << 28) + 1), most, Shape { parts: SLOTS / 6, buckets: 3, slots: 6, ..most }]
}

/// Numbers all over 64 bits, their ends included.
fn numbers() -> impl Iterator<Item = u64> {
    (0..20_000u64).map(|i| hash(3, &i.to_le_bytes())).chain([0, 1, 1 << 63, u64::MAX - 1, u64::MAX])
}

#[test]
fn slots_and_buckets_are_those_of_wide_arithmetic() {
    let high = |a: u64, b: u64| u64::try_from((u128::from(a) * u128::from(b)) >> 64).unwrap();
    for shape in shapes() {
        assert!(shape.total_slots() <= SLOTS);
        let mut largest = 0;
        for h in numbers() {
            let part = high(h, shape.parts);
            assert_eq!(shape.part(h), part);
            assert!(shape.bucket(h) / shape.buckets == part && part < shape.parts);
            for pilot in [0u8, 1, 255] {
                let mixed = h ^ u64::from(pilot).wrapping_mul(0x517c_c1b7_2722_0a95);
                let slot = part * shape.slots + high(mixed.wrapping_mul(0xf135_7aea_2e62_a9c5), shape.slots);
                assert_eq!(u64::from(shape.slot(h, pilot)), slot);
                assert!(slot < shape.total_slots());
                largest = largest.max(slot);
            }
        }
        assert!(largest > shape.total_slots() / 1000 * 999);
    }
    assert!(shapes()[0].total_slots() > KEYS && shapes()[1].total_slots() > 1 << 28);
}

#[test]
fn buckets_ascend_with_hashes_at_any_size() {
    let mut hashes: Vec<u64> = numbers().collect();
    hashes.sort_unstable();
    for shape in shapes() {
        assert!(hashes.windows(2).all(|w| shape.bucket(w[0]) <= shape.bucket(w[1])));
    }
}

#[test]
fn every_ordinal_has_a_line_and_a_place_in_it() {
    let ordinals = numbers().map(|n| n as u32).chain([1 << 28, (1 << 28) + 1, (SLOTS - 1) as u32]);
    for ordinal in ordinals {
        for width in [2, 4] {
            let per_line = locator::ends_per_line(width);
            let (at, i) = locator::line_of(ordinal, width);
            assert_eq!(at as u64 / LINE as u64 * per_line + i as u64, u64::from(ordinal));
            assert!(at.is_multiple_of(LINE) && (i as u64) < per_line);
        }
    }
    assert_eq!(locator::line_of((SLOTS - 1) as u32, 4), (19_634_136_192, 1));
}

fn lines_of(lengths: &[u32]) -> Result<(Vec<u8>, u8), Error> {
    let mut writer = locator::Writer::default();
    lengths.iter().try_for_each(|length| writer.push(*length))?;
    writer.finish()
}

#[test]
fn records_are_found_where_their_lengths_put_them_beyond_four_gibibytes() {
    for (length, width) in [(2_000u32, 2), (4_000, 4), (u32::MAX / 14, 4)] {
        let lengths: Vec<u32> = (0..20_000).map(|i| if i % 50 == 0 { 0 } else { length - i % 7 }).collect();
        let (lines, found) = lines_of(&lengths).unwrap();
        assert_eq!(found, width);
        let mut offset = 0u64;
        for (i, length) in lengths.iter().enumerate() {
            let span = locator::read(&lines, width, i as u32);
            assert_eq!(span.length, *length);
            assert!(*length == 0 || span.offset == offset);
            offset += u64::from(*length);
        }
        assert!(length < 5_000 || offset > 1 << 42);
    }
    let refused = lines_of(&[u32::MAX / 14 + 1; 14]).unwrap_err();
    assert_eq!(refused, Error::Schema("records are too long: 14 neighbours pass 4 GiB".into()));
}

/// A directory of `shape` with 16-byte keys, and for each record a number of 56 bits and a text that may be long.
fn directory(shape: Shape, sections: [(u64, u64); 5]) -> Directory {
    let names = ["pilots", "records", "heap", "values", "locator"];
    let extents = names
        .iter()
        .zip(sections)
        .map(|(name, (offset, length))| (name.to_string(), json!({"offset": offset, "length": length})));
    let field = |id: u32, name: &str, field_type: &str| json!({"id": id, "name": name, "type": field_type, "nulls": 0, "bytes": 0});
    let mut number = field(0, "number", "uint64");
    number["bits"] = json!({"offset": 128, "bits": 56, "base": 0});
    let mut text = field(1, "text", "string");
    text["var"] = json!({"order": 0, "offset": 184, "bits": 8, "unit": 1, "long": true});
    serde_json::from_value(json!({
        "type": "n", "kind": "base", "records": 1, "epoch": "0", "digest": "0",
        "key": {"field": "id", "kind": "base62", "width": 16},
        "index": shape, "locator": {"width": 2}, "record": {"fixed": 24, "key": null},
        "fields": [number, text],
        "sections": extents.collect::<serde_json::Map<_, _>>(),
        "counters": {},
    }))
    .unwrap()
}

#[test]
fn more_than_two_to_the_32nd_less_two_slots_are_refused_by_name() {
    let of = |parts, slots| directory(Shape { seed: 0, parts, buckets: 1, slots }, [(0, 0); 5]).check();
    assert_eq!(of(1, SLOTS), Ok(()));
    assert_eq!(of(2, SLOTS / 2), Ok(()));
    for (parts, slots) in [(1, SLOTS + 1), (1 << 16, 1 << 16), (u64::MAX, 2), (1 << 32, 1 << 32)] {
        let Err(Error::Damaged(text)) = of(parts, slots) else { panic!("{parts} parts of {slots} slots are taken") };
        assert!(text.contains("more than 2^32 - 2 slots"), "{text}");
    }
}

/// A file that is removed at the end.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

const MIB: u64 = 1 << 20;
/// Where long texts begin in the heap, and bytes from one slot's record to the next one's.
const HEAP: u64 = 3 << 40;
const APART: u64 = 300;

/// A blob of holes but for the records of `keys`, each with its number, and with a text in the heap that has `length` bytes of holes.
fn write(path: &Path, shape: Shape, keys: &[[u8; 16]], length: u32) -> std::io::Result<()> {
    let slots = shape.total_slots();
    let lines = slots.div_ceil(28) * LINE as u64;
    let lengths = [shape.parts * shape.buckets, slots * APART + 64, HEAP + (1 << 32), 0, lines];
    let mut end = 2 * MIB;
    let sections = lengths.map(|length| {
        let offset = end;
        end += length.next_multiple_of(2 * MIB);
        (offset, length)
    });
    let [_, (records, _), _, _, (locator, _)] = sections;
    let described = serde_json::to_vec(&directory(shape, sections)).unwrap();
    let file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
    file.set_len(end + described.len() as u64)?;
    let mut prelude = MAGIC.to_vec();
    [1, end, described.len() as u64].iter().for_each(|n| prelude.extend_from_slice(&n.to_le_bytes()));
    file.write_all_at(&prelude, 0)?;
    file.write_all_at(&described, end)?;
    for (i, key) in keys.iter().enumerate() {
        let slot = u64::from(shape.slot(hash(shape.seed, key), 0));
        let mut record = key.to_vec();
        record.extend_from_slice(&(slot << 20).to_le_bytes()[..7]);
        record.push(255);
        record.extend_from_slice(&(HEAP + i as u64).to_le_bytes());
        record.extend_from_slice(&length.to_le_bytes());
        let mut line = (slot * APART).to_le_bytes().to_vec();
        let place = slot % 28;
        (0..28).for_each(|i| line.extend_from_slice(&(if i < place { 0 } else { record.len() as u16 }).to_le_bytes()));
        file.write_all_at(&record, records + slot * APART)?;
        file.write_all_at(&line, locator + slot / 28 * LINE as u64)?;
    }
    Ok(())
}

#[test]
fn a_blob_of_terabytes_is_read_at_any_place() {
    let path = Scratch(std::env::temp_dir().join(format!("bedeck-large-{}.blob", std::process::id())));
    let key = |i: u64| -> [u8; 16] { u128::from(hash(5, &i.to_le_bytes())).to_be_bytes() };
    for shape in &shapes()[..2] {
        let slot = |i: &u64| shape.slot(hash(shape.seed, &key(*i)), 0);
        let mut chosen: Vec<u64> = (0..5_000).collect();
        chosen.sort_by_key(slot);
        let keys: Vec<[u8; 16]> = chosen.iter().step_by(100).chain(chosen.last()).map(|i| key(*i)).collect();
        for length in [300, MAX_VALUE, MAX_VALUE + 1] {
            if let Err(error) = write(&path.0, *shape, &keys, length) {
                eprintln!("no file of 3 TiB can be here, not tested: {error}");
                return;
            }
            let blob = Blob::open_path(&path.0).unwrap();
            let absent = [key(1 << 40), [0; 16], [0xff; 16]];
            let probes: Vec<_> = keys.iter().chain(&absent).copied().map(Some).chain([None]).collect();
            let mut spans: Vec<Span> = Vec::new();
            find_in(&blob, &probes, false, &mut spans).unwrap();
            let (found, missing) = spans.split_at(keys.len());
            assert!(missing.len() == 4 && missing.iter().all(Span::is_missing));
            for (span, key) in found.iter().zip(&keys) {
                let record = blob.record(*span).unwrap();
                let ordinal = u64::from(shape.slot(hash(shape.seed, key), 0));
                assert_eq!((u64::from(span.ordinal), span.offset), (ordinal, ordinal * APART));
                assert_eq!(record.key().unwrap(), key);
                let [number, text] = &blob.directory().fields[..] else { panic!("two fields") };
                assert!(matches!(record.value(number).unwrap(), Value::UInt(n) if n == ordinal << 20));
                match record.value(text) {
                    Ok(Value::Text(text)) => assert!(text.len() == length as usize && length <= MAX_VALUE),
                    Err(Error::Damaged(refused)) => {
                        assert!(length > MAX_VALUE && refused.ends_with("a value of more than 2^31 - 1 bytes"))
                    }
                    other => panic!("{other:?}"),
                }
            }
            let last = found.last().unwrap();
            assert!(last.offset > 1 << 36 && u64::from(last.ordinal) > shape.total_slots() / 1000 * 999);
            let beyond = Span { offset: shape.total_slots() * APART - 10, ..*last };
            assert!(matches!(blob.record(beyond), Err(Error::Damaged(_))));
        }
    }
}
