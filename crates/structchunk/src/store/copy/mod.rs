//! Copying a store that is in use: exactly what exists at one moment, whatever is done meanwhile.
//!
//! Under the writer's lock only the end of the log is fixed. Records before it never change but for their payloads and the word at 24, so
//! chunks are copied while everything goes on; versions before and after tell which objects were changed in place meanwhile, and
//! those are copied again ([`still`]). Which objects and bodies the copy has, the copied log itself says. Nothing is given back while its
//! own process makes a copy: no body, no chunk that a compaction drops, no page of a superseded object. `STORE` comes last: until then the copy is no store.
//!
//! A reader beside a writer in another process holds the chunks, and then asks `shared` for the end ([`cut`]). Bodies it cannot hold: where one
//! is gone before it was opened, the copy goes on to a later cut. That is only what was appended meanwhile, so the way from a cut to its
//! bodies becomes short.

mod bodies;
mod chunks;
mod cut;
mod still;
mod target;

use std::collections::BTreeSet;
use std::path::Path;

use self::bodies::Bodies;
use self::cut::{Cut, Kept};
use self::target::Target;
use super::replay::Replay;
use super::views::{Views, credible};
use super::{Finding, Inner, Store};
use crate::chunk::{ChunkSet, Step, Walk};
use crate::disk::Access;
use crate::error::{Error, Result};
use crate::format::{ChunkId, Features, Kind, Location, PAGE_BYTES, StoreIdentity};

/// So often a later cut is taken because bodies of the one before are gone. Each time only what was appended since is copied.
const MOST_CUTS: u32 = 64;

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
    /// a source that is open read-only, or whose writer or mutator died, has such.
    pub torn: Vec<Vec<u8>>,
}

/// A copy under way.
struct Job<'a> {
    inner: &'a Inner,
    target: &'a Target,
    /// The chunks of the copy.
    copied: &'a ChunkSet,
    views: &'a Views,
    kept: Kept<'a>,
    cut: Cut,
    /// How far the log is copied: the end of the cut before this one.
    from: Option<(ChunkId, u64)>,
    last_sequence: u64,
    /// Whether any record is that of a sealed object.
    has_sealed: bool,
    /// Objects that were changed in place since they were copied.
    unsettled: BTreeSet<Location>,
    /// The records that point to bodies, current or not.
    externs: Vec<Location>,
    bodies: Bodies,
    progress: &'a mut dyn FnMut(&CopyProgress),
    done: CopyProgress,
    report: CopyReport,
}

