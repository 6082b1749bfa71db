//! Holes where superseded objects were: the whole pages inside one payload that neither checkpoint needs.
//!
//! Headers, extensions and keys stay, so the chunk is walked as ever. Who may look at such a payload? Guards: they are in the table of what
//! is borrowed, and whoever takes one looks again whether it is of the current record ([`Inner::relocations`]). Copies: whoever made
//! one looks afterwards whether its record had been superseded ([`Inner::check_not_given_back`]). Small objects have no whole pages.

use std::sync::atomic::Ordering;

use super::Inner;
use super::find::Payload;
use super::inner::{Checkpoints, Writer};
use crate::chunk::Record;
use crate::disk::{Punched, Sabotage};
use crate::error::{Error, Result};
use crate::format::{Kind, Location, PAGE_BYTES, align_up};

/// Less is not worth a system call of 150 microseconds, in bytes; in small chunks a sixteenth of the capacity.
const LEAST_BYTES: u64 = 64 << 10;
/// So many holes are made after one sync; others wait for the next.
const MOST_HOLES: usize = 64;

impl Inner {
    fn least_punched(&self) -> u64 {
        LEAST_BYTES.min(self.chunks.geometry.capacity() / 16)
    }

    /// The whole pages inside the payload of a record, where they are worth it.
    fn whole_pages(&self, record: &Record<'_>) -> Option<(u64, u64)> {
        let header = record.header();
        let payload = header.place(record.offset()).payload;
        let from = align_up(payload, PAGE_BYTES);
        let to = (payload + header.payload_length) & !(PAGE_BYTES - 1);
        let bytes = to.saturating_sub(from);
        (header.kind == Kind::Object && bytes >= self.least_punched()).then_some((from, bytes))
    }

    /// Takes note that nobody will look for the payload of a record any more.
    pub(crate) fn note_payload(&self, writer: &mut Writer, record: &Record<'_>) {
        if self.whole_pages(record).is_some() {
            writer.superseded_payloads.push(record.location());
        }
    }

    /// Makes the holes that the sync before the last one has allowed.
    ///
    /// # Errors
    /// Those of a sync.
    pub(crate) fn give_back_payloads(
        &self,
        checkpoints: &mut Checkpoints,
        mut retired: Vec<Location>,
    ) -> Result<()> {
        // Once a session ends, there is no later.
        let most = if self.closed.load(Ordering::SeqCst) { usize::MAX } else { MOST_HOLES };
        if retired.len() > most {
            checkpoints.retiring_payloads.extend(retired.drain(most..));
        }
        // In the order of the chunks; and what was dropped meanwhile goes as a whole.
        retired.sort_unstable();
        {
            let writer = self.lock_writer();
            retired.retain(|location| writer.chunks.contains(&self.chunks.geometry.chunk(*location)));
        }
        if retired.is_empty() || !self.can_punch.load(Ordering::Relaxed) {
            return Ok(());
        }
        // Whoever finds a superseded record from here on notices that, before it takes a guard of it for a current one.
        self.relocations.fetch_add(1, Ordering::SeqCst);
        for of_chunk in
            retired.chunk_by(|a, b| self.chunks.geometry.chunk(*a) == self.chunks.geometry.chunk(*b))
        {
            let held = of_chunk.first().and_then(|it| self.hold_alone(self.chunks.geometry.chunk(*it)));
            for &location in of_chunk {
                if held.is_none() || !self.punch(location)? {
                    // With some sync that comes anyway.
                    self.lock_writer().superseded_payloads.push(location);
                }
            }
        }
        Ok(())
    }

