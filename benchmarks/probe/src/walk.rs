//! Walks over random lines, timed in slices.

use std::hint::black_box;
use std::time::Instant;

use crate::lines::Lines;

const SLICES: usize = 201;
const CHAIN: usize = 10_000;
const FLIGHTS: usize = 1_000;

/// Nanoseconds a line, over the slices of a walk.
pub struct Pace {
    /// Of the fastest slice.
    pub least: f64,
    /// Of the median slice.
    pub median: f64,
}

/// One line at a time: which one is next is only known when the last has been read.
pub fn chain(lines: Lines<'_>) -> Pace {
    timed(CHAIN, |mut state| {
        for _ in 0..CHAIN {
            state = next(state ^ lines.read(lines.pick(state)));
        }
        state
    })
}

/// `N` lines at a time: all are asked for, then all are read, and only then the next ones are known.
pub fn flights<const N: usize>(lines: Lines<'_>) -> Pace {
    let mut picked = [0; N];
    timed(FLIGHTS * N, |mut state| {
        for _ in 0..FLIGHTS {
            for line in &mut picked {
                state = next(state);
                *line = lines.pick(state);
                lines.ask(*line);
            }
            state ^= picked.iter().fold(0, |sum, line| sum ^ lines.read(*line));
        }
        state
    })
}

/// Times slices of so many lines each; the first only warms up.
fn timed(lines: usize, mut slice: impl FnMut(u64) -> u64) -> Pace {
    let mut state = slice(1);
    let mut paces: Vec<f64> = (0..SLICES)
        .map(|_| {
            let start = Instant::now();
            state = black_box(slice(black_box(state)));
            start.elapsed().as_nanos() as f64 / lines as f64
        })
        .collect();
    paces.sort_by(f64::total_cmp);
    Pace { least: paces[0], median: paces[SLICES / 2] }
}

/// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
#[inline(always)]
fn next(state: u64) -> u64 {
    let mut x = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
