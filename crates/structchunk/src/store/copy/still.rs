//! Objects that were changed in place while their chunk was copied: copied again, each in one piece.

use std::sync::atomic::Ordering;

use super::Job;
use crate::chunk::{Record, is_odd};
use crate::error::{Error, Result};
use crate::format::Kind;
use crate::protocol::VERSION_BITS;
use crate::store::borrow::{Subject, Want};
use crate::store::read::{LARGEST_STAGED, out_of_bounds};

/// Larger objects are copied in pieces of this, in bytes.
const PIECE: u64 = 64 << 10;

impl Job<'_> {
    /// Gives the copy's current objects among these bytes of one moment, and all of them even versions.
    pub(super) fn settle(&mut self) -> Result<()> {
        for location in std::mem::take(&mut self.unsettled) {
            let Some(copy) = self.copied.record(location)? else { continue };
            if self.views.live.is_live(location)
                && let Some(source) = self.inner.chunks.record(location)?
            {
                let is_torn = match source.header().kind {
                    Kind::Object => self.copy_still(&source, &copy)?,
                    _ => self.bodies.torn.contains(&location) || self.is_left(&source),
                };
                if is_torn {
                    self.report.torn.push(source.key().to_vec());
                }
            }
            if !copy.is_sealed() {
                copy.settle_version(copy.version_word(Ordering::Relaxed) & VERSION_BITS, self.copied.seed);
            }
        }
        Ok(())
    }

    /// Adds the current objects that were changed in place since they were copied, for an earlier cut.
    pub(super) fn find_changed(&mut self) -> Result<()> {
        for location in self.views.directory.locations() {
            let (source, copy) = (self.inner.chunks.record(location)?, self.copied.record(location)?);
            if let Some((source, copy)) = source.zip(copy)
                && source.header().kind.is_object()
                && source.version_word(Ordering::SeqCst) != copy.version_word(Ordering::SeqCst)
            {
                self.unsettled.insert(location);
            }
        }
        Ok(())
    }

    /// Whether whoever was changing an object is dead, where only the writer changes any and this handle keeps writers out.
    fn is_left(&self, source: &Record<'_>) -> bool {
        let inner = self.inner;
        !inner.sees_no_borrows() && inner.read_only && is_odd(source.version_word(Ordering::Relaxed))
    }

    /// Copies an object of one moment; whether it is half changed, and stays so.
    fn copy_still(&self, source: &Record<'_>, copy: &Record<'_>) -> Result<bool> {
        if self.inner.sees_no_borrows() {
            let copied = self.inner.steadily_or_left(source, || copy_payload(source, copy));
            return copied.map(|((), is_torn)| is_torn);
        }
        let bytes = source.header().payload_length;
        if bytes > LARGEST_STAGED {
            // Its writer stores into it directly.
            self.while_borrowed(source, || copy_payload(source, copy))?;
            return Ok(self.is_left(source));
        }
        let mut deadline = self.inner.patience(true);
        loop {
            let before = source.look();
            copy_payload(source, copy)?;
            let stood_still = source.is_still(before);
            // What is odd in a read-only store stays so: whoever wrote it is dead.
            if stood_still && (!is_odd(before) || self.inner.read_only) {
                return Ok(self.is_left(source));
            }
            if deadline.is_over() {
                return Err(Error::Busy { key: source.key().to_vec() });
            }
            std::thread::yield_now();
        }
    }

    /// Does something while nobody changes an object.
    pub(super) fn while_borrowed(
        &self,
        source: &Record<'_>,
        action: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let subject = Subject::of(source);
        if !self.inner.borrows.acquire(subject, Want::Shared, &mut self.inner.patience(true)) {
            return Err(Error::Busy { key: source.key().to_vec() });
        }
        let outcome = action();
        self.inner.borrows.release(subject, Want::Shared);
        self.inner.release_lock_if_unused();
        outcome
    }
}

fn copy_payload(source: &Record<'_>, copy: &Record<'_>) -> Result<()> {
    let (from, length) = (source.place().payload, source.header().payload_length);
    let mut buffer = vec![0; length.min(PIECE) as usize];
    let mut done = 0;
    while done < length {
        let piece = (length - done).min(PIECE) as usize;
        let buffer = &mut buffer[..piece];
        source.chunk.map.copy_out(from + done, buffer).ok_or_else(|| out_of_bounds(source))?;
        copy.chunk.map.copy_in(from + done, buffer).ok_or_else(|| out_of_bounds(copy))?;
        done += piece as u64;
    }
    Ok(())
}
