//! Keys: their kinds, their text forms and their stored forms.

use serde::{Deserialize, Serialize};

/// The kind of a type's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyKind {
    /// 22 characters of `0-9a-zA-Z`, below 2^128; stored in 16 bytes.
    Base62,
    /// A UUID; stored in 16 bytes.
    Uuid,
    /// A 64-bit integer; stored in 8 bytes.
    Int,
    /// UTF-8 text; stored as it is.
    String,
    /// Bytes; stored as they are.
    Bytes,
}

impl KeyKind {
    /// Bytes of a stored key, 0 where keys differ in length.
    pub const fn width(self) -> usize {
        match self {
            Self::Base62 | Self::Uuid => 16,
            Self::Int => 8,
            Self::String | Self::Bytes => 0,
        }
    }

    /// The name in schemas and directories.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Base62 => "base62",
            Self::Uuid => "uuid",
            Self::Int => "int",
            Self::String => "string",
            Self::Bytes => "bytes",
        }
    }

    /// The stored form of a key given as text (`int`: as its 8 stored bytes), appended to `out`; false if it is malformed.
    pub fn store(self, text: &[u8], out: &mut Vec<u8>) -> bool {
        match self {
            Self::Base62 => parse_base62(text).map(|n| out.extend_from_slice(&n.to_be_bytes())).is_some(),
            Self::Uuid => parse_uuid(text).map(|n| out.extend_from_slice(&n.to_be_bytes())).is_some(),
            Self::Int => {
                out.extend_from_slice(text);
                text.len() == 8
            }
            Self::String | Self::Bytes => {
                out.extend_from_slice(text);
                text.len() <= MAX_KEY
            }
        }
    }

    /// Appends what a stored key of this kind was stored from; `int`: its 8 bytes.
    pub fn print(self, stored: &[u8], out: &mut Vec<u8>) {
        match (self, stored.first_chunk().map(|bytes| u128::from_be_bytes(*bytes))) {
            (Self::Base62, Some(number)) => out.extend_from_slice(&print_base62(number)),
            (Self::Uuid, Some(number)) => out.extend_from_slice(&print_uuid(number)),
            _ => out.extend_from_slice(stored),
        }
    }
}

/// The longest key of kind string or bytes, in bytes.
pub const MAX_KEY: usize = 65_535;

const ALPHABET: &[u8; 62] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

const fn digits() -> [u8; 256] {
    let mut table = [0xFF; 256];
    let mut i = 0;
    while i < 62 {
        table[ALPHABET[i] as usize] = i as u8;
        i += 1;
    }
    table
}

static DIGITS: [u8; 256] = digits();

/// The number that 22 base62 characters write; `None` if the length, a character or the size (2^128) is wrong.
#[inline]
pub fn parse_base62(text: &[u8]) -> Option<u128> {
    let text: &[u8; 22] = text.try_into().ok()?;
    let mut bad = 0;
    let mut digits = [0u64; 22];
    for (digit, byte) in digits.iter_mut().zip(text) {
        let value = DIGITS[usize::from(*byte)];
        bad |= value;
        *digit = u64::from(value);
    }
    if bad & 0x80 != 0 {
        return None;
    }
    // Three limbs of 2, 10 and 10 digits keep all but two products within 64 bits.
    let limb = |range: &[u64]| range.iter().fold(0u64, |n, d| n * 62 + d);
    let top = u128::from(limb(&digits[..2])) * u128::from(E10) + u128::from(limb(&digits[2..12]));
    top.checked_mul(u128::from(E10))?.checked_add(u128::from(limb(&digits[12..])))
}

const fn pairs() -> [[u8; 2]; 3844] {
    let mut table = [[0; 2]; 3844];
    let mut i = 0;
    while i < 3844 {
        table[i] = [ALPHABET[i / 62], ALPHABET[i % 62]];
        i += 1;
    }
    table
}

static PAIRS: [[u8; 2]; 3844] = pairs();

/// Writes a number as 22 base62 characters.
#[inline]
pub fn print_base62(number: u128) -> [u8; 22] {
    let (top, low) = divide(number);
    let (top, mid) = divide(top);
    let mut out = [0; 22];
    out[..2].copy_from_slice(&PAIRS[top as usize % 3844]);
    // Two chains of five divisions that do not wait for each other.
    let (mut mid, mut low) = (mid, low);
    for i in (1..6).rev() {
        out[2 * i..2 * i + 2].copy_from_slice(&PAIRS[(mid % 3844) as usize]);
        out[2 * i + 10..2 * i + 12].copy_from_slice(&PAIRS[(low % 3844) as usize]);
        mid /= 3844;
        low /= 3844;
    }
    out
}

