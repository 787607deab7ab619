//! Prints how fast this machine reads random lines of a file, mapped as bedeck maps its blobs, as one JSON object.
//!
//! `bedeck-probe FILE` takes a file that is there; `bedeck-probe FILE BYTES` makes one of that size and removes it again.

mod file;
mod lines;
mod walk;

use std::env;
use std::error::Error;
use std::process::ExitCode;

use serde_json::json;

use crate::file::Probed;
use crate::lines::Lines;

/// Lines that are asked for before the first of them is read: a list of ids.
const FLIGHT: usize = 100;

fn main() -> ExitCode {
    match run(&env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bedeck-probe: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[String]) -> Result<(), Box<dyn Error>> {
    let probed = match words {
        [path] => Probed::existing(path)?,
        [path, bytes] => Probed::made(path, bytes.parse()?)?,
        _ => return Err("usage: bedeck-probe FILE [BYTES]".into()),
    };
    let lines = Lines::new(probed.bytes()).ok_or("the file has no whole line of 64 bytes")?;
    let (alone, flight) = (walk::chain(lines), walk::flights::<FLIGHT>(lines));
    let told = json!({
        "bytes": probed.bytes().len(),
        "flight": FLIGHT,
        "alone": {"least": alone.least, "median": alone.median},
        "in_flight": {"least": flight.least, "median": flight.median},
    });
    println!("{told}");
    Ok(())
}
