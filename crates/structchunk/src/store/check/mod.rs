//! Checking: every file against what it should be. Repairs nothing.

mod deep;
mod index;

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use self::deep::Deep;
use super::inner::Writer;
use super::replay::Replay;
use super::views::{Views, credible};
use super::{Inner, Store};
use crate::chunk::{Chunk, LiveMap, Record, Step, Walk};
use crate::disk::{Faults, Folder};
use crate::error::{Error, Result};
use crate::format::{BodyNumber, ChunkId, ExternPayload, Kind, Location, PAGE_BYTES};

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The file.
    pub path: PathBuf,
    /// Where in it, in bytes.
    pub offset: u64,
    /// How many bytes of the file cannot be read; 0 where that is not what is wrong.
    pub bytes: u64,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, byte {}: {}", self.path.display(), self.offset, self.what)
    }
}

/// The findings of a check.
#[derive(Debug)]
pub struct Check {
    findings: std::vec::IntoIter<Finding>,
    records: u64,
}

impl Check {
    /// How many records were looked at.
    pub fn records(&self) -> u64 {
        self.records
    }
}

impl Iterator for Check {
    type Item = Finding;

    fn next(&mut self) -> Option<Finding> {
        self.findings.next()
    }
}

struct Checker<'a> {
    inner: &'a Inner,
    /// What the views should be.
    views: &'a Views,
    replay: Replay<'a>,
    findings: Vec<Finding>,
    records: u64,
    last_sequence: u64,
    /// What a deep check looks at besides.
    deep: Option<Deep<'a>>,
}

impl<'a> Checker<'a> {
    fn find(&mut self, path: &Path, offset: u64, what: impl Into<String>) {
        self.find_bytes(path, offset, 0, what);
    }

    fn find_bytes(&mut self, path: &Path, offset: u64, bytes: u64, what: impl Into<String>) {
        self.findings.push(Finding { path: path.to_owned(), offset, bytes, what: what.into() });
    }

    /// Where the error says; where it names no place, here.
    fn find_error(&mut self, path: &Path, offset: u64, error: Error) {
        match error {
            Error::Corrupt { path, offset, reason } => self.find(&path, offset, reason),
            error => self.find(path, offset, error.to_string()),
        }
    }

    fn chunk(&mut self, id: ChunkId, head: Option<u64>) -> Result<()> {
        let chunks = &self.inner.chunks;
        let chunk = match chunks.get(id) {
            Ok(chunk) => chunk,
            Err(error) => {
                self.find_error(chunks.folder.path(), 0, error);
                return Ok(());
            }
        };
        let end = match head.map_or_else(|| chunk.sealed_head(), Ok) {
            Ok(end) => end,
            Err(error) => {
                self.find_error(chunk.path(), PAGE_BYTES / 8, error);
                chunk.map.len()
            }
        };
        let views = self.views;
        views.live.reserve(id, 0, end, &mut |from, to| views.live_file.back(from, to))?;
        chunk.expect_scan(PAGE_BYTES..end)?;
        let mut walk = Walk::new(&chunk, chunks.seed, end, self.last_sequence);
        if let Some(deep) = &mut self.deep {
            deep.begin_chunk();
        }
        for step in walk.by_ref() {
            match step {
                Step::Record(record) => self.record(&chunk, &record)?,
                Step::Damage { from, to } => {
                    let bytes = to - from;
                    if let Some(deep) = &mut self.deep {
                        deep.is_damaged = true;
                    }
                    self.find_bytes(chunk.path(), from, bytes, format!("{bytes} bytes that are no record"));
                }
            }
        }
        self.last_sequence = walk.last_sequence();
        if head.is_none() {
            self.deep_seal(&chunk);
        }
        Ok(())
    }

    fn record(&mut self, chunk: &Chunk, record: &Record<'a>) -> Result<()> {
        self.records += 1;
        match record.header().kind {
            Kind::Type => {
                if let Err(error) = self.inner.learn_type(record) {
                    self.find_error(chunk.path(), record.offset(), error);
                }
            }
            Kind::Object | Kind::Extern => {
                if let Some(size) = self.element_size(record) {
                    if size == 0 || !self.inner.object_bytes(record).unwrap_or(0).is_multiple_of(size) {
                        let what = "the object's length is no multiple of its type's size";
                        self.find(chunk.path(), record.offset(), what);
                    } else {
                        self.deep_object(record);
                    }
                }
            }
            Kind::Tombstone | Kind::Other(_) => {}
        }
        self.deep_record(record);
        self.replay.push(record.clone())
    }

    fn element_size(&mut self, record: &Record<'a>) -> Option<u64> {
        match self.inner.stored_type(record.header().type_number) {
            Ok(stored) => Some(stored.layout.size()),
            Err(error) => {
                self.find_error(record.chunk.path(), record.offset(), error);
                None
            }
        }
    }

    /// No two current objects have one body. (Records do not overlap: a walk goes on behind each.)
    fn overlap(&mut self, record: &Record<'a>, owners: &mut HashMap<BodyNumber, Location>) -> Result<()> {
        let body = ExternPayload::decode(record.frozen_payload()).map(|pointer| pointer.body);
        if let Some(owner) = body.and_then(|body| owners.insert(body, record.location()))
            && let Some(owner) = self.inner.chunks.record(owner)?
        {
            let keys = [record, &owner].map(|record| crate::EscapedKey(record.key()).to_string());
            let what = format!("object {} has the same bytes as object {}", keys[0], keys[1]);
            self.find(record.chunk.path(), record.offset(), what);
        }
        Ok(())
    }

