//! Keys in order: which source a scan has, and bringing it up to date from the log.
//!
//! There are two, and both are hints that lead to records: the index on disk, and runs sorted in memory. Neither holds the writer's
//! lock while it catches up: the log up to a fixed end never changes.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::Inner;
use super::report::Found;
use super::since::Walked;
use super::{Options, Store};
use crate::disk::{Folder, PerProcess, Sabotage};
use crate::error::{Error, Result};
use crate::format::IndexMark;
use crate::index::{self, Changes, Covered, Index, Runs, Snapshot};

/// The folder of the index.
pub(crate) const INDEX: &str = "index";

/// A close brings the index up to date when fewer records than this are missing.
const LITTLE: u64 = 1_000_000;

/// How often catching up begins anew before it is given up.
const MOST_TRIES: usize = 3;

/// Sorting all keys pays when there were as many scans of the index as there are keys, divided by this.
const KEYS_A_SCAN: u64 = 256;

/// The boot of a mark where the boot is not known: it equals none.
const NO_BOOT: [u8; 16] = [u8::MAX; 16];

/// No sequence.
const NONE: u64 = u64::MAX;

/// What a store knows of its keys in order.
pub(crate) struct Ordered {
    /// Whether an index on disk is wanted.
    wanted: bool,
    /// Up to so many keys are sorted in memory although there is an index.
    sorted_keys: u64,
    /// The present boot, where what was not synced in it may be believed.
    boot: Option<[u8; 16]>,
    // Either is locked before the writer.
    disk: Mutex<OnDisk>,
    runs: PerProcess<Mutex<Runs>>,
    /// How far the index on disk is known to go.
    sequence: AtomicU64,
    /// How many scans it has served.
    scans: AtomicU64,
}

/// The index on disk.
#[derive(Default)]
pub(super) struct OnDisk {
    open: Option<Arc<dyn Index>>,
    covered: Option<Covered>,
    /// Whether the mark counts after a power cut too.
    durable: bool,
    /// Its files are of no use.
    useless: bool,
    /// The log cannot be read from one end to the other: no index of it would be whole.
    damage: Option<(PathBuf, u64)>,
}

/// Where a scan gets its keys.
pub(super) enum Source {
    /// It may be closed or thrown away meanwhile.
    Index(Weak<dyn Index>),
    Runs(Snapshot),
}

/// The index on disk as it is, for who repairs nothing.
pub(super) enum IndexFound<'a> {
    /// There is none, or none that counts.
    None,
    /// It is not what a store leaves, whatever happens to it.
    Useless(String),
    Some {
        index: Arc<dyn Index>,
        mark: IndexMark,
        /// Nobody works on it meanwhile.
        _disk: MutexGuard<'a, OnDisk>,
    },
}

impl IndexFound<'_> {
    /// How far it goes: nowhere where it is not there.
    pub(super) fn sequence(&self) -> u64 {
        match self {
            Self::Some { mark, .. } => mark.sequence,
            _ => u64::MAX,
        }
    }
}

