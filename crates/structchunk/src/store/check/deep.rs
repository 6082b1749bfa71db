//! What a deep check looks at besides: shapes, places, superseded records, seals, files that nothing names, and the index.

use std::collections::{BTreeSet, HashSet};
use std::ops::RangeInclusive;
use std::sync::atomic::Ordering;

use super::super::ordered::IndexFound;
use super::super::report::Found;
use super::super::{Inner, Store, inner::Writer};
use super::{Check, Checker, check};
use crate::chunk::{Chunk, Record};
use crate::error::{Error, Result};
use crate::format::{BodyNumber, ChunkId, ExternPayload, FileName, Kind, Location, SECTOR_BYTES};
use crate::layout::Shape;
use crate::protocol::WRITING;

/// What a deep check gathers on its way through the log.
pub(super) struct Deep<'a> {
    /// Bodies and chunks that wait to be given back, and may have lost the record that named them.
    retiring: (HashSet<BodyNumber>, BTreeSet<ChunkId>),
    pub index: IndexFound<'a>,
    /// The hashes of keys that were deleted behind the end of the index.
    pub deleted: HashSet<u64>,
    /// The sequence behind which records are missing, so far.
    pub gap: Option<u64>,
    /// Bodies that any record names.
    named: HashSet<BodyNumber>,
    /// Extern records whose pointer cannot be believed.
    damaged_pointers: Vec<Location>,
    /// A stretch of the chunk is no record.
    pub is_damaged: bool,
    /// The sequences of this chunk's records.
    sequences: Option<RangeInclusive<u64>>,
    types_here: HashSet<u32>,
    last_sequence: u64,
}

impl<'a> Deep<'a> {
    fn new(index: IndexFound<'a>, retiring: (HashSet<BodyNumber>, BTreeSet<ChunkId>)) -> Self {
        Self {
            retiring,
            index,
            deleted: HashSet::new(),
            gap: None,
            named: HashSet::new(),
            damaged_pointers: Vec::new(),
            is_damaged: false,
            sequences: None,
            types_here: HashSet::new(),
            last_sequence: 0,
        }
    }

    pub(super) fn begin_chunk(&mut self) {
        self.is_damaged = false;
        self.sequences = None;
        self.types_here.clear();
    }

    fn note(&mut self, inner: &Inner, record: &Record<'_>) {
        let header = record.header();
        let sequence = header.sequence;
        if sequence != self.last_sequence + 1 {
            self.gap = Some(sequence);
        }
        self.last_sequence = sequence;
        let first = self.sequences.as_ref().map_or(sequence, |sequences| *sequences.start());
        self.sequences = Some(first..=sequence);
        match header.kind {
            Kind::Tombstone if sequence > self.index.sequence() => {
                self.deleted.insert(inner.views.hashes.of_record(record));
            }
            Kind::Extern => {
                let pointer = ExternPayload::decode(record.frozen_payload());
                self.named.extend(pointer.map(|pointer| pointer.body));
                if inner.extern_payload(record).is_err() {
                    self.damaged_pointers.push(record.location());
                }
            }
            _ => {}
        }
    }

    /// What can be said only when all of the log is known.
    pub(super) fn finish(self, checker: &mut Checker<'_>, writer: &Writer) -> Result<()> {
        for &location in &self.damaged_pointers {
            // Those of current objects are found by the way.
            if !checker.views.live.is_live(location)
                && let Some(record) = checker.inner.chunks.record(location)?
                && let Err(error) = checker.inner.extern_payload(&record)
            {
                checker.find(record.chunk.path(), record.offset(), format!("{error} (it is superseded)"));
            }
        }
        self.leftovers(checker, writer)?;
        checker.index(&self)
    }

    /// Files that belong to nothing.
    fn leftovers(&self, checker: &mut Checker<'_>, writer: &Writer) -> Result<()> {
        let inner = checker.inner;
        let is_left = inner.read_only && !matches!(inner.report.found, Found::Clean | Found::ViewsLost);
        if is_left || inner.poisoned.get().is_some() {
            // The recovery that is due removes what it finds. (What a failed sync was about to give back is on no list any more.)
            return Ok(());
        }
        let folder = inner.chunks.folder.path();
        let (bodies, chunks) = &self.retiring;
        let mut names = inner.chunks.folder.list()?;
        names.sort();
        for name in names {
            let (is_ours, what) = match FileName::parse(&name) {
                FileName::Body(number) => {
                    let waits = bodies.contains(&number) || writer.superseded.contains(&number);
                    (waits || self.named.contains(&number), "no record names this body")
                }
                FileName::Chunk(id) => {
                    let waits = chunks.contains(&id) || writer.dropped.contains(&id);
                    let is_spare = writer.spares.iter().any(|(spare, _)| *spare == id);
                    (waits || is_spare || writer.chunks.contains(&id), "the log does not have this chunk")
                }
                FileName::Temporary(_) | FileName::Unknown => continue,
            };
            if !is_ours {
                checker.find(&folder.join(&name), 0, what);
            }
        }
        Ok(())
    }
}

