//! The end of rendering: bytes written with as few branches, and as few trips through memory, as short pieces allow.

use crate::error::Error;

/// Bytes that are copied at once; pieces that are followed by so many readable bytes are copied without a loop.
pub const STRIDE: usize = 32;

/// Why writing ended before its time.
#[derive(Debug)]
pub enum Halt {
    /// There is no room for more.
    Full,
    /// Anything else.
    Failed(Error),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// The result of writing: the room that is left.
pub type Written<'a> = Result<Room<'a>, Halt>;

/// Room to write to.
///
/// It is handed on by value, and every method gives back what is left: so where writing stands is kept in registers. Behind a reference it
/// would be stored and loaded again for every piece, and each piece would wait for the one before.
#[derive(Debug)]
pub struct Room<'a>(&'a mut [u8]);

impl<'a> Room<'a> {
    /// Appends the first `length` bytes of `tail`. Where `tail` goes on for [`STRIDE`] bytes, a short piece is one move of that size, of which
    /// the rest is written over by what comes next.
    #[inline(always)]
    pub fn put(self, tail: &[u8], length: usize) -> Written<'a> {
        let room = self.0;
        if length <= STRIDE
            && let (Some(from), Some(to)) = (tail.first_chunk::<STRIDE>(), room.first_chunk_mut::<STRIDE>())
        {
            *to = *from;
            return Ok(Self(&mut room[length..]));
        }
        Self(room).bytes(&tail[..length])
    }

    /// Appends one byte.
    #[inline(always)]
    pub fn byte(self, byte: u8) -> Written<'a> {
        let (to, left) = self.0.split_first_mut().ok_or(Halt::Full)?;
        *to = byte;
        Ok(Self(left))
    }

    /// Appends bytes of which it is not known what follows them.
    #[inline(always)]
    pub fn bytes(self, bytes: &[u8]) -> Written<'a> {
        let (to, left) = self.0.split_at_mut_checked(bytes.len()).ok_or(Halt::Full)?;
        to.copy_from_slice(bytes);
        Ok(Self(left))
    }

    /// Appends a number in decimal.
    #[inline(always)]
    pub fn number(self, number: u64) -> Written<'a> {
        if number < 10 {
            return self.byte(b'0' + number as u8);
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
        self.put(&digits, length)
    }

    /// Appends a signed number in decimal.
    #[inline(always)]
    pub fn signed(self, number: i64) -> Written<'a> {
        let room = if number < 0 { self.byte(b'-')? } else { self };
        room.number(number.unsigned_abs())
    }
}

/// Bytes written one after the other, and the memory for them, which can be used again.
#[derive(Debug, Default)]
pub struct Sink {
    bytes: Vec<u8>,
    at: usize,
    /// For what has to be written elsewhere first.
    scratch: Vec<u8>,
}

impl Sink {
    /// Forgets what was written, and keeps the memory.
    pub fn clear(&mut self) {
        self.at = 0;
    }

    /// Bytes of memory.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity() + self.scratch.capacity()
    }

    /// What was written.
    pub fn written(&self) -> &[u8] {
        &self.bytes[..self.at]
    }

    /// Appends what `write` writes to the room it is given, along with a buffer to use. Where that is not enough, it is called again with more.
    pub fn write(&mut self, write: impl for<'a> Fn(Room<'a>, &mut Vec<u8>) -> Written<'a>) -> Result<(), Error> {
        loop {
            let room = Room(&mut self.bytes[self.at..]);
            match write(room, &mut self.scratch).map(|left| left.0.len()) {
                Ok(left) => {
                    self.at = self.bytes.len() - left;
                    return Ok(());
                }
                Err(Halt::Failed(error)) => return Err(error),
                Err(Halt::Full) => self.bytes.resize((2 * self.bytes.len()).max(1 << 12), 0),
            }
        }
    }
}

/// A piece that is appended again and again.
#[derive(Debug, Clone)]
pub struct Piece {
    start: [u8; STRIDE],
    length: usize,
    /// All of it, where it is longer.
    long: Box<[u8]>,
}

impl Piece {
    /// A piece of these bytes.
    pub fn new(bytes: &[u8]) -> Self {
        let mut start = [0; STRIDE];
        let long = match start.get_mut(..bytes.len()) {
            Some(start) => {
                start.copy_from_slice(bytes);
                Box::default()
            }
            None => bytes.into(),
        };
        Self { start, length: bytes.len(), long }
    }

    /// Appends it.
    #[inline(always)]
    pub fn put<'a>(&self, room: Room<'a>) -> Written<'a> {
        if self.length <= STRIDE { room.put(&self.start, self.length) } else { room.bytes(&self.long) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl for<'a> Fn(Room<'a>) -> Written<'a>) -> String {
        let mut sink = Sink::default();
        sink.write(|room, _| write(room)).unwrap();
        String::from_utf8_lossy(sink.written()).into_owned()
    }

    #[test]
    fn numbers_are_written_in_full() {
        for number in (0..1200).chain([99_999, 100_000, 10u64.pow(19), u64::MAX - 1, u64::MAX]) {
            assert_eq!(written(|room| room.byte(b'x')?.number(number)), format!("x{number}"));
        }
        for number in [i64::MIN, -1, 0, i64::MAX] {
            assert_eq!(written(|room| room.signed(number)), number.to_string());
        }
    }

    #[test]
    fn pieces_of_any_length_are_whole_however_little_room_there_is() {
        let text: Vec<u8> = (0..200).collect();
        for length in 0..=200 {
            let (mut sink, mut expected) = (Sink::default(), Vec::new());
            let piece = Piece::new(&text[..length]);
            while expected.len() < 10_000 {
                sink.write(|room, scratch| {
                    scratch.push(b'?');
                    let room = piece.put(room.byte(b'-')?)?;
                    room.put(&text[..length], length)?.put(&text, length)?.bytes(&text[..length])
                })
                .unwrap();
                expected.push(b'-');
                (0..4).for_each(|_| expected.extend_from_slice(&text[..length]));
            }
            assert_eq!(sink.written(), expected);
            sink.clear();
            assert!(sink.written().is_empty() && sink.capacity() >= expected.len());
        }
    }

    #[test]
    fn an_error_leaves_what_was_written_before() {
        let mut sink = Sink::default();
        sink.write(|room, _| room.byte(b'x')).unwrap();
        let error = sink.write(|room, _| room.byte(b'y').and(Err(Halt::Failed(Error::Deadline))));
        assert_eq!((error, sink.written()), (Err(Error::Deadline), &b"x"[..]));
    }
}
