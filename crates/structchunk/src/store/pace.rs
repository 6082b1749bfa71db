//! How the log grows, and what the kernel is told about it.
//!
//! Two kinds of work want opposite things of the page cache. A bulk load wants large pages: a fault for each 4 KiB costs as much as half
//! of a put (for 128 MiB: 32,768 faults and 120 ms, against 2,772 and 30 ms with the kernel's usual advice). Durable puts want
//! small ones, because a sync writes whatever page was touched as a whole. Every step of reserved space is announced
//! as the step before it was used.

use std::ops::Range;

use super::Inner;
use crate::chunk::Chunk;
use crate::format::{ChunkId, PAGE_BYTES, align_down};
use crate::map::Advice;

/// What the log has grown by since the last cut.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pace {
    /// Steps of space reserved in the active chunk.
    steps: u32,
    /// Whether the space at the head was announced for a bulk load.
    bulk: bool,
}

impl Pace {
    /// Announces space of the active chunk that was just reserved. A step that follows another one without a cut between them is
    /// part of a bulk load.
    pub(crate) fn announce(&mut self, chunk: &Chunk, space: Range<u64>) {
        if self.grow() {
            chunk.map.advise(Advice::Normal, space);
        }
    }

    /// Takes note of a step; whether it is part of a bulk load.
    fn grow(&mut self) -> bool {
        self.bulk |= self.steps > 0;
        self.steps = self.steps.saturating_add(1);
        self.bulk
    }

    /// Whether this cut is one of many, each after a little: the head wants small pages again.
    pub(crate) fn cut(&mut self) -> bool {
        let slow = std::mem::take(&mut self.steps) == 0;
        slow && std::mem::take(&mut self.bulk)
    }
}

impl Inner {
    /// Announces small writes at the head, and lets go of the large pages that may be cached there.
    pub(crate) fn announce_small(&self, chunk: ChunkId, head: u64) {
        /// The largest page that the kernel makes.
        const LARGEST_PAGE: u64 = 2 << 20;
        let Ok(chunk) = self.chunks.get(chunk) else { return };
        chunk.map.advise(Advice::Random, align_down(head, PAGE_BYTES)..chunk.map.len());
        let around = align_down(head, LARGEST_PAGE);
        // Only bytes written depend on it.
        let _ = chunk.let_go(around..(around + LARGEST_PAGE).min(chunk.map.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::Pace;

    #[test]
    fn steps_without_a_cut_between_them_are_a_bulk_load_until_a_cut_finds_none() {
        let mut pace = Pace::default();
        assert!(!pace.grow() && pace.grow() && pace.grow());
        assert!(!pace.cut(), "much was written before this cut");
        assert!(pace.grow(), "it may go on");
        assert!(!pace.cut());
        assert!(pace.cut(), "nothing was reserved since the last one");
        assert!(!pace.cut(), "the head has small pages already");
        assert!(!pace.grow(), "one step between two cuts is no load");
        assert!(!pace.cut() && !pace.grow() && !pace.cut());
    }
}
