//! The reading half of a store whose writer is another process: what is asked of `shared` and the file system instead of the writer's state.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use super::super::Inner;
use super::super::extent::split_end;
use super::super::mutate::is_changing;
use super::super::since::LogNow;
use super::super::types::MAX_TYPES;
use crate::chunk::{Record, Walk};
use crate::error::{Error, Result};
use crate::format::{ChunkId, FileName, Location};
use crate::index::Covered;

/// How often something is looked up again before it is believed to be missing.
const MOST_TRIES: u32 = 8;

impl Inner {
    /// Whether new records come from another process.
    #[inline]
    pub(crate) fn follows(&self) -> bool {
        self.attached.as_ref().is_some_and(super::Watch::follows)
    }

    /// Whether the log is looked up in `shared`: others append to it, and in a child of the writer what the handle knows may be behind a lock
    /// that nobody opens any more. (Before its first change a writer has not said there where its log ends.)
    #[inline]
    pub(crate) fn reads_shared(&self) -> bool {
        self.follows() || self.is_forked() && !self.read_only && self.session_open.load(Ordering::Acquire)
    }

    /// Whether nobody has ended what this reader is attached to.
    #[inline]
    pub(super) fn goes_on(&self) -> bool {
        self.attached.as_ref().is_none_or(super::Watch::is_current) && !self.views.directory.is_retired()
    }

    fn session_over(&self) -> Error {
        Error::SessionOver { path: self.path.clone() }
    }

    /// For one who has read something: refuses it when the rules by which it was read had been suspended meanwhile.
    ///
    /// # Errors
    /// [`Error::SessionOver`].
    #[inline]
    pub(crate) fn still<R>(&self, answer: Result<R>) -> Result<R> {
        if self.attached.is_some() && !self.goes_on() { Err(self.session_over()) } else { answer }
    }

    /// The same for an error that was met where answers are not asked for once more: what is missing is missed by the rules that were suspended.
    #[cold]
    pub(crate) fn explained(&self, error: Error) -> Error {
        self.still(Err::<(), _>(error)).err().unwrap_or_else(|| self.session_over())
    }

    /// [`Inner::check_open`] for a scan, which goes on where the last step ended.
    #[inline]
    pub(crate) fn check_scan(&self) -> Result<()> {
        self.still(self.check_open())
    }

    /// Whether the borrows of this process say nothing of who changes an object.
    pub(crate) fn sees_no_borrows(&self) -> bool {
        self.attached.is_some() || self.shares_changes || self.is_forked() && !self.read_only
    }

    /// Whether a search may come to something else when it is done once more: its chunk was dropped before it was mapped here.
    #[cold]
    pub(crate) fn looks_again<R>(found: &Result<Option<R>>, tries: &mut u32) -> bool {
        let again = found.as_ref().is_err_and(Error::is_absent);
        if again {
            std::thread::yield_now();
        }
        *tries += 1;
        again && *tries < MOST_TRIES
    }

    /// The number of the next type.
    pub(crate) fn next_type(&self) -> u32 {
        if self.reads_shared() {
            self.shared.next_type().min(MAX_TYPES)
        } else if self.is_forked() {
            self.found_next_type
        } else {
            self.lock_writer().next_type
        }
    }

    /// The log as it is at this moment, for one who follows it. `from`: what lies before that is of no interest.
    ///
    /// The chunks are mapped, so that they stay when they are dropped meanwhile.
    pub(in crate::store) fn log_of_others(&self, from: Option<Covered>) -> Result<LogNow> {
        let impossible = || {
            let page = self.path.join("shared");
            Error::corrupt(page, 128, "the end of the log cannot be")
        };
        let geometry = self.chunks.geometry;
        let first = from.map_or(ChunkId(0), |from| geometry.chunk(from.position));
        let (mut chunks, mut next) = (Vec::new(), first);
        let mut deadline = self.patience(true);
        loop {
            let (mapped, _) = split_end(geometry, self.shared.end()).ok_or_else(impossible)?;
            let more = self.map_chunks(next, mapped)?;
            let complete = more.is_some();
            // Else one was dropped while they were mapped: from the beginning.
            next = if complete { mapped.next() } else { first };
            chunks.truncate(if complete { chunks.len() } else { 0 });
            chunks.extend(more.into_iter().flatten());
            // Only now: whatever is in a chunk that was dropped before they were listed was moved to before this.
            let (end, settled) = self.shared.end_and_settled();
            let (active, head) = split_end(geometry, end).ok_or_else(impossible)?;
            if let Some(end) = Location::new(end).filter(|_| complete && active == mapped) {
                let mut now = LogNow { chunks, active, head, sequence: None, end, unsettled: HashSet::new() };
                if settled < end.get() {
                    now.unsettled = self.keys_between(settled, &now)?;
                }
                return self.still(Ok(now));
            }
            self.check_scan()?;
            if deadline.is_over() {
                return Err(Error::Recovering { path: self.path.clone() });
            }
        }
    }

