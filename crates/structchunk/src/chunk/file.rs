//! One chunk file, mapped.

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use crate::disk::{Access, File, Folder, Punched};
use crate::error::{Error, Result};
use crate::format::{
    ChunkId, ChunkIdentity, Features, FileName, Geometry, PAGE_BYTES, SECTOR_BYTES, Seal, align_up,
};
use crate::layout::Object;
use crate::map::{Advice, Mapping, Present, Resident, bytes_of, make_large_pages};

/// Values from this size on are written by a system call.
const LARGE_BYTES: usize = 64 << 10;

/// So often a hole is made again where others store to what lies beside it.
const MOST_TRIES: u32 = 8;

const SEAL_OFFSET: u64 = SECTOR_BYTES as u64;

/// A chunk that stays mapped.
pub(crate) type ChunkRef<'a> = Present<&'a Chunk>;

/// A chunk, mapped at full size.
pub(crate) struct Chunk {
    pub id: ChunkId,
    pub map: Mapping,
    pub geometry: Geometry,
    pub(super) file: File,
    store: [u8; 16],
    /// The file grows in steps: what it does not have yet is not accessible.
    stepwise: bool,
    /// How many guards may write into it now. It counts as dirty while there are any, and until one sync after.
    pub writers: AtomicU32,
}

impl Resident for Chunk {
    #[inline]
    fn mapping(&self) -> &Mapping {
        &self.map
    }

    fn mapping_mut(&mut self) -> &mut Mapping {
        &mut self.map
    }

    fn file(&self) -> &File {
        &self.file
    }
}

impl Chunk {
    /// Makes a chunk: a sparse file of full capacity with its header page, `reserve` bytes of it backed by disk space.
    ///
    /// It gets its name only when the header is complete.
    pub(crate) fn create(
        folder: &Folder,
        store: [u8; 16],
        geometry: Geometry,
        features: Features,
        id: ChunkId,
        reserve: u64,
    ) -> Result<Self> {
        let name = FileName::of_chunk(id);
        let temporary = FileName::temporary(&name);
        let file = folder.create_file(&temporary)?;
        let made = (|| {
            if !features.is_stepwise() {
                file.set_len(geometry.capacity())?;
            }
            file.reserve(0, reserve)?;
            let identity = ChunkIdentity {
                store,
                chunk: id,
                capacity_log2: geometry.capacity_log2(),
                file_bytes: geometry.capacity(),
                features,
                created: nanoseconds_since_1970(),
            };
            file.write_at(0, &identity.encode())?;
            folder.rename(&temporary, &name)?;
            Ok(())
        })();
        let (made, left) = match made {
            Ok(()) => (Self::open(folder, store, geometry, id, Access::Write), &name),
            Err(error) => (Err(error), &temporary),
        };
        if made.is_err()
            && let Err(error) = folder.remove(left)
        {
            // An unfinished or unused chunk counts for nothing; the next recovery removes it at the latest.
            tracing::warn!(%error, "an unfinished chunk could not be removed");
        }
        made
    }

    /// Opens a chunk that exists.
    pub(crate) fn open(
        folder: &Folder,
        store: [u8; 16],
        geometry: Geometry,
        id: ChunkId,
        access: Access,
    ) -> Result<Self> {
        let file = folder.open_file(&FileName::of_chunk(id), access)?;
        let bytes = file.len()?;
        let wrong = |offset: u64, reason: String| Err(Error::corrupt(file.path(), offset, reason));
        let wrong_size =
            || wrong(bytes, format!("the file has {bytes} bytes instead of {}", geometry.capacity()));
        if bytes > geometry.capacity() {
            return wrong_size();
        }
        let mut sector = [0; SECTOR_BYTES];
        file.read_exact_at(0, &mut sector)?;
        let Some(identity) = ChunkIdentity::decode(&sector) else {
            return wrong(0, "this is no header of a chunk".into());
        };
        let stepwise = identity.features.is_stepwise();
        if bytes < if stepwise { PAGE_BYTES } else { geometry.capacity() } {
            return wrong_size();
        }
        if identity.store != store {
            return wrong(16, "this chunk belongs to another store".into());
        }
        if identity.chunk != id {
            return wrong(32, format!("this is chunk {}", identity.chunk));
        }
        if identity.capacity_log2 != geometry.capacity_log2() || identity.file_bytes != geometry.capacity() {
            return wrong(12, "the chunk has another capacity than the store".into());
        }
        if identity.features.unknown_incompat() != 0 {
            let what = format!("chunk features {:#x}", identity.features.unknown_incompat());
            return Err(Error::Unsupported { path: file.path().to_owned(), what });
        }
        Self::map(file, store, geometry, stepwise, id, access)
    }

