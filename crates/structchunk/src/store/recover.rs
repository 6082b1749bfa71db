//! Recovery: what exists after an unclean stop, and bringing everything else in line with it.

mod alone;
mod orphans;

use std::ops::Range;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use super::extent::{Log, split_end};
use super::mutate::is_changing;
use super::replay::ReplayBeside;
use super::report::{Found, RecoveryReport};
use super::shared::{Left, Shared};
use super::store_file::{StoreFile, new_evidence};
use super::types::MAX_TYPES;
use super::views::{Views, credible};
use crate::chunk::{BodyRef, BodySet, ChunkRef, ChunkSet, SEALED, Step, Walk, is_odd};
use crate::disk::{self, Faults, File, Folder, Sabotage};
use crate::error::{Error, Result};
use crate::format::{Checkpoint, ChunkId, DroppedChunks, Features, FileName, Kind, Location, PAGE_BYTES};
use crate::map::{Advice, Mapping};

/// What recovery works on.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct Situation<'s> {
    pub root: &'s Folder,
    pub chunks: &'s ChunkSet,
    pub bodies: &'s BodySet,
    pub shared: &'s Shared,
    pub store: &'s mut StoreFile,
    pub clean: bool,
    pub read_only: bool,
    pub trust_page_cache: bool,
    pub reserve_step: u64,
    /// A rebuild: what nothing points to is put aside, not removed.
    pub keeps_files: bool,
    /// `LOCK`, for who may write.
    pub lock: Option<&'s File>,
    pub busy_timeout: Duration,
}

/// Brings the store into the state that its promise names, makes the views anew and, unless it is opened read-only, makes all of
/// that durable before anything new is written.
pub(crate) fn recover(
    mut situation: Situation<'_>,
    mut log: Log,
    report: &mut RecoveryReport,
) -> Result<(Views, Log)> {
    if !situation.read_only {
        situation.shared.begin_recovery();
    }
    situation.decide(&mut log, report)?;
    if report.found == Found::MachineDied {
        situation.wait_until_nobody_changes()?;
    }
    let first = log.chunks.first().copied().unwrap_or(ChunkId(0));
    let raise = report.found == Found::MachineDied && !situation.root.breaks(Sabotage::EpochKept);
    let epoch = situation.store.newest.epoch + u64::from(raise);
    let objects = situation.expected_objects(&log);
    let make = |folder: &Folder, log: &mut Log, report: &mut RecoveryReport| {
        let views = Views::create(folder, &situation.store.identity, epoch, first, objects)?;
        let walked = situation.walk(log, &views, report)?;
        Ok((views, walked))
    };
    let memory = || Folder::in_memory(Faults::none());
    let (views, walked) = if situation.read_only {
        make(&memory(), &mut log, report)?
    } else {
        let (before, seen) = (log.clone(), report.clone());
        match make(situation.root, &mut log, report) {
            // A full disk must not keep a store closed that somebody wants to empty. The next open tries again.
            Err(Error::NoSpace { .. }) => {
                tracing::warn!("no space for the views: they are made in memory");
                Views::remove(situation.root)?;
                (log, *report) = (before, seen);
                make(&memory(), &mut log, report)?
            }
            outcome => outcome?,
        }
    };
    report.rebuilt_views = true;
    if report.found == Found::MachineDied || report.damaged {
        situation.wait_for_bodies(&views, situation.may_be_sealed(&walked, report.damaged))?;
    }
    tracing::info!(found = %report.found, records = report.accepted_records, "recovered");
    if situation.read_only || report.found == Found::ViewsLost {
        return Ok((views, log));
    }
    let dropped = !report.dropped.is_empty();
    let epoch = situation.store.newest.epoch + u64::from(raise || dropped);
    situation.settle(&mut log, &views, &walked, epoch, report)?;
    Ok((views, log))
}