/// Why the index could not be brought up to date.
enum Trouble {
    /// Thrown away and made anew it will do.
    Useless(String),
    Refused(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl Trouble {
    fn of_index(error: Error) -> Self {
        if error.is_corrupt() { Self::Useless(error.to_string()) } else { Self::Refused(error) }
    }
}

impl Ordered {
    pub(crate) fn new(options: &Options, root: &Folder) -> Self {
        Self {
            wanted: options.index,
            sorted_keys: options.sorted_keys,
            boot: root.boot_id().filter(|_| options.trust_page_cache),
            disk: Mutex::default(),
            runs: PerProcess::new(Mutex::default()),
            sequence: AtomicU64::new(NONE),
            scans: AtomicU64::new(0),
        }
    }

    /// Takes over what others have sorted of the same log.
    pub(super) fn adopt(&self, others: &Self) {
        *self.lock_runs() = others.lock_runs().clone();
    }

    fn lock_disk(&self) -> MutexGuard<'_, OnDisk> {
        // Whatever was half done when somebody panicked is caught up with from the mark.
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_runs(&self) -> MutexGuard<'_, Runs> {
        let runs = self.runs.here(|of_parent| {
            let sorted = of_parent.try_lock().map(|runs| runs.clone());
            Mutex::new(sorted.unwrap_or_default())
        });
        runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Whether there may be an index on disk, for this handle, now.
    fn may_index(&self) -> bool {
        let can = index::is_available() && self.ordered.wanted && !self.read_only;
        can && !self.is_forked() && self.poisoned.get().is_none()
    }

    /// Whether runs serve a scan better than the index would: where they are there already, everything is asked for, or scans are so
    /// many that sorting pays; as long as they are not too large.
    fn prefers_runs(&self, everything: bool) -> bool {
        let keys = self.views.directory.len();
        let mut runs = self.ordered.lock_runs();
        if keys > self.ordered.sorted_keys {
            *runs = Runs::default();
            return false;
        }
        let scans = self.ordered.scans.load(Ordering::Relaxed);
        everything || runs.covered.is_some() || scans > keys / KEYS_A_SCAN
    }

    /// All keys up to now, for a scan; and where the log could not be read, if so.
    pub(super) fn source(&self, everything: bool, use_index: bool) -> Result<(Source, Option<Error>)> {
        if use_index && self.may_index() && !self.prefers_runs(everything) {
            let mut disk = self.ordered.lock_disk();
            self.check_open()?;
            match self.catch_up(&mut disk, u64::MAX, false) {
                Ok(Some(index)) => {
                    self.ordered.scans.fetch_add(1, Ordering::Relaxed);
                    return Ok((Source::Index(Arc::downgrade(&index)), None));
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "no index: the keys are sorted in memory"),
            }
        }
        let mut runs = self.ordered.lock_runs();
        self.check_open()?;
        self.extend_runs(&mut runs)?;
        let damage = runs.damage.as_ref().map(|(path, offset)| unreadable(path.clone(), *offset));
        Ok((Source::Runs(runs.snapshot()), damage))
    }

    /// Whether nothing was appended behind this.
    fn is_at_end(&self, covered: Covered) -> bool {
        if self.reads_shared() {
            return covered.position.get() == self.shared.end();
        }
        covered.sequence == self.last_sequence()
    }

    fn extend_runs(&self, runs: &mut Runs) -> Result<()> {
        for _ in 0..MOST_TRIES {
            if runs.covered.is_some_and(|covered| self.is_at_end(covered)) {
                return Ok(());
            }
            let now = if self.reads_shared() { self.log_of_others(runs.covered)? } else { self.log_now()? };
            let walked = self.changes_since::<Error>(runs.covered, &now, &mut |changes, covered| {
                runs.extend(&changes.sorted(), covered);
                Ok(())
            })?;
            match walked {
                Walked::Done { damage } => {
                    runs.damage = runs.damage.take().or(damage);
                    return Ok(());
                }
                Walked::Gap => *runs = Runs::default(),
            }
        }
        Err(Error::corrupt(self.chunks.folder.path(), 0, "chunks keep vanishing from the log"))
    }

    /// Notes that the index could not be read.
    pub(super) fn doubt_index(&self, error: &Error) {
        tracing::warn!(%error, "the index cannot be read");
        let mut disk = self.ordered.lock_disk();
        disk.open = None;
        disk.useless |= error.is_corrupt();
    }

    /// Up to which sequence the index on disk is known to go; `None` as long as nobody looked.
    pub(crate) fn index_sequence(&self) -> Option<u64> {
        Some(self.ordered.sequence.load(Ordering::Acquire)).filter(|&sequence| sequence != NONE)
    }

    /// Brings the index up to the end of the log; `None` where more than `most` records are missing, and it stays as it is.
    fn catch_up(&self, disk: &mut OnDisk, most: u64, durable: bool) -> Result<Option<Arc<dyn Index>>> {
        for _ in 0..MOST_TRIES {
            if let Some((path, offset)) = &disk.damage {
                return Err(unreadable(path.clone(), *offset));
            }
            let outcome = self.try_catch_up(disk, most, durable);
            self.ordered
                .sequence
                .store(disk.covered.map_or(NONE, |covered| covered.sequence), Ordering::Release);
            match outcome {
                Ok(index) => return Ok(index),
                Err(trouble) => {
                    (disk.open, disk.covered) = (None, None);
                    match trouble {
                        Trouble::Refused(error) => return Err(error),
                        Trouble::Useless(reason) => {
                            tracing::info!(reason, "the index is thrown away");
                            disk.useless = true;
                        }
                    }
                }
            }
        }
        Err(Error::corrupt(self.root.path().join(INDEX), 0, "it is of no use even when it is new"))
    }

    fn try_catch_up(
        &self,
        disk: &mut OnDisk,
        most: u64,
        durable: bool,
    ) -> Result<Option<Arc<dyn Index>>, Trouble> {
        let index = match &disk.open {
            Some(index) => index.clone(),
            None => self.open_index(disk)?,
        };
        disk.open = Some(index.clone());
        let last = self.last_sequence();
        let covered = disk.covered.map_or(0, |covered| covered.sequence);
        if last.saturating_sub(covered) > most {
            if durable
                && !disk.durable
                && let Some(covered) = disk.covered
            {
                self.write_index(disk, &*index, &Changes::default(), covered, true)?;
            }
            return Ok(None);
        }
        if covered == last && disk.covered.is_some() && (disk.durable || !durable) {
            return Ok(Some(index));
        }
        let now = self.log_now()?;
        let from = disk.covered;
        let walked = self.changes_since::<Trouble>(from, &now, &mut |changes, covered| {
            let is_last = covered.position == now.end;
            self.write_index(disk, &*index, changes, covered, durable && is_last)
        })?;
        match walked {
            Walked::Done { damage: None } => Ok(Some(index)),
            Walked::Done { damage: Some((path, offset)) } => {
                disk.damage = Some((path.clone(), offset));
                Err(Trouble::Refused(unreadable(path, offset)))
            }
            Walked::Gap => Err(Trouble::Useless("records are missing behind its mark".into())),
        }
    }

    fn write_index(
        &self,
        disk: &mut OnDisk,
        index: &dyn Index,
        changes: &Changes,
        covered: Covered,
        durable: bool,
    ) -> Result<(), Trouble> {
        let mark = IndexMark {
            uuid: self.identity.uuid,
            epoch: self.epoch,
            sequence: covered.sequence,
            position: covered.position,
            boot: self.ordered.boot.unwrap_or(NO_BOOT),
        };
        index.write(&changes.sorted(), &mark, durable).map_err(Trouble::of_index)?;
        disk.covered = Some(covered);
        disk.durable = durable;
        Ok(())
    }

    /// Opens the index, and makes a new one where there is none or the one that is there says that it is of no use.
    fn open_index(&self, disk: &mut OnDisk) -> Result<Arc<dyn Index>, Trouble> {
        let folder = self.root.subfolder(INDEX, true)?;
        if disk.useless {
            index::clear(&folder)?;
            disk.useless = false;
        }
        disk.covered = None;
        disk.durable = false;
        let is_new = folder.list()?.is_empty();
        let index = index::open(&folder).map_err(Trouble::of_index)?;
        let mark = index.mark().map_err(Trouble::of_index)?;
        match mark {
            Some(mark) => {
                self.check_mark(&mark).map_err(|reason| Trouble::Useless(reason.into()))?;
                disk.covered = Some(Covered { sequence: mark.sequence, position: mark.position });
                disk.durable = mark.boot == [0; 16];
            }
            None if is_new => {}
            None => return Err(Trouble::Useless("it has no mark".into())),
        }
        Ok(index)
    }

    /// Whether the index with this mark agrees with the log as far as it goes.
    fn check_mark(&self, mark: &IndexMark) -> Result<(), &'static str> {
        let writer = self.lock_writer();
        if mark.uuid != self.identity.uuid {
            return Err("it belongs to another store");
        }
        if mark.epoch != self.epoch && !self.root.breaks(Sabotage::IndexMarkWithoutEpoch) {
            return Err("it is of another epoch");
        }
        if mark.sequence >= writer.next_sequence || mark.position > self.end_of_log(&writer) {
            return Err("it goes beyond the end of the log");
        }
        if mark.boot != [0; 16] && Some(mark.boot) != self.ordered.boot {
            return Err("it was not made durable before the machine stopped");
        }
        Ok(())
    }

    /// The index on disk, without opening or changing it where it is not open.
    ///
    /// # Errors
    /// When it cannot be told.
    pub(super) fn find_index(&self) -> Result<IndexFound<'_>> {
        if !index::is_available() || !self.root.exists(INDEX)? {
            return Ok(IndexFound::None);
        }
        let disk = self.ordered.lock_disk();
        if disk.open.is_none() && self.report.found == Found::MachineDied {
            // It is of an epoch that is over, and may not be whole.
            return Ok(IndexFound::None);
        }
        let look = || {
            let index = match &disk.open {
                Some(index) => Some(index.clone()),
                None => index::open_copy(&self.root.subfolder(INDEX, false)?)?,
            };
            let mark = index.as_ref().map(|index| index.mark()).transpose()?;
            Ok(index.zip(mark.flatten()))
        };
        let (index, mark) = match look() {
            Ok(Some(both)) => both,
            // One whose maker died has no mark yet.
            Ok(None) => return Ok(IndexFound::None),
            Err(Error::Corrupt { path, offset, reason }) => {
                return Ok(IndexFound::Useless(Error::Corrupt { path, offset, reason }.to_string()));
            }
            Err(error) => return Err(error),
        };
        match self.check_mark(&mark) {
            Ok(()) => Ok(IndexFound::Some { index, mark, _disk: disk }),
            // As recovery and power cuts leave it: it will be made anew.
            Err(_) if mark.uuid == self.identity.uuid && self.is_of_another_time(&mark) => {
                Ok(IndexFound::None)
            }
            Err(reason) => Ok(IndexFound::Useless(reason.into())),
        }
    }

