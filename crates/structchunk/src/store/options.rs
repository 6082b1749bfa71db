//! How a store is opened.

use std::path::Path;
use std::time::Duration;

use super::Store;
use crate::disk::Faults;
use crate::error::{Error, Result};
use crate::format::{CAPACITY_LOG2, Geometry};

/// How to open a store; see [`Store::options`]. Wrong values are reported by [`Options::open`].
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
#[must_use = "options do nothing until open() is called"]
pub struct Options {
    pub(crate) create: bool,
    pub(crate) create_new: bool,
    pub(crate) read_only: bool,
    pub(crate) chunk_capacity: u64,
    pub(crate) reserve_step: u64,
    pub(crate) sparse: Sparse,
    pub(crate) busy_timeout: Duration,
    pub(crate) auto_compact: bool,
    pub(crate) trust_page_cache: bool,
    pub(crate) allow_network_file_system: bool,
    pub(crate) index: bool,
    pub(crate) sorted_keys: u64,
    pub(crate) shared_mutation: bool,
    pub(crate) mapped_limit: Option<u64>,
    /// Recovery puts aside what nothing points to, instead of removing it.
    pub(crate) keeps_files: bool,
    pub(crate) faults: Faults,
}

/// Whether the files of a new store are sparse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Sparse {
    /// Where the file system keeps holes in files and gives their space back: that is tried out when the store is created.
    #[default]
    Auto,
    /// Never: files grow in steps.
    Never,
}

/// Smallest reserve step: enough for the tombstone of the longest key, in bytes.
const SMALLEST_STEP: u64 = 64 << 10;

impl Options {
    pub(crate) fn new() -> Self {
        Self {
            create: false,
            create_new: false,
            read_only: false,
            chunk_capacity: 256 << 20,
            reserve_step: 1 << 20,
            sparse: Sparse::Auto,
            busy_timeout: Duration::from_secs(5),
            auto_compact: false,
            trust_page_cache: true,
            allow_network_file_system: false,
            index: true,
            sorted_keys: 4 << 20,
            shared_mutation: false,
            mapped_limit: None,
            keeps_files: false,
            faults: Faults::none(),
        }
    }

    /// Creates the store when it does not exist, in a new or empty directory whose parent exists. Default: false.
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Creates the store, and fails with [`Error::AlreadyExists`] when it does. Default: false.
    pub fn create_new(mut self, create_new: bool) -> Self {
        self.create_new = create_new;
        self
    }

    /// Opens for reading only, together with any number of others that do. Writes nothing, works on files and file systems that cannot
    /// be written to, and keeps writers out while it is open. Where directory and live map on disk cannot be believed, private ones
    /// are made in memory. Default: false.
    ///
    /// Where the file `LOCK` is missing and cannot be made (a copy without it on a read-only mount, or in somebody else's folder), nobody
    /// is kept out: then it is up to the caller that no one who may write there opens the store at the same time.
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// Size of a chunk file of a *new* store, in bytes: a power of two from 256 KiB to 64 GiB. Default: 256 MiB.
    ///
    /// Objects above an eighth of it get a file of their own. A store keeps its capacity for ever.
    pub fn chunk_capacity(mut self, bytes: u64) -> Self {
        self.chunk_capacity = bytes;
        self
    }

    /// How much disk space is reserved at a time ahead of what is written, in bytes; one step is kept back for deleting on a full disk.
    /// At least 64 KiB; more than a quarter of the chunk capacity counts as that. Default: 1 MiB.
    pub fn reserve_step(mut self, bytes: u64) -> Self {
        self.reserve_step = bytes;
        self
    }

    /// Whether the files of a *new* store are sparse. A store stays what it was made as. Default: [`Sparse::Auto`].
    ///
    /// Without sparse files, the file of a chunk is never more than one reserve step longer than its records (two, with steps under
    /// 128 KiB), large objects are written in full, and [`Space::Sparse`](crate::Space::Sparse) is refused.
    pub fn sparse(mut self, sparse: Sparse) -> Self {
        self.sparse = sparse;
        self
    }

    /// Whether other processes may change objects of a *new* store in place, through [`Mutator::attach`](crate::Mutator::attach). A store stays what it was made
    /// as. Default: false.
    ///
    /// Then nobody may refer to an object that is not [sealed](Store::seal): [`Store::get`] and [`Store::get_mut`] answer
    /// [`Error::SharedStore`]; there are [`Store::load`], [`Store::update`], which changes a copy and stores it back whatever its size, and [`Store::get_atomic`].
    pub fn shared_mutation(mut self, shared: bool) -> Self {
        self.shared_mutation = shared;
        self
    }