    /// Refuses a full chunk whose file was cut.
    pub(crate) fn require_whole(&self) -> Result<()> {
        let bytes = self.map.limit();
        match self.seal_mark() {
            Some(seal) if seal.head > bytes => {
                let reason = format!("the file has {bytes} bytes, its records end at {}", seal.head);
                Err(Error::corrupt(self.path(), bytes, reason))
            }
            _ => Ok(()),
        }
    }

    /// Opens a chunk whatever its header says, for whoever mends it.
    pub(crate) fn open_unverified(
        folder: &Folder,
        store: [u8; 16],
        geometry: Geometry,
        stepwise: bool,
        id: ChunkId,
    ) -> Result<Self> {
        let file = folder.open_file(&FileName::of_chunk(id), Access::Write)?;
        Self::map(file, store, geometry, stepwise, id, Access::Write)
    }

    fn map(
        file: File,
        store: [u8; 16],
        geometry: Geometry,
        stepwise: bool,
        id: ChunkId,
        access: Access,
    ) -> Result<Self> {
        let map = Mapping::new(&file, geometry.capacity(), access)?;
        let map = if stepwise { map.followed(&file) } else { map };
        let chunk = Self { id, map, geometry, file, store, stepwise, writers: AtomicU32::new(0) };
        if !stepwise && chunk.file.has_holes_inside()? {
            chunk.keep_pages_small();
        }
        Ok(chunk)
    }

    /// Keeps the kernel from making large pages, which could come to lie over holes: see [`Mapping::keep_pages_small`]. (Those that there are stay,
    /// but where holes are made in them.)
    pub(crate) fn keep_pages_small(&self) {
        if !self.map.has_small_pages() {
            self.map.keep_pages_small();
            self.file.read_nothing_ahead();
        }
    }

    /// Has a part read, for one who is about to go through it: where pages are kept small, nobody else reads anything ahead.
    pub(crate) fn expect_scan(&self, part: Range<u64>) -> Result<()> {
        let mut from = part.start;
        while self.map.has_small_pages()
            && from + LARGE_BYTES as u64 <= part.end
            && let Some(data) = self.file.next_data(from)?
            && data.start < part.end
        {
            self.file.read_ahead(data.start..data.end.min(part.end));
            from = data.end;
        }
        Ok(())
    }

    /// The same for one who goes through all chunks once.
    pub(crate) fn expect_walk(&self, end: u64) -> Result<()> {
        self.map.advise(Advice::Sequential, 0..end);
        self.expect_scan(0..end)
    }

    /// Backs `from..to` with disk space; a file that grows in steps grows so far.
    pub(crate) fn reserve(&self, from: u64, to: u64) -> Result<()> {
        self.file.reserve(from, to - from)?;
        if self.map.limit() < to {
            self.map.set_limit(to);
        }
        Ok(())
    }

    /// Writes a value to where nobody looks yet. `None` where it does not fit.
    #[inline]
    pub(crate) fn write_object<T: Object + ?Sized>(&self, offset: u64, value: &T) -> Option<()> {
        if value.byte_len() >= LARGE_BYTES && self.write_large(offset, value) {
            return Some(());
        }
        self.map.write_object(offset, value)
    }

    /// Hands a value to the kernel, which takes large pages of just its size for it; through the mapping every 4 KiB would be a page
    /// fault. Whether that worked: if not, the mapping does as well.
    #[cold]
    fn write_large<T: Object + ?Sized>(&self, offset: u64, value: &T) -> bool {
        let inside = self.map.address(offset, value.byte_len() as u64).is_some();
        inside && bytes_of(value).is_some_and(|bytes| self.file.write_at(offset, bytes).is_ok())
    }

    /// Makes what was stored durable.
    pub(crate) fn sync(&self) -> Result<()> {
        self.file.sync_data()
    }

    /// Lets go of what the page cache holds of it, as far as that goes.
    pub(crate) fn forget_cache(&self) -> Result<()> {
        self.file.drop_cached_pages(0..self.map.len())
    }

    /// The same for a part that this process may have touched: it is looked up anew when it is touched again.
    pub(crate) fn let_go(&self, range: Range<u64>) -> Result<()> {
        self.map.unmap_pages(range.clone());
        self.file.drop_cached_pages(range)
    }

