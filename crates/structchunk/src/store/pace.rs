//! How the store changes, and what the page cache is told about it.
//!
//! Two kinds of work want opposite things of the page cache. A bulk load, and the look-ups after it, want large pages: a fault for each
//! 4 KiB costs as much as half of a put, and look-ups at random take a third less time among large ones. A few changes at a time, each made
//! durable, want small pages, because whatever page is touched is written as a whole. So large pages are made where much is
//! written, and let go where little is.

use super::Inner;
use super::inner::Writer;
use crate::error::Result;
use crate::format::{PAGE_BYTES, align_down, align_up};
use crate::map::Advice;

/// How the store has changed of late.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Changes {
    /// Not known yet.
    #[default]
    Some,
    /// A step of reserved space has followed another one without a cut between them.
    Many,
    /// Nothing had to be reserved between two cuts.
    Few,
}

/// What the log has grown by since the last cut.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pace {
    /// Steps of space reserved in the active chunk.
    steps: u32,
    changes: Changes,
}

impl Pace {
    /// Takes note of a step; whether it is part of a bulk load.
    fn grow(&mut self) -> bool {
        if self.steps > 0 {
            self.changes = Changes::Many;
        }
        self.steps = self.steps.saturating_add(1);
        self.changes == Changes::Many
    }

    /// Takes note of a cut; whether it is the first of many, each after a little.
    pub(crate) fn cut(&mut self) -> bool {
        let few = std::mem::take(&mut self.steps) == 0;
        few && std::mem::replace(&mut self.changes, Changes::Few) != Changes::Few
    }
}

impl Inner {
    /// Takes note that a step of space was reserved; whether it is part of a bulk load.
    pub(crate) fn count_step(&self, writer: &mut Writer) -> bool {
        let bulk = writer.pace.grow();
        if bulk {
            self.views.directory_file.expect_many();
        }
        bulk
    }

    /// Announces small writes at the head, and lets go of the large pages that may be cached there: each of them would be written as a whole.
    pub(crate) fn announce_small(&self, writer: &mut Writer) {
        let (head, reserved) = (writer.head, writer.reserved);
        let Ok(chunk) = self.chunks.get(writer.active) else { return };
        chunk.map.advise(Advice::Random, align_down(head, PAGE_BYTES)..chunk.map.len());
        if let Err(error) = chunk.let_go_ahead(head, reserved) {
            tracing::warn!(%error, "space that was reserved is gone");
            writer.reserved = align_up(head, PAGE_BYTES).min(reserved);
        }
    }

    /// The same at the head and in the directory, where the next changes may be anywhere.
    pub(crate) fn expect_few_changes(&self) -> Result<()> {
        self.announce_small(&mut self.lock_writer());
        self.views.directory_file.expect_few()
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
        assert!(!pace.cut(), "that is known");
        assert!(!pace.grow(), "one step between two cuts is no load");
        assert!(!pace.cut() && !pace.grow() && !pace.cut() && !pace.cut());
        assert!(!pace.grow() && pace.grow() && !pace.cut() && pace.cut());
    }

    #[test]
    fn a_session_that_begins_with_a_little_is_told_so_once() {
        let mut pace = Pace::default();
        assert!(pace.cut() && !pace.cut());
    }
}
