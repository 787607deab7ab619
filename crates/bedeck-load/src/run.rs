//! The load itself: one thread, all connections.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};

use crate::answer::agrees;
use crate::client::{Asked, Client, Outcome, room};
use crate::pace::{Pace, Schedule};
use crate::report::{Report, Tally};

/// From so near a due time on the clock is looked at without a pause: the system's timers come late.
const NEAR: Duration = Duration::from_micros(500);
/// How often requests that take too long are looked for, and the caller is asked whether to go on.
const TEND: Duration = Duration::from_millis(20);
/// How long to wait before a connection that failed is opened anew.
const PAUSE: Duration = Duration::from_millis(10);

/// What to ask of whom, and how often.
#[derive(Debug, Clone)]
pub struct Order {
    /// The server.
    pub address: SocketAddr,
    /// Whole requests of HTTP/1.1, sent one after the other, over and over.
    pub requests: Vec<Vec<u8>>,
    /// How they follow one another.
    pub pace: Pace,
    /// For how long requests are sent.
    pub lasting: Duration,
    /// The part of that, at its start, which is not told of.
    pub warm: Duration,
    /// How many connections there are.
    pub connections: usize,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Tells one random schedule from another.
    pub seed: u64,
    /// Text in bodies, behind each of which there has to be the same value.
    pub marker: Option<Vec<u8>>,
}

/// Why there is no report.
#[derive(Debug)]
pub enum Failure {
    /// The order is none that can be run.
    Order(String),
    /// Nobody answers at the address.
    Connect(io::Error),
    /// The caller ended it.
    Interrupted,
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Order(text) => out.write_str(text),
            Self::Connect(error) => write!(out, "nobody answers: {error}"),
            Self::Interrupted => out.write_str("interrupted"),
        }
    }
}

impl std::error::Error for Failure {}

impl Order {
    fn check(&self) -> Result<(), Failure> {
        let wrong = |text: &str| Err(Failure::Order(text.to_owned()));
        match self.pace {
            Pace::Constant(rate) | Pace::Poisson(rate) if !(rate > 0.0 && rate <= 1e7) => {
                return wrong("rate: a number of requests a second is expected, above 0 and at most 10 million");
            }
            _ => {}
        }
        if self.requests.is_empty() || self.requests.iter().any(Vec::is_empty) {
            return wrong("requests: at least one is expected, and none may be empty");
        }
        if self.connections == 0 || self.connections > 60_000 {
            return wrong("connections: a number from 1 to 60,000 is expected");
        }
        if self.lasting <= self.warm {
            return wrong("seconds: more than those at the start that do not count are expected");
        }
        Ok(())
    }
}

/// Runs an order; `ended` is asked every few milliseconds whether to give up. Takes this thread, and all of a core.
pub fn run(order: &Order, ended: &mut dyn FnMut() -> bool) -> Result<Report, Failure> {
    order.check()?;
    std::net::TcpStream::connect_timeout(&order.address, Duration::from_secs(5)).map_err(Failure::Connect)?;
    let mut load = Load::new(order).map_err(Failure::Connect)?;
    load.connect_all(ended)?;
    load.go(ended)?;
    Ok(load.tally.report(order))
}

struct Load<'a> {
    order: &'a Order,
    poll: Poll,
    clients: Vec<Option<Client>>,
    free: VecDeque<usize>,
    /// Connections to open anew, and when.
    lost: VecDeque<(Instant, usize)>,
    backlog: VecDeque<Duration>,
    tally: Tally,
    scratch: Vec<u8>,
    next_request: usize,
    start: Instant,
}

impl<'a> Load<'a> {
    fn new(order: &'a Order) -> io::Result<Self> {
        let poll = Poll::new()?;
        let connect = |place| Client::connect(order.address, poll.registry(), Token(place)).map(Some);
        let clients = (0..order.connections).map(connect).collect::<io::Result<_>>()?;
        Ok(Self {
            order,
            poll,
            clients,
            free: VecDeque::with_capacity(order.connections),
            lost: VecDeque::new(),
            backlog: VecDeque::new(),
            tally: Tally::new(order),
            scratch: room(),
            next_request: 0,
            start: Instant::now(),
        })
    }

    /// Waits until all connections are there, so that none is opened on the clock.
    fn connect_all(&mut self, ended: &mut dyn FnMut() -> bool) -> Result<(), Failure> {
        let mut events = Events::with_capacity(1024);
        let until = Instant::now() + self.order.timeout.max(Duration::from_secs(5));
        while self.free.len() < self.order.connections {
            self.turn(&mut events, TEND)?;
            self.reconnect()?;
            if ended() {
                return Err(Failure::Interrupted);
            }
            if Instant::now() > until {
                let text = format!("{} of {} connections were accepted", self.free.len(), self.order.connections);
                return Err(Failure::Connect(io::Error::new(io::ErrorKind::TimedOut, text)));
            }
        }
        Ok(())
    }