    /// Lets go of what is cached behind the end of the records, whoever has it mapped. `reserved`: so far it is backed, and stays so.
    ///
    /// # Errors
    /// [`Error::NoSpace`] when from the page behind the end on nothing is reserved any more.
    pub(crate) fn forget_ahead(&self, head: u64, reserved: u64) -> Result<()> {
        let ahead = align_up(head, PAGE_BYTES)..reserved;
        if self.stepwise || ahead.is_empty() { Ok(()) } else { self.file.forget_reserved(ahead) }
    }

    /// Makes a hole in which nobody looks for anything any more, and nothing is cached; `None` where that did not succeed, and there is none.
    ///
    /// A large page that is dirty cannot be divided, and would come to lie over the hole. So it is written out first, as often as somebody stores to
    /// what lies beside the hole.
    ///
    /// # Errors
    /// Those of [`Chunk::sync`], in which case nothing in the chunk can be believed; `Ok(Err(_))` for those of making the hole.
    pub(crate) fn punch_between(&self, from: u64, bytes: u64) -> Result<Result<Option<Punched>>> {
        self.keep_pages_small();
        for _ in 0..MOST_TRIES {
            match self.file.punch(from, bytes) {
                Ok(Punched::Freed) if self.map.is_cached(from..from + bytes) => self.sync()?,
                punched => return Ok(punched.map(Some)),
            }
        }
        if let Err(error) = self.file.reserve(from, bytes) {
            tracing::warn!(%error, "a hole beside what others store to has to be made again");
        }
        Ok(Ok(None))
    }

    /// Has the page cache hold a part that was just reserved in large pages.
    pub(crate) fn make_large_pages(&self, part: Range<u64>) {
        make_large_pages(&self.file, part);
    }

    /// Marks the chunk as full; durable with the next sync.
    pub(crate) fn seal(&self, seal: &Seal) -> Option<()> {
        self.map.copy_in(SEAL_OFFSET, &seal.encode(self.store, self.id))
    }

    /// Takes the seal away again.
    pub(crate) fn unseal(&self) -> Option<()> {
        self.map.zero(SEAL_OFFSET, SECTOR_BYTES as u64)
    }

    /// The seal, where there is one.
    pub(crate) fn seal_mark(&self) -> Option<Seal> {
        let mut sector = [0; SECTOR_BYTES];
        self.map.copy_out(SEAL_OFFSET, &mut sector)?;
        Seal::decode(&sector, self.store, self.id)
            .filter(|seal| (PAGE_BYTES..=self.map.len()).contains(&seal.head) && seal.head.is_multiple_of(16))
    }

    /// The end of its records, once it is full: what its seal says.
    pub(crate) fn sealed_head(&self) -> Result<u64> {
        let seal = self.seal_mark();
        seal.map(|seal| seal.head)
            .ok_or_else(|| Error::corrupt(self.path(), SEAL_OFFSET, "the seal is missing or damaged"))
    }

    /// Wipes everything from `head` on, so that new objects begin as zeroes and nothing stale is ever believed.
    pub(crate) fn wipe_from(&self, head: u64) -> Result<()> {
        if self.stepwise {
            // There are no holes; and there is not more than a step to wipe.
            return self.file.write_zeroes(head, self.map.limit().saturating_sub(head));
        }
        for _ in 0..MOST_TRIES {
            self.file.punch(head, self.map.len() - head)?;
            if !self.map.is_cached(align_up(head, PAGE_BYTES)..self.map.len()) {
                break;
            }
            self.sync()?;
        }
        Ok(())
    }

    /// The parts of its first `end` bytes that are no holes.
    pub(crate) fn data_ranges(&self, end: u64) -> Result<Vec<Range<u64>>> {
        self.file.data_ranges(end)
    }

    /// How long the file is: as long as the capacity, but where files grow in steps.
    pub(crate) fn file_bytes(&self) -> Result<u64> {
        self.file.len()
    }

    /// Bytes of disk space that the file takes.
    pub(crate) fn allocated_bytes(&self) -> Result<u64> {
        self.file.allocated_bytes()
    }

    /// Whether anybody may write into it through a guard.
    pub(crate) fn has_writers(&self) -> bool {
        self.writers.load(Ordering::SeqCst) != 0
    }

    /// The file, for messages.
    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }
}

/// Now, as it is written into headers.
pub(crate) fn nanoseconds_since_1970() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}
