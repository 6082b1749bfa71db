//! Waiting for whoever changes an object, so that Ctrl-C ends it.

use std::time::{Duration, Instant};

use pyo3::prelude::*;
use structchunk::{Error, Result};

use crate::errors::OrRaise;

/// How long a store waits where its user says nothing.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Between two attempts.
const PAUSE: Duration = Duration::from_micros(500);

/// Attempts something that does not wait until nobody is in its way, or until the timeout has passed. Between attempts others have the GIL, who
/// may need it to come to an end, and signals are looked for.
pub fn patiently<T>(
    py: Python<'_>,
    timeout: Duration,
    mut attempt: impl FnMut() -> Result<T>,
) -> PyResult<T> {
    let mut outcome = attempt();
    if !matches!(outcome, Err(Error::Busy { .. })) {
        return outcome.or_raise(py);
    }
    let end = Instant::now().checked_add(timeout);
    while matches!(outcome, Err(Error::Busy { .. })) && end.is_none_or(|end| Instant::now() < end) {
        py.detach(|| std::thread::sleep(PAUSE));
        py.check_signals()?;
        outcome = attempt();
    }
    outcome.or_raise(py)
}
