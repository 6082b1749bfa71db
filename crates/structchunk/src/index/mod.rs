//! Keys in order: the index on disk behind a trait of our own, and runs sorted in memory.
//!
//! Both are derived from the log, and both lead to records by (key, location). What they say is a hint: who follows it looks whether
//! the record there is the current one of its key.

mod block;
mod bounds;
mod changes;
#[cfg(feature = "leveldb")]
mod leveldb;
mod run;
mod runs;
mod sort;

use std::ops::Bound;
use std::sync::Arc;

pub(crate) use block::Block;
pub(crate) use bounds::Bounds;
pub(crate) use changes::{Changes, Sorted};
pub(crate) use runs::{Runs, Snapshot};

use crate::disk::Folder;
use crate::error::Result;
use crate::format::IndexMark;

/// Which way a scan goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Forward,
    Backward,
}

/// How far something goes that was derived from the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Covered {
    /// Everything up to this sequence is in it.
    pub sequence: u64,
    /// The end of the log at that time.
    pub position: crate::format::Location,
}

/// An ordered map on disk from keys to encoded values, and the mark.
///
/// [`crate::Error::is_corrupt`] tells errors after which its files are of no use.
pub(crate) trait Index: Send + Sync {
    /// The mark; `None` where there is none, or none that can be read.
    fn mark(&self) -> Result<Option<IndexMark>>;

    /// Writes sorted changes; the mark together with the last of them. With `durable`, all of that and everything before survives a power
    /// cut when this returns, and the mark says so.
    fn write(&self, changes: &Sorted<'_>, mark: &IndexMark, durable: bool) -> Result<()>;

    /// Shows entries from a bound on, in one direction and of one moment, until `visit` has seen enough. The mark is not shown.
    fn read(
        &self,
        from: Bound<&[u8]>,
        direction: Direction,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<()>;
}

/// Opens the index in a folder, which is nobody else's; an empty folder gets a new one.
///
/// # Errors
/// [`crate::Error::Corrupt`] when its files are of no use, [`crate::Error::Locked`] when another process has it open.
#[cfg(feature = "leveldb")]
pub(crate) fn open(folder: &Folder) -> Result<Arc<dyn Index>> {
    Ok(Arc::new(leveldb::LevelDb::open(folder)?))
}

/// Opens a copy of the index in a folder, of which nothing is changed; `None` where there is none. The copy is gone when
/// it is dropped.
///
/// # Errors
/// As for [`open`].
#[cfg(feature = "leveldb")]
pub(crate) fn open_copy(folder: &Folder) -> Result<Option<Arc<dyn Index>>> {
    Ok(leveldb::LevelDb::open_copy(folder)?.map(|index| Arc::new(index) as Arc<dyn Index>))
}

#[cfg(not(feature = "leveldb"))]
pub(crate) fn open_copy(_folder: &Folder) -> Result<Option<Arc<dyn Index>>> {
    Ok(None)
}

/// Whether the index on disk can be had in this process.
#[cfg(feature = "leveldb")]
pub(crate) fn is_available() -> bool {
    leveldb::has_its_thread()
}

#[cfg(not(feature = "leveldb"))]
pub(crate) fn is_available() -> bool {
    false
}

#[cfg(not(feature = "leveldb"))]
pub(crate) fn open(folder: &Folder) -> Result<Arc<dyn Index>> {
    let what = "this program was built without the feature leveldb".to_owned();
    Err(crate::error::Error::Unsupported { path: folder.path().to_owned(), what })
}

/// Takes away everything in the folder of an index; first the file without which nobody believes the others.
///
/// # Errors
/// What the disk says, and where something in there is no file.
pub(crate) fn clear(folder: &Folder) -> Result<()> {
    const FIRST: &str = "CURRENT";
    if folder.exists(FIRST)? {
        folder.remove(FIRST)?;
        folder.sync()?;
    }
    folder.list()?.iter().try_for_each(|name| folder.remove(name))
}
