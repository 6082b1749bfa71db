//! The index in LevelDB. Nothing else in the program knows LevelDB.
//!
//! LevelDB does its own file I/O: what it does to files does not go through `disk/`, and faults cannot be injected there. That is bearable
//! because nothing but speed rests on it. Its files are reached below a held descriptor, so that no link in place of the folder is ever
//! followed, and what lies in the folder is looked at before LevelDB sees it.

use std::io;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use leveldb::batch::{Batch, Writebatch};
use leveldb::compaction::Compaction;
use leveldb::database::{Database, Slice};
use leveldb::error::Error as Refusal;
use leveldb::iterator::{self, Backward, Context, EntryType, Forward, Iterable, LevelDBIterator, Policy};
use leveldb::kv::KV;
use leveldb::options::{Options, ReadOptions, WriteOptions};

use super::{Direction, Index, Sorted};
use crate::disk::{Access, Folder, Scratch, forks};
use crate::error::{Error, Result};
use crate::format::{IndexMark, MARK_KEY};

/// LevelDB's memory for what was written last. Larger than its default: fewer files, which are merged less often.
const WRITE_BUFFER_BYTES: usize = 8 << 20;
/// LevelDB keeps so many files mapped or open.
const MOST_OPEN_FILES: i32 = 200;
/// LevelDB's own files stay far below this.
const LARGEST_FILE: u64 = 64 << 20;
/// Changes of one write.
const BATCH: usize = 1000;
/// The file that says which files count.
const CURRENT: &str = "CURRENT";
/// The first key that an object can have.
const FIRST_KEY: &[u8] = &[0];

/// An open LevelDB.
pub(super) struct LevelDb {
    /// Gone only while it is being dropped.
    database: Option<Database>,
    /// Holds the descriptor that LevelDB's paths lead through.
    folder: Folder,
    /// Those paths.
    place: PathBuf,
    process: u32,
    /// Where they lead, when it is not the folder itself: removed after the database is gone.
    _scratch: Option<Scratch>,
}

impl Drop for LevelDb {
    fn drop(&mut self) {
        let database = self.database.take();
        if forks() != self.process {
            // In a forked child LevelDB would wait for a thread that lives in the parent only.
            std::mem::forget(database);
        }
    }
}

/// Where LevelDB's thread lives, which it starts once and believes in for ever: what [`forks`] said when the first database was opened.
static THREAD_OF: AtomicU32 = AtomicU32::new(NO_THREAD);
const NO_THREAD: u32 = u32::MAX;

/// Whether LevelDB can work in this process: not in the forked child of one in which it has, where it would wait for a thread for ever.
pub(super) fn has_its_thread() -> bool {
    let process = THREAD_OF.load(Ordering::Relaxed);
    process == NO_THREAD || process == forks()
}

/// A scan goes from where it was set to, to where it is told to stop.
struct AsSet;

impl Policy for AsSet {
    fn should_continue(&self, _context: &dyn Context<'_>) -> bool {
        true
    }

    fn should_seek_begin(&self) -> bool {
        false
    }
}

type Entries<'d, D> = iterator::Iterator<'d, EntryType, D, AsSet>;

fn checked_reads<'o>() -> ReadOptions<'o> {
    ReadOptions { verify_checksums: true, ..ReadOptions::new() }
}

impl LevelDb {
    pub(super) fn open(folder: &Folder) -> Result<Self> {
        check_files(folder)?;
        Self::open_at(folder, folder.lend(LARGEST_FILE)?, None)
    }

    /// Opens what lies in a folder without changing anything there: what LevelDB writes to is copied, its tables are linked to. `None`
    /// where no index is: a new one was not finished, or this one was to be taken away.
    pub(super) fn open_copy(folder: &Folder) -> Result<Option<Self>> {
        let names = folder.list()?;
        if !names.iter().any(|name| name == CURRENT) {
            return Ok(None);
        }
        check_files(folder)?;
        let (scratch, place) = (Scratch::create()?, folder.lend(0)?);
        for name in names {
            // Tables are never written to again.
            match name.rsplit_once('.') {
                Some((_, "ldb" | "sst")) => scratch.link(&name, &place.join(&name))?,
                Some((_, "log")) => scratch.copy(folder, &name, LARGEST_FILE)?,
                _ if name == CURRENT || name.starts_with("MANIFEST-") => {
                    scratch.copy(folder, &name, LARGEST_FILE)?;
                }
                _ => {}
            }
        }
        Self::open_at(folder, scratch.path().to_owned(), Some(scratch)).map(Some)
    }