    /// Makes a hole in a superseded payload; false while somebody refers to it, or changes what lies beside it all the time.
    fn punch(&self, location: Location) -> Result<bool> {
        let Ok(Some(record)) = self.chunks.record(location) else { return Ok(true) };
        let Some((from, bytes)) = self.whole_pages(&record) else { return Ok(true) };
        if self.is_in_use(&record) {
            return Ok(false);
        }
        let spared = !self.root.breaks(Sabotage::HeaderPunched);
        let (from, bytes) = if spared { (from, bytes) } else { (from - PAGE_BYTES, bytes + PAGE_BYTES) };
        match record.chunk.punch_between(from, bytes)? {
            Ok(Some(Punched::Freed)) => {}
            Ok(Some(Punched::Zeroed)) => self.can_punch.store(false, Ordering::Relaxed),
            Ok(None) => return Ok(false),
            Err(error) => tracing::warn!(%error, "a superseded object keeps its space"),
        }
        Ok(true)
    }

    /// Whether a record is the one that its key leads to.
    pub(crate) fn is_current(&self, record: &Record<'_>) -> Result<bool> {
        Ok(self.find(record.key())?.is_some_and(|current| current.location() == record.location()))
    }

    /// Refuses a record that has just been borrowed but was superseded before that, when anything was moved or punched since
    /// `relocations` was read; look the key up again then.
    ///
    /// # Errors
    /// One that [`Error::is_absent`] knows.
    #[inline]
    pub(crate) fn check_not_moved(&self, record: &Record<'_>, relocations: u64) -> Result<()> {
        if self.relocations.load(Ordering::SeqCst) == relocations || self.is_current(record)? {
            return Ok(());
        }
        Err(given_back(record))
    }

    /// Refuses what was read of a record that had been superseded by the end of the reading: it may have been a hole. Live is live: a
    /// record's bit goes out long before its payload does.
    ///
    /// # Errors
    /// One that [`Error::is_absent`] knows.
    #[inline]
    pub(crate) fn check_not_given_back(&self, record: &Record<'_>, payload: &Payload<'_>) -> Result<()> {
        if payload.bytes < self.least_punched()
            || payload.body().is_some()
            || self.views.live.is_live(record.location())
            || self.is_current(record)?
        {
            return Ok(());
        }
        Err(given_back(record))
    }

    /// The same for who goes by the word of the record: a body that was renamed or moved is changed by that of another one.
    ///
    /// # Errors
    /// One that [`Error::is_absent`] knows.
    pub(crate) fn check_not_gone_on(&self, record: &Record<'_>, payload: &Payload<'_>) -> Result<()> {
        if payload.body().is_some() && !self.is_current(record)? {
            return Err(given_back(record));
        }
        self.check_not_given_back(record, payload)
    }
}

/// Where a record is no longer of use to who has found it.
#[cold]
pub(super) fn given_back(record: &Record<'_>) -> Error {
    Error::io("read a superseded object in", record.chunk.path(), std::io::ErrorKind::NotFound.into())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use crate::{Compaction, Store};

    #[test]
    fn who_has_found_a_record_before_it_was_moved_or_given_back_notices_it_when_it_is_borrowed() {
        let store = Store::in_memory().unwrap();
        let put_large = || store.put("large", &vec![1_u64; 30_000][..]).unwrap();
        let found = |key: &str| {
            let relocations = store.inner.relocations.load(Ordering::SeqCst);
            let record = store.inner.find(key.as_bytes()).unwrap().unwrap();
            store.inner.check_not_moved(&record, relocations).unwrap();
            (record, relocations)
        };
        store.put("key", &1_u64).unwrap();
        put_large();
        put_large();
        let (record, relocations) = found("key");
        let report = store.compact_with(Compaction::new().fill_ratio(1.0)).unwrap();
        assert!(report.moved_objects > 0, "{report:?}");
        assert!(store.inner.check_not_moved(&record, relocations).unwrap_err().is_absent());
        let (record, relocations) = found("large");
        put_large();
        store.sync().unwrap();
        store.sync().unwrap();
        assert!(store.inner.check_not_moved(&record, relocations).unwrap_err().is_absent());
    }
}
