//! What came of a load.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer, V2Serializer};
use serde::Serialize;

use crate::answer::Head;
use crate::client::Asked;
use crate::pace::Pace;
use crate::run::Order;

/// Longest latency that is told apart from longer ones: ten minutes in nanoseconds.
const LONGEST: u64 = 600_000_000_000;

/// Shares of a distribution that are told.
const SPREAD: usize = 2000;

/// The result of a run. Times are microseconds where nothing else is said.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Requests that were sent, those of the warm start not among them.
    pub sent: u64,
    /// The seconds in which they were.
    pub seconds: f64,
    /// How many a second were asked for; nothing where that was up to the server.
    pub rate: Option<f64>,
    /// Connections.
    pub connections: usize,
    /// Answers by status code.
    pub status: BTreeMap<u16, u64>,
    /// Requests without an answer, by what became of them.
    pub errors: BTreeMap<&'static str, u64>,
    /// Bodies in which marked values differ.
    pub mixed: u64,
    /// Answers by the version they are of.
    pub versions: BTreeMap<u64, u64>,
    /// Bytes of all answers.
    pub bytes: u64,
    /// By status code: from the time a request was due to the last byte of its answer.
    pub latency: BTreeMap<u16, Latency>,
    /// How long after it was due a request was sent.
    pub lag: Latency,
    /// Most requests that waited for a connection at once.
    pub backlog: usize,
    /// By the second in which requests were due.
    pub series: Vec<Second>,
}

/// A distribution of times.
#[derive(Debug, Clone, Serialize)]
pub struct Latency {
    /// How many.
    pub count: u64,
    /// Their mean.
    pub mean: f64,
    /// Half are not over it.
    pub p50: f64,
    /// 90 %.
    pub p90: f64,
    /// 99 %.
    pub p99: f64,
    /// 99.9 %.
    pub p999: f64,
    /// 99.99 %.
    pub p9999: f64,
    /// The longest.
    pub max: f64,
    /// What 2,000 even shares of all are not over, ascending: its shape.
    pub spread: Vec<f64>,
    /// All of it, of nanoseconds, as HdrHistogram V2 in base64.
    pub histogram: String,
}

/// One second of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Second {
    /// Which, from 0.
    pub second: usize,
    /// Requests that were due in it, by what became of them: answered with 200,
    pub ok: u64,
    /// refused with 503,
    pub refused: u64,
    /// or anything else.
    pub failed: u64,
    /// Of those with 200: half are not over it,
    pub p50: f64,
    /// 99 %,
    pub p99: f64,
    /// and the longest.
    pub max: f64,
}

/// What is noted while a load runs.
pub struct Tally {
    warm: Duration,
    sent: u64,
    status: BTreeMap<u16, u64>,
    errors: BTreeMap<&'static str, u64>,
    mixed: u64,
    versions: BTreeMap<u64, u64>,
    bytes: u64,
    latency: BTreeMap<u16, Histogram<u64>>,
    lag: Histogram<u64>,
    backlog: usize,
    series: Vec<Moment>,
}

struct Moment {
    ok: u64,
    refused: u64,
    failed: u64,
    latency: Histogram<u64>,
}

fn histogram(digits: u8) -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST, digits).expect("bounds that are valid")
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(LONGEST)
}

impl Tally {
    pub fn new(order: &Order) -> Self {
        let seconds = (order.lasting - order.warm).as_secs_f64().ceil() as usize;
        let moment = || Moment { ok: 0, refused: 0, failed: 0, latency: histogram(2) };
        Self {
            warm: order.warm,
            sent: 0,
            status: BTreeMap::new(),
            errors: BTreeMap::new(),
            mixed: 0,
            versions: BTreeMap::new(),
            bytes: 0,
            latency: BTreeMap::new(),
            lag: histogram(3),
            backlog: 0,
            series: std::iter::repeat_with(moment).take(seconds).collect(),
        }
    }

    pub fn sent(&mut self, asked: Asked, waiting: usize) {
        if asked.due >= self.warm {
            self.sent += 1;
            if waiting == 0 {
                self.lag.saturating_record(nanoseconds(asked.sent.saturating_sub(asked.due)).max(1));
            }
        }
    }

    pub fn waiting(&mut self, backlog: usize) {
        self.backlog = self.backlog.max(backlog);
    }

    pub fn answered(&mut self, asked: Asked, head: &Head, bytes: usize, mixed: bool, now: Duration) {
        let Some(since) = asked.due.checked_sub(self.warm) else { return };
        let latency = nanoseconds(now.saturating_sub(asked.due)).max(1);
        *self.status.entry(head.status).or_default() += 1;
        self.bytes += bytes as u64;
        self.mixed += u64::from(mixed);
        if let Some(version) = head.version {
            *self.versions.entry(version).or_default() += 1;
        }
        self.latency.entry(head.status).or_insert_with(|| histogram(3)).saturating_record(latency);
        let Some(moment) = self.series.get_mut(since.as_secs() as usize) else { return };
        match head.status {
            200 => {
                moment.ok += 1;
                moment.latency.saturating_record(latency);
            }
            503 => moment.refused += 1,
            _ => moment.failed += 1,
        }
    }

    pub fn failed(&mut self, why: &'static str, due: Duration) {
        let Some(since) = due.checked_sub(self.warm) else { return };
        *self.errors.entry(why).or_default() += 1;
        if let Some(moment) = self.series.get_mut(since.as_secs() as usize) {
            moment.failed += 1;
        }
    }

    pub fn report(self, order: &Order) -> Report {
        let second = |(second, moment): (usize, Moment)| {
            let of = |quantile| moment.latency.value_at_quantile(quantile) as f64 / 1e3;
            Second {
                second,
                ok: moment.ok,
                refused: moment.refused,
                failed: moment.failed,
                p50: of(0.5),
                p99: of(0.99),
                max: of(1.0),
            }
        };
        Report {
            sent: self.sent,
            seconds: (order.lasting - order.warm).as_secs_f64(),
            rate: match order.pace {
                Pace::Closed => None,
                Pace::Constant(rate) | Pace::Poisson(rate) => Some(rate),
            },
            connections: order.connections,
            status: self.status,
            errors: self.errors,
            mixed: self.mixed,
            versions: self.versions,
            bytes: self.bytes,
            latency: self.latency.iter().map(|(status, times)| (*status, Latency::of(times))).collect(),
            lag: Latency::of(&self.lag),
            backlog: self.backlog,
            series: self.series.into_iter().enumerate().map(second).collect(),
        }
    }
}

impl Latency {
    fn of(times: &Histogram<u64>) -> Self {
        let at = |quantile| times.value_at_quantile(quantile) as f64 / 1e3;
        let mut bytes = Vec::new();
        // Into memory, from a histogram whose counts are far below their type's: neither can fail.
        let _ = V2Serializer::new().serialize(times, &mut bytes);
        Self {
            count: times.len(),
            mean: times.mean() / 1e3,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            p9999: at(0.9999),
            max: at(1.0),
            spread: (0..SPREAD).map(|place| at((place as f64 + 0.5) / SPREAD as f64)).collect(),
            histogram: BASE64_STANDARD.encode(bytes),
        }
    }
}