    fn open_at(folder: &Folder, place: PathBuf, scratch: Option<Scratch>) -> Result<Self> {
        let mut options = Options::new();
        options.create_if_missing = true;
        options.paranoid_checks = true;
        options.write_buffer_size = Some(WRITE_BUFFER_BYTES);
        options.max_open_files = Some(MOST_OPEN_FILES);
        let mut this =
            Self { database: None, folder: folder.clone(), place, process: forks(), _scratch: scratch };
        let first = THREAD_OF.compare_exchange(NO_THREAD, forks(), Ordering::Relaxed, Ordering::Relaxed);
        if first.is_err_and(|process| process != forks()) {
            let what = "LevelDB in the child of a process that has used it".to_owned();
            return Err(Error::Unsupported { path: folder.path().to_owned(), what });
        }
        // The binding panics where LevelDB's message is no UTF-8, which a hostile file can bring about.
        match catch_unwind(AssertUnwindSafe(|| Database::open(&this.place, options))) {
            Ok(Ok(database)) => this.database = Some(database),
            Ok(Err(refusal)) => return Err(this.error("open", &refusal)),
            Err(_) => return Err(Error::corrupt(folder.path(), 0, "LevelDB cannot say what is wrong")),
        }
        Ok(this)
    }

    fn database(&self) -> Result<&Database> {
        self.database.as_ref().ok_or(Error::Closed)
    }

    /// What LevelDB says, as one of our errors. Its kinds are known by their words only.
    fn error(&self, action: &'static str, refusal: &Refusal) -> Error {
        const FULL: [&str; 3] = ["No space left on device", "Disk quota exceeded", "File too large"];
        const DAMAGED: [&str; 4] = ["Corruption: ", "NotFound: ", "Invalid argument: ", "Not implemented: "];
        let path = self.folder.path().to_owned();
        let said = &refusal.message;
        if FULL.iter().any(|full| said.ends_with(full)) {
            return Error::NoSpace { action, path, bytes: 0 };
        }
        if said.starts_with("IO error: lock ") {
            return Error::Locked { path, pid: None };
        }
        let said = said.replace(&*self.place.to_string_lossy(), &path.to_string_lossy());
        // An empty file cannot be mapped; that is the kernel's "invalid argument".
        if DAMAGED.iter().any(|damaged| said.starts_with(damaged)) || said.ends_with("Invalid argument") {
            return Error::Corrupt { path, offset: 0, reason: said };
        }
        Error::io(action, path, io::Error::other(said))
    }

    fn write_batch(&self, batch: &Writebatch, sync: bool) -> Result<()> {
        let written = self.database()?.write(WriteOptions { sync }, batch);
        written.map_err(|refusal| self.error("write", &refusal))
    }

    /// Has what LevelDB holds in memory written into a table, which it makes durable.
    fn flush(&self) -> Result<()> {
        // Memory is written out first, and at one key there is hardly anything to compact. (A key beyond all others would be one of 64 KiB, which
        // LevelDB writes into its own log, byte by byte, each time.)
        let end = [u8::MAX];
        self.database()?.compact(Slice::from(&end[..]), Slice::from(&end[..]));
        // What went wrong is told to the next write.
        self.write_batch(&Writebatch::new(), false)
    }

    /// Shows what an iterator meets that was set to its first entry.
    fn show<'d>(
        &self,
        mut entries: impl Iterator<Item = (Slice<'d>, Slice<'d>)> + LevelDBIterator<'d>,
        wanted: impl Fn(&[u8]) -> bool,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<()> {
        // No slice outlives a step: it is LevelDB's memory. (An empty key, the mark's, would end the iterator; it comes last.)
        for (key, value) in entries.by_ref() {
            if wanted(key.as_bytes()) && !visit(key.as_bytes(), value.as_bytes()) {
                break;
            }
        }
        // Damaged blocks are passed over, and only told of here.
        entries.get_error().map_or(Ok(()), |refusal| Err(self.error("read", &refusal)))
    }
}

