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
use crate::map::{Advice, LARGE_PAGE};

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

    /// Takes note of a cut; which large pages are to go with it.
    pub(crate) fn cut(&mut self) -> LetGo {
        if std::mem::take(&mut self.steps) > 0 {
            // What follows may be little already.
            return if self.changes == Changes::Many { LetGo::Ahead } else { LetGo::Nothing };
        }
        match std::mem::replace(&mut self.changes, Changes::Few) {
            Changes::Few => LetGo::Nothing,
            // The first of many, each after a little.
            Changes::Some | Changes::Many => LetGo::Everywhere,
        }
    }
}

/// Where large pages are to be let go of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LetGo {
    Nothing,
    /// Behind the head of the log, so that the next record is not one in a large page.
    Ahead,
    /// Around the head, and wherever the directory is changed from now on.
    Everywhere,
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

    /// Lets go of large pages after a cut: each of them would be written as a whole.
    pub(crate) fn let_go(&self, what: LetGo) -> Result<()> {
        match what {
            LetGo::Nothing => Ok(()),
            LetGo::Ahead => {
                self.forget_ahead(&mut self.lock_writer());
                Ok(())
            }
            LetGo::Everywhere => {
                self.announce_small(&mut self.lock_writer());
                self.views.directory_file.expect_few()
            }
        }
    }

    /// Announces small writes at the head, and lets go of what is cached around it.
    pub(crate) fn announce_small(&self, writer: &mut Writer) {
        if let Ok(chunk) = self.chunks.get(writer.active) {
            chunk.map.advise(Advice::Random, align_down(writer.head, PAGE_BYTES)..chunk.map.len());
            // Only bytes written depend on it.
            let _ = chunk.let_go(align_down(writer.head, LARGE_PAGE)..chunk.map.len());
        }
        self.forget_ahead(writer);
    }

    fn forget_ahead(&self, writer: &mut Writer) {
        let (head, reserved) = (writer.head, writer.reserved);
        let Ok(chunk) = self.chunks.get(writer.active) else { return };
        if let Err(error) = chunk.forget_ahead(head, reserved) {
            tracing::warn!(%error, "space that was reserved is gone");
            writer.reserved = align_up(head, PAGE_BYTES).min(reserved);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LetGo, Pace};

    #[test]
    fn steps_without_a_cut_between_them_are_a_bulk_load_until_a_cut_finds_none() {
        let mut pace = Pace::default();
        assert!(!pace.grow() && pace.grow() && pace.grow());
        assert_eq!(pace.cut(), LetGo::Ahead, "much was written before this cut");
        assert!(pace.grow(), "it may go on");
        assert_eq!(pace.cut(), LetGo::Ahead);
        assert_eq!(pace.cut(), LetGo::Everywhere, "nothing was reserved since the last one");
        assert_eq!(pace.cut(), LetGo::Nothing, "that is known");
        assert!(!pace.grow(), "one step between two cuts is no load");
        assert_eq!([pace.cut(), pace.cut()], [LetGo::Nothing; 2]);
        assert!(!pace.grow());
        assert_eq!([pace.cut(), pace.cut()], [LetGo::Nothing; 2]);
        assert!(!pace.grow() && pace.grow());
        assert_eq!([pace.cut(), pace.cut()], [LetGo::Ahead, LetGo::Everywhere]);
    }

    #[test]
    fn a_session_that_begins_with_a_little_is_told_so_once() {
        let mut pace = Pace::default();
        assert_eq!([pace.cut(), pace.cut()], [LetGo::Everywhere, LetGo::Nothing]);
    }
}
