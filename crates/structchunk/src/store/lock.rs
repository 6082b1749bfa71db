//! The file `LOCK`: who may write.

use super::shared::Shared;
use crate::disk::{Access, File, Folder, Lock, no_fork};
use crate::error::{Error, Result};

pub(crate) const LOCK: &str = "LOCK";
/// The byte of `LOCK` that the writer has.
pub(crate) const WRITER_BYTE: u64 = 0;

/// The writer's byte until somebody keeps it: an open that fails gives it up at once. (Closing the file would not, while a process is
/// being spawned that has not let go of its copy yet.)
pub(crate) struct Taken(Option<File>);

impl Taken {
    /// The file, where there is one.
    pub(crate) fn file(&self) -> Option<&File> {
        self.0.as_ref()
    }

    /// From here on whoever has the file unlocks it.
    pub(crate) fn keep(mut self) -> Option<File> {
        self.0.take()
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.0.take().map(|file| file.unlock(WRITER_BYTE)) {
            tracing::debug!(%error, "the lock goes with its file");
        }
    }
}

/// The file, made where it is missing. Children do not get it.
pub(crate) fn lock_file(root: &Folder) -> Result<File> {
    let _no_fork = no_fork();
    let file = match root.open_file(LOCK, Access::Write) {
        Err(error) if error.is_absent() => match root.create_file(LOCK) {
            Err(Error::AlreadyExists { .. }) => root.open_file(LOCK, Access::Write),
            file => file,
        },
        file => file,
    };
    file?.keep_from_children()
}

/// The file where it is there. Children do not get it.
pub(crate) fn lock_file_there(root: &Folder, access: Access) -> Result<File> {
    let _no_fork = no_fork();
    root.open_file(LOCK, access)?.keep_from_children()
}

/// Takes the writer's byte: alone to write, together with other readers to read.
pub(crate) fn lock(root: &Folder, read_only: bool) -> Result<Taken> {
    let file = if read_only {
        match lock_file_there(root, Access::Read) {
            // A copy without it. It must be there where somebody could write. Where it cannot be made, nobody can by this way; the
            // documentation of `Options::read_only` says what is left to the caller.
            Err(error) if error.is_absent() => match lock_file(root) {
                Ok(file) => file,
                Err(Error::Io { .. }) => return Ok(Taken(None)),
                Err(error) => return Err(error),
            },
            file => file?,
        }
    } else {
        lock_file(root)?
    };
    let how = if read_only { Lock::Shared } else { Lock::Exclusive };
    if file.try_lock(WRITER_BYTE, how)? {
        return Ok(Taken(Some(file)));
    }
    // Who reads has no number, and that of a writer is there still when it has died.
    let pid = if file.probe(WRITER_BYTE, Lock::Exclusive)? {
        Shared::open(root)?.map(|shared| shared.writer()).filter(|&pid| pid != 0)
    } else {
        None
    };
    Err(Error::Locked { path: root.path().to_owned(), pid })
}
