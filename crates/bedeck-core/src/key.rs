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

/// The number that 22 base62 characters write; `None` if the length, a character or the size (2^128) is wrong.
#[inline]
pub fn parse_base62(text: &[u8]) -> Option<u128> {
    let text: &[u8; 22] = text.try_into().ok()?;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every processor of this architecture has SSE2.
    let limbs = unsafe { sse2::limbs(text) };
    #[cfg(not(target_arch = "x86_64"))]
    let limbs = swar::limbs(text);
    join(limbs?)
}

const E8: u64 = 62u64.pow(8);

/// The number whose first 6, next 8 and last 8 digits these are; `None` from 2^128 on.
#[inline(always)]
fn join([first, second, third]: [u64; 3]) -> Option<u128> {
    let top = u128::from(first) * u128::from(E8) + u128::from(second);
    // 2^128 is passed, if at all, by the product of the upper half: that of the lower one is below 2^112.
    let low = u128::from(top as u64) * u128::from(E8) + u128::from(third);
    let high = u128::from((top >> 64) as u64) * u128::from(E8) + (low >> 64);
    (high >> 64 == 0).then_some(high << 64 | u128::from(low as u64))
}

/// Eight characters as a word, the first in the lowest byte.
#[inline(always)]
fn eight(text: &[u8; 22], at: usize) -> u64 {
    text[at..].first_chunk().map_or(0, |chars| u64::from_le_bytes(*chars))
}

/// The first 6 characters as a word, two zeros before them.
#[inline(always)]
fn six(text: &[u8; 22]) -> u64 {
    eight(text, 0) << 16 | 0x3030
}

/// Reading digits 16 at a time.
#[cfg(target_arch = "x86_64")]
mod sse2 {
    use std::arch::x86_64::{
        __m128i, _mm_add_epi8, _mm_add_epi16, _mm_add_epi64, _mm_and_si128, _mm_cmpgt_epi8, _mm_cvtsi128_si64,
        _mm_madd_epi16, _mm_movemask_epi8, _mm_mul_epu32, _mm_mullo_epi16, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8,
        _mm_set1_epi16, _mm_set1_epi32, _mm_set1_epi64x, _mm_srli_epi16, _mm_srli_epi64, _mm_sub_epi8,
        _mm_unpackhi_epi64, _mm_xor_si128,
    };

    use super::{eight, six};

    /// The numbers of the first 6, the next 8 and the last 8 characters; `None` if one is no digit.
    #[inline]
    #[target_feature(enable = "sse2")]
    pub fn limbs(text: &[u8; 22]) -> Option<[u64; 3]> {
        let (first, bad_first) = digits(_mm_set1_epi64x(six(text) as i64));
        let (rest, bad_rest) = digits(_mm_set_epi64x(eight(text, 14) as i64, eight(text, 6) as i64));
        if _mm_movemask_epi8(_mm_or_si128(bad_first, bad_rest)) != 0 {
            return None;
        }
        let (first, rest) = (numbers(first), numbers(rest));
        let low = |lanes| _mm_cvtsi128_si64(lanes) as u64;
        Some([low(first), low(rest), low(_mm_unpackhi_epi64(rest, rest))])
    }

    /// The values of 16 characters, and bytes whose highest bit tells those that are no digit.
    #[inline]
    #[target_feature(enable = "sse2")]
    fn digits(chars: __m128i) -> (__m128i, __m128i) {
        // Comparisons are signed: what is not ASCII is less than any bound, and keeps, less 48, a value that is too large.
        let above = |bound: u8| _mm_cmpgt_epi8(chars, _mm_set1_epi8(bound as i8));
        let (past_9, upper, lower, past_z) = (above(b'9'), above(b'A' - 1), above(b'a' - 1), above(b'z'));
        let value = _mm_sub_epi8(chars, _mm_set1_epi8(b'0' as i8));
        let value = _mm_add_epi8(value, _mm_and_si128(upper, _mm_set1_epi8(36 - (b'A' - b'0') as i8)));
        let value = _mm_sub_epi8(value, _mm_and_si128(lower, _mm_set1_epi8(26 + (b'a' - b'A') as i8)));
        let between = _mm_or_si128(_mm_xor_si128(past_9, upper), past_z);
        let outside = _mm_or_si128(value, _mm_cmpgt_epi8(value, _mm_set1_epi8(61)));
        (value, _mm_or_si128(between, outside))
    }

