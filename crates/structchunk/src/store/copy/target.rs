//! The directory that becomes the copy. Everything in it is removed again unless the copy is finished.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::create::{CHUNKS, MADE_FIRST, is_unfinished, mark_unfinished};
use super::super::lock::{WRITER_BYTE, lock_file};
use super::super::store_file::{STORE, StoreFile, UNFINISHED};
use crate::disk::{File, Folder, Lock};
use crate::error::{Error, Result};
use crate::format::{Checkpoint, StoreIdentity};

pub(super) struct Target {
    pub root: Folder,
    pub chunks: Folder,
    /// There are no sparse files.
    pub stepwise: bool,
    /// Keeps everybody else out.
    lock: File,
    /// The directory was not there.
    made: bool,
    finished: AtomicBool,
}

impl Target {
    /// Makes the directory, or takes an empty one or what an interrupted copy left.
    pub(super) fn begin(source: &Folder, path: &Path) -> Result<Self> {
        if source.encloses(path)? {
            let reason = "a copy of a store cannot lie inside of it";
            return Err(Error::io("copy to", path, io::Error::new(io::ErrorKind::InvalidInput, reason)));
        }
        let (root, made) = match source.create_elsewhere(path) {
            Ok(root) => (root, true),
            Err(Error::AlreadyExists { .. }) => {
                let exists = || Error::AlreadyExists { path: path.to_owned() };
                let root = source.open_elsewhere(path).map_err(|error| match error {
                    Error::NotAStore { .. } => exists(),
                    error => error,
                })?;
                if !is_unfinished(&root)? {
                    return Err(exists());
                }
                (root, false)
            }
            Err(error) => return Err(error),
        };
        Self::prepare(root.clone(), made).inspect_err(|error| {
            if !matches!(error, Error::Locked { .. }) {
                clear(&root, made);
            }
        })
    }

    fn prepare(root: Folder, made: bool) -> Result<Self> {
        let lock = lock_file(&root)?;
        if !lock.try_lock(WRITER_BYTE, Lock::Exclusive)? {
            return Err(Error::Locked { path: root.path().to_owned(), pid: None });
        }
        let marker = mark_unfinished(&root)?;
        let stepwise = !marker.can_have_holes()?;
        // Before anything that would look like a store without it.
        root.sync()?;
        // Files copy each other's blocks only where both are of the same kind.
        root.disable_copy_on_write();
        let chunks = root.subfolder(CHUNKS, true)?;
        for name in chunks.list()? {
            chunks.remove(&name)?;
        }
        Ok(Self { root, chunks, stepwise, lock, made, finished: AtomicBool::new(false) })
    }

    /// Makes it a store.
    pub(super) fn finish(&self, identity: &StoreIdentity, checkpoint: &Checkpoint) -> Result<()> {
        StoreFile::create(&self.root, UNFINISHED, identity, checkpoint)?;
        self.finished.store(true, Ordering::Relaxed);
        if let Err(error) = self.lock.unlock(WRITER_BYTE) {
            tracing::debug!(%error, "the lock goes with its file");
        }
        Ok(())
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if !self.finished.load(Ordering::Relaxed) {
            clear(&self.root, self.made);
        }
    }
}

/// Removes what a copy made, as far as that goes: the mark that it is unfinished last, so that it can be made again in any case.
fn clear(root: &Folder, made: bool) {
    let cleared = (|| {
        if root.exists(STORE)? {
            // Its name may not be durable.
            root.rename(STORE, UNFINISHED)?;
        }
        if root.exists(CHUNKS)? {
            let chunks = root.subfolder(CHUNKS, false)?;
            for name in chunks.list()? {
                chunks.remove(&name)?;
            }
            root.remove_folder(CHUNKS)?;
        }
        for name in MADE_FIRST {
            if root.exists(name)? {
                root.remove(name)?;
            }
        }
        if made { root.remove_itself() } else { Ok(()) }
    })();
    if let Err(error) = cleared {
        tracing::warn!(%error, "what was copied could not all be removed; it is no store");
    }
}
