//! Answers of HTTP/1.1 (RFC 9112), read as they come.

use std::ops::Range;

/// Most headers of an answer.
const HEADERS: usize = 64;

/// What is known of an answer whose head has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The status code.
    pub status: u16,
    /// Bytes of the head.
    pub length: usize,
    /// Whether the server closes the connection after it.
    pub last: bool,
    /// The value of `bedeck-version`, if it is one.
    pub version: Option<u64>,
    body: Body,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Body {
    Length(usize),
    Chunks,
    UntilClosed,
}

/// What the bytes so far are.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// Not yet the whole answer.
    Partial,
    /// The whole answer, of so many bytes.
    Whole(usize),
    /// No answer of HTTP/1.1.
    Malformed,
}

/// Reads a head from the start of `bytes`; `Ok(None)` where it is not all there.
pub fn head(bytes: &[u8]) -> Result<Option<Head>, httparse::Error> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut answer = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) = answer.parse(bytes)? else { return Ok(None) };
    let value =
        |name: &str| answer.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|h| h.value);
    let number = |value: &[u8]| std::str::from_utf8(value).ok().and_then(|text| text.trim().parse::<u64>().ok());
    let status = answer.code.unwrap_or(0);
    let body = if matches!(status, 100..=199 | 204 | 304) {
        Body::Length(0)
    } else if value("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case(b"chunked")) {
        Body::Chunks
    } else if let Some(value) = value("content-length") {
        Body::Length(number(value).and_then(|length| length.try_into().ok()).ok_or(httparse::Error::HeaderValue)?)
    } else {
        Body::UntilClosed
    };
    let last =
        body == Body::UntilClosed || value("connection").is_some_and(|value| value.eq_ignore_ascii_case(b"close"));
    Ok(Some(Head { status, length, last, version: value("bedeck-version").and_then(number), body }))
}

impl Head {
    /// What `bytes`, which begin with the head, are; `ended` is whether no more will come.
    pub fn progress(&self, bytes: &[u8], ended: bool) -> Progress {
        match self.body {
            Body::Length(length) if bytes.len() - self.length >= length => Progress::Whole(self.length + length),
            Body::Chunks => chunks(bytes, self.length, |_| {}),
            Body::UntilClosed if ended => Progress::Whole(bytes.len()),
            _ => Progress::Partial,
        }
    }

    /// The body of a whole answer.
    pub fn body(&self, whole: &[u8]) -> Vec<u8> {
        let mut body = Vec::new();
        if self.body == Body::Chunks {
            chunks(whole, self.length, |range| body.extend_from_slice(&whole[range]));
        } else {
            body.extend_from_slice(&whole[self.length..]);
        }
        body
    }
}

/// Walks the chunks from `at` on, and hands each to `each`.
fn chunks(bytes: &[u8], mut at: usize, mut each: impl FnMut(Range<usize>)) -> Progress {
    loop {
        match httparse::parse_chunk_size(&bytes[at..]) {
            Err(_) => return Progress::Malformed,
            Ok(httparse::Status::Partial) => return Progress::Partial,
            Ok(httparse::Status::Complete((line, size))) => {
                let start = at + line;
                let Some(end) = usize::try_from(size).ok().and_then(|size| start.checked_add(size)) else {
                    return Progress::Malformed;
                };
                match bytes.get(end..).map(|rest| rest.get(..2)) {
                    None | Some(None) => return Progress::Partial,
                    Some(Some(b"\r\n")) => {}
                    Some(Some(_)) => return Progress::Malformed,
                }
                if size == 0 {
                    return Progress::Whole(end + 2);
                }
                each(start..end);
                at = end + 2;
            }
        }
    }
}

/// Whether the text behind each `marker` in `body`, up to the end of a JSON value, is the same.
pub fn agrees(body: &[u8], marker: &[u8]) -> bool {
    let value = |at: usize| {
        let rest = &body[at + marker.len()..];
        &rest[..memchr::memchr3(b',', b'}', b']', rest).unwrap_or(rest.len())]
    };
    let mut found = memchr::memmem::find_iter(body, marker).map(value);
    found.next().is_none_or(|first| found.all(|other| other == first))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> (Head, Progress) {
        let head = head(bytes).unwrap().unwrap();
        let progress = head.progress(bytes, false);
        (head, progress)
    }

    #[test]
    fn every_cut_of_an_answer_is_partial() {
        for whole in [
            &b"HTTP/1.1 200 OK\r\nbedeck-version: 7\r\nContent-Length: 5\r\n\r\nhello"[..],
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n",
        ] {
            for cut in 0..whole.len() {
                let part = head(&whole[..cut]).unwrap().map(|head| head.progress(&whole[..cut], false));
                assert!(matches!(part, None | Some(Progress::Partial)), "{cut}");
            }
            assert_eq!(read(whole).1, Progress::Whole(whole.len()));
        }
    }

    #[test]
    fn heads_tell_version_and_end() {
        let (head, _) = read(b"HTTP/1.1 503 No\r\nBedeck-Version: 7\r\nconnection: Close\r\ncontent-length: 0\r\n\r\n");
        assert_eq!((head.status, head.version, head.last), (503, Some(7), true));
    }

    #[test]
    fn bodies_are_those_that_were_sent() {
        let whole = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\nA\r\n0123456789\r\n0\r\n\r\n";
        assert_eq!(read(whole).0.body(whole), b"ab0123456789");
        let until = b"HTTP/1.0 200 OK\r\n\r\nabc";
        let head = head(until).unwrap().unwrap();
        assert_eq!(head.progress(until, false), Progress::Partial);
        assert_eq!(head.progress(until, true), Progress::Whole(until.len()));
    }

    #[test]
    fn hostile_chunks_are_malformed() {
        let whole = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\nx";
        assert_eq!(read(whole).1, Progress::Malformed);
        let whole = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nabc";
        assert_eq!(read(whole).1, Progress::Malformed);
    }

    #[test]
    fn marked_values_agree_or_not() {
        assert!(agrees(br#"[{"v":1,"x":2},null,{"v":1}]"#, br#""v":"#));
        assert!(!agrees(br#"[{"v":1},{"v":12}]"#, br#""v":"#));
        assert!(agrees(b"[]", b"v"));
    }
}
