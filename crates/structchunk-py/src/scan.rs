//! Keys of a store, in order, some at a time.

use std::ops::Bound as End;

use pyo3::prelude::*;
use structchunk::{Error, Keys, Reader, Result};

use crate::handle::Handle;
use crate::keys;

/// Where a scan goes on.
pub struct Within {
    low: End<Vec<u8>>,
    high: End<Vec<u8>>,
    reverse: bool,
}

impl Within {
    /// From `start`, up to but not including `stop`, with `prefix`, and behind `after` as seen in the direction of the scan.
    pub fn of(ends: [Option<Bound<'_, PyAny>>; 4], reverse: bool) -> PyResult<Self> {
        let [start, stop, prefix, after] =
            ends.map(|key| key.map(|key| keys::to_bytes(&key).map(std::borrow::Cow::into_owned)).transpose());
        let (start, stop, prefix) = (start?, stop?, prefix?);
        let end = prefix.as_deref().and_then(behind_prefix);
        let mut low = start.max(prefix).map_or(End::Unbounded, End::Included);
        let mut high = [stop, end].into_iter().flatten().min().map_or(End::Unbounded, End::Excluded);
        match (after?, reverse) {
            (Some(after), false) => low = End::Excluded(after),
            (Some(after), true) => high = End::Excluded(after),
            (None, _) => {}
        }
        Ok(Self { low, high, reverse })
    }

    /// The first keys, of a reader where there is one.
    pub fn keys(&self, handle: &Handle, reader: Option<&Reader>, limit: usize) -> Result<Vec<Vec<u8>>> {
        let range = || (self.low.clone(), self.high.clone());
        let Some(reader) = reader else {
            return self.first(handle.own()?.range(range())?.keys(), limit);
        };
        loop {
            let session = reader.session()?;
            match session.range(range()).and_then(|range| self.first(range.keys(), limit)) {
                // Another writer has taken over: the same keys of its session.
                Err(Error::SessionOver { .. }) => {}
                outcome => return outcome,
            }
        }
    }

    fn first(&self, keys: Keys<'_>, limit: usize) -> Result<Vec<Vec<u8>>> {
        let take = |entry: Result<structchunk::KeyEntry>| Ok(entry?.into_key());
        if self.reverse {
            keys.rev().take(limit).map(take).collect()
        } else {
            keys.take(limit).map(take).collect()
        }
    }
}

/// The first key behind all that begin with a prefix; `None` where there is none.
fn behind_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let kept = prefix.iter().rposition(|&byte| byte != 0xff)?;
    let mut behind = prefix[..=kept].to_vec();
    behind[kept] += 1;
    Some(behind)
}
