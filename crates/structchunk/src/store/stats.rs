//! How much there is of everything.

use std::collections::{BTreeMap, HashMap};

use super::ordered::INDEX;
use super::since::LogNow;
use super::{Inner, Store};
use crate::disk::{Access, Folder};
use crate::error::{Error, Result};
use crate::format::{ChunkId, FileName, PAGE_BYTES};
use crate::layout::{Fingerprint, Layout};

/// Sizes and counts; see [`Store::stats`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// How many objects there are.
    pub objects: u64,
    /// Sequence of the last record. `None` beside a writer, of whom others learn where the log ends and no more.
    pub sequence: Option<u64>,
    /// Raised by every recovery that gave something up, or could not know whether it did.
    pub epoch: u64,
    /// Capacity of a chunk, in bytes.
    pub chunk_capacity: u64,
    /// The chunks, oldest first.
    pub chunks: Vec<ChunkStats>,
    /// How many objects have a file of their own; those that were removed count until their space is given back.
    pub bodies: u64,
    /// Length of the files of all chunks, bodies and views, in bytes.
    pub bytes_apparent: u64,
    /// Disk space that these files take, in bytes.
    pub bytes_allocated: u64,
    /// Of that, the directory's part, in bytes.
    pub directory_bytes: u64,
    /// Of that, the live map's part, in bytes.
    pub live_map_bytes: u64,
    /// Of that, the index's part, in bytes; none before the first scan in key order or close.
    pub index_bytes: u64,
    /// How much of the address space chunks and bodies take at this moment, in bytes, where that is limited: see
    /// [`Options::mapped_limit`](crate::Options::mapped_limit).
    pub bytes_mapped: Option<u64>,
}

/// One chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChunkStats {
    /// Its number.
    pub number: u32,
    /// End of its records, in bytes.
    pub head: u64,
    /// Bytes that the records of current objects take.
    pub live_bytes: u64,
    /// Bytes that everything else takes: superseded objects, tombstones, types.
    pub dead_bytes: u64,
    /// Records of current objects.
    pub live_records: u64,
    /// Length of the file, in bytes.
    pub bytes_apparent: u64,
    /// Disk space that the file takes, in bytes.
    pub bytes_allocated: u64,
}

/// One type of the store.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StoredType {
    /// Its number in this store.
    pub number: u32,
    /// Its layout, with its name.
    pub layout: Layout,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// Types of one name may have several layouts: which of them this is, from 1, in the order in which they came into the store.
    /// Which of them extends which, [`Layout::extends`] says as far as the program did that stored it.
    pub version: u32,
    /// How many layouts types of this name have.
    pub versions: u32,
}

impl Inner {
    fn chunk_stats(&self, id: ChunkId, head: Option<u64>) -> Result<ChunkStats> {
        let chunk = &self.chunks.get(id)?;
        let head = head.map_or_else(|| chunk.sealed_head(), Ok)?;
        let live_bytes = self.views.live.live_bytes(id);
        Ok(ChunkStats {
            number: id.0,
            head,
            live_bytes,
            dead_bytes: (head - PAGE_BYTES).saturating_sub(live_bytes),
            live_records: self.views.live.live_records(id),
            bytes_apparent: chunk.file_bytes()?,
            bytes_allocated: chunk.allocated_bytes()?,
        })
    }
}

/// Length of the index's files, and what they take of the disk. They are LevelDB's, which makes and removes them at any time, and there
/// may be no index: what cannot be looked at counts for nothing.
fn index_sizes(root: &Folder) -> (u64, u64) {
    let Ok(folder) = root.subfolder(INDEX, false) else { return (0, 0) };
    let sizes = folder.list().unwrap_or_default().into_iter().filter_map(|name| {
        let file = folder.open_file(&name, Access::Read).ok()?;
        Some((file.len().ok()?, file.allocated_bytes().ok()?))
    });
    sizes.fold((0, 0), |sums, sizes| (sums.0 + sizes.0, sums.1 + sizes.1))
}

impl Store {
    /// Sizes and counts. Work proportional to the number of files, not of objects.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Forked`] in a child of the process that writes, and what the disk says.
    pub fn stats(&self) -> Result<Stats> {
        self.inner.check_open()?;
        let inner = &*self.inner;
        if inner.is_forked() && !inner.read_only {
            return Err(Error::Forked);
        }
        let LogNow { chunks: ids, active, head, sequence, .. } = inner.log_now()?;
        let mut chunks = Vec::with_capacity(ids.len());
        for id in ids {
            chunks.push(inner.chunk_stats(id, (id == active).then_some(head))?);
        }
        let directory_bytes = inner.views.directory_file.allocated_bytes()?;
        let live_map_bytes = inner.views.live_file.allocated_bytes()?;
        let (index_apparent, index_bytes) = index_sizes(&inner.root);
        let mut stats = Stats {
            objects: self.len(),
            sequence,
            epoch: inner.epoch,
            chunk_capacity: inner.chunks.geometry.capacity(),
            bodies: 0,
            bytes_apparent: chunks.iter().map(|chunk| chunk.bytes_apparent).sum::<u64>()
                + inner.views.directory_file.bytes()
                + inner.views.live_file.bytes()
                + index_apparent,
            bytes_allocated: chunks.iter().map(|chunk| chunk.bytes_allocated).sum::<u64>()
                + directory_bytes
                + live_map_bytes
                + index_bytes,
            chunks,
            directory_bytes,
            live_map_bytes,
            index_bytes,
            bytes_mapped: None,
        };
        for name in inner.chunks.list()? {
            if let FileName::Body(number) = name {
                let body = match inner.bodies.get(number) {
                    // It was given back meanwhile.
                    Err(error) if error.is_absent() => continue,
                    body => body?,
                };
                stats.bodies += 1;
                stats.bytes_apparent += body.map.len();
                stats.bytes_allocated += body.allocated_bytes()?;
            }
        }
        stats.bytes_mapped = inner.chunks.residents.mapped_bytes();
        Ok(stats)
    }

    /// The types that objects of this store have or had.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt) when one cannot be read.
    pub fn types(&self) -> Result<Vec<StoredType>> {
        self.inner.check_open()?;
        let next_type = self.inner.next_type();
        let types = self.inner.all_types(next_type)?;
        let mut layouts: HashMap<&str, Vec<Fingerprint>> = HashMap::new();
        let mut versions = Vec::with_capacity(types.len());
        for stored in &types {
            let known = layouts.entry(stored.layout.name()).or_default();
            let version = known.iter().position(|layout| *layout == stored.fingerprint);
            versions.push(1 + version.unwrap_or(known.len()) as u32);
            if version.is_none() {
                known.push(stored.fingerprint);
            }
        }
        let described = types.iter().zip(versions).map(|(stored, version)| StoredType {
            number: stored.number,
            layout: stored.layout.clone(),
            fingerprint: stored.fingerprint,
            version,
            versions: layouts.get(stored.layout.name()).map_or(1, |layouts| layouts.len() as u32),
        });
        Ok(described.collect())
    }

    /// How many objects each type has, by its number. Scans the whole store.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt) where the log is damaged.
    pub fn count_by_type(&self) -> Result<BTreeMap<u32, u64>> {
        let mut counts = BTreeMap::new();
        for entry in self.iter()? {
            *counts.entry(entry?.type_number()).or_insert(0) += 1;
        }
        Ok(counts)
    }
}
