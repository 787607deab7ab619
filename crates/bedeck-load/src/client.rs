//! One connection, and the request that is on it.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use crate::answer::{self, Head, Progress};

/// Bytes that are read at a time.
const ROOM: usize = 256 << 10;

/// A request on its way.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// When it was due, from the start on.
    pub due: Duration,
    /// When it was sent.
    pub sent: Duration,
    /// Which of the requests it is.
    pub request: usize,
}

/// What came of looking at a connection.
pub enum Outcome {
    /// Nothing that matters yet.
    Nothing,
    /// It can take a request.
    Open,
    /// The whole answer is there; the body, where it is to be checked, and bytes in all.
    Answered(Asked, Head, Vec<u8>, usize),
    /// It is gone, and with it the request that was on it.
    Lost(Option<Asked>, &'static str),
}

/// One connection.
pub struct Client {
    stream: TcpStream,
    open: bool,
    asked: Option<Asked>,
    written: usize,
    read: Vec<u8>,
    head: Option<Head>,
}

impl Client {
    /// Begins to connect.
    pub fn connect(address: SocketAddr, registry: &Registry, token: Token) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self { stream, open: false, asked: None, written: 0, read: Vec::with_capacity(ROOM), head: None })
    }

    /// The request that is on it.
    pub fn asked(&self) -> Option<Asked> {
        self.asked
    }

    /// Sends a request.
    pub fn ask(&mut self, asked: Asked, request: &[u8]) -> Outcome {
        self.asked = Some(asked);
        self.written = 0;
        self.read.clear();
        self.head = None;
        self.write(request)
    }

    /// Goes on after an event; `keep` is whether bodies are wanted.
    pub fn ready(&mut self, requests: &[Vec<u8>], scratch: &mut [u8], keep: bool) -> Outcome {
        if !self.open {
            match self.stream.peer_addr() {
                Ok(_) => {
                    self.open = true;
                    let _ = self.stream.set_nodelay(true);
                    return Outcome::Open;
                }
                Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                    return match self.stream.take_error() {
                        Ok(None) => Outcome::Nothing,
                        _ => Outcome::Lost(None, "refused"),
                    };
                }
                Err(_) => return Outcome::Lost(None, "refused"),
            }
        }
        if let Some(asked) = self.asked
            && self.written < requests[asked.request].len()
            && let Outcome::Lost(asked, why) = self.write(&requests[asked.request])
        {
            return Outcome::Lost(asked, why);
        }
        self.receive(scratch, keep)
    }

    fn write(&mut self, request: &[u8]) -> Outcome {
        while self.written < request.len() {
            match self.stream.write(&request[self.written..]) {
                Ok(written) => self.written += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The server may have answered before it closed: what can be read decides.
                Err(_) => break,
            }
        }
        Outcome::Nothing
    }

    fn receive(&mut self, scratch: &mut [u8], keep: bool) -> Outcome {
        loop {
            let (ended, why) = match self.stream.read(scratch) {
                Ok(0) => (true, "closed"),
                Ok(read) => {
                    self.read.extend_from_slice(&scratch[..read]);
                    (false, "")
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Outcome::Nothing,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => (true, "reset"),
            };
            match self.look(ended, keep) {
                Outcome::Nothing if ended => return Outcome::Lost(self.asked.take(), why),
                Outcome::Nothing => {}
                done => return done,
            }
        }
    }

    fn look(&mut self, ended: bool, keep: bool) -> Outcome {
        if self.asked.is_none() {
            // What nobody asked for.
            return if self.read.is_empty() { Outcome::Nothing } else { Outcome::Lost(None, "malformed") };
        }
        loop {
            if self.head.is_none() {
                match answer::head(&self.read) {
                    Ok(head) => self.head = head,
                    Err(_) => return Outcome::Lost(self.asked.take(), "malformed"),
                }
            }
            let Some(head) = &self.head else { return Outcome::Nothing };
            match head.progress(&self.read, ended) {
                Progress::Partial => return Outcome::Nothing,
                Progress::Malformed => return Outcome::Lost(self.asked.take(), "malformed"),
                Progress::Whole(length) if head.status < 200 => {
                    self.read.drain(..length); // as 100 Continue is
                    self.head = None;
                }
                Progress::Whole(length) => {
                    let body = if keep { head.body(&self.read[..length]) } else { Vec::new() };
                    let (Some(asked), Some(head)) = (self.asked.take(), self.head.take()) else {
                        return Outcome::Nothing;
                    };
                    return Outcome::Answered(asked, head, body, length);
                }
            }
        }
    }
}

/// Room to read into.
pub fn room() -> Vec<u8> {
    vec![0; ROOM]
}