impl<'a> Checker<'a> {
    /// What a record says, whatever came of it later.
    pub(super) fn deep_record(&mut self, record: &Record<'a>) {
        let Some(deep) = &mut self.deep else { return };
        deep.note(self.inner, record);
        let header = record.header();
        let number = header.type_number;
        let what = match header.kind {
            Kind::Type => {
                deep.types_here.insert(number);
                let stored = self.inner.types.met(number);
                let differs = stored.is_some_and(|stored| stored.encoding != record.frozen_payload());
                (differs && record.payload_checksum_holds(self.inner.chunks.seed))
                    .then(|| format!("type {number} is another one here than before"))
            }
            Kind::Object | Kind::Extern => (!deep.types_here.contains(&number))
                .then(|| format!("the chunk has no record of type {number} before its objects")),
            Kind::Tombstone | Kind::Other(_) => None,
        };
        if let Some(what) = what {
            // Told once for each chunk.
            deep.types_here.insert(number);
            self.find(record.chunk.path(), record.offset(), what);
        }
    }

    /// Whether shape and place of an object fit its type, and a sealed one is as it was. Its length is a multiple of the type's size.
    pub(super) fn deep_object(&mut self, record: &Record<'a>) {
        if self.deep.is_none() {
            return;
        }
        // (What is superseded may have become a hole.)
        if record.is_sealed() && self.inner.views.live.is_live(record.location()) {
            let odd = record.version_word(Ordering::Relaxed) & WRITING != 0;
            let what = match self.inner.seal_holds(record) {
                Ok(true) if odd => Some("the object is sealed, and its version is odd".into()),
                Ok(true) => None,
                Ok(false) => {
                    Some("the object is sealed, and is not what was sealed: its checksum differs".into())
                }
                Err(error) => Some(error.to_string()),
            };
            if let Some(what) = what {
                self.find(record.chunk.path(), record.offset(), what);
            }
        }
        let header = record.header();
        let (Ok(stored), Ok(bytes)) =
            (self.inner.stored_type(header.type_number), self.inner.object_bytes(record))
        else {
            return;
        };
        let elements = bytes / stored.layout.size();
        let extension = record.extension();
        let shape = Shape::new(&extension.shape).and_then(|shape| shape.elements());
        let what = if header.flags.array && (extension.shape.is_empty() || shape != Some(elements)) {
            let shape = extension.shape;
            Some(format!("the array has {elements} elements, its shape is {shape:?}"))
        } else if !header.flags.array && elements != 1 {
            Some(format!("the object is no array, and has the length of {elements} of its type"))
        } else if header.kind == Kind::Object
            && !record.place().payload.is_multiple_of(u64::from(stored.layout.align()))
        {
            Some(format!("the object is not aligned as its type: to {} bytes", stored.layout.align()))
        } else {
            None
        };
        if let Some(what) = what {
            self.find(record.chunk.path(), record.offset(), what);
        }
    }

    /// Whether the seal of a full chunk says what lies in it.
    pub(super) fn deep_seal(&mut self, chunk: &Chunk) {
        let Some(deep) = &self.deep else { return };
        let (Some(seal), false) = (chunk.seal_mark(), deep.is_damaged) else { return };
        let says =
            (seal.first_sequence <= seal.last_sequence).then_some(seal.first_sequence..=seal.last_sequence);
        if says != deep.sequences {
            let what = format!("the seal has the sequences {says:?}, the records {:?}", deep.sequences);
            self.find(chunk.path(), SECTOR_BYTES as u64, what);
        }
    }
}

impl Store {
    /// [`Store::check`], and besides: whether sealed objects are what was sealed; whether shapes fit the lengths of arrays, and alignments their types; whether each chunk can be
    /// decoded on its own; the checksums of what is superseded; what seals say; bodies and chunks that nothing names (where no
    /// recovery is due that would remove them); and every key of the index on disk against the log, as far as the index goes.
    ///
    /// Nothing is repaired, and nothing in the store is written: an index that is not open is looked at in a folder of its own below the
    /// system's for temporary files, where its tables are links.
    ///
    /// # Errors
    /// As for [`Store::check`], and [`Error::Forked`]: the index is its parent's.
    pub fn check_deep(&self) -> Result<Check> {
        let inner = &*self.inner;
        inner.check_open()?;
        if inner.is_forked() {
            return Err(Error::Forked);
        }
        // Whoever syncs gives files back; whoever scans works on the index.
        let checkpoints = inner.lock_checkpoints();
        let index = inner.find_index()?;
        let writer = inner.lock_writer();
        let retiring = (checkpoints.retiring.iter().copied().collect(), checkpoints.retiring_chunks.clone());
        check(inner, &writer, Some(Deep::new(index, retiring)))
    }
}