impl Index for LevelDb {
    fn mark(&self) -> Result<Option<IndexMark>> {
        let value = self.database()?.get(checked_reads(), Slice::from(MARK_KEY));
        let value = value.map_err(|refusal| self.error("read", &refusal))?;
        Ok(value.and_then(|value| IndexMark::decode(value.as_bytes())))
    }

    fn write(&self, changes: &Sorted<'_>, mark: &IndexMark, durable: bool) -> Result<()> {
        let mut batch = Writebatch::new();
        for (number, (key, value)) in changes.iter().enumerate() {
            if number > 0 && number.is_multiple_of(BATCH) {
                self.write_batch(&batch, false)?;
                batch.clear();
            }
            match value {
                Some(value) => batch.put(Slice::from(key), Slice::from(&value.encode()[..])),
                None => batch.delete(Slice::from(key)),
            }
        }
        batch.put(Slice::from(MARK_KEY), Slice::from(&mark.encode()[..]));
        self.write_batch(&batch, false)?;
        if durable {
            // First what the mark speaks of, then the mark that counts in every boot: both in tables, so that files that are lost or cut
            // short later take the mark with them, or are missed.
            self.flush()?;
            batch.clear();
            batch.put(Slice::from(MARK_KEY), Slice::from(&IndexMark { boot: [0; 16], ..*mark }.encode()[..]));
            self.write_batch(&batch, false)?;
            self.flush()?;
        }
        Ok(())
    }

    fn read(
        &self,
        from: Bound<&[u8]>,
        direction: Direction,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<()> {
        let database = self.database()?;
        match direction {
            Direction::Forward => {
                let (start, excluded) = match from {
                    Bound::Included(key) if !key.is_empty() => (key, None),
                    Bound::Excluded(key) if !key.is_empty() => (key, Some(key)),
                    _ => (FIRST_KEY, None),
                };
                let entries: Entries<'_, Forward> = database.iter_with_policy(checked_reads(), AsSet);
                entries.seek(&Slice::from(start));
                self.show(entries, |key| excluded != Some(key), visit)
            }
            Direction::Backward => {
                let entries: Entries<'_, Backward> = database.iter_with_policy(checked_reads(), AsSet);
                match from {
                    Bound::Unbounded => entries.seek_to_last(),
                    Bound::Included(key) | Bound::Excluded(key) => {
                        entries.seek(&Slice::from(key));
                        if !entries.valid() {
                            entries.seek_to_last();
                        }
                    }
                }
                let wanted = |key: &[u8]| match from {
                    Bound::Unbounded => true,
                    Bound::Included(last) => key <= last,
                    Bound::Excluded(end) => key < end,
                };
                self.show(entries, wanted, visit)
            }
        }
    }
}

/// Refuses what LevelDB should not see: anything but files that have one name, and a `CURRENT` that names no file of its own.
fn check_files(folder: &Folder) -> Result<()> {
    let wrong = |reason: String| Err(Error::corrupt(folder.path(), 0, reason));
    let names = folder.list()?;
    let mut current = String::new();
    for name in &names {
        let file = match folder.open_file(name, Access::Read) {
            Ok(file) => file,
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::InvalidData => {
                return wrong(format!("{}: {source}", name.escape_debug()));
            }
            Err(error) => return Err(error),
        };
        if name == CURRENT {
            let mut bytes = vec![0; file.len()?.min(64) as usize];
            file.read_exact_at(0, &mut bytes)?;
            current = String::from_utf8_lossy(&bytes).into_owned();
        }
    }
    let manifest = current.strip_suffix('\n').unwrap_or_default();
    let is_manifest = manifest.starts_with("MANIFEST-") && names.iter().any(|name| name == manifest);
    if names.is_empty() || is_manifest {
        return Ok(());
    }
    wrong("CURRENT is missing or names no manifest".into())
}
