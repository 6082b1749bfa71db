//! All chunks of a store, mapped when they are first needed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::disk::{Access, Folder, Sabotage};
use crate::error::Result;
use crate::format::{ChunkId, Features, FileName, Geometry, Location, RecordSeed};
use crate::map::Residents;
use crate::sparse_table::SparseTable;

use super::{Chunk, ChunkRef, Record};

/// The chunks of one store. Look-ups of mapped chunks take no lock.
pub(crate) struct ChunkSet {
    pub folder: Folder,
    pub geometry: Geometry,
    pub seed: RecordSeed,
    uuid: [u8; 16],
    /// What the headers of new chunks say.
    features: Features,
    access: Access,
    /// Seals in chunks before this one count.
    sealed_before: AtomicU32,
    /// Others make holes in the files.
    small_pages: AtomicBool,
    pub residents: Arc<Residents>,
    met: SparseTable<Arc<Chunk>>,
}

impl ChunkSet {
    pub(crate) fn new(
        folder: Folder,
        uuid: [u8; 16],
        geometry: Geometry,
        features: Features,
        access: Access,
        residents: Arc<Residents>,
    ) -> Self {
        let unseeded = folder.breaks(Sabotage::ChecksumUnseeded);
        let seed = RecordSeed::new(if unseeded { [0; 16] } else { uuid });
        let (sealed_before, small_pages, met) =
            (AtomicU32::new(0), AtomicBool::new(false), SparseTable::new());
        Self { folder, geometry, seed, uuid, features, access, sealed_before, small_pages, residents, met }
    }

    /// Has what is opened from now on cached in small pages: a writer in another process may make holes in it at any time. See
    /// [`Chunk::keep_pages_small`].
    pub(crate) fn keep_pages_small(&self) {
        self.small_pages.store(true, Ordering::Relaxed);
    }

    /// Says that chunks before `active` were full at the last checkpoint.
    pub(crate) fn expect_seals_before(&self, active: ChunkId) {
        self.sealed_before.store(active.0, Ordering::Relaxed);
    }

    /// Whether the store's files have no holes.
    pub(crate) fn is_stepwise(&self) -> bool {
        self.features.is_stepwise()
    }

    /// A chunk; it is mapped if it is not at the moment.
    #[inline]
    pub(crate) fn get(&self, id: ChunkId) -> Result<ChunkRef<'_>> {
        match self.met.get(id.0) {
            Some(chunk) => self.residents.enter(chunk),
            None => self.open(id),
        }
    }

    #[cold]
    fn open(&self, id: ChunkId) -> Result<ChunkRef<'_>> {
        let chunk = self.residents.admit(|make_room| {
            make_room(self.geometry.capacity());
            let chunk = Chunk::open(&self.folder, self.uuid, self.geometry, id, self.access)?;
            if self.small_pages.load(Ordering::Relaxed) {
                chunk.keep_pages_small();
            }
            if id.0 < self.sealed_before.load(Ordering::Relaxed) {
                chunk.require_whole()?;
            }
            Ok(chunk)
        })?;
        self.residents.enter(self.met.insert(id.0, chunk))
    }

    /// Makes a new chunk, `reserve` bytes of it backed by disk space.
    pub(crate) fn create(&self, id: ChunkId, reserve: u64) -> Result<ChunkRef<'_>> {
        let chunk = self.residents.admit(|make_room| {
            make_room(self.geometry.capacity());
            Chunk::create(&self.folder, self.uuid, self.geometry, self.features, id, reserve)
        })?;
        self.residents.enter(self.met.insert(id.0, chunk))
    }

    /// Makes what was stored in a chunk durable, mapped or not.
    pub(crate) fn sync(&self, id: ChunkId) -> Result<()> {
        match self.met.get(id.0) {
            Some(chunk) => chunk.sync(),
            None => self.get(id)?.sync(),
        }
    }

    /// Whether anybody may write into a chunk through a guard.
    pub(crate) fn has_writers(&self, id: ChunkId) -> bool {
        self.met.get(id.0).is_some_and(|chunk| chunk.has_writers())
    }

    /// Takes back a [`ChunkRef::keep`] of a chunk.
    pub(crate) fn let_go(&self, id: ChunkId) {
        if let Some(chunk) = self.met.get(id.0) {
            Residents::let_go(&**chunk);
        }
    }

    /// Removes the file of a chunk. Whoever has it mapped keeps it: this set does until it is unmapped here.
    pub(crate) fn remove(&self, id: ChunkId) -> Result<()> {
        self.folder.remove(&FileName::of_chunk(id))
    }

    /// Unmaps a chunk that nobody can refer to any more.
    pub(crate) fn unmap(&mut self, id: ChunkId) {
        drop(self.met.take(id.0));
    }

    /// The chunk of a location, where it is mapped and stays so.
    #[inline]
    pub(crate) fn lasting(&self, location: Location) -> Option<&Chunk> {
        let chunk = self.met.get(self.geometry.chunk(location).0)?;
        (!chunk.map.is_passing()).then_some(&**chunk)
    }

    /// The record at a location that came from a derived view: `None` when there is no such record.
    ///
    /// # Errors
    /// When the chunk is there but cannot be mapped.
    #[inline]
    pub(crate) fn record(&self, location: Location) -> Result<Option<Record<'_>>> {
        let chunk = self.get(self.geometry.chunk(location))?;
        Ok(Record::read(&chunk, self.geometry.offset(location)))
    }

    /// The record of the object under `key`, or of there being none, at a location that a search has led to: [`ChunkSet::record`]
    /// for the one who is about to read all of it.
    #[inline]
    pub(crate) fn record_about(&self, location: Location, key: &[u8]) -> Result<Option<Record<'_>>> {
        let chunk = self.get(self.geometry.chunk(location))?;
        let offset = self.geometry.offset(location);
        // Key and payload often lie behind the header's cache line; so both lines are fetched at the same time.
        chunk.map.prefetch(offset + 64);
        Ok(Record::read_about(&chunk, offset, key))
    }

    /// Begins to bring a record of about so many bytes near: its first lines, and the last.
    #[inline]
    pub(crate) fn prefetch(&self, location: Location, bytes: u64) {
        if let Some(chunk) = self.met.get(self.geometry.chunk(location).0) {
            let offset = self.geometry.offset(location);
            chunk.map.prefetch(offset);
            chunk.map.prefetch(offset + 64);
            // It begins anywhere in a line.
            chunk.map.prefetch(offset + bytes - 1);
        }
    }

    /// What lies in `chunks/`, in no order.
    pub(crate) fn list(&self) -> Result<Vec<FileName>> {
        Ok(self.folder.list()?.iter().map(|name| FileName::parse(name)).collect())
    }
}
