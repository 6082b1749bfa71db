//! A copy of a store that another process may be writing.

use std::path::Path;

use super::super::{CopyProgress, CopyReport};
use super::{Reader, Session};
use crate::error::{Error, Result};

/// So many sessions may end under a copy before it is given up.
const MOST_SESSIONS: u32 = 16;

impl Session {
    /// Copies the store to a new directory, or an empty one, while its writer goes on: see [`Store::copy_to`](crate::Store::copy_to) for what
    /// the copy is.
    ///
    /// The writer is asked for nothing and waits for nothing. As long as the copy is made, its compaction leaves the chunks alone that are copied,
    /// and no space inside of them is given back. Large objects that it replaces meanwhile are in the copy as before or after that, as all
    /// others are: the moment of the copy is when the last of them was found.
    /// The same holds for what a [`Mutator`](crate::Mutator) changes meanwhile: each object is as before or after a change.
    /// (Atomics, and views of other languages, leave no word: where large objects were replaced meanwhile, they may be as they were a little before that moment.)
    ///
    /// # Durability
    /// As for [`Store::copy_to`](crate::Store::copy_to).
    ///
    /// # Errors
    /// As for [`Store::copy_to`](crate::Store::copy_to); [`Error::Busy`] when an object, of whatever size, did not stand still for as long as it takes to copy it, once
    /// within the busy timeout (one change that does not end, or one after the other), and when one in a file of its own is replaced again and
    /// again, faster than it can be opened; [`Error::Recovering`] when the chunks of the log could not be held all at once within the busy timeout, because
    /// it grows faster than it can be looked through or the writer keeps one for itself; [`Error::SessionOver`]. What was copied is removed then.
    pub fn copy_to(&self, path: impl AsRef<Path>) -> Result<CopyReport> {
        self.inner().copy_to(path.as_ref(), &mut |_| {})
    }

    /// [`Session::copy_to`] that tells how far it is, now and then and at the end.
    ///
    /// # Errors
    /// As for [`Session::copy_to`].
    pub fn copy_to_with(
        &self,
        path: impl AsRef<Path>,
        mut progress: impl FnMut(&CopyProgress),
    ) -> Result<CopyReport> {
        self.inner().copy_to(path.as_ref(), &mut progress)
    }
}

impl Reader {
    /// [`Session::copy_to`] of the present session. Where that ends under it, the copy begins anew with the next one, up to 16 times.
    ///
    /// # Durability
    /// As for [`Store::copy_to`](crate::Store::copy_to).
    ///
    /// # Errors
    /// As for [`Session::copy_to`] and [`Reader::session`].
    pub fn copy_to(&self, path: impl AsRef<Path>) -> Result<CopyReport> {
        self.copy_to_with(path, |_| {})
    }

    /// [`Reader::copy_to`] that tells how far it is, now and then and at the end. It goes back to the beginning where a session ends.
    ///
    /// # Errors
    /// As for [`Reader::copy_to`].
    pub fn copy_to_with(
        &self,
        path: impl AsRef<Path>,
        mut progress: impl FnMut(&CopyProgress),
    ) -> Result<CopyReport> {
        let path = path.as_ref();
        let mut sessions = 1;
        loop {
            match self.session()?.copy_to_with(path, &mut progress) {
                Err(Error::SessionOver { .. }) if sessions < MOST_SESSIONS => sessions += 1,
                report => return report,
            }
        }
    }
}
