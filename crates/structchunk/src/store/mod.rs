//! A store: opening, reading, writing, guards, scans, making durable, recovering.

mod attach;
mod batch;
mod borrow;
mod check;
mod compact;
mod copy;
mod create;
mod entry;
mod evolve;
mod extent;
mod find;
mod give_back;
mod glance;
mod guard;
mod hold;
mod inner;
mod loan;
mod lock;
mod log;
mod many;
mod mutate;
mod open;
mod options;
mod ordered;
mod overlap;
mod pace;
mod parts;
mod punch;
mod range;
pub(crate) mod raw;
mod read;
mod rebuild;
mod recover;
mod rename;
mod replay;
mod report;
mod scan;
mod seal;
mod shared;
mod since;
mod stats;
mod store_file;
mod sync;
mod types;
mod upgrade;
mod view_file;
mod views;
mod write;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

pub use attach::{AtomicView, Mutator, MutatorSession, Reader, Session};
pub use batch::Batch;
pub use check::{Check, Finding};
pub use compact::{CompactProgress, CompactReport, Compaction, LeftReason};
pub use copy::{CopyProgress, CopyReport};
pub use guard::{AtomicRef, OwnedRef, Ref, RefMut};
pub(crate) use inner::Inner;
pub use loan::{Loan, Space};
pub use options::{Options, Sparse};
pub use range::{KeyEntry, Keys, Range};
pub use rebuild::RebuildReport;
pub use report::{Found, RecoveryReport};
pub use scan::{Entry, Iter};
pub use stats::{ChunkStats, Stats, StoredType};
pub use upgrade::Upgraded;

/// A handle of an open store. Clones are the same store. End with [`Store::close`]: dropping the last clone loses nothing either, but the
/// next open has to recover.
///
/// All methods take `&self` and may be called from any thread.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

impl Store {
    /// How to open a store; see [`Options::open`].
    pub fn options() -> Options {
        Options::new()
    }

    /// Where the store is.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Whether nothing can be changed through this handle.
    pub fn is_read_only(&self) -> bool {
        self.inner.read_only
    }

    /// What opening found and did.
    pub fn recovery(&self) -> &RecoveryReport {
        &self.inner.report
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("path", &self.inner.path).finish_non_exhaustive()
    }
}
