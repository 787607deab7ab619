//! The index: a perfect hash of keys to slots with 8-bit pilots.
//!
//! After PtrHash (Groot Koerkamp, "PtrHash: Minimal Perfect Hashing at RAM Throughput", SEA 2025), without its remapping: a few per cent of
//! the slots stay holes, which cost two bytes each, and a look-up needs one byte of the index.
//! Given a key that was not built in, it returns some slot: only the key in the record tells.

use std::cmp::Reverse;
use std::collections::VecDeque;

use crate::directory::Shape;
use crate::hash::high;

const PILOT: u64 = 0x517c_c1b7_2722_0a95;
const SPREAD: u64 = 0xf135_7aea_2e62_a9c5;

/// Keys a part, up to a fifth more: its slots and buckets stay in a core's own cache while pilots are searched.
const PART_KEYS: u64 = 100_000;
/// Mean keys a bucket: 8 / LAMBDA bits a key.
const LAMBDA: f64 = 2.8;
/// Share of slots that are filled in the fullest part.
const ALPHA: f64 = 0.975;

impl Shape {
    /// Dimensions for parts of which the fullest has `fullest` keys.
    pub fn new(seed: u64, parts: u64, fullest: u64) -> Self {
        let slots = (fullest as f64 / ALPHA).ceil() as u64 + 2;
        let buckets = (fullest as f64 / LAMBDA).ceil() as u64 + 1;
        Self { seed, parts, buckets, slots }
    }

    /// Parts for so many keys: 1 to 7 times a power of two, so that a build can work on equal shares of all hashes.
    pub const fn parts_for(keys: u64) -> u64 {
        let parts = keys / PART_KEYS;
        if parts == 0 { 1 } else { parts & (!0 << parts.ilog2().saturating_sub(2)) }
    }

    /// The part of a hash.
    #[inline(always)]
    pub const fn part(&self, hash: u64) -> u64 {
        high(hash, self.parts)
    }

    /// The bucket of a hash, counted over all parts: the place of its pilot.
    #[inline(always)]
    pub const fn bucket(&self, hash: u64) -> u64 {
        let x = hash.wrapping_mul(self.parts);
        let y = high(high(x, x), (x >> 1) | 1 << 63);
        let y = y - (y >> 8) + (x >> 8);
        self.part(hash) * self.buckets + high(y, self.buckets)
    }

    /// The slot of a hash whose bucket has this pilot.
    #[inline(always)]
    pub const fn slot(&self, hash: u64, pilot: u8) -> u32 {
        (self.part(hash) * self.slots + self.slot_in_part(hash, pilot)) as u32
    }

    #[inline(always)]
    const fn slot_in_part(&self, hash: u64, pilot: u8) -> u64 {
        high((hash ^ (pilot as u64).wrapping_mul(PILOT)).wrapping_mul(SPREAD), self.slots)
    }

    /// The pilots of one part, for its hashes in ascending order; `None` if no choice was found, or two hashes are equal.
    ///
    /// Buckets are placed from the largest to the smallest, each with the first pilot that meets no filled slot; a bucket
    /// without one takes the pilot that evicts the fewest, who are placed again.
    pub fn search(&self, hashes: &[u64]) -> Option<Vec<u8>> {
        let mut search = Search::new(self, hashes);
        let buckets = 0..self.buckets as u32;
        let mut order: Vec<u32> = buckets.filter(|b| !search.members(*b).is_empty()).collect();
        order.sort_by_key(|b| (Reverse(search.members(*b).len()), *b));
        let mut evictions = 0;
        let mut queue = VecDeque::new();
        for first in order {
            queue.push_back(first);
            while let Some(bucket) = queue.pop_front() {
                let pilot = match search.free(bucket) {
                    Some(pilot) => pilot,
                    None if evictions > 10 * self.buckets + 1_000 => return None,
                    None => {
                        evictions += 1;
                        search.cheapest(bucket, (evictions * 101) as u8)?
                    }
                };
                search.place(bucket, pilot, &mut queue);
            }
        }
        Some(search.pilots)
    }
}

const FREE: u32 = u32::MAX;

/// The state of a search for the pilots of one part.
struct Search<'a> {
    shape: &'a Shape,
    hashes: &'a [u64],
    /// The hashes of bucket b are `starts[b]..starts[b + 1]`: buckets ascend with hashes.
    starts: Vec<u32>,
    /// The bucket that fills each slot.
    owner: Vec<u32>,
    pilots: Vec<u8>,
}

