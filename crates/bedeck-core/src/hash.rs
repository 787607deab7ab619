//! The hash of a key: the finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014) folded over eight-byte words.

/// The finaliser of SplitMix64: a bijection of 64-bit words.
#[inline(always)]
pub const fn mix(mut x: u64) -> u64 {
    x ^= x >> 30;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^= x >> 27;
    x = x.wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The upper half of the 128-bit product: maps `a`, read as a fraction of 2^64, onto `0..b`.
#[inline(always)]
pub const fn high(a: u64, b: u64) -> u64 {
    ((a as u128 * b as u128) >> 64) as u64
}

/// Where the hash of a key of `len` bytes starts.
#[inline(always)]
pub const fn start(seed: u64, len: usize) -> u64 {
    mix(len as u64 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// The hash of a stored key of any length.
#[inline]
pub fn hash(seed: u64, key: &[u8]) -> u64 {
    let mut h = start(seed, key.len());
    let (words, rest) = key.as_chunks::<8>();
    for word in words {
        h = mix(h ^ u64::from_le_bytes(*word));
    }
    if !rest.is_empty() {
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        h = mix(h ^ u64::from_le_bytes(last));
    }
    h
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_the_padded_rest_are_folded() {
        let h = mix(mix(start(3, 9) ^ u64::from_le_bytes(*b"abcdefgh")) ^ u64::from(b'i'));
        assert_eq!(hash(3, b"abcdefghi"), h);
        assert_ne!(hash(0, b"a"), hash(0, b"a\0"));
        assert_ne!(hash(0, b""), hash(1, b""));
    }
}
