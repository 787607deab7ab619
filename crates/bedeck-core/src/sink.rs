//! The end of rendering: bytes appended with as few branches as short pieces allow.

/// Bytes that are copied at once; pieces that are followed by so many readable bytes are copied without a loop.
pub const STRIDE: usize = 32;

/// Appends the first `length` bytes of `tail`. Where `tail` goes on for [`STRIDE`] bytes, a short piece is one move of that size, of which
/// the rest is cut off again.
#[inline(always)]
pub fn put(out: &mut Vec<u8>, tail: &[u8], length: usize) {
    match tail.first_chunk::<STRIDE>() {
        Some(stride) if length <= STRIDE => {
            let end = out.len() + length;
            out.extend_from_slice(stride);
            out.truncate(end);
        }
        _ => out.extend_from_slice(&tail[..length]),
    }
}

/// A piece that is appended again and again, with room behind it for [`put`].
#[derive(Debug, Clone, Default)]
pub struct Piece {
    padded: Vec<u8>,
    length: usize,
}

impl Piece {
    /// A piece of these bytes.
    pub fn new(bytes: &[u8]) -> Self {
        let mut padded = bytes.to_vec();
        padded.resize(bytes.len() + STRIDE, 0);
        Self { padded, length: bytes.len() }
    }

    /// Appends it.
    #[inline(always)]
    pub fn put(&self, out: &mut Vec<u8>) {
        put(out, &self.padded, self.length);
    }
}

/// Appends a number in decimal.
#[inline(always)]
pub fn put_number(out: &mut Vec<u8>, number: u64) {
    if number < 10 {
        out.push(b'0' + number as u8);
        return;
    }
    let mut digits = [0u8; STRIDE];
    let mut rest = number;
    let length = number.ilog10() as usize + 1;
    let mut at = length;
    while rest >= 100 {
        at -= 2;
        let pair = (rest % 100) as u8;
        rest /= 100;
        digits[at..at + 2].copy_from_slice(&[b'0' + pair / 10, b'0' + pair % 10]);
    }
    if rest >= 10 {
        digits[0] = b'0' + (rest / 10) as u8;
        digits[1] = b'0' + (rest % 10) as u8;
    } else {
        digits[0] = b'0' + rest as u8;
    }
    put(out, &digits, length);
}

/// Appends a signed number in decimal.
#[inline(always)]
pub fn put_signed(out: &mut Vec<u8>, number: i64) {
    if number < 0 {
        out.push(b'-');
    }
    put_number(out, number.unsigned_abs());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_full() {
        for number in (0..1200).chain([99_999, 100_000, 10u64.pow(19), u64::MAX - 1, u64::MAX]) {
            let mut out = b"x".to_vec();
            put_number(&mut out, number);
            assert_eq!(String::from_utf8(out).unwrap(), format!("x{number}"));
        }
        for number in [i64::MIN, -1, 0, i64::MAX] {
            let mut out = Vec::new();
            put_signed(&mut out, number);
            assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
        }
    }

    #[test]
    fn pieces_of_any_length_are_whole() {
        let text: Vec<u8> = (0..200).collect();
        for length in 0..=200 {
            let mut out = b"-".to_vec();
            Piece::new(&text[..length]).put(&mut out);
            put(&mut out, &text[..length], length);
            assert_eq!(out[1..], [&text[..length], &text[..length]].concat());
        }
    }
}