    fn go(&mut self, ended: &mut dyn FnMut() -> bool) -> Result<(), Failure> {
        let mut events = Events::with_capacity(1024);
        let mut schedule = Schedule::new(self.order.pace, self.order.seed);
        let closed = self.order.pace == Pace::Closed;
        self.start = Instant::now();
        let mut due = schedule.next();
        let mut tended = Duration::ZERO;
        loop {
            let now = self.start.elapsed();
            while let Some(at) = due.filter(|at| *at <= now && *at < self.order.lasting) {
                self.backlog.push_back(at);
                due = schedule.next();
            }
            if closed && now < self.order.lasting {
                self.backlog.extend(std::iter::repeat_n(now, self.free.len().saturating_sub(self.backlog.len())));
            }
            self.assign();
            let over = now >= self.order.lasting;
            if over && (self.is_idle() || now >= self.order.lasting + self.order.timeout) {
                break;
            }
            let wait = match due {
                Some(at) if at < self.order.lasting => at.saturating_sub(now).saturating_sub(NEAR).min(TEND),
                _ => TEND,
            };
            self.turn(&mut events, wait)?;
            if now >= tended + TEND {
                tended = now;
                self.expire(now);
                self.reconnect()?;
                if ended() {
                    return Err(Failure::Interrupted);
                }
            }
        }
        for asked in self.clients.iter().flatten().filter_map(Client::asked) {
            self.tally.failed("timeout", asked.due);
        }
        for due in std::mem::take(&mut self.backlog) {
            self.tally.failed("timeout", due);
        }
        Ok(())
    }

    fn is_idle(&self) -> bool {
        self.backlog.is_empty() && self.clients.iter().flatten().all(|client| client.asked().is_none())
    }

    /// Sends what is due as long as connections are free.
    fn assign(&mut self) {
        while !self.backlog.is_empty()
            && let Some(place) = self.free.pop_front()
        {
            let (Some(client), Some(due)) = (&mut self.clients[place], self.backlog.pop_front()) else { continue };
            let asked = Asked { due, sent: self.start.elapsed(), request: self.next_request };
            self.next_request = (self.next_request + 1) % self.order.requests.len();
            self.tally.sent(asked, self.backlog.len());
            if let Outcome::Lost(asked, why) = client.ask(asked, &self.order.requests[asked.request]) {
                self.lose(place, asked, why);
            }
        }
        self.tally.waiting(self.backlog.len());
    }

    fn turn(&mut self, events: &mut Events, wait: Duration) -> Result<(), Failure> {
        match self.poll.poll(events, Some(wait)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            other => other.map_err(Failure::Connect)?,
        }
        for event in &*events {
            let place = event.token().0;
            let Some(client) = &mut self.clients[place] else { continue };
            match client.ready(&self.order.requests, &mut self.scratch, self.order.marker.is_some()) {
                Outcome::Nothing => {}
                Outcome::Open => self.free.push_back(place),
                Outcome::Lost(asked, why) => self.lose(place, asked, why),
                Outcome::Answered(asked, head, body, bytes) => {
                    let mixed =
                        head.status == 200 && self.order.marker.as_ref().is_some_and(|text| !agrees(&body, text));
                    self.tally.answered(asked, &head, bytes, mixed, self.start.elapsed());
                    if head.last {
                        self.drop(place, Duration::ZERO);
                    } else {
                        self.free.push_back(place);
                    }
                }
            }
        }
        Ok(())
    }

    /// A connection is gone; it is opened anew in a moment.
    fn lose(&mut self, place: usize, asked: Option<Asked>, why: &'static str) {
        if let Some(asked) = asked {
            self.tally.failed(why, asked.due);
        }
        self.drop(place, if why == "closed" { Duration::ZERO } else { PAUSE });
    }

    fn drop(&mut self, place: usize, pause: Duration) {
        self.clients[place] = None;
        self.free.retain(|free| *free != place);
        self.lost.push_back((Instant::now() + pause, place));
        if pause.is_zero() {
            // At once: the others would have to do its work meanwhile.
            let _ = self.reconnect();
        }
    }

    fn reconnect(&mut self) -> Result<(), Failure> {
        for _ in 0..self.lost.len() {
            let Some((at, place)) = self.lost.pop_front() else { break };
            if Instant::now() < at {
                self.lost.push_back((at, place));
                continue;
            }
            match Client::connect(self.order.address, self.poll.registry(), Token(place)) {
                Ok(client) => self.clients[place] = Some(client),
                Err(_) => self.lost.push_back((Instant::now() + PAUSE, place)),
            }
        }
        Ok(())
    }

    /// Gives up what takes too long.
    fn expire(&mut self, now: Duration) {
        for place in 0..self.clients.len() {
            let late = |asked: &Asked| now > asked.due + self.order.timeout;
            if let Some(asked) = self.clients[place].as_ref().and_then(Client::asked).filter(late) {
                self.lose(place, Some(asked), "timeout");
            }
        }
        while let Some(due) = self.backlog.front().copied().filter(|due| now > *due + self.order.timeout) {
            self.backlog.pop_front();
            self.tally.failed("timeout", due);
        }
    }
}
