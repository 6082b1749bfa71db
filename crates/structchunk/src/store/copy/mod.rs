//! Copying a store that is in use: exactly what exists at one moment, whatever is done meanwhile.
//!
//! Under the writer's lock only the end of the log is fixed. Records before it never change but for their payloads and the word at 24, so
//! chunks are copied while everything goes on; versions before and after tell which objects were changed in place meanwhile, and
//! those are copied again ([`still`]). Which objects and bodies the copy has, the copied log itself says. Nothing is given back while a
//! copy is made: no body, no chunk that a compaction drops, no page of a superseded object. `STORE` comes last: until then the copy is no store.

mod bodies;
mod chunks;
mod still;
mod target;

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use self::target::Target;
use super::replay::Replay;
use super::store_file::epoch_above;
use super::views::{Views, credible};
use super::{Finding, Inner, Store};
use crate::chunk::{ChunkSet, Step, Walk};
use crate::disk::Access;
use crate::error::{Error, Result};
use crate::format::{Checkpoint, ChunkId, DroppedChunks, Evidence, Features, Location, PAGE_BYTES};

/// How far a copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CopyProgress {
    /// Bytes copied so far. Holes are none.
    pub bytes: u64,
    /// Bytes that will be copied, as far as that is known: objects with files of their own are counted when the log was copied.
    pub of_bytes: u64,
}

/// What a copy holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CopyReport {
    /// Objects in the copy.
    pub objects: u64,
    /// Bytes that were copied.
    pub bytes: u64,
    /// What could not be read in the source, and cannot be in the copy.
    pub findings: Vec<Finding>,
    /// Keys of objects that whoever wrote them had left half changed: see [`RecoveryReport::torn`](crate::RecoveryReport::torn). Only
    /// a source that is open read-only has such.
    pub torn: Vec<Vec<u8>>,
}

/// What the copy will hold, fixed at one moment.
struct Cut {
    checkpoint: Checkpoint,
    chunks: Vec<ChunkId>,
}

/// While this lives, nothing is given back.
struct Hold<'a>(&'a AtomicU32);

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A copy under way.
struct Job<'a> {
    inner: &'a Inner,
    target: &'a Target,
    /// The chunks of the copy.
    copied: &'a ChunkSet,
    views: &'a Views,
    cut: &'a Cut,
    progress: &'a mut dyn FnMut(&CopyProgress),
    done: CopyProgress,
    report: CopyReport,
}

impl Job<'_> {
    /// Tells how far it is; an error when the source was closed meanwhile: then it may be somebody else's already.
    fn tell(&mut self, bytes: u64) -> Result<()> {
        self.done.bytes += bytes;
        (self.progress)(&self.done);
        self.inner.check_open()
    }

    /// Where the records of a chunk end.
    fn end_of(&self, id: ChunkId) -> Result<u64> {
        let chunk = &self.inner.chunks.get(id)?;
        if id == self.cut.checkpoint.active {
            return Ok(self.cut.checkpoint.head);
        }
        // Where the seal is damaged, whatever there is.
        chunk.sealed_head().or_else(|_| chunk.written_end(PAGE_BYTES))
    }

    /// Makes the views of the copy from its log.
    fn replay(&mut self) -> Result<()> {
        let mut replay = Replay::new(self.views, self.copied);
        let mut last_sequence = 0;
        for &id in &self.cut.chunks {
            let (chunk, end) = (self.copied.get(id)?, self.end_of(id)?);
            let file = &self.views.live_file;
            self.views.live.reserve(id, 0, end, &mut |from, to| file.back(from, to))?;
            let mut walk = Walk::new(&chunk, self.copied.seed, end, last_sequence);
            for step in walk.by_ref() {
                match step {
                    Step::Record(record) => replay.push(record)?,
                    Step::Damage { from, to } => {
                        let bytes = to - from;
                        let path = self.inner.chunks.get(id)?.path().to_owned();
                        let what = format!("{bytes} bytes that are no record");
                        self.report.findings.push(Finding { path, offset: from, bytes, what });
                    }
                }
            }
            last_sequence = walk.last_sequence();
        }
        replay.finish()?;
        self.report.objects = self.views.directory.len();
        Ok(())
    }

    fn run(mut self, identity: &crate::format::StoreIdentity) -> Result<CopyReport> {
        let mut unsettled: Vec<Location> = Vec::new();
        for &id in &self.cut.chunks {
            self.copy_chunk(id, &mut unsettled)?;
        }
        self.replay()?;
        self.settle(&unsettled)?;
        self.copy_bodies()?;
        for &id in &self.cut.chunks {
            self.copied.get(id)?.sync()?;
        }
        self.target.chunks.sync()?;
        let Checkpoint { epoch, sequence, .. } = self.cut.checkpoint;
        self.views.stamp(&self.target.root, self.copied, epoch, sequence)?;
        // Nothing was read after a close.
        self.inner.check_open()?;
        self.target.finish(identity, &self.cut.checkpoint)?;
        self.report.bytes = self.done.bytes;
        Ok(self.report)
    }
}