impl Job<'_> {
    /// Tells how far it is; an error when the source was closed meanwhile: then it may be somebody else's already.
    fn tell(&mut self, bytes: u64) -> Result<()> {
        self.done.bytes += bytes;
        (self.progress)(&self.done);
        self.inner.check_scan()
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

    /// Chunks of which anything is not copied yet, and from where on.
    fn to_copy(&self) -> Vec<(ChunkId, u64)> {
        let (first, offset) = self.from.unwrap_or((ChunkId(0), 0));
        self.cut.chunks.range(first..).map(|&id| (id, if id == first { offset } else { 0 })).collect()
    }

    /// Makes the views of the copy from its log.
    fn replay(&mut self) -> Result<()> {
        let mut replay = Replay::new(self.views, self.copied);
        for (id, from) in self.to_copy() {
            let (chunk, end) = (self.copied.get(id)?, self.end_of(id)?);
            let file = &self.views.live_file;
            self.views.live.reserve(id, 0, end, &mut |from, to| file.back(from, to))?;
            let mut walk = Walk::new(&chunk, self.copied.seed, end, self.last_sequence);
            walk.go_to(from.max(PAGE_BYTES));
            for step in walk.by_ref() {
                match step {
                    Step::Record(record) => {
                        if record.header().kind == Kind::Extern {
                            self.externs.push(record.location());
                        }
                        self.has_sealed |= record.is_sealed();
                        replay.push(record)?;
                    }
                    Step::Damage { from, to } => {
                        let bytes = to - from;
                        let path = self.inner.chunks.get(id)?.path().to_owned();
                        let what = format!("{bytes} bytes that are no record");
                        self.report.findings.push(Finding { path, offset: from, bytes, what });
                    }
                }
            }
            self.last_sequence = walk.last_sequence();
        }
        replay.finish()?;
        self.report.objects = self.views.directory.len();
        Ok(())
    }

    /// Goes on to the present end of the log.
    fn cut_again(mut self) -> Result<Self> {
        let end = self.cut.end();
        if let Kept::Others(held) = &mut self.kept {
            self.cut = self.inner.cut_of_others(held, self.cut, Some(end))?;
        }
        self.from = Some(end);
        for (id, from) in self.to_copy() {
            self.done.of_bytes += (PAGE_BYTES + self.end_of(id)?).saturating_sub(from);
        }
        Ok(self)
    }

    fn run(mut self, identity: &StoreIdentity) -> Result<CopyReport> {
        let mut cuts = 1;
        loop {
            for (id, from) in self.to_copy() {
                self.copy_chunk(id, from)?;
            }
            self.replay()?;
            let Some(key) = self.copy_bodies()? else { break };
            cuts += 1;
            if cuts > MOST_CUTS {
                return Err(Error::Busy { key });
            }
            self = self.cut_again()?;
        }
        if cuts > 1 {
            self.find_changed()?;
        }
        self.settle()?;
        for &id in &self.cut.chunks {
            self.copied.get(id)?.sync()?;
        }
        self.target.chunks.sync()?;
        let checkpoint = &mut self.cut.checkpoint;
        checkpoint.sequence = checkpoint.sequence.max(self.last_sequence);
        if self.has_sealed {
            // The checkpoint that another process's store was attached by may be from before that.
            checkpoint.features.join(&Features::sealed());
        }
        self.views.stamp(&self.target.root, self.copied, checkpoint.epoch, checkpoint.sequence)?;
        // Nothing was read after a close.
        self.inner.check_scan()?;
        self.target.finish(identity, &self.cut.checkpoint)?;
        self.report.bytes = self.done.bytes;
        Ok(self.report)
    }
}

impl Inner {
    /// Copies the store to a directory; where it is written by another process, as long as the session goes on.
    ///
    /// # Errors
    /// As for [`Store::copy_to`] and [`Session::copy_to`](super::Session::copy_to).
    pub(in crate::store) fn copy_to(
        &self,
        path: &Path,
        progress: &mut dyn FnMut(&CopyProgress),
    ) -> Result<CopyReport> {
        self.check_scan()?;
        if self.is_forked() {
            return Err(Error::Forked);
        }
        // What goes wrong because the session is over says nothing.
        self.try_copy_to(path, progress).or_else(|error| self.still(Err(error)))
    }

    fn try_copy_to(&self, path: &Path, progress: &mut dyn FnMut(&CopyProgress)) -> Result<CopyReport> {
        let target = Target::begin(&self.root, path)?;
        let (kept, mut cut) = self.cut_for_copy()?;
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
        let job = Job {
            inner: self,
            target: &target,
            copied: &copied,
            views: &views,
            kept,
            cut,
            from: None,
            last_sequence: 0,
            has_sealed: false,
            unsettled: BTreeSet::new(),
            externs: Vec::new(),
            bodies: Bodies::default(),
            progress,
            done,
            report: CopyReport::default(),
        };
        job.run(&identity)
    }
}

impl Store {
    /// Copies the store to a new directory, or an empty one, while it is in use.
    ///
    /// The copy holds exactly what exists at one moment during the call, whether synced or not: no half batch, nothing that came later.
    /// An object that is changed in place during the call, by this process or another, is as before or after the change, never between; of
    /// objects made of atomics, each atomic. Holes stay holes, and where the file system shares blocks between files, it does (the first change of such a block
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
    /// [`Error::NoSpace`], [`Error::Busy`] when somebody has an object above 512 bytes to change it, and lets nobody else in for the busy timeout;
    /// in a store with [`shared_mutation`](crate::Options::shared_mutation) also when mutators change one of any size so often that there is no moment to copy it in,
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
