//! Compaction on the side: a little of it before each sync.

use std::sync::TryLockError;
use std::sync::atomic::Ordering;

use super::super::Inner;
use super::empty::{Emptying, Stage, Tally};
use super::{DEFAULT_FILL_RATIO, LeftReason};
use crate::error::Result;
use crate::format::ChunkId;

/// Before one sync no more is begun when so many bytes were moved, or so many records looked at.
const MOST_BYTES: u64 = 4 << 20;
const MOST_RECORDS: u64 = 1 << 16;

/// Where it stands between two syncs.
#[derive(Default)]
pub(crate) struct Auto {
    current: Option<Emptying>,
    /// The chunk that was looked at last: those after it are looked at next, so that one that cannot be emptied is not in the way.
    last: Option<ChunkId>,
}

impl Inner {
    /// Moves a bounded amount out of chunks of which less than half is current. What goes wrong is left to the sync that follows, and
    /// to the next time.
    pub(crate) fn compact_a_little(&self) {
        // Where nothing has been changed there is nothing to do, and no session to begin.
        let at_work = self.session_open.load(Ordering::Acquire) && self.poisoned.get().is_none();
        if !self.auto_compact || self.is_forked() || !at_work {
            return;
        }
        // Somebody else is at it.
        let mut auto = match self.compaction.try_lock() {
            Ok(auto) => auto,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        if let Err(error) = self.go_on(&mut auto) {
            tracing::warn!(%error, "compaction on the side stopped");
            auto.current = None;
        }
    }

    fn go_on(&self, auto: &mut Auto) -> Result<()> {
        let mut tally = Tally::default();
        while tally.bytes < MOST_BYTES && tally.walked < MOST_RECORDS {
            let Some(mut emptying) =
                auto.current.take().map_or_else(|| self.choose(auto), |it| Ok(Some(it)))?
            else {
                return Ok(());
            };
            match self.empty_piece(&mut emptying, &mut tally)? {
                Stage::Going => auto.current = Some(emptying),
                Stage::Dropped => {}
                // All of its places are taken until the next syncs.
                Stage::Left(LeftReason::Waiting) => return Ok(()),
                Stage::Left(reason) => tracing::debug!("chunk {} stays: {reason}", emptying.chunk),
            }
        }
        Ok(())
    }

    /// The next chunk to be emptied.
    fn choose(&self, auto: &mut Auto) -> Result<Option<Emptying>> {
        let mut writer = self.begin_change()?;
        let full = writer.chunks.iter().copied().filter(|&chunk| chunk != writer.active);
        let after = full.filter(|&chunk| auto.last.is_none_or(|last| chunk > last));
        let next = after.into_iter().find(|&chunk| self.is_worthwhile(&writer, chunk, DEFAULT_FILL_RATIO));
        auto.last = next;
        let Some(next) = next else { return Ok(None) };
        self.make_room_to_empty(&mut writer, next)?;
        let chunk = self.chunks.get(next)?;
        Ok(Emptying::of(&chunk).ok())
    }
}