    /// How long a call waits for an object that somebody else uses before it answers [`Error::Busy`]. Default: 5 seconds.
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        /// Longer than any process lives; and an `Instant` can be as late as that.
        const FOR_EVER: Duration = Duration::from_secs(1 << 32);
        self.busy_timeout = timeout.min(FOR_EVER);
        self
    }

    /// Compacts on the side: each [`Store::sync`] begins with moving up to about 4 MiB out of chunks of which less than half is current, and
    /// unlinks those that were emptied before. Default: false; see [`Store::compact`].
    pub fn auto_compact(mut self, auto_compact: bool) -> Self {
        self.auto_compact = auto_compact;
        self
    }

    /// Whether what was not synced may be believed after the writing process died while the machine went on. Default: true.
    ///
    /// Say false for a store whose disk was taken from a running machine: a clone of a snapshot of a virtual machine (it has the
    /// same boot id as the original), or a disk that was pulled out without unmounting.
    pub fn trust_page_cache(mut self, trust: bool) -> Self {
        self.trust_page_cache = trust;
        self
    }

    /// Opens a store on a network file system all the same. Mapped memory is not coherent between machines there, and a sync may
    /// not reach a disk. Default: false.
    pub fn allow_network_file_system(mut self, allow: bool) -> Self {
        self.allow_network_file_system = allow;
        self
    }

    /// Whether keys in order are kept in an index on disk (LevelDB, in `index/`) when the store is opened for writing. It is brought up to
    /// date by scans in key order, by [`Store::sync_index`], and by [`Store::close`] when less than a million records are missing. Without
    /// it, or without the cargo feature `leveldb`, such scans sort the keys in memory. Default: true.
    ///
    /// Say false for a store whose files somebody else may have prepared: LevelDB reads its own.
    pub fn index(mut self, index: bool) -> Self {
        self.index = index;
        self
    }

    /// Up to how many objects the keys are sorted in memory for a scan over all of them, although there is an index: that is faster, and
    /// takes the bytes of the keys and 16 more for each. Scans of ranges use what was sorted then. Default: 4 Mi.
    pub fn sorted_keys(mut self, keys: u64) -> Self {
        self.sorted_keys = keys;
        self
    }

    /// How many bytes of the address space chunks and large objects may take together, beyond those in use: then one that was used
    /// least recently is unmapped for each that is mapped anew. What guards, loans, entries, iterators and batches refer to stays mapped,
    /// as does where the log ends. Directory and live map, 32 GiB each, are not counted. A look-up takes up to three times the instructions then, and one that
    /// has to map first some microseconds. Default: no limit, nothing is unmapped.
    ///
    /// For stores that are larger than the address space, or than the process may have of it (`RLIMIT_AS`). To limit *memory* it is not
    /// needed: pages come and go by themselves.
    pub fn mapped_limit(mut self, bytes: u64) -> Self {
        self.mapped_limit = Some(bytes);
        self
    }

    /// Opens on a disk that fails as planned.
    #[doc(hidden)]
    pub fn faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }

    /// Opens the store.
    ///
    /// After a clean close this does no work proportional to the number of objects. Otherwise it recovers first;
    /// [`Store::recovery`] tells what it found.
    ///
    /// # Errors
    /// [`Error::NotAStore`], [`Error::Locked`] with the holder's pid, [`Error::Unsupported`] for a newer format,
    /// [`Error::AlreadyExists`] after [`Options::create_new`], [`Error::NetworkFileSystem`], [`Error::InvalidOption`],
    /// [`Error::Corrupt`], [`Error::NoSpace`], and what the disk says.
    ///
    /// # Safety
    /// While the store is open, nobody but structchunk changes or truncates its files, and the disk below does not fail to give
    /// back a page (the kernel then sends SIGBUS, as it does to every program that maps files;
    /// [`explain_bus_errors`](crate::explain_bus_errors) has the process say which file it was).
    #[expect(unsafe_code, reason = "what maps files cannot prove what others do to them")]
    pub unsafe fn open(self, path: impl AsRef<Path>) -> Result<Store> {
        Store::open_with(&self, path.as_ref())
    }

    /// The chunk capacity, checked.
    pub(crate) fn geometry(&self) -> Result<Geometry> {
        let log2 = self.chunk_capacity.checked_ilog2().filter(|_| self.chunk_capacity.is_power_of_two());
        log2.and_then(|log2| Geometry::new(log2 as u8)).ok_or_else(|| Error::InvalidOption {
            option: "chunk_capacity",
            reason: format!(
                "{} bytes; a power of two from 2^{} to 2^{} is needed",
                self.chunk_capacity,
                CAPACITY_LOG2.start(),
                CAPACITY_LOG2.end()
            ),
        })
    }

    /// The reserve step for chunks of this capacity, checked.
    ///
    /// Without sparse files it is half of what was asked for: one half is kept back, the other makes the file longer than it must be.
    pub(crate) fn step(&self, geometry: Geometry, stepwise: bool) -> Result<u64> {
        if self.reserve_step < SMALLEST_STEP {
            let reason = format!("{} bytes; at least {SMALLEST_STEP} are needed", self.reserve_step);
            return Err(Error::InvalidOption { option: "reserve_step", reason });
        }
        let step = self.reserve_step.min(geometry.capacity() / 4);
        Ok(if stepwise { (step / 2).max(SMALLEST_STEP) } else { step } & !0xfff)
    }
}