    /// Maps the chunks of the log from `first` to `active`; `None` when one was dropped meanwhile.
    fn map_chunks(&self, first: ChunkId, active: ChunkId) -> Result<Option<Vec<ChunkId>>> {
        let mut chunks = Vec::new();
        if first == active {
            chunks.push(active);
        } else if first < active {
            let names = self.chunks.list()?.into_iter();
            chunks.extend(names.filter_map(|name| match name {
                FileName::Chunk(id) if (first..=active).contains(&id) => Some(id),
                _ => None,
            }));
            chunks.sort_unstable();
        }
        for &id in &chunks {
            match self.chunks.get(id) {
                Err(error) if error.is_absent() => return Ok(None),
                chunk => drop(chunk?),
            }
        }
        // The log ends in a file, which may be known already.
        Ok((first > active || chunks.last() == Some(&active)).then_some(chunks))
    }

    /// The keys of the records from `settled` to the end.
    fn keys_between(&self, settled: u64, now: &LogNow) -> Result<HashSet<Vec<u8>>> {
        let geometry = self.chunks.geometry;
        let Some((first, from)) = split_end(geometry, settled) else { return Ok(HashSet::new()) };
        let mut keys = HashSet::new();
        for &id in now.chunks.iter().filter(|&&id| id >= first) {
            let chunk = &self.chunks.get(id)?;
            let end = if id == now.active { now.head } else { chunk.sealed_head()? };
            let mut walk = Walk::new(chunk, self.chunks.seed, end, 0);
            if id == first {
                walk.go_to(from);
            }
            while let Some(record) = walk.next_adjacent() {
                if record.header().kind.is_object() {
                    keys.insert(record.key().to_vec());
                }
            }
        }
        Ok(keys)
    }

    /// Reads something of an object that nobody changes meanwhile, whatever its size.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Torn`], and those of `read`.
    pub(crate) fn steadily<R>(&self, record: &Record<'_>, mut read: impl FnMut() -> Result<R>) -> Result<R> {
        let mut deadline = self.patience(true);
        loop {
            let before = record.look();
            if !is_changing(before) {
                let answer = read()?;
                if record.is_still(before) {
                    return Ok(answer);
                }
            }
            self.check_not_torn(record)?;
            if deadline.is_over() {
                return Err(Error::Busy { key: record.key().to_vec() });
            }
            std::thread::yield_now();
        }
    }

    /// [`Inner::steadily`], but of an object that a process which died has left half changed, what there is as long as nobody mends it; with whether
    /// it was so.
    pub(crate) fn steadily_or_left<R>(
        &self,
        record: &Record<'_>,
        mut read: impl FnMut() -> Result<R>,
    ) -> Result<(R, bool)> {
        let mut deadline = self.patience(true);
        loop {
            // First: who mends it leaves another word.
            let word = record.look();
            match self.steadily(record, &mut read) {
                Err(Error::Torn { .. }) => {}
                answer => return answer.map(|answer| (answer, false)),
            }
            let answer = read()?;
            if record.is_still(word) {
                return Ok((answer, true));
            }
            if deadline.is_over() {
                return Err(Error::Busy { key: record.key().to_vec() });
            }
        }
    }

    /// Refuses an object that a process which died has left half changed: waiting will not help.
    pub(crate) fn check_not_torn(&self, record: &Record<'_>) -> Result<()> {
        if self.attached.is_none() && !self.shares_changes {
            return Ok(());
        }
        let word = record.version_word(Ordering::Acquire);
        if !is_changing(word) || self.is_at_work(word)? {
            return Ok(());
        }
        // In this order: who came to its end in between has left another word.
        if record.version_word(Ordering::Acquire) != word {
            return Ok(());
        }
        Err(Error::Torn { key: record.key().to_vec() })
    }
}
