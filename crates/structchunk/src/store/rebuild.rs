//! Rebuilding: everything that is derived is made anew; `STORE` too, from the chunks, where it is lost.

use std::collections::BTreeSet;
use std::path::Path;

use super::create::CHUNKS;
use super::ordered::remove_index;
use super::store_file::{STORE, StoreFile};
use super::views::Views;
use super::{Options, RecoveryReport, Store};
use crate::chunk::{ChunkSet, Step, Walk};
use crate::disk::{self, Access, Folder};
use crate::error::{Error, Result};
use crate::format::{
    Checkpoint, ChunkId, ChunkIdentity, DroppedChunks, Evidence, FileName, Geometry, PAGE_BYTES,
    SECTOR_BYTES, StoreIdentity,
};

impl Store {
    /// Makes the views of a closed store anew and, where `STORE` is lost or damaged or chunks are missing, a new `STORE` from
    /// what the chunks say. Damaged stretches hide nothing behind them; the report names them.
    ///
    /// # Errors
    /// [`Error::Locked`] while somebody has the store open, [`Error::NotAStore`] when there are no chunks.
    ///
    /// # Safety
    /// As for [`Options::open`].
    #[expect(unsafe_code, reason = "as for Options::open")]
    pub unsafe fn rebuild(path: impl AsRef<Path>) -> Result<RecoveryReport> {
        rebuild(path.as_ref(), &Options::new())
    }
}

fn rebuild(path: &Path, options: &Options) -> Result<RecoveryReport> {
    let root = Folder::open(path, options.faults.clone())?;
    let lost = match StoreFile::read(&root, Access::Read) {
        Ok(store) => !agrees(&root, &store)?,
        Err(Error::Corrupt { .. } | Error::NotAStore { .. }) => true,
        Err(error) => return Err(error),
    };
    let mut notes = Vec::new();
    {
        // Nobody else may be at work on what is taken away here.
        let _lock = super::lock::lock(&root, false)?;
        if lost {
            restore_store(&root, &mut notes)?;
        }
        let features = StoreFile::read(&root, Access::Read)?.newest.features;
        if features.unknown_incompat() | features.unknown_ro_compat() != 0 {
            let what = "it has features that this version may not write".into();
            return Err(Error::Unsupported { path: path.to_owned(), what });
        }
        Views::remove(&root)?;
        if let Err(error) = remove_index(&root) {
            // Whatever is there is noticed when it is needed.
            tracing::warn!(%error, "the index could not be taken away");
        }
    }
    let store = Store::open_with(options, path)?;
    let mut report = store.recovery().clone();
    report.dropped.splice(0..0, notes);
    store.close()?;
    Ok(report)
}

/// Whether the chunks are those that `STORE` counts.
fn agrees(root: &Folder, store: &StoreFile) -> Result<bool> {
    let folder = root.subfolder(CHUNKS, false)?;
    let chunks = ChunkSet::new(folder, store.identity.uuid, store.identity.geometry, Access::Read);
    Ok(super::extent::Log::list(&chunks, store).is_ok())
}

/// Writes a new `STORE` from what the chunks say.
fn restore_store(root: &Folder, notes: &mut Vec<String>) -> Result<()> {
    let nothing = |reason: &str| Error::NotAStore { path: root.path().to_owned(), reason: reason.into() };
    let folder = root.subfolder(CHUNKS, false).map_err(|_| nothing("it has no chunks"))?;
    let mut ids = BTreeSet::new();
    let mut next_body = 0;
    for name in folder.list()? {
        match FileName::parse(&name) {
            FileName::Chunk(id) => {
                ids.insert(id);
            }
            FileName::Body(number) => next_body = next_body.max(number.0.saturating_add(1)),
            FileName::Temporary(_) | FileName::Unknown => {}
        }
    }
    let identities: Vec<_> = ids.iter().filter_map(|&id| read_identity(&folder, id).ok().flatten()).collect();
    let first =
        identities.first().ok_or_else(|| nothing("none of its chunks has a header that can be read"))?;
    let geometry =
        Geometry::new(first.capacity_log2).ok_or_else(|| nothing("its chunks have no possible size"))?;
    let chunks = ChunkSet::new(folder, first.store, geometry, Access::Read);
    let mut end = LogEnd { chunk: first.chunk, head: PAGE_BYTES, sequence: 0 };
    let mut whole = end;
    let mut next_type = 1;
    let mut epoch = 0;
    let mut last_sequence = 0;
    let mut last_is_full = true;
    let mut readable = BTreeSet::new();
    for &id in &ids {
        let chunk = match chunks.get(id) {
            Ok(chunk) => chunk,
            Err(error) => {
                notes.push(format!("chunk {id} is left aside: {error}"));
                set_aside(&chunks.folder, id)?;
                continue;
            }
        };
        readable.insert(id);
        let seal = chunk.seal_mark();
        epoch = epoch.max(seal.map_or(0, |seal| seal.epoch));
        let to = seal.map_or(geometry.capacity(), |seal| seal.head);
        let mut walk = Walk::new(chunk, chunks.seed, to, last_sequence);
        end = LogEnd { chunk: id, head: PAGE_BYTES, ..end };
        // Behind a chunk that is not full, one without records was made ahead, and is no part of the log.
        if whole.sequence == end.sequence && last_is_full {
            whole = end;
        }
        last_is_full = seal.is_some();
        for step in walk.by_ref() {
            let Step::Record(record) = step else { continue };
            end = LogEnd { chunk: id, head: record.place().end, sequence: record.header().sequence };
            next_type = next_type.max(record.header().type_number.saturating_add(1));
            // A batch whose end did not reach the disk never happened.
            if !record.header().flags.more {
                whole = end;
            }
        }
        last_sequence = walk.last_sequence();
    }
    let identity = StoreIdentity {
        uuid: first.store,
        geometry,
        hash_seed: u64::from_le_bytes(disk::random_bytes()?),
        created: first.created,
    };
    let next_chunk = ids.last().map_or(1, |id| id.0.saturating_add(1));
    readable.split_off(&whole.chunk.next());
    let checkpoint = Checkpoint {
        generation: 0,
        sequence: whole.sequence,
        epoch: epoch.saturating_add(1),
        clean: false,
        features: first.features,
        active: whole.chunk,
        head: whole.head,
        next_chunk,
        next_body,
        next_type,
        chunks: readable.into_iter().collect(),
        dropped: DroppedChunks::default(),
        evidence: Evidence::default(),
    };
    notes.push(format!("{STORE} was made anew from {} chunks", checkpoint.chunks.count));
    StoreFile::create(root, &identity, &checkpoint)
}

#[derive(Clone, Copy)]
struct LogEnd {
    chunk: ChunkId,
    head: u64,
    sequence: u64,
}

fn read_identity(folder: &Folder, id: ChunkId) -> Result<Option<ChunkIdentity>> {
    let mut sector = [0; SECTOR_BYTES];
    folder.open_file(&FileName::of_chunk(id), Access::Read)?.read_exact_at(0, &mut sector)?;
    Ok(ChunkIdentity::decode(&sector).filter(|identity| identity.chunk == id))
}

/// Keeps a chunk that cannot be read out of the log, without losing it.
fn set_aside(folder: &Folder, id: ChunkId) -> Result<()> {
    let name = FileName::of_chunk(id);
    folder.rename(&name, &format!("{name}.damaged"))
}
