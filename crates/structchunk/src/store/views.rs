//! The derived views, and how they are kept in line with the log.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::view_file::{LARGEST_VIEW, ViewFile};
use crate::chunk::{ChunkSet, LiveMap, Record, uuid_words};
use crate::directory::{Directory, Identity, SlotRef, Supply};
use crate::disk::{Access, Folder};
use crate::error::{Error, Result};
use crate::format::{
    Checkpoint, ChunkId, FileName, HEADER_BYTES, Kind, Location, RECORD_ALIGN, StoreIdentity,
};

pub(crate) const DIRECTORY: &str = "directory";
pub(crate) const LIVE: &str = "live";

/// Mixed into the hash of type numbers, so that they never meet a key.
const TYPE_SEED: u64 = 0x7479_7065_7479_7065;

/// How keys and type numbers are hashed in one store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hashes {
    seed: u64,
}

impl Hashes {
    pub(crate) fn new(identity: &StoreIdentity) -> Self {
        Self { seed: identity.hash_seed }
    }

    /// The directory's hash of a key.
    #[inline]
    pub(crate) fn of_key(self, key: &[u8]) -> u64 {
        xxh3_64_with_seed(key, self.seed)
    }

    /// The hash under which the directory has the record of a type.
    pub(crate) fn of_type(self, number: u32) -> u64 {
        xxh3_64_with_seed(&number.to_le_bytes(), self.seed ^ TYPE_SEED)
    }

    /// The hash under which a record is found.
    pub(crate) fn of_record(self, record: &Record<'_>) -> u64 {
        match record.header().kind {
            Kind::Type => self.of_type(record.header().type_number),
            _ => self.of_key(record.key()),
        }
    }
}

/// Directory and live map, and their files.
pub(crate) struct Views {
    pub directory: Directory,
    pub directory_file: Arc<ViewFile>,
    pub live: LiveMap,
    pub live_file: Arc<ViewFile>,
    pub hashes: Hashes,
    uuid: [u8; 16],
    /// Their names may not be durable.
    are_new: bool,
}

impl Views {
    /// The views on disk; `None` unless both were stamped with this checkpoint.
    pub(crate) fn open(
        folder: &Folder,
        identity: &StoreIdentity,
        checkpoint: &Checkpoint,
        access: Access,
    ) -> Result<Option<Self>> {
        Self::open_stamped(folder, identity, checkpoint.epoch, Some(checkpoint.sequence), access)
    }

    /// The views that a writer keeps, or kept until it died, for reading; `None` where there are none of this epoch.
    pub(crate) fn join(folder: &Folder, identity: &StoreIdentity, epoch: u64) -> Result<Option<Self>> {
        Self::open_stamped(folder, identity, epoch, None, Access::Read)
    }

    /// The live map that a writer keeps once more, for one who marks what it changes; `None` as above.
    pub(crate) fn join_to_mark(
        folder: &Folder,
        identity: &StoreIdentity,
        epoch: u64,
    ) -> Result<Option<LiveMap>> {
        let file = ViewFile::join(folder, LIVE, LARGEST_VIEW, Access::Write)?;
        Ok(file.and_then(|file| LiveMap::open(file.words(), identity.uuid, epoch, None, identity.geometry)))
    }

    fn open_stamped(
        folder: &Folder,
        identity: &StoreIdentity,
        epoch: u64,
        stamp: Option<u64>,
        access: Access,
    ) -> Result<Option<Self>> {
        let (Some(directory_file), Some(live_file)) = (
            ViewFile::open(folder, DIRECTORY, LARGEST_VIEW, access)?,
            ViewFile::open(folder, LIVE, LARGEST_VIEW, access)?,
        ) else {
            return Ok(None);
        };
        let owner = Identity { uuid: uuid_words(identity.uuid), epoch };
        let directory = Directory::open(directory_file.words(), &owner, stamp);
        let live = LiveMap::open(live_file.words(), identity.uuid, epoch, stamp, identity.geometry);
        let (Some(directory), Some(live)) = (directory, live) else { return Ok(None) };
        let hashes = Hashes::new(identity);
        Ok(Some(Self {
            directory,
            directory_file,
            live,
            live_file,
            hashes,
            uuid: identity.uuid,
            are_new: false,
        }))
    }

    /// How many objects the directory in a folder says that there are. It may be of any age, or damaged.
    pub(crate) fn objects_in(folder: &Folder, identity: &StoreIdentity) -> Option<u64> {
        let file = ViewFile::open(folder, DIRECTORY, LARGEST_VIEW, Access::Read).ok()??;
        Directory::objects_in(file.words(), uuid_words(identity.uuid))
    }

    /// Empty views in fresh files, in place of what is there; soon for about so many objects.
    pub(crate) fn create(
        folder: &Folder,
        identity: &StoreIdentity,
        epoch: u64,
        first_chunk: ChunkId,
        objects: u64,
    ) -> Result<Self> {
        let owner = Identity { uuid: uuid_words(identity.uuid), epoch };
        let directory_file = ViewFile::create(folder, DIRECTORY, LARGEST_VIEW)?;
        let generation = epoch;
        let mut grow = |words| directory_file.grow(words);
        let directory = Directory::create(directory_file.words(), &owner, generation, &mut grow)?;
        match directory.widen(objects, &mut grow) {
            // It may get by with less.
            Err(Error::NoSpace { .. } | Error::TooLarge { .. }) => {}
            outcome => outcome?,
        }
        let live_file = ViewFile::create(folder, LIVE, LARGEST_VIEW)?;
        let live = LiveMap::create(
            live_file.words(),
            identity.uuid,
            epoch,
            first_chunk,
            identity.geometry,
            &mut |words| live_file.grow(words),
        )?;
        Ok(Self {
            directory,
            directory_file,
            live,
            live_file,
            hashes: Hashes::new(identity),
            uuid: identity.uuid,
            are_new: true,
        })
    }