    /// Whether a mark is of an epoch or a boot that is over.
    fn is_of_another_time(&self, mark: &IndexMark) -> bool {
        mark.epoch != self.epoch || mark.boot != [0; 16] && Some(mark.boot) != self.ordered.boot
    }

    /// At the end of a session: brings the index up to date where little is missing, makes it durable, and lets go of everything.
    /// `changed`: the log may have grown in this session.
    pub(super) fn close_ordered(&self, changed: bool) {
        let mut disk = self.ordered.lock_disk();
        if self.may_index() && (changed || disk.open.is_some()) {
            let is_there = disk.open.is_some() || self.root.exists(INDEX).unwrap_or(false);
            if (is_there || (1..LITTLE).contains(&self.last_sequence()))
                && let Err(error) = self.catch_up(&mut disk, LITTLE - 1, true)
            {
                tracing::warn!(%error, "the index is left behind; the next scan brings it up to date");
            }
        }
        *disk = OnDisk::default();
        *self.ordered.lock_runs() = Runs::default();
    }

    fn sync_index(&self) -> Result<()> {
        self.check_open()?;
        if self.is_forked() {
            return Err(Error::Forked);
        }
        if self.read_only {
            return Err(Error::ReadOnly { path: self.path.clone() });
        }
        if let Some(cause) = self.poisoned.get() {
            return Err(Error::Poisoned { cause: cause.clone() });
        }
        if !self.may_index() {
            return self.extend_runs(&mut self.ordered.lock_runs());
        }
        let mut disk = self.ordered.lock_disk();
        self.check_open()?;
        self.catch_up(&mut disk, u64::MAX, true).map(drop)
    }
}