/// Stores every page's first word again, so that the next sync writes the page. (Adding nothing might become a load.)
fn dirty_again(map: &Mapping, range: &Range<u64>) {
    // Where blocks are smaller than pages, the range may begin inside of one.
    let pages = range.start / PAGE_BYTES..range.end.div_ceil(PAGE_BYTES);
    for offset in pages.map(|page| range.start.max(page * PAGE_BYTES)) {
        if let Some(word) = map.word(offset) {
            let seen = word.load(Ordering::Relaxed);
            // Where it does not succeed, somebody else has just written to the page.
            let _ = word.compare_exchange(seen, seen, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}

/// What the walk over the log saw.
#[derive(Default)]
struct Walked {
    /// Odd words that are nobody's any more, and their records.
    dead: Vec<(Location, u64)>,
    /// There are sealed objects, current or not.
    sealed: bool,
}

impl Situation<'_> {
    /// About how many objects the log has: what the last directory says.
    fn expected_objects(&self, log: &Log) -> u64 {
        let claimed = Views::objects_in(self.root, &self.store.identity).unwrap_or(0);
        credible(claimed, self.chunks, log.chunks.range(..=log.active).copied())
    }

    /// Decides what happened, and where the log ends.
    fn decide(&self, log: &mut Log, report: &mut RecoveryReport) -> Result<()> {
        let newest = &self.store.newest;
        if self.clean {
            report.found = Found::ViewsLost;
            report.evidence =
                "the clean mark; directory or live map are missing or do not agree with it".into();
            log.chunks.split_off(&newest.active.next());
            return Ok(());
        }
        match self.same_boot(log)? {
            Ok((active, head)) => {
                report.found = Found::ProcessDied;
                report.evidence = "boot id, STORE and session are those of the last writer".into();
                log.active = active;
                log.head = head;
            }
            Err(reason) => {
                report.found = Found::MachineDied;
                report.evidence = reason;
            }
        }
        Ok(())
    }

    /// The end of the log where only the process died; else why that is not sure.
    fn same_boot(&self, log: &mut Log) -> Result<std::result::Result<(ChunkId, u64), String>> {
        let newest = &self.store.newest;
        let evidence = &newest.evidence;
        let (device, inode) = self.store.file.identity()?;
        let private;
        let shared = if self.read_only {
            private = Shared::open(self.root)?;
            private.as_ref()
        } else {
            Some(self.shared)
        };
        if self.store.poison.is_some_and(|mark| mark.session == evidence.session)
            || shared.is_some_and(Shared::is_poisoned)
        {
            self.distrust_cache(log)?;
            return Ok(Err("the last writer's sync failed (poison mark)".into()));
        }
        if !self.trust_page_cache {
            return Ok(Err("trust_page_cache is false".into()));
        }
        if evidence.boot == [0; 16] || self.root.boot_id() != Some(evidence.boot) {
            return Ok(Err("the boot id is another one".into()));
        }
        if (device, inode) != (evidence.device, evidence.inode) {
            return Ok(Err("STORE is another file than the last writer's: a copy".into()));
        }
        let left = shared.and_then(|shared| shared.left_by(self.store.identity.uuid, newest.epoch, evidence));
        let Some(left) = left else {
            return Ok(Err("`shared` is not the last writer's".into()));
        };
        let here = self.chunks.geometry.location(newest.active, newest.head).get();
        let Some((active, head)) = split_end(self.chunks.geometry, left.end).filter(|_| left.end >= here)
        else {
            return Ok(Err("the end of the log in `shared` cannot be".into()));
        };
        if !log.chunks.contains(&active) {
            return Ok(Err(format!("chunk {active}, where the log ends, is missing")));
        }
        if !self.read_only
            && let Err(error) = self.sync_files(log, active)?
        {
            // The kernel tells once: a recovery that comes after this one must not take its silence for success.
            self.shared.poison();
            self.distrust_cache(log)?;
            return Ok(Err(format!("what the process had written cannot be made durable: {error}")));
        }
        log.next_chunk = log.next_chunk.max(left.next_chunk);
        log.next_body = log.next_body.max(left.next_body);
        Ok(Ok((active, head)))
    }

    /// Makes every body durable, and every chunk up to the active one; the inner error is that of a sync.
    fn sync_files(&self, log: &Log, active: ChunkId) -> Result<Result<()>> {
        for &id in log.chunks.range(..=active) {
            if let Err(error) = self.chunks.get(id)?.sync() {
                return Ok(Err(error));
            }
        }
        for body in self.bodies_of(log) {
            if let Err(error) = body?.sync() {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }

    /// The bodies that are there. What is no body holds no object: it is left for whoever looks one up in it, or removes it.
    fn bodies_of(&self, log: &Log) -> impl Iterator<Item = Result<BodyRef>> {
        log.others.iter().filter_map(|name| match name {
            FileName::Body(number) => {
                Some(self.bodies.get(*number)).filter(|body| !body.as_ref().is_err_and(Error::is_corrupt))
            }
            _ => None,
        })
    }

    /// After a failed sync, what the page cache holds is not what the disk holds. Drops what can be dropped; what stays (others may
    /// have it mapped) is made dirty again, so that recovery's sync writes what is seen here.
    fn distrust_cache(&self, log: &Log) -> Result<()> {
        if self.read_only {
            return Ok(());
        }
        // Before anything is touched that they may be storing to.
        self.wait_until_nobody_changes()?;
        for &id in log.chunks.range(..=log.active) {
            let chunk = &self.chunks.get(id)?;
            chunk.forget_cache()?;
            // Up to where there are records. Behind them, and where objects were superseded, lie holes; touching those on a full disk would
            // be a signal.
            let end = if id == log.active { log.head } else { chunk.sealed_head().unwrap_or(PAGE_BYTES) };
            for range in chunk.data_ranges(end)? {
                dirty_again(&chunk.map, &range);
            }
        }
        for body in self.bodies_of(log) {
            let body = body?;
            body.forget_cache()?;
            for range in body.data_ranges()? {
                dirty_again(&body.map, &range);
            }
        }
        Ok(())
    }

    /// Walks the log up to its end, and makes the views from it.
    fn walk(&self, log: &mut Log, views: &Views, report: &mut RecoveryReport) -> Result<Walked> {
        thread::scope(|scope| {
            self.walk_with(ReplayBeside::new(scope, views, self.chunks), log, views, report)
        })
    }

    fn walk_with<'a>(
        &'a self,
        mut replay: ReplayBeside<'_, 'a>,
        log: &mut Log,
        views: &Views,
        report: &mut RecoveryReport,
    ) -> Result<Walked> {
        let (mut walked, mut odd) = (Walked::default(), Vec::new());
        let (mut last_sequence, mut beyond) = (0, Vec::new());
        for &id in &log.chunks {
            if id > log.active {
                beyond.push(id);
                continue;
            }
            let chunk = &self.chunks.get(id)?;
            let end = self.end_of(chunk, log, report);
            views.live.reserve(id, 0, end, &mut |from, to| views.live_file.back(from, to))?;
            chunk.expect_walk(end)?;
            let mut walk = Walk::new(chunk, self.chunks.seed, end, last_sequence);
            for step in walk.by_ref() {
                match step {
                    Step::Record(record) => {
                        report.accepted_records += 1;
                        replay.push(record.clone())?;
                        let word = record.version_word(Ordering::Relaxed);
                        if is_odd(word) {
                            odd.push(record.location());
                        }
                        walked.sealed |= word & SEALED != 0 && record.header().kind.is_object();
                        if record.header().kind == Kind::Type && record.header().type_number < MAX_TYPES {
                            log.next_type = log.next_type.max(record.header().type_number + 1);
                        }
                    }
                    Step::Damage { from, to } => {
                        report.damaged = true;
                        report
                            .dropped
                            .push(format!("{}: bytes {from} to {to} are damaged", chunk.path().display()));
                    }
                }
            }
            last_sequence = walk.last_sequence();
            chunk.map.advise(if id == log.active { Advice::Random } else { Advice::Normal }, 0..end);
        }
        replay.finish()?;
        // A record that was lost keeps its sequence: none is given twice in one epoch.
        log.sequence = disk::last_sequence(self.root, last_sequence.max(self.store.newest.sequence));
        for location in odd {
            let Some(record) = self.chunks.record(location)? else { continue };
            let word = record.version_word(Ordering::Acquire);
            if !is_odd(word) {
                continue;
            }
            if self.is_at_work(word)? {
                log.claimed.push((location, word));
                continue;
            }
            if views.live.is_live(location) && is_changing(word) {
                report.torn.push(record.key().to_vec());
            }
            // Just this word: whoever dies later is the next recovery's, which reports it.
            walked.dead.push((location, word));
        }
        for id in beyond {
            log.chunks.remove(&id);
            log.others.push(FileName::Chunk(id));
        }
        Ok(walked)
    }

    /// The end of the records of a chunk.
    fn end_of(&self, chunk: &ChunkRef<'_>, log: &Log, report: &mut RecoveryReport) -> u64 {
        if chunk.id == log.active {
            return log.head;
        }
        match chunk.sealed_head() {
            Ok(head) => head,
            Err(error) => {
                report.dropped.push(format!("{error}; its records are taken as far as they go"));
                let mut walk = Walk::new(chunk, self.chunks.seed, self.chunks.geometry.capacity(), 0);
                let records = walk.by_ref().filter_map(|step| match step {
                    Step::Record(record) => Some(record.place().end),
                    Step::Damage { .. } => None,
                });
                records.last().unwrap_or(PAGE_BYTES)
            }
        }
    }

    /// Wipes what is behind the end, makes everything durable under a new session, and only then removes files.
    fn settle(
        &mut self,
        log: &mut Log,
        views: &Views,
        walked: &Walked,
        epoch: u64,
        report: &mut RecoveryReport,
    ) -> Result<()> {
        let active = &self.chunks.get(log.active)?;
        let mut behind = Walk::new(active, self.chunks.seed, self.chunks.geometry.capacity(), log.sequence);
        behind.go_to(log.head);
        let (mut dropped, mut sealed) = (0, false);
        while let Some(record) = behind.next_adjacent() {
            dropped += 1;
            sealed |= record.header().kind == Kind::Object && record.is_sealed();
        }
        // A reader may refer to what is wiped. Readers that come later go by the number of this recovery.
        // There may be sealed records behind something that is no record.
        sealed = sealed
            || self.may_be_sealed(walked, report.damaged)
                && active.written_end(behind.offset())? > behind.offset();
        let alone = sealed && report.found == Found::MachineDied;
        let _alone = if alone { self.hold_alone(log.active)? } else { None };
        self.settle_dead(&walked.dead)?;
        report.wiped_bytes = behind.offset() - log.head;
        if dropped > 0 {
            report
                .dropped
                .push(format!("{dropped} records behind the end of the log, which were never synced"));
        }
        if !self.root.breaks(Sabotage::StaleSealBelieved) {
            let short = || Error::corrupt(active.path(), 512, "the file is shorter than it was");
            active.unseal().ok_or_else(short)?;
        }
        if !self.root.breaks(Sabotage::WipeSkipped) {
            active.wipe_from(log.head)?;
        }
        // The step that is kept back for deleting on a full disk, which the wipe gave back.
        let kept_back = (log.head + self.reserve_step).min(self.chunks.geometry.capacity());
        match active.reserve(log.head, kept_back) {
            Err(Error::NoSpace { .. }) => tracing::warn!("no space is kept back for deleting"),
            outcome => outcome?,
        }
        if walked.sealed {
            // Made by a rebuild, `STORE` may not know of them.
            self.store.newest.features.join(&Features::sealed());
        }
        let evidence = new_evidence(self.root, &self.store.file)?;
        // What is changed from here on by those who were there before is in the first sync.
        self.mark_held(log, views)?;
        self.sync_files(log, log.active)??;
        self.chunks.folder.sync()?;
        // Twice: then neither slot describes a store that needs a file which is removed below.
        for _ in 0..2 {
            self.write_checkpoint(log, epoch, evidence)?;
        }
        // Only now: until the checkpoint holds all that was found, `shared` is what proves that it may be believed.
        let start = Left {
            end: self.chunks.geometry.location(log.active, log.head).get(),
            next_chunk: log.next_chunk,
            next_body: log.next_body,
            next_type: log.next_type,
        };
        // Whoever joins the session looks at it.
        views.set_epoch(epoch);
        self.shared.begin(self.store.identity.uuid, epoch, &evidence, &start);
        self.remove_orphans(log, views, report)
    }

    fn write_checkpoint(&mut self, log: &Log, epoch: u64, evidence: crate::format::Evidence) -> Result<()> {
        let store = &mut *self.store;
        let checkpoint = Checkpoint {
            generation: store.newest.generation + 1,
            sequence: log.sequence,
            epoch,
            clean: false,
            features: store.newest.features,
            active: log.active,
            head: log.head,
            next_chunk: log.next_chunk,
            next_body: log.next_body,
            next_type: log.next_type,
            chunks: log.chunks.iter().copied().collect(),
            // Those that are there go with this session's first sync.
            dropped: DroppedChunks::new(&log.dropped).unwrap_or_default(),
            evidence,
        };
        let slot = 1 - store.slot;
        store.file.write_at(PAGE_BYTES * (1 + slot), &checkpoint.encode())?;
        store.file.sync_data()?;
        store.slot = slot;
        store.newest = checkpoint;
        Ok(())
    }
}
