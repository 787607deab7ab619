//! Load for a server: requests that are due at set times, however long the ones before them take.
//!
//! A client that waits for an answer before it sends the next request asks less of a server the slower that is, and does not
//! measure what its users would have waited (coordinated omission; G. Tene, "How NOT to Measure Latency", 2015). Here each
//! request has a time at which it is due, and its latency counts from then, whether or not a connection was free.

mod answer;
mod client;
mod pace;
mod report;
mod run;

pub use pace::Pace;
pub use report::{Latency, Report, Second};
pub use run::{Failure, Order, run};