    /// Removes the files of views.
    pub(crate) fn remove(folder: &Folder) -> Result<()> {
        for name in [DIRECTORY, LIVE] {
            if folder.exists(name)? {
                folder.remove(name)?;
            }
        }
        Ok(())
    }

    /// Puts the views into another epoch, before anybody has seen them.
    pub(crate) fn set_epoch(&self, epoch: u64) {
        self.directory.set_epoch(epoch);
        self.live.stamp(epoch, 0);
    }

    /// Writes the directory into a new file where most of the present one is dead or empty, stamped with `sequence`, and gives it
    /// the directory's name; whether it did. The present one stays in use until it is closed.
    pub(crate) fn compact_directory(
        &self,
        folder: &Folder,
        chunks: &ChunkSet,
        owner: &Identity,
        sequence: u64,
    ) -> Result<bool> {
        if !self.directory.needs_compaction() {
            return Ok(false);
        }
        let temporary = FileName::temporary(DIRECTORY);
        let file = ViewFile::create(folder, &temporary, LARGEST_VIEW)?;
        let generation = self.directory.generation() + 1;
        let mut grow = |words| file.grow(words);
        let directory = Directory::create(file.words(), owner, generation, &mut grow)?;
        let hash_at = |location| self.hash_at(chunks, location);
        for location in self.directory.locations() {
            let hash = hash_at(location)?;
            directory.reserve(&mut [hash], &mut Supply { grow: &mut grow, rehash: &mut { hash_at } })?;
            directory.insert(hash, location, |_| false)?;
        }
        directory.change_len(self.directory.len().cast_signed());
        directory.stamp(sequence);
        file.sync()?;
        folder.rename(&temporary, DIRECTORY)?;
        folder.sync()?;
        self.directory.retire();
        Ok(true)
    }

    /// The hash under which the record at a location of the directory is found.
    fn hash_at(&self, chunks: &ChunkSet, location: Location) -> Result<u64> {
        let record = chunks.record(location)?.ok_or_else(|| {
            let reason = format!("location {:#x} of the directory holds no record", location.get());
            Error::corrupt(chunks.folder.path(), 0, reason)
        })?;
        Ok(self.hashes.of_record(&record))
    }

    /// Says on disk that the views agree with the log up to `sequence`.
    ///
    /// # Errors
    /// What the disk says. The views are not to be believed then.
    pub(crate) fn stamp(&self, folder: &Folder, chunks: &ChunkSet, epoch: u64, sequence: u64) -> Result<()> {
        self.live.stamp(epoch, sequence);
        self.live_file.sync()?;
        let owner = Identity { uuid: uuid_words(self.uuid), epoch };
        match self.compact_directory(folder, chunks, &owner, sequence) {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "the directory stays larger than it need be"),
        }
        self.directory.stamp(sequence);
        self.directory_file.sync()?;
        // A power cut must not bring earlier files back: where nothing was appended since they were stamped, their stamp is right,
        // but they were worked on after that.
        if self.are_new { folder.sync() } else { Ok(()) }
    }

    /// To be said before a slot is stored to: where changes are few, the page around it shall be small.
    #[inline]
    pub(crate) fn touch(&self, slot: &SlotRef) {
        if self.directory_file.expects_few() {
            self.directory_file.let_go_around(slot.offset());
        }
    }

    /// Makes room in the directory for these hashes; nothing that follows can fail for lack of it.
    #[inline]
    pub(crate) fn make_slots(&self, chunks: &ChunkSet, hashes: &mut [u64]) -> Result<()> {
        let mut rehash = |location| self.hash_at(chunks, location);
        let mut grow = |words| self.directory_file.grow(words);
        self.directory.reserve(hashes, &mut Supply { grow: &mut grow, rehash: &mut rehash })
    }

    /// The slot of what `is_it` accepts or, where there is none, the one that it would get; and its record.
    /// Under the writer's lock.
    #[inline]
    pub(crate) fn slot_where<'a>(
        &self,
        chunks: &'a ChunkSet,
        hash: u64,
        is_it: impl Fn(&Record<'_>) -> bool,
    ) -> Result<(SlotRef, Option<Record<'a>>)> {
        let mut found = Ok(None);
        let slot = self.directory.find_slot(hash, |location| {
            match chunks.record(location).map(|record| record.filter(&is_it)) {
                Ok(None) => return false,
                it_or_error => found = it_or_error,
            }
            true
        })?;
        Ok((slot, found?))
    }
}

/// A number of objects that somebody claims, as far as chunks have room for them.
pub(crate) fn credible(claimed: u64, chunks: &ChunkSet, ids: impl IntoIterator<Item = ChunkId>) -> u64 {
    /// The least that a record takes.
    const SMALLEST: u64 = HEADER_BYTES + RECORD_ALIGN;
    /// For fewer, no segments are made ahead.
    const MANY: u64 = 1 << 15;
    if claimed < MANY {
        return 0;
    }
    let mut bytes = 0_u64;
    for id in ids {
        if bytes / SMALLEST >= claimed {
            break;
        }
        // What cannot be read is met by whoever walks the log.
        bytes = bytes.saturating_add(chunks.get(id).and_then(|chunk| chunk.allocated_bytes()).unwrap_or(0));
    }
    claimed.min(bytes / SMALLEST)
}
