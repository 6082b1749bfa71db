//! The one error type.

use std::io;
use std::path::{Path, PathBuf};

use crate::key::{EscapedKey, KeyError};
use crate::layout::{Fingerprint, LayoutMismatch};

/// Everything that can go wrong, each with what, which file or key, and where.
///
/// Absence is not an error: look-ups answer `Ok(None)`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused something.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The disk, a quota or `RLIMIT_FSIZE` leaves no room. Nothing was changed; the store stays usable.
    #[error("no space to {action} {} ({bytes} bytes asked for)", path.display())]
    NoSpace {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// How many bytes were asked for.
        bytes: u64,
    },
    /// The process gets no more memory. Nothing was changed; the store stays usable.
    #[error("no memory for {what} of {}", size(*bytes))]
    NoMemory {
        /// What it was for.
        what: &'static str,
        /// How many bytes were asked for.
        bytes: u64,
    },
    /// Another process has the store open.
    #[error("{} is in use by {}", path.display(), pid.map_or("another process".to_owned(), |pid| format!("process {pid}")))]
    Locked {
        /// The store.
        path: PathBuf,
        /// The writer, where it is one that holds it: who reads has no number.
        pid: Option<u32>,
    },
    /// The directory does not exist, or is no store.
    #[error("{} is not a store: {reason}", path.display())]
    NotAStore {
        /// The directory.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A store was to be created where something is already.
    #[error("{} exists already", path.display())]
    AlreadyExists {
        /// The directory.
        path: PathBuf,
    },
    /// The store uses something this version does not know, or something was asked for that the store cannot do.
    #[error("{}: not supported: {what}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What is not known, or cannot be done.
        what: String,
    },
    /// The store lies on a network file system, where mapped memory is not shared safely.
    #[error("{} lies on a network file system ({kind}); allow_network_file_system(true) overrides", path.display())]
    NetworkFileSystem {
        /// The store.
        path: PathBuf,
        /// The file system's name.
        kind: &'static str,
    },
    /// A file holds something that cannot be.
    #[error("{}, byte {offset}: {reason}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Position in the file, in bytes.
        offset: u64,
        /// What is wrong there.
        reason: String,
    },
    /// The object has another type than the one asked for.
    #[error("object {}: {mismatch}", EscapedKey(key))]
    LayoutMismatch {
        /// The object's key.
        key: Vec<u8>,
        /// Where the two layouts differ first.
        mismatch: Box<LayoutMismatch>,
    },
    /// A type says that it extends a stored layout, and does not keep one of its fields.
    #[error("{} (fingerprint {fingerprint})", mismatch.contradicts())]
    NoExtension {
        /// The fingerprint of the stored layout.
        fingerprint: Fingerprint,
        /// The first field that is not kept.
        mismatch: Box<LayoutMismatch>,
    },
    /// The object does not lie at a multiple of the alignment asked for. Putting it again cures that.
    #[error("object {} is aligned to {found} bytes, {required} are required; put it again", EscapedKey(key))]
    Misaligned {
        /// The object's key.
        key: Vec<u8>,
        /// The alignment asked for, in bytes.
        required: u64,
        /// The alignment the object was stored with, in bytes.
        found: u64,
    },
    /// An object without bytes: an empty slice, or a dimension of zero.
    #[error("object {} would be empty", EscapedKey(key))]
    Empty {
        /// The key.
        key: Vec<u8>,
    },
    /// Somebody else uses the object, and `busy_timeout` has passed.
    #[error("object {} is in use", EscapedKey(key))]
    Busy {
        /// The object's key.
        key: Vec<u8>,
    },
    /// A key is empty or longer than 65,535 bytes.
    #[error("a key of {length} bytes; keys have 1 to 65535")]
    KeyLength {
        /// The key's length, in bytes.
        length: usize,
    },
    /// `insert_new` or `rename` found the key taken.
    #[error("object {} exists already", EscapedKey(key))]
    KeyExists {
        /// The key.
        key: Vec<u8>,
    },
    /// The prefix of a table is empty or longer than 255 bytes.
    #[error("a table's prefix of {length} bytes; prefixes have 1 to 255")]
    TablePrefix {
        /// The prefix's length, in bytes.
        length: usize,
    },
    /// A key begins with the prefix of a table and stands for none of its keys: something else was stored there.
    #[error("object {} is no entry of table {}: its key, {error}", EscapedKey(key), EscapedKey(table))]
    TableKey {
        /// The table's prefix.
        table: Vec<u8>,
        /// The whole key.
        key: Vec<u8>,
        /// What is wrong with it.
        error: KeyError,
    },
    /// An object, key or batch is larger than the store can hold.
    #[error("{what} of {}; at most {limit} are possible", size(*bytes))]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size, in bytes; `u64::MAX` also for all that is larger.
        bytes: u64,
        /// The largest possible size, in bytes.
        limit: u64,
    },
    /// An array has more dimensions than a record has room for.
    #[error("an array of {dimensions} dimensions; at most {limit} are possible")]
    Dimensions {
        /// How many it has.
        dimensions: usize,
        /// How many it may have.
        limit: usize,
    },
    /// Not as many values as keys.
    #[error("{keys} keys and {values} values")]
    Lengths {
        /// How many keys.
        keys: usize,
        /// How many values.
        values: usize,
    },
    /// An option's value makes no sense.
    #[error("option {option}: {reason}")]
    InvalidOption {
        /// The option's name.
        option: &'static str,
        /// What is wrong with the value.
        reason: String,
    },
    /// A sync failed earlier: the disk may hold less than was written, so nothing more is written.
    /// Reading goes on. Reopening takes the store back to its last good sync.
    #[error("an earlier sync failed ({cause}); close the store and open it again")]
    Poisoned {
        /// What the failed sync said.
        cause: String,
    },
    /// The store was opened read-only, by choice or because it has a feature that this version may only read.
    #[error("{} is open read-only", path.display())]
    ReadOnly {
        /// The store.
        path: PathBuf,
    },
    /// Another process is recovering the store, or keeps changing it while its state is looked into; try again later.
    #[error("{} is being recovered", path.display())]
    Recovering {
        /// The store.
        path: PathBuf,
    },
    /// Another process has taken over the writing of the store, or ended it: a [`Session`](crate::Session) of before, and what came of it, ends
    /// with this. A new one goes on.
    #[error("{}: this session of its writer is over", path.display())]
    SessionOver {
        /// The store.
        path: PathBuf,
    },
    /// Another process may change the objects of the store: they can be copied, and not referred to.
    #[error("objects of {} may be changed by another process: load() copies them", path.display())]
    SharedStore {
        /// The store.
        path: PathBuf,
    },
    /// The object was sealed: nobody changes it in place, ever. Another object may be put in its place.
    #[error("object {} is sealed: it cannot be changed in place", EscapedKey(key))]
    Sealed {
        /// The object's key.
        key: Vec<u8>,
    },
    /// The process that was changing the object died before it was done: half of it may be changed.
    #[error("object {} is half changed: the process that was at it died", EscapedKey(key))]
    Torn {
        /// The object's key.
        key: Vec<u8>,
    },
    /// Objects are changed by other processes only in a session of a writer: one that has the store open, or died with it in this boot of the
    /// machine. Nobody has opened it since it was closed.
    #[error("nobody has {} open for writing: its objects cannot be changed now", path.display())]
    NoWriter {
        /// The store.
        path: PathBuf,
    },
    /// The store handle was closed.
    #[error("the store is closed")]
    Closed,
    /// The handle was inherited through `fork` from a process that writes; a child may copy objects (`load`, scans), but neither write nor
    /// hold references, because the parent would change them. Guards that were taken before the fork are the parent's: leave them alone.
    #[error("this handle belongs to the parent process; open the store again to write")]
    Forked,
    /// A number that only rises has reached its end.
    #[error("no {what} left")]
    Exhausted {
        /// Which numbers are used up.
        what: &'static str,
    },
}

/// A number of bytes that may have been too large to be counted.
fn size(bytes: u64) -> String {
    if bytes == u64::MAX { "2^64 bytes or more".to_owned() } else { format!("{bytes} bytes") }
}

/// A result with structchunk's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// What the operating system said about one call.
    pub(crate) fn io(action: &'static str, path: impl AsRef<Path>, source: io::Error) -> Self {
        Self::Io { action, path: path.as_ref().to_owned(), source }
    }

    pub(crate) fn corrupt(path: impl AsRef<Path>, offset: u64, reason: impl Into<String>) -> Self {
        Self::Corrupt { path: path.as_ref().to_owned(), offset, reason: reason.into() }
    }

    /// Whether a file's content is at fault.
    pub fn is_corrupt(&self) -> bool {
        matches!(self, Self::Corrupt { .. })
    }

    /// Whether a file or folder is simply not there.
    #[allow(dead_code, reason = "the store is built on it")]
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// Whether the same call may succeed later, without any change to the store.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Busy { .. }
                | Self::Locked { .. }
                | Self::NoSpace { .. }
                | Self::NoMemory { .. }
                | Self::Recovering { .. }
                | Self::NoWriter { .. }
                | Self::SessionOver { .. }
        )
    }
}
