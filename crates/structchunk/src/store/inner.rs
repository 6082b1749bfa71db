//! What all handles of an open store share.

use std::any::TypeId;
use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use super::attach::Watch;
use super::borrow::{Borrows, Deadline};
use super::compact::Auto;
use super::hold::Holds;
use super::lock::WRITER_BYTE;
use super::mutate::Slot;
use super::ordered::Ordered;
use super::overlap::Lingering;
use super::pace::Pace;
use super::report::RecoveryReport;
use super::shared::Shared;
use super::since::LogNow;
use super::types::{Types, TypesHere};
use super::views::Views;
use crate::chunk::{Body, BodySet, ChunkSet, LiveMap};
use crate::disk::{self, File, Folder};
use crate::error::{Error, Result};
use crate::format::{BodyNumber, Checkpoint, ChunkId, Geometry, Location, MAX_SEQUENCE, StoreIdentity};
use crate::key::MAX_KEY_BYTES;

/// An open store.
pub(crate) struct Inner {
    pub path: PathBuf,
    pub identity: StoreIdentity,
    pub read_only: bool,
    /// Raised by recoveries only.
    pub epoch: u64,
    /// Where the log ended when the store was opened. What begins before that has come from a file, and may lie.
    pub found_end: Location,
    pub reserve_step: u64,
    pub busy_timeout: Duration,
    pub auto_compact: bool,
    pub report: RecoveryReport,

    pub root: Folder,
    pub chunks: ChunkSet,
    pub bodies: BodySet,
    pub views: Views,
    pub shared: Shared,
    pub types: Types,
    pub borrows: Borrows,
    pub lingering: Lingering,
    pub ordered: Ordered,

    /// Whether other processes change objects in place.
    pub shares_changes: bool,
    /// Of a process that changes objects beside the writer.
    pub slot: Option<Arc<Slot>>,
    /// The live map once more, where this process may only mark chunks in it.
    pub dirty: Option<LiveMap>,
    /// For a reader beside a writer in another process: how it hears of what that one does.
    pub attached: Option<Watch>,

    pub closed: AtomicBool,
    pub poisoned: OnceLock<String>,
    /// Whether this session has announced that it changes things.
    pub session_open: AtomicBool,
    /// Whether the checkpoints say that there may be sealed objects.
    pub seals_announced: AtomicBool,
    /// Rises before anything that was superseded may become a hole, and when objects are moved.
    pub relocations: AtomicU64,
    /// How many claims this process has, in a store whose objects others change, too.
    pub claims: AtomicU64,
    /// Whether the file system makes holes, and the store may have some.
    pub can_punch: AtomicBool,
    /// Chunks whose files are gone and that are still mapped, for whoever may look at what was in them.
    pub gone: Mutex<Vec<ChunkId>>,
    /// How many cuts have been fixed; see `sync.rs`.
    pub cuts: AtomicU64,
    /// How many copies of the store are being made: as long, nothing is given back.
    pub copies: AtomicU32,
    /// How often the process had forked when the store was opened.
    pub process: u32,

    /// The log as it was when the store was opened: all that a child can know of one that its parent has not changed.
    pub found: LogNow,
    pub found_next_type: u32,

    // Locked in this order; before a sync begins, the first one is only tried.
    pub compaction: Mutex<Auto>,
    pub checkpoints: Mutex<Checkpoints>,
    pub writer: Mutex<Writer>,
    pub holds: Holds,
    /// Holds the writer's byte; `None` after the store was closed and the last guard went.
    pub lock: Mutex<Option<File>>,
}

/// `STORE` and what is known of it.
pub(crate) struct Checkpoints {
    pub file: File,
    /// The newest one on disk.
    pub newest: Checkpoint,
    /// Which slot it is in: 0 or 1.
    pub slot: u64,
    /// Bodies that the newest checkpoint no longer needs, but the other slot may.
    pub retiring: Vec<BodyNumber>,
    /// Chunks that the newest checkpoint names as dropped, but the other slot may need.
    pub retiring_chunks: BTreeSet<ChunkId>,
    /// Payloads that the newest checkpoint no longer needs, but the other slot may.
    pub retiring_payloads: Vec<Location>,
    /// The highest cut that has become durable.
    pub durable_cut: u64,
}