const E10: u64 = 62u64.pow(10);

/// Quotient and remainder of a division by 62^10, by multiplication (Moeller, Granlund, "Improved Division by Invariant
/// Integers", IEEE ToC 2011, algorithm 4): the library's 128-bit division takes several times as long.
#[inline(always)]
const fn divide(number: u128) -> (u128, u64) {
    const SHIFT: u32 = E10.leading_zeros();
    const D: u64 = E10 << SHIFT;
    const V: u64 = (u128::MAX / D as u128 - (1 << 64)) as u64;
    let (high, low) = ((number >> 64) as u64, number as u64);
    let (first, rest) = (high / E10, high % E10);
    let u = ((rest as u128) << 64 | low as u128) << SHIFT;
    let (u1, u0) = ((u >> 64) as u64, u as u64);
    let q = (V as u128 * u1 as u128).wrapping_add(u);
    let mut q1 = ((q >> 64) as u64).wrapping_add(1);
    let mut r = u0.wrapping_sub(q1.wrapping_mul(D));
    if r > q as u64 {
        q1 = q1.wrapping_sub(1);
        r = r.wrapping_add(D);
    }
    if r >= D {
        q1 += 1;
        r -= D;
    }
    ((first as u128) << 64 | q1 as u128, r >> SHIFT)
}

/// The number of a UUID written as 36 characters, or as 32 hex digits, in either case.
pub fn parse_uuid(text: &[u8]) -> Option<u128> {
    let dashed = text.len() == 36;
    if !dashed && text.len() != 32 {
        return None;
    }
    let mut number = 0u128;
    for (i, byte) in text.iter().enumerate() {
        if dashed && matches!(i, 8 | 13 | 18 | 23) {
            if *byte != b'-' {
                return None;
            }
        } else {
            number = number << 4 | u128::from((*byte as char).to_digit(16)?);
        }
    }
    Some(number)
}

/// Writes a UUID in its canonical form: 8-4-4-4-12 lower-case hex digits.
#[inline]
pub fn print_uuid(number: u128) -> [u8; 36] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut out = [b'-'; 36];
    let mut nibbles = (0..32).map(|i| HEX[(number >> (124 - 4 * i)) as usize & 15]);
    for (i, byte) in out.iter_mut().enumerate() {
        if !matches!(i, 8 | 13 | 18 | 23) {
            *byte = nibbles.next().unwrap_or(b'0');
        }
    }
    out
}

/// Whether `text` is a UUID exactly as [`print_uuid`] writes it.
pub fn is_canonical_uuid(text: &[u8]) -> bool {
    text.len() == 36 && parse_uuid(text).is_some_and(|n| print_uuid(n) == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base62_round_trips_and_refuses_what_is_too_large() {
        for n in [0, 1, 61, 62, u128::from(u64::MAX), 62u128.pow(10), 62u128.pow(20) - 1, u128::MAX] {
            assert_eq!(parse_base62(&print_base62(n)), Some(n));
        }
        assert_eq!(&print_base62(u128::MAX), b"7N42dgm5tFLK9N8MT7fHC7");
        let mut n = 1u128;
        for _ in 0..100_000 {
            n = n.wrapping_mul(0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645).wrapping_add(0x5851_f42d_4c95_7f2d);
            assert_eq!(divide(n), (n / u128::from(E10), (n % u128::from(E10)) as u64));
            assert_eq!(parse_base62(&print_base62(n >> (n % 128))), Some(n >> (n % 128)));
        }
        assert_eq!(parse_base62(b"7N42dgm5tFLK9N8MT7fHC8"), None);
        assert_eq!(parse_base62(b"ZZZZZZZZZZZZZZZZZZZZZZ"), None);
        assert_eq!(parse_base62(b"000000000000000000000-"), None);
        assert_eq!(parse_base62(b"0"), None);
    }

    #[test]
    fn uuids_print_canonically() {
        let text = b"6BA7B810-9dad-11d1-80b4-00c04fd430c8";
        let n = parse_uuid(text).unwrap();
        assert_eq!(&print_uuid(n), b"6ba7b810-9dad-11d1-80b4-00c04fd430c8");
        assert_eq!(parse_uuid(b"6ba7b8109dad11d180b400c04fd430c8"), Some(n));
        assert_eq!(parse_uuid(b"6ba7b810-9dad-11d1-80b4_00c04fd430c8"), None);
        assert!(!is_canonical_uuid(text));
    }
}