impl Inner {
    /// Fixes what a copy holds, and keeps that from being given back.
    fn cut_for_copy(&self) -> Result<(Hold<'_>, Cut)> {
        // No sync is giving anything back now; and what was dropped before is not part of the log.
        let checkpoints = self.lock_checkpoints();
        let writer = self.lock_writer();
        self.check_open()?;
        if self.shared.end() != self.end_of_log(&writer).get() {
            // What could not be completed lies between the two.
            self.check_not_poisoned()?;
        }
        self.copies.fetch_add(1, Ordering::SeqCst);
        let hold = Hold(&self.copies);
        let checkpoint = writer.checkpoint(&Checkpoint {
            generation: 0,
            // Derived files of the two stores must not be taken for each other's.
            epoch: epoch_above(self.epoch)?,
            clean: true,
            dropped: DroppedChunks::default(),
            evidence: Evidence::default(),
            ..checkpoints.newest
        });
        Ok((hold, Cut { checkpoint, chunks: writer.chunks.iter().copied().collect() }))
    }

    fn copy_to(&self, path: &Path, progress: &mut dyn FnMut(&CopyProgress)) -> Result<CopyReport> {
        self.check_open()?;
        if self.is_forked() {
            return Err(Error::Forked);
        }
        let target = Target::begin(&self.root, path)?;
        let (_hold, mut cut) = self.cut_for_copy()?;
        if target.stepwise {
            cut.checkpoint.features.join(&Features::stepwise());
        }
        let (identity, features) = (self.identity, cut.checkpoint.features);
        let (folder, residents) = (target.chunks.clone(), self.chunks.residents.clone());
        let copied =
            ChunkSet::new(folder, identity.uuid, identity.geometry, features, Access::Write, residents);
        let first = cut.chunks.first().copied().unwrap_or(ChunkId(0));
        let objects = credible(self.views.directory.len(), &self.chunks, cut.chunks.iter().copied());
        let views = Views::create(&target.root, &identity, cut.checkpoint.epoch, first, objects)?;
        let mut done = CopyProgress { bytes: 0, of_bytes: 0 };
        for &id in &cut.chunks {
            done.of_bytes += self.chunks.get(id)?.allocated_bytes()?;
        }
        let (target, copied, views, cut) = (&target, &copied, &views, &cut);
        let report = CopyReport::default();
        Job { inner: self, target, copied, views, cut, progress, done, report }.run(&identity)
    }
}

impl Store {
    /// Copies the store to a new directory, or an empty one, while it is in use.
    ///
    /// The copy holds exactly what exists at one moment during the call, whether synced or not: no half batch, nothing that came later.
    /// An object that is changed in place during the call is as before or after the change, never between; of objects made of atomics,
    /// each atomic. Holes stay holes, and where the file system shares blocks between files, it does (the first change of such a block
    /// then takes new space, in the source too). The copy takes no more space than the source, opens without recovery, and is
    /// durable. It can be made of read-only handles and of stores in memory.
    ///
    /// It has the uuid of the source: records are bound to it. Both can be used, on one machine as well, but their files must never be mixed.
    ///
    /// # Durability
    /// When it returns, the copy survives a power cut. Before that, the directory holds no store: a copy that was interrupted can be
    /// made again in the same place.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] where anything is at `path` but an empty directory, [`Error::Io`] when it lies inside the store,
    /// [`Error::NoSpace`], [`Error::Busy`] when an object above 512 bytes is changed for longer than the busy timeout,
    /// [`Error::Closed`], [`Error::Forked`], [`Error::Unsupported`] where sparse files are needed and missing, and what the disk says.
    /// What was copied is removed then; the source is as it was.
    pub fn copy_to(&self, path: impl AsRef<Path>) -> Result<CopyReport> {
        self.inner.copy_to(path.as_ref(), &mut |_| {})
    }

    /// [`Store::copy_to`] that tells how far it is, now and then and at the end.
    ///
    /// # Errors
    /// As for [`Store::copy_to`].
    pub fn copy_to_with(
        &self,
        path: impl AsRef<Path>,
        mut progress: impl FnMut(&CopyProgress),
    ) -> Result<CopyReport> {
        self.inner.copy_to(path.as_ref(), &mut progress)
    }
}
