//! Text as it is stored: escaped as in a JSON string, so that rendering is copying.

use std::borrow::Cow;

const fn short_escape(byte: u8) -> u8 {
    match byte {
        b'"' => b'"',
        b'\\' => b'\\',
        0x08 => b'b',
        0x0C => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        _ => 0,
    }
}

#[inline(always)]
const fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Appends `raw` to `out`, escaped as RFC 8259 demands and no more than that.
pub fn escape(raw: &[u8], out: &mut Vec<u8>) {
    let mut rest = raw;
    while let Some(i) = rest.iter().position(|b| needs_escape(*b)) {
        out.extend_from_slice(&rest[..i]);
        let byte = rest[i];
        match short_escape(byte) {
            0 => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
            short => out.extend_from_slice(&[b'\\', short]),
        }
        rest = &rest[i + 1..];
    }
    out.extend_from_slice(rest);
}

/// The text that [`escape`] was given. Linear; copies only where there is a backslash.
/// An escape that [`escape`] does not write is kept as it is.
pub fn unescape(stored: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = stored.iter().position(|b| *b == b'\\') else { return Cow::Borrowed(stored) };
    let mut out = Vec::with_capacity(stored.len());
    out.extend_from_slice(&stored[..first]);
    let mut rest = &stored[first..];
    while let Some((&byte, tail)) = rest.split_first() {
        let (raw, used) = match (byte, tail) {
            (b'\\', [b'u', b'0', b'0', high, low, ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, 6),
                _ => (byte, 1),
            },
            (b'\\', [short, ..]) => match short {
                b'b' => (0x08, 2),
                b'f' => (0x0C, 2),
                b'n' => (b'\n', 2),
                b'r' => (b'\r', 2),
                b't' => (b'\t', 2),
                b'"' | b'\\' => (*short, 2),
                _ => (byte, 1),
            },
            _ => (byte, 1),
        };
        out.push(raw);
        rest = &rest[used..];
    }
    Cow::Owned(out)
}

fn hex(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).map(|n| n as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_round_trips() {
        let raw: Vec<u8> = (0..=255).chain(*b"\\u0041 plain \"quoted\"").collect();
        let mut stored = Vec::new();
        escape(&raw, &mut stored);
        assert_eq!(unescape(&stored), raw);
        assert!(stored.iter().all(|b| *b >= 0x20));
    }

    #[test]
    fn plain_text_is_not_copied() {
        assert!(matches!(unescape("Blåbär".as_bytes()), Cow::Borrowed(_)));
    }
}