impl<'a> Search<'a> {
    fn new(shape: &'a Shape, hashes: &'a [u64]) -> Self {
        let buckets = shape.buckets as usize;
        let mut starts = vec![0u32; buckets + 1];
        hashes.iter().for_each(|hash| starts[(shape.bucket(*hash) % shape.buckets) as usize + 1] += 1);
        for i in 0..buckets {
            starts[i + 1] += starts[i];
        }
        Self { shape, hashes, starts, owner: vec![FREE; shape.slots as usize], pilots: vec![0; buckets] }
    }

    fn members(&self, bucket: u32) -> &'a [u64] {
        &self.hashes[self.starts[bucket as usize] as usize..self.starts[bucket as usize + 1] as usize]
    }

    fn slots(&self, bucket: u32, pilot: u8) -> impl Iterator<Item = usize> + use<'a> {
        let shape = self.shape;
        self.members(bucket).iter().map(move |hash| shape.slot_in_part(*hash, pilot) as usize)
    }

    /// Whether the pilot gives every member a slot of its own.
    fn is_injective(&self, bucket: u32, pilot: u8) -> bool {
        self.slots(bucket, pilot)
            .enumerate()
            .all(|(i, slot)| self.slots(bucket, pilot).take(i).all(|other| other != slot))
    }

    /// The first pilot with which the bucket meets no filled slot.
    fn free(&self, bucket: u32) -> Option<u8> {
        (0..=255).find(|pilot| {
            self.slots(bucket, *pilot).all(|slot| self.owner[slot] == FREE) && self.is_injective(bucket, *pilot)
        })
    }

    /// The pilot that evicts the smallest buckets. The search starts elsewhere each time, or two buckets could evict
    /// each other for ever.
    fn cheapest(&self, bucket: u32, start: u8) -> Option<u8> {
        let cost = |slot: usize| match self.owner[slot] {
            FREE => 0,
            other => self.members(other).len().pow(2),
        };
        let pilots = (0..=255u8).map(|i| i.wrapping_add(start)).filter(|pilot| self.is_injective(bucket, *pilot));
        pilots.min_by_key(|pilot| self.slots(bucket, *pilot).map(cost).sum::<usize>())
    }

    /// Gives the bucket its slots; whoever was there is queued.
    fn place(&mut self, bucket: u32, pilot: u8, queue: &mut VecDeque<u32>) {
        for slot in self.slots(bucket, pilot) {
            let other = self.owner[slot];
            if other != FREE {
                self.slots(other, self.pilots[other as usize]).for_each(|slot| self.owner[slot] = FREE);
                queue.push_back(other);
            }
        }
        self.slots(bucket, pilot).for_each(|slot| self.owner[slot] = bucket);
        self.pilots[bucket as usize] = pilot;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::hash;

    fn hashes(n: u64) -> Vec<u64> {
        let mut hashes: Vec<u64> = (0..n).map(|i| hash(0, &i.to_le_bytes())).collect();
        hashes.sort_unstable();
        hashes
    }

    #[test]
    fn buckets_ascend_with_hashes() {
        let shape = Shape::new(0, 3, 1000);
        let hashes = hashes(3000);
        assert!(hashes.windows(2).all(|w| shape.bucket(w[0]) <= shape.bucket(w[1])));
        assert!(shape.bucket(u64::MAX) < shape.parts * shape.buckets);
        assert!((0..=255).all(|p| u64::from(shape.slot(u64::MAX, p)) < shape.total_slots()));
    }

    #[test]
    fn every_key_has_a_slot_of_its_own() {
        for n in (0..200).chain([1_000, 20_000, 100_000]) {
            let hashes = hashes(n);
            let shape = Shape::new(0, 1, n);
            let pilots = shape.search(&hashes).unwrap();
            let mut slots: Vec<u32> =
                hashes.iter().map(|h| shape.slot(*h, pilots[shape.bucket(*h) as usize])).collect();
            slots.sort_unstable();
            slots.dedup();
            assert_eq!(slots.len() as u64, n);
        }
    }

    #[test]
    fn equal_hashes_have_no_pilots() {
        assert!(Shape::new(0, 1, 2).search(&[7, 7]).is_none());
    }
}
