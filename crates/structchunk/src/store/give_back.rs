//! Step 4 of a sync: what was superseded before the sync *before* this one is needed by neither checkpoint now.

use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::Inner;
use super::inner::{Checkpoints, Writer};
use crate::disk::Sabotage;
use crate::error::Result;
use crate::format::{BodyNumber, ChunkId, Location, PAGE_BYTES};

/// What one sync finds superseded; the next one gives it back.
#[derive(Default)]
pub(crate) struct Superseded {
    pub bodies: Vec<BodyNumber>,
    /// Chunks that its checkpoint names as dropped.
    pub chunks: BTreeSet<ChunkId>,
    /// Records with large payloads.
    pub payloads: Vec<Location>,
}

impl Superseded {
    /// Takes what the writer has noted since the last cut.
    pub(crate) fn take(writer: &mut Writer) -> Self {
        Self {
            bodies: std::mem::take(&mut writer.superseded),
            chunks: writer.dropped.clone(),
            payloads: std::mem::take(&mut writer.superseded_payloads),
        }
    }
}

impl Checkpoints {
    /// Keeps what was superseded for the next sync to give back, beside what waits already.
    fn keep(&mut self, superseded: Superseded) {
        self.retiring.extend(superseded.bodies);
        self.retiring_chunks.extend(superseded.chunks);
        self.retiring_payloads.extend(superseded.payloads);
    }

    /// Whether nothing waits for the next sync to be given back.
    pub(crate) fn is_settled(&self) -> bool {
        self.retiring.is_empty() && self.retiring_chunks.is_empty() && self.retiring_payloads.is_empty()
    }
}

impl Inner {
    /// Gives back what the sync before this one found superseded, and keeps in mind what this one has. While a copy is made, all of
    /// that waits.
    ///
    /// # Errors
    /// When names that were removed could not be made durable.
    pub(crate) fn give_back(&self, checkpoints: &mut Checkpoints, superseded: Superseded) -> Result<()> {
        if self.copies.load(Ordering::SeqCst) > 0 {
            // Whoever makes a copy may need all of it; a later sync gives it back.
            checkpoints.keep(superseded);
            return Ok(());
        }
        let superseded = if self.root.breaks(Sabotage::GivenBackOneSyncEarly) {
            checkpoints.keep(superseded);
            Superseded::default()
        } else {
            superseded
        };
        let retired = std::mem::replace(&mut checkpoints.retiring, superseded.bodies);
        self.give_back_bodies(checkpoints, retired);
        let retired = std::mem::replace(&mut checkpoints.retiring_payloads, superseded.payloads);
        self.give_back_payloads(checkpoints, retired)?;
        let retired = std::mem::replace(&mut checkpoints.retiring_chunks, superseded.chunks);
        self.give_back_chunks(checkpoints, &retired)
    }

    /// Gives back what the live map has of chunks whose files are gone, where nobody asks for it any more. `may_be_marked`: but for their first
    /// pages, where a mutator that has changed an object leaves its last mark when the claim is over. On a full disk there would be no other page.
    pub(crate) fn forget_gone_chunks(&self, may_be_marked: bool) {
        for &chunk in &*self.gone.lock().unwrap_or_else(PoisonError::into_inner) {
            let words = self.views.live.words_of(chunk).map(|mut words| {
                words.start += if may_be_marked { PAGE_BYTES / 8 } else { 0 };
                words
            });
            if let Some(Err(error)) =
                words.filter(|words| !words.is_empty()).map(|words| self.views.live_file.punch(words))
            {
                tracing::warn!(%error, "the live map stays larger than it need be");
            }
        }
    }

    fn give_back_bodies(&self, checkpoints: &mut Checkpoints, retired: Vec<BodyNumber>) {
        if !retired.is_empty() {
            // What guards still write into them is for nobody.
            let mut writer = self.lock_writer();
            writer.dirty_bodies.retain(|body, _| !retired.contains(body));
        }
        for body in retired {
            // Somebody may still hold it and change it, but nobody can find it any more.
            self.lock_writer().dirty_bodies.remove(&body);
            if let Err(error) = self.bodies.unlink(body)
                && !error.is_absent()
            {
                tracing::warn!(%error, "a body could not be given back; the next sync tries again");
                checkpoints.retiring.push(body);
            }
        }
    }

    /// Unlinks chunks, oldest first, each for good before the next: the tombstones that a later one held may be all that says that an
    /// object of an earlier one is gone, and a rebuild without `STORE` believes every chunk that is there.
    fn give_back_chunks(&self, checkpoints: &mut Checkpoints, retired: &BTreeSet<ChunkId>) -> Result<()> {
        for &chunk in retired {
            if let Err(error) = self.chunks.remove(chunk)
                && !error.is_absent()
            {
                tracing::warn!(%error, "a chunk could not be given back; the next sync tries again");
                return Ok(());
            }
            self.chunks.folder.sync()?;
            checkpoints.retiring_chunks.remove(&chunk);
            self.gone.lock().unwrap_or_else(PoisonError::into_inner).push(chunk);
            let mut writer = self.lock_writer();
            writer.dropped.remove(&chunk);
            // What guards still write into it is for nobody.
            writer.dirty_chunks.remove(&chunk);
        }
        Ok(())
    }
}
