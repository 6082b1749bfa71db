//! Making an empty store.

use std::io::ErrorKind;

use super::lock::{LOCK, WRITER_BYTE, lock_file};
use super::store_file::{STORE, StoreFile, UNFINISHED};
use super::views::{DIRECTORY, LIVE};
use super::{Options, Sparse};
use crate::chunk::{Chunk, nanoseconds_since_1970};
use crate::disk::{self, Access, File, Folder, Lock};
use crate::error::{Error, Result};
use crate::format::{Checkpoint, ChunkId, DroppedChunks, Evidence, Features, PAGE_BYTES, StoreIdentity};

pub(crate) const CHUNKS: &str = "chunks";

/// The folder of the chunks.
///
/// # Errors
/// [`Error::NotAStore`] where it is missing or something else; what the system is short of otherwise.
pub(crate) fn chunks_folder(root: &Folder) -> Result<Folder> {
    root.subfolder(CHUNKS, false).map_err(|error| match error {
        Error::Io { source, .. }
            if source.raw_os_error().is_some()
                && !matches!(source.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
        {
            Error::io("open", root.path().join(CHUNKS), source)
        }
        error => Error::NotAStore { path: root.path().to_owned(), reason: error.to_string() },
    })
}

/// What lies beside `chunks/` before a store is finished. The mark that it is not comes last, for who removes them.
pub(crate) const MADE_FIRST: [&str; 5] = [DIRECTORY, "directory.tmp", LIVE, LOCK, UNFINISHED];

/// Whether a folder is empty, or holds what a creation left that did not end.
pub(crate) fn is_unfinished(root: &Folder) -> Result<bool> {
    let names = root.list()?;
    let ours = |name: &String| name == CHUNKS || MADE_FIRST.contains(&name.as_str());
    let marked = names.iter().any(|name| name == UNFINISHED);
    Ok(names.iter().all(ours) && (marked || names.iter().all(|name| name == LOCK)))
}

/// Marks a folder as one in which a store is being made; the mark is an empty file.
pub(crate) fn mark_unfinished(root: &Folder) -> Result<File> {
    if root.exists(UNFINISHED)? {
        let marker = root.open_file(UNFINISHED, Access::Write)?;
        marker.set_len(0)?;
        return Ok(marker);
    }
    root.create_file(UNFINISHED)
}

/// Makes an empty store in a folder. `STORE` gets its name last: without it, there is no store.
pub(crate) fn create(root: &Folder, options: &Options) -> Result<()> {
    let lock = lock_file(root)?;
    if !lock.try_lock(WRITER_BYTE, Lock::Exclusive)? {
        return Err(Error::Locked { path: root.path().to_owned(), pid: None });
    }
    if root.exists(STORE)? {
        return Ok(());
    }
    let marker = mark_unfinished(root)?;
    // Before anything that would look like a store without it.
    root.sync()?;
    let geometry = options.geometry()?;
    let sparse = options.sparse == Sparse::Auto && marker.can_have_holes()?;
    marker.require_reach(geometry.capacity())?;
    let identity = StoreIdentity {
        uuid: disk::random_bytes()?,
        geometry,
        hash_seed: u64::from_le_bytes(disk::random_bytes()?),
        created: nanoseconds_since_1970(),
    };
    let folder = root.subfolder(CHUNKS, true)?;
    for name in folder.list()? {
        folder.remove(&name)?;
    }
    let (first, mut features) = (ChunkId(0), if sparse { Features::default() } else { Features::stepwise() });
    if options.shared_mutation {
        features.join(&Features::shared());
    }
    Chunk::create(&folder, identity.uuid, geometry, features, first, PAGE_BYTES)?.sync()?;
    folder.sync()?;
    let checkpoint = Checkpoint {
        generation: 0,
        sequence: 0,
        epoch: 1,
        clean: true,
        features,
        active: first,
        head: PAGE_BYTES,
        next_chunk: 1,
        next_body: 0,
        next_type: 1,
        chunks: [first].into_iter().collect(),
        dropped: DroppedChunks::default(),
        evidence: Evidence::default(),
    };
    StoreFile::create(root, UNFINISHED, &identity, &checkpoint)?;
    lock.unlock(WRITER_BYTE)
}