/// What only changes under the writer's lock.
pub(crate) struct Writer {
    /// The chunk that is appended to, and the end of the log in it.
    pub active: ChunkId,
    pub head: u64,
    /// How much of the active chunk is backed by disk space.
    pub reserved: u64,
    /// Chunks made ahead, empty, with how much of each is backed.
    pub spares: VecDeque<(ChunkId, u64)>,
    pub next_sequence: u64,
    pub pace: Pace,
    /// Sequence of the first record of the active chunk.
    pub first_sequence: u64,
    pub next_chunk: u32,
    pub next_body: u64,
    pub next_type: u32,
    /// All chunks of the log, the active one included, spares not.
    pub chunks: BTreeSet<ChunkId>,
    /// Types that have a record in the active chunk since it was opened.
    pub types_here: TypesHere,
    /// The program's type that was stored last, and its number.
    pub last_type: Option<(TypeId, u32)>,
    /// Changed since the last cut.
    pub dirty_chunks: BTreeSet<ChunkId>,
    pub dirty_bodies: BTreeMap<BodyNumber, Arc<Body>>,
    /// Files were made or renamed since the last cut.
    pub new_names: bool,
    /// Bodies that were superseded since the last cut.
    pub superseded: Vec<BodyNumber>,
    /// Records with large payloads that were superseded since the last cut.
    pub superseded_payloads: Vec<Location>,
    /// Chunks that are no longer in the log, until their files are gone for good: what checkpoints have to name.
    pub dropped: BTreeSet<ChunkId>,
    /// Records that other processes were changing already when this session began, with their odd words: whoever ends such a change may not know
    /// where this session looks for marks.
    pub claimed: Vec<(Location, u64)>,
    /// Anything at all was changed since the last cut.
    pub changed: bool,
}

impl Writer {
    /// A checkpoint of the log as it is at this moment; the rest is as in `other`.
    pub(crate) fn checkpoint(&self, other: &Checkpoint) -> Checkpoint {
        Checkpoint {
            sequence: self.next_sequence - 1,
            active: self.active,
            head: self.head,
            next_chunk: self.next_chunk,
            next_body: self.next_body,
            next_type: self.next_type,
            chunks: self.chunks.iter().copied().collect(),
            ..*other
        }
    }

    /// The log as it is now.
    pub(crate) fn log(&self, geometry: Geometry) -> LogNow {
        LogNow {
            chunks: self.chunks.iter().copied().collect(),
            active: self.active,
            head: self.head,
            sequence: Some(self.next_sequence - 1),
            end: geometry.location(self.active, self.head),
            unsettled: HashSet::new(),
        }
    }

    /// Takes the next sequence.
    #[inline]
    pub(crate) fn take_sequence(&mut self) -> Result<u64> {
        let sequence = self.next_sequence;
        if sequence > MAX_SEQUENCE {
            return Err(Error::Exhausted { what: "sequences" });
        }
        self.next_sequence += 1;
        Ok(sequence)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.release_lock();
    }
}

impl Inner {
    /// Locks the writer's state, for a moment.
    #[inline]
    pub(crate) fn lock_writer(&self) -> MutexGuard<'_, Writer> {
        // Nothing panics half way through a change, so a poisoned lock still guards consistent state.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn lock_checkpoints(&self) -> MutexGuard<'_, Checkpoints> {
        self.checkpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this is a child of the process that opened the store.
    #[inline]
    pub(crate) fn is_forked(&self) -> bool {
        disk::forks() != self.process
    }