fn unreadable(path: PathBuf, offset: u64) -> Error {
    Error::corrupt(path, offset, "this is no record; run check")
}

/// Takes away the index of a store that nobody has open, where there is one.
pub(crate) fn remove_index(root: &Folder) -> Result<()> {
    if !root.exists(INDEX)? {
        return Ok(());
    }
    index::clear(&root.subfolder(INDEX, false)?)
}

impl Store {
    /// Brings the index on disk up to date with the log, and makes it durable. Scans in key order do the former themselves.
    ///
    /// Where there is no index (a store in memory, [`Options::index`]`(false)`, a program built without the feature `leveldb`), the keys
    /// are sorted in memory instead.
    ///
    /// # Durability
    /// Nothing depends on it: an index that is lost or damaged is made anew from the log.
    ///
    /// # Errors
    /// What the disk says, [`Error::NoSpace`] among it; [`Error::Io`] with the path where `index` is no directory (it stays as it is);
    /// [`Error::Corrupt`] where the log is damaged. Nothing is lost then, and scans go on, with keys sorted in memory.
    /// [`Error::ReadOnly`], [`Error::Poisoned`], [`Error::Closed`], [`Error::Forked`].
    pub fn sync_index(&self) -> Result<()> {
        self.inner.sync_index()
    }

    /// Up to which sequence the index on disk goes, as far as this handle knows: `None` before it was first needed.
    pub fn index_sequence(&self) -> Option<u64> {
        self.inner.index_sequence()
    }
}