    /// The views in use against those that the log makes.
    fn views(&mut self, writer: &Writer) -> Result<()> {
        let inner = self.inner;
        let root = inner.root.path();
        let (is, should) = (inner.views.directory.len(), self.views.directory.len());
        if is != should {
            self.find(&root.join("directory"), 0, format!("it counts {is} objects, the log has {should}"));
        }
        let locations: Vec<_> = self.views.directory.locations().collect();
        let mut owners = HashMap::new();
        for location in locations {
            let Some(record) = inner.chunks.record(location)? else { continue };
            if record.header().kind == Kind::Type {
                let number = record.header().type_number;
                let is_it =
                    |other: &Record<'_>| other.header().kind == Kind::Type && other.key_is(record.key());
                let found = inner.look_up(inner.views.hashes.of_type(number), |location| {
                    Ok(inner.chunks.record(location)?.filter(is_it))
                });
                if !matches!(found, Ok(Some(_))) {
                    self.find(&root.join("directory"), 0, format!("type {number} is not found through it"));
                }
            }
            if !record.header().kind.is_object() {
                continue;
            }
            // An entry may lead to a chunk that does not exist: an error to whoever looks it up, a finding here.
            let found = inner.find(record.key()).ok().flatten();
            if found.map(|found| found.location()) != Some(location) {
                let what = format!("object {} is not found through it", crate::EscapedKey(record.key()));
                self.find(&root.join("directory"), 0, what);
            }
            if !inner.views.live.is_live(location) {
                let what = format!("object {} is not marked live", crate::EscapedKey(record.key()));
                self.find(&root.join("live"), 0, what);
            }
            if record.header().kind == Kind::Extern {
                if let Err(error) = inner.payload(&record) {
                    self.find_error(record.chunk.path(), record.offset(), error);
                }
                self.overlap(&record, &mut owners)?;
            }
        }
        for location in inner.views.directory.locations() {
            let chunk = inner.chunks.geometry.chunk(location);
            if !writer.chunks.contains(&chunk) {
                let what = format!("it leads to chunk {chunk}, which is not in the log");
                self.find(&root.join("directory"), 0, what);
            }
        }
        let count = |views: &Views| views.directory.locations().count();
        if count(&inner.views) != count(self.views) {
            let what = format!("it has {} entries, the log has {}", count(&inner.views), count(self.views));
            self.find(&root.join("directory"), 0, what);
        }
        for &id in &writer.chunks {
            let (is, should) = (&inner.views.live, &self.views.live);
            let counts = |live: &LiveMap| (live.live_records(id), live.live_bytes(id));
            // Those that an earlier version appended were not counted.
            let too_many = is.tombstone_bytes(id) > should.tombstone_bytes(id);
            if too_many {
                self.find(&root.join("live"), 0, format!("chunk {id}: it counts too many tombstones"));
            }
            if counts(is) != counts(should) {
                let what = format!("chunk {id}: counts {:?}, the log has {:?}", counts(is), counts(should));
                self.find(&root.join("live"), 0, what);
            } else if !is.marks_as(should, id) {
                self.find(
                    &root.join("live"),
                    0,
                    format!("chunk {id}: other records are marked than are current"),
                );
            }
        }
        Ok(())
    }
}

impl Store {
    /// Looks at every record, type, body and view but the index, and tells what is not as it should be, overlaps among it. Nothing is
    /// repaired. Puts, removes and new guards that change objects wait until it is done. [`Store::check_deep`] looks at more.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Forked`], and what the disk says.
    pub fn check(&self) -> Result<Check> {
        self.inner.check_open()?;
        if self.inner.is_forked() {
            return Err(Error::Forked);
        }
        check(&self.inner, &self.inner.lock_writer(), None)
    }
}

/// Walks the log, and compares the views with what it says.
fn check(inner: &Inner, writer: &Writer, deep: Option<Deep<'_>>) -> Result<Check> {
    let memory = Folder::in_memory(Faults::none());
    let first = writer.chunks.first().copied().unwrap_or(ChunkId(0));
    let objects = credible(inner.views.directory.len(), &inner.chunks, writer.chunks.iter().copied());
    let views = Views::create(&memory, &inner.identity, inner.epoch, first, objects)?;
    let mut checker = Checker {
        inner,
        views: &views,
        replay: Replay::new(&views, &inner.chunks),
        findings: Vec::new(),
        records: 0,
        last_sequence: 0,
        deep,
    };
    for &id in &writer.chunks {
        checker.chunk(id, (id == writer.active).then_some(writer.head))?;
    }
    std::mem::replace(&mut checker.replay, Replay::new(&views, &inner.chunks)).finish()?;
    checker.views(writer)?;
    if let Some(deep) = checker.deep.take() {
        deep.finish(&mut checker, writer)?;
    }
    Ok(Check { findings: checker.findings.into_iter(), records: checker.records })
}
