//! Which chunks are worth emptying.

use super::super::Inner;
use super::super::inner::Writer;
use crate::error::{Error, Result};
use crate::format::{ChunkId, PAGE_BYTES};

/// Space that is not worth beginning a new chunk for, in bytes.
const SMALL: u64 = 64 << 10;

impl Inner {
    /// The chunks of the log that are full, oldest first. The active chunk becomes one of them where it is worth emptying too; it comes apart where
    /// there is no space for the next one.
    pub(super) fn full_chunks(
        &self,
        writer: &mut Writer,
        fill_ratio: f64,
    ) -> Result<(Vec<ChunkId>, Option<ChunkId>)> {
        let mut stays = None;
        let live = self.views.live.live_bytes(writer.active);
        let used = writer.head - PAGE_BYTES;
        if used.saturating_sub(live) >= SMALL && is_below(live, used, fill_ratio) {
            match self.end_active_chunk(writer) {
                // The others may still make room.
                Err(Error::NoSpace { .. }) => stays = Some(writer.active),
                outcome => outcome?,
            }
        }
        let full = writer.chunks.iter().copied().filter(|&chunk| chunk != writer.active).collect();
        Ok((full, stays))
    }

    /// Whether a full chunk is worth emptying: when less of it is current than the ratio says; and when it is the oldest, whatever is
    /// current in it, because it is what the tombstones in later chunks are needed against, and these are many.
    pub(super) fn is_worthwhile(&self, writer: &Writer, chunk: ChunkId, fill_ratio: f64) -> bool {
        let live = &self.views.live;
        // One whose seal is damaged is looked at, and said to be.
        let head = self.chunks.get(chunk).and_then(|chunk| chunk.sealed_head());
        if head.map_or(true, |head| is_below(live.live_bytes(chunk), head - PAGE_BYTES, fill_ratio)) {
            return true;
        }
        let is_first = writer.chunks.first() == Some(&chunk);
        is_first && {
            let later = writer.chunks.range(chunk.next()..);
            let pinned: u64 = later.map(|&chunk| live.tombstone_bytes(chunk)).sum();
            let current: u64 = writer.chunks.iter().map(|&chunk| live.live_bytes(chunk)).sum();
            pinned > current / 4
        }
    }
}

/// Whether `live` bytes are less than this part of `used`.
#[expect(clippy::cast_precision_loss, reason = "a ratio")]
fn is_below(live: u64, used: u64, ratio: f64) -> bool {
    live < used && (live as f64) < used as f64 * ratio || used == 0
}

#[cfg(test)]
mod tests {
    use super::is_below;

    #[test]
    fn what_is_wholly_current_is_never_worth_moving() {
        assert!(is_below(49, 100, 0.5) && !is_below(50, 100, 0.5));
        assert!(is_below(99, 100, 1.0) && !is_below(100, 100, 1.0));
        assert!(is_below(0, 100, 0.01) && is_below(0, 0, 0.5));
        assert!(!is_below(0, 100, 0.0), "0 moves nothing");
    }
}