    /// The numbers of twice 8 digits: neighbours are joined to numbers of 2, of 4 and of 8 digits.
    #[inline]
    #[target_feature(enable = "sse2")]
    fn numbers(digits: __m128i) -> __m128i {
        let first = _mm_and_si128(digits, _mm_set1_epi16(0xFF));
        let twos = _mm_add_epi16(_mm_mullo_epi16(first, _mm_set1_epi16(62)), _mm_srli_epi16::<8>(digits));
        let fours = _mm_madd_epi16(twos, _mm_set1_epi32((1 << 16) | 3844));
        _mm_add_epi64(_mm_mul_epu32(fours, _mm_set1_epi64x(62i64.pow(4))), _mm_srli_epi64::<32>(fours))
    }
}

/// Reading digits 8 at a time, in a word.
#[cfg(any(test, not(target_arch = "x86_64")))]
mod swar {
    use super::{eight, six};

    const HIGHEST: u64 = repeat(0x80);

    const fn repeat(byte: u8) -> u64 {
        u64::from_le_bytes([byte; 8])
    }

    /// The numbers of the first 6, the next 8 and the last 8 characters; `None` if one is no digit.
    #[inline]
    pub fn limbs(text: &[u8; 22]) -> Option<[u64; 3]> {
        let words = [six(text), eight(text, 6), eight(text, 14)];
        let digits = words.map(digits);
        let bad = digits.iter().fold(0, |bad, (_, one)| bad | one);
        (bad == 0).then(|| digits.map(|(values, _)| number(values)))
    }

    /// The values of 8 characters, and a word that is 0 if all are digits.
    #[inline(always)]
    const fn digits(chars: u64) -> (u64, u64) {
        // The highest bit of each byte that is ASCII and above the bound.
        const fn above(ascii: u64, bound: u8) -> u64 {
            (ascii + repeat(0x7F - bound)) & HIGHEST
        }
        let ascii = chars & !HIGHEST;
        let (upper, lower) = (above(ascii, b'A' - 1), above(ascii, b'a' - 1));
        let good =
            above(ascii, b'0' - 1) & !above(ascii, b'9') | upper & !above(ascii, b'Z') | lower & !above(ascii, b'z');
        let value = ascii.wrapping_sub(repeat(b'0')).wrapping_add((upper >> 7) * 19).wrapping_sub((lower >> 7) * 58);
        (value, good & !chars ^ HIGHEST)
    }

    /// The number of 8 digits: neighbours are joined to numbers of 2, of 4 and of 8 digits.
    #[inline(always)]
    const fn number(digits: u64) -> u64 {
        const BYTES: u64 = 0x00FF_00FF_00FF_00FF;
        const PAIRS: u64 = 0x0000_FFFF_0000_FFFF;
        let twos = (digits & BYTES) * 62 + (digits >> 8 & BYTES);
        let fours = (twos & PAIRS) * (62 * 62) + (twos >> 16 & PAIRS);
        (fours & 0xFFFF_FFFF) * 62u64.pow(4) + (fours >> 32)
    }
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

    /// The number by definition, a digit at a time.
    fn defined(text: &[u8]) -> Option<u128> {
        text.iter().try_fold(0u128, |number, byte| {
            let digit = ALPHABET.iter().position(|letter| letter == byte)?;
            number.checked_mul(62)?.checked_add(digit as u128)
        })
    }

    #[test]
    fn both_ways_of_reading_base62_follow_its_definition() {
        let check = |text: &[u8; 22]| {
            let expected = defined(text);
            assert_eq!(parse_base62(text), expected, "{text:?}");
            assert_eq!(swar::limbs(text).and_then(join), expected, "{text:?}");
        };
        for text in [*b"0000000000000000000000", *b"7N42dgm5tFLK9N8MT7fHC7", *b"zZaA09zZaA09zZaA09zZaA"] {
            for place in 0..22 {
                for byte in 0..=255 {
                    let mut other = text;
                    other[place] = byte;
                    check(&other);
                    other[(7 * place + usize::from(byte)) % 22] = byte.rotate_left(3);
                    check(&other);
                }
            }
        }
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