    /// Refuses access after `close`.
    #[inline]
    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::SeqCst) { Err(Error::Closed) } else { Ok(()) }
    }

    /// Refuses changes where none are possible, before any lock is taken; announces the session otherwise.
    #[inline]
    pub(crate) fn check_writable(&self) -> Result<()> {
        if self.is_forked() {
            return Err(Error::Forked);
        }
        self.check_open()?;
        self.check_not_poisoned()?;
        if self.read_only {
            return Err(Error::ReadOnly { path: self.path.clone() });
        }
        if self.session_open.load(Ordering::Acquire) { Ok(()) } else { self.begin_session() }
    }

    /// Locks the writer's state for a change.
    #[inline]
    pub(crate) fn begin_change(&self) -> Result<MutexGuard<'_, Writer>> {
        // The lock may have been another thread's when a child was made; a session that is open says all the rest until it is closed.
        if self.is_forked() || !self.session_open.load(Ordering::Acquire) {
            self.check_writable()?;
        }
        let writer = self.lock_writer();
        // `close` may have come in between; nothing may be changed behind its clean mark, and nothing appended behind half a batch.
        self.check_open()?;
        self.check_not_poisoned()?;
        Ok(writer)
    }

    /// Refuses changes after a failed sync, or behind something that could not be completed.
    #[inline]
    pub(crate) fn check_not_poisoned(&self) -> Result<()> {
        match self.poisoned.get() {
            None => Ok(()),
            Some(cause) => Err(Error::Poisoned { cause: cause.clone() }),
        }
    }

    /// Refuses keys that cannot be stored.
    #[inline]
    pub(crate) fn check_key(key: &[u8]) -> Result<()> {
        if (1..=MAX_KEY_BYTES).contains(&key.len()) {
            Ok(())
        } else {
            Err(Error::KeyLength { length: key.len() })
        }
    }

    /// Writes nothing more in this session. What was published stays; the next open recovers.
    #[cold]
    pub(crate) fn stop_writing(&self, error: Error) -> Error {
        tracing::error!(%error, "a record could not be completed; the store writes nothing more");
        // Whoever was first has said why.
        let _ = self.poisoned.set(error.to_string());
        error
    }

    /// The location of the head.
    #[inline]
    pub(crate) fn end_of_log(&self, writer: &Writer) -> Location {
        self.chunks.geometry.location(writer.active, writer.head)
    }

    /// Until when a call waits that begins now.
    #[inline]
    pub(crate) fn patience(&self, wait: bool) -> Deadline {
        if wait { Deadline::Within(self.busy_timeout) } else { Deadline::Now }
    }

    /// Lets the next writer in once the store is closed and nobody refers to its objects.
    ///
    /// Keys are handed out without a guard. What was synced keeps them for ever; but after a failed sync the next open goes back to the last
    /// good one and wipes what came later, so it must wait for the last handle.
    pub(crate) fn release_lock_if_unused(&self) {
        if self.closed.load(Ordering::SeqCst)
            && !self.is_forked()
            && self.poisoned.get().is_none()
            && self.borrows.is_empty()
            && !self.any_hold()
        {
            self.release_lock();
        }
    }

    /// Lets the next writer in.
    fn release_lock(&self) {
        // In a child the file is another one, and whoever was taking it out is not there.
        if self.is_forked() {
            return;
        }
        let lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
        if lock.is_some() && !self.read_only {
            self.shared.set_writer(0);
        }
        // Closing the file would release the lock too, but not before every process that is being spawned right now has let go of its
        // copy.
        if let Some(Err(error)) = lock.map(|file| file.unlock(WRITER_BYTE)) {
            tracing::debug!(%error, "the lock goes with its file");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;
    use std::thread;
    use std::time::Duration;

    use crate::{Error, Store};

    #[test]
    fn nobody_goes_on_behind_what_was_stopped_while_he_waited() {
        let calls: [fn(&Store) -> crate::Result<()>; 4] = [
            |store| store.put("new", &1_u64),
            |store| store.remove("old").map(drop),
            |store| store.update("old", |_: &mut u64| {}).map(drop),
            Store::sync,
        ];
        for call in calls {
            let store = Store::in_memory().unwrap();
            store.put("old", &1_u64).unwrap();
            let outcome = thread::scope(|scope| {
                let writer = store.inner.lock_writer();
                let waiting = scope.spawn(|| call(&store));
                thread::sleep(Duration::from_millis(50));
                store.inner.stop_writing(Error::Exhausted { what: "sequences" });
                drop(writer);
                waiting.join().unwrap()
            });
            assert!(matches!(outcome, Err(Error::Poisoned { .. })), "{outcome:?}");
        }
    }

    #[test]
    fn a_sync_that_waited_for_a_close_writes_nothing_behind_it() {
        let store = Store::in_memory().unwrap();
        store.put("old", &1_u64).unwrap();
        thread::scope(|scope| {
            let checkpoints = store.inner.lock_checkpoints();
            let generation = checkpoints.newest.generation;
            let waiting = scope.spawn(|| store.sync());
            thread::sleep(Duration::from_millis(50));
            // As a close that had to leave something undone.
            store.inner.closed.store(true, Ordering::SeqCst);
            drop(checkpoints);
            let outcome = waiting.join().unwrap();
            let now = store.inner.lock_checkpoints().newest.generation;
            assert_eq!(now, generation, "the store may be another process's by now");
            assert!(matches!(outcome, Err(Error::Closed)), "{outcome:?}");
        });
    }

    #[test]
    fn no_number_is_given_to_a_body_once_the_store_is_closed() {
        let store = Store::in_memory().unwrap();
        store.put("old", &1_u64).unwrap();
        let large = vec![1_u8; 1 << 26];
        let before = store.inner.lock_writer().next_body;
        thread::scope(|scope| {
            let writer = store.inner.lock_writer();
            let waiting = scope.spawn(|| store.put("large", &large[..]));
            thread::sleep(Duration::from_millis(50));
            store.inner.closed.store(true, Ordering::SeqCst);
            drop(writer);
            assert!(matches!(waiting.join().unwrap(), Err(Error::Closed)));
        });
        assert_eq!(store.inner.lock_writer().next_body, before, "the next process gives it to another one");
    }
}
