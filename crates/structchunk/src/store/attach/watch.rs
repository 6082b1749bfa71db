//! How a reader hears that what it sees is no longer kept up.

use std::sync::atomic::{Ordering, fence};

use super::super::lock::{WRITER_BYTE, lock_file_there};
use super::super::shared::Shared;
use crate::disk::{self, Access, File, Folder, Lock};
use crate::error::Result;

/// What a reader saw of `shared` before it looked at anything else.
pub(crate) struct Watch {
    root: Folder,
    /// `None`: nobody had made it yet.
    page: Option<Shared>,
    lock: Option<File>,
    session: u64,
    recovery: u64,
    end: u64,
    /// How often the process had forked: a child has no lock and no holds.
    process: u32,
    /// Whether the end of the log is that of the writer. If not, what is seen is good only as long as nothing is appended.
    follows: bool,
}

impl Watch {
    /// Takes note of how things are.
    pub(super) fn begin(root: &Folder) -> Result<Self> {
        let page = Shared::open(root)?;
        let lock = match lock_file_there(root, Access::Read) {
            Err(error) if error.is_absent() => None,
            file => Some(file?),
        };
        let word = |read: fn(&Shared) -> u64| page.as_ref().map_or(0, read);
        let (recovery, session, end) = (word(Shared::recovery), word(Shared::session), word(Shared::end));
        Ok(Self {
            root: root.clone(),
            page,
            lock,
            session,
            recovery,
            end,
            process: disk::forks(),
            follows: false,
        })
    }

    /// From here on new records are seen.
    pub(super) fn follow(&mut self) {
        self.follows = true;
    }

    #[inline]
    pub(super) fn follows(&self) -> bool {
        self.follows
    }

    /// The file `LOCK`, where there is one.
    pub(in crate::store) fn lock(&self) -> Option<&File> {
        self.lock.as_ref()
    }

    /// The page of all processes, where there is one.
    pub(in crate::store) fn page(&self) -> Option<&Shared> {
        self.page.as_ref()
    }

    /// The page for one who reads the end of the log in it.
    pub(super) fn open_page(&self) -> Result<Option<Shared>> {
        Shared::open(&self.root)
    }

    /// Whether a recovery is under way, or died.
    pub(super) fn in_recovery(&self) -> bool {
        !self.recovery.is_multiple_of(2)
    }

    /// Whether somebody may write into the store now.
    pub(crate) fn has_writer(&self) -> Result<bool> {
        self.lock.as_ref().map_or(Ok(false), |file| file.probe(WRITER_BYTE, Lock::Exclusive))
    }

    /// Whether everything that was read until now was as the writer had it, at some moment until now.
    ///
    /// Whoever changes more than the rules of a session allow says so first: a recovery by its number, a new session by its word, an append
    /// by the end of the log. So what was read before these words were looked at, and they are as they were, was read before that.
    ///
    /// Never in a forked child: it has lost the file of locks, and must attach for itself.
    #[inline]
    pub(super) fn is_current(&self) -> bool {
        fence(Ordering::Acquire);
        if disk::forks() != self.process {
            return false;
        }
        match &self.page {
            Some(page) => {
                page.session() == self.session
                    && page.recovery() == self.recovery
                    && (self.follows || page.end() == self.end)
            }
            // Nobody begins anything without it.
            None => matches!(Shared::open(&self.root), Ok(None)),
        }
    }
}
