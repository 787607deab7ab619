//! The load generator, from Python.

use std::net::ToSocketAddrs;
use std::time::Duration;

use bedeck_load::{Failure, Order, Pace, run};
use pyo3::exceptions::{PyConnectionError, PyOSError, PyValueError};
use pyo3::prelude::*;

fn seconds(name: &str, value: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(value)
        .map_err(|_| PyValueError::new_err(format!("{name}={value}: a number of seconds is expected, not below 0")))
}

/// Sends `requests` to a server as a schedule says, and reports what came of it, as JSON.
#[pyfunction]
#[pyo3(signature = (host, port, requests, *, rate, poisson, lasting, warm, connections, timeout, seed, marker=None))]
#[expect(clippy::too_many_arguments, reason = "what a load is made of")]
pub fn load(
    py: Python<'_>,
    host: &str,
    port: u16,
    requests: Vec<Vec<u8>>,
    rate: Option<f64>,
    poisson: bool,
    lasting: f64,
    warm: f64,
    connections: usize,
    timeout: f64,
    seed: u64,
    marker: Option<Vec<u8>>,
) -> PyResult<String> {
    let address =
        (host, port).to_socket_addrs()?.next().ok_or_else(|| PyOSError::new_err(format!("{host} has no address")))?;
    let pace = match rate {
        None => Pace::Closed,
        Some(rate) if poisson => Pace::Poisson(rate),
        Some(rate) => Pace::Constant(rate),
    };
    let order = Order {
        address,
        requests,
        pace,
        lasting: seconds("lasting", lasting)?,
        warm: seconds("warm", warm)?,
        connections,
        timeout: seconds("timeout", timeout)?,
        seed,
        marker,
    };
    let mut raised = None;
    let done = py.detach(|| {
        run(&order, &mut || {
            raised = Python::attach(|py| py.check_signals()).err();
            raised.is_some()
        })
    });
    match done {
        Ok(report) => serde_json::to_string(&report).map_err(|error| PyValueError::new_err(error.to_string())),
        Err(Failure::Order(text)) => Err(PyValueError::new_err(text)),
        Err(Failure::Connect(error)) => {
            Err(PyConnectionError::new_err(format!("nobody answers at {host}:{port}: {error}; is the service up?")))
        }
        Err(Failure::Interrupted) => Err(raised.unwrap_or_else(|| PyOSError::new_err("interrupted"))),
    }
}
