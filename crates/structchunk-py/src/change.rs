//! Changes in place of one object: alone with it in a copy, or through atomics. By the writer, and beside it.

use std::time::Duration;

use pyo3::prelude::*;
use structchunk::raw::{Atomics, Update};

use crate::errors::OrRaise;
use crate::handle::Handle;
use crate::wait::patiently;

/// What a change in a copy is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Update,
    /// What a process that died has left half changed.
    Mend,
}

/// Begins to change the object under a key; `None` where there is none, or nothing to mend.
pub fn begin(
    py: Python<'_>,
    handle: &Handle,
    timeout: Duration,
    key: &[u8],
    change: Change,
) -> PyResult<Option<Update>> {
    // (It may be large.)
    if let Some(mutator) = handle.mutator(py).or_raise(py)? {
        let raw = mutator.raw();
        return patiently(py, timeout, || {
            py.detach(|| match change {
                Change::Update => raw.try_update(key),
                Change::Mend => raw.try_mend(key),
            })
        });
    }
    let own = handle.own().or_raise(py)?;
    let raw = own.raw();
    patiently(py, timeout, || {
        py.detach(|| match change {
            Change::Update => raw.try_update(key),
            Change::Mend => raw.try_mend(key),
        })
    })
}

/// The object under a key of a store whose objects several processes change, to be changed through atomics.
pub fn atomics(py: Python<'_>, handle: &Handle, timeout: Duration, key: &[u8]) -> PyResult<Option<Atomics>> {
    if let Some(mutator) = handle.mutator(py).or_raise(py)? {
        return patiently(py, timeout, || py.detach(|| mutator.raw().try_atomics(key)));
    }
    let own = handle.own().or_raise(py)?;
    let raw = own.raw();
    patiently(py, timeout, || raw.try_atomics(key))
}
