//! Where a log without `STORE` ends, and what lies behind that end.
//!
//! Nothing that could not be read is wiped. Where anything but zeroes lies behind the last whole record -- a record that is damaged,
//! pieces of one that was being written, a batch that was never finished -- the log goes on in a new chunk, and the seal of the old one
//! says that what lies behind is no part of it.

use super::{Findings, Survey};
use crate::chunk::{Chunk, ChunkRef, ChunkSet, Step, Walk};
use crate::disk::{Access, Folder};
use crate::error::{Error, Result};
use crate::format::{ChunkId, PAGE_BYTES, Seal};
use crate::map::Residents;
use std::sync::Arc;

const SEAL_OFFSET: u64 = 512;

/// The end of the log, and the numbers that go on from there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tail {
    pub active: ChunkId,
    pub head: u64,
    pub sequence: u64,
    pub next_type: u32,
    /// The highest epoch that left a trace.
    pub epoch: u64,
    /// Records behind the end, of a batch that was never finished.
    pub unfinished: u64,
}

/// What a chunk was found to hold.
struct Walked {
    id: ChunkId,
    /// Its seal; the last one in a log may be left over.
    seal: Option<Seal>,
    first_sequence: u64,
    last_sequence: u64,
    /// End of its last record that counts.
    head: u64,
    /// What lies behind that is in the findings, or is known.
    told: bool,
}

/// Walks all chunks and decides where the log ends. With `active`, the log is known to end there: only seals before it are mended.
pub(super) fn find_end(
    folder: &Folder,
    survey: &mut Survey,
    active: Option<ChunkId>,
    findings: &mut Findings,
) -> Result<Tail> {
    // One after the other: none stays mapped.
    let (folder, residents) = (folder.clone(), Arc::new(Residents::new(Some(0))));
    let Survey { uuid, geometry, features, .. } = *survey;
    let chunks = ChunkSet::new(folder, uuid, geometry, features, Access::Write, residents);
    let mut tail = Tail {
        // Of chunks without any record, the last one.
        active: survey.chunks.first().copied().unwrap_or(ChunkId(0)),
        head: PAGE_BYTES,
        sequence: 0,
        next_type: 1,
        epoch: 0,
        unfinished: 0,
    };
    let mut walked = Vec::new();
    for &id in survey.chunks.iter().take_while(|&&id| active.is_none_or(|active| id < active)) {
        let chunk = &chunks.get(id)?;
        walked.push(walk(chunk, &chunks, &mut tail)?);
    }
    if active.is_none() {
        decide(&chunks, survey, &mut walked, &mut tail, findings)?;
    }
    for chunk in walked.iter().filter(|chunk| active.is_some() || chunk.id < tail.active) {
        let file = &chunks.get(chunk.id)?;
        mend_seal(file, chunk, tail.epoch, findings)?;
    }
    Ok(tail)
}

fn walk(chunk: &ChunkRef<'_>, chunks: &ChunkSet, tail: &mut Tail) -> Result<Walked> {
    let seal = chunk.seal_mark();
    tail.epoch = tail.epoch.max(seal.map_or(0, |seal| seal.epoch));
    let before = tail.sequence;
    let to = match seal {
        Some(seal) => seal.head,
        None => chunk.written_end(PAGE_BYTES)?,
    };
    let mut walked = Walked {
        id: chunk.id,
        seal,
        first_sequence: 0,
        last_sequence: before,
        head: PAGE_BYTES,
        told: false,
    };
    let mut walk = Walk::new(chunk, chunks.seed, to, before);
    if seal.is_none() {
        walk = walk.with_whole_records();
    }
    for step in walk.by_ref() {
        let Step::Record(record) = step else { continue };
        let header = record.header();
        if walked.first_sequence == 0 {
            walked.first_sequence = header.sequence;
        }
        walked.last_sequence = header.sequence;
        tail.next_type = tail.next_type.max(header.type_number.saturating_add(1));
        walked.head = record.place().end;
        // A batch whose end did not reach the disk never happened.
        if header.flags.more {
            tail.unfinished += 1;
        } else {
            (tail.active, tail.head, tail.unfinished) = (chunk.id, walked.head, 0);
        }
    }
    if walked.first_sequence == 0 {
        walked.first_sequence = before + 1;
    }
    tail.sequence = walk.last_sequence();
    if tail.unfinished == 0 && tail.head == PAGE_BYTES && walked.head == PAGE_BYTES {
        tail.active = chunk.id;
    }
    Ok(walked)
}

/// Ends the log behind the last whole record: there, or in a new chunk where what follows must not be wiped.
fn decide(
    chunks: &ChunkSet,
    survey: &mut Survey,
    walked: &mut [Walked],
    tail: &mut Tail,
    findings: &mut Findings,
) -> Result<()> {
    let (mut dirty, mut last_is_empty) = (false, false);
    for last in walked.iter_mut().filter(|chunk| chunk.id >= tail.active) {
        let chunk = &chunks.get(last.id)?;
        let head = if last.id == tail.active { tail.head } else { PAGE_BYTES };
        let records = last.head.max(head);
        let end = chunk.written_end(head)?;
        last_is_empty = last.id > tail.active && end == head && last.seal.is_none();
        dirty |= end > head || last.id > tail.active && last.seal.is_some();
        // What an earlier rebuild left behind a seal is known.
        if end > records && last.seal.is_none_or(|seal| seal.head > records) {
            let bytes = end - records;
            let what =
                format!("{bytes} bytes behind the last record are no record; they are kept, out of the log");
            findings.bytes(chunk.path(), records, bytes, what);
        }
        last.seal = last.seal.filter(|seal| seal.head == head);
        (last.head, last.told) = (head, true);
    }
    if tail.unfinished > 0 {
        findings.note(format!("{} records of a batch that was never finished do not count", tail.unfinished));
    }
    if !dirty {
        // Empty ones were made ahead.
        survey.chunks.split_off(&tail.active.next());
    } else if let Some(last) = walked.last().filter(|_| last_is_empty) {
        (tail.active, tail.head) = (last.id, PAGE_BYTES);
    } else {
        let id = ChunkId(survey.next_chunk);
        if u64::from(id.0) + 1 >= chunks.geometry.chunk_limit() {
            return Err(Error::Exhausted { what: "chunk numbers" });
        }
        chunks.create(id, PAGE_BYTES)?.sync()?;
        survey.next_chunk += 1;
        survey.chunks.insert(id);
        (tail.active, tail.head) = (id, PAGE_BYTES);
    }
    Ok(())
}

/// Gives a chunk before the active one the seal that it must have.
fn mend_seal(chunk: &Chunk, walked: &Walked, epoch: u64, findings: &mut Findings) -> Result<()> {
    if walked.seal.is_some() {
        return Ok(());
    }
    let bytes = chunk.written_end(walked.head)? - walked.head;
    if !walked.told && (bytes > 0 || chunk.seal_is_damaged()) {
        let what = format!("the seal was damaged; {bytes} bytes behind the last record are out of the log");
        findings.bytes(chunk.path(), SEAL_OFFSET, bytes, what);
    }
    let seal = Seal {
        epoch,
        head: walked.head,
        first_sequence: walked.first_sequence,
        last_sequence: walked.last_sequence,
    };
    chunk
        .seal(&seal)
        .ok_or_else(|| Error::corrupt(chunk.path(), SEAL_OFFSET, "the file is shorter than it was"))?;
    chunk.sync()
}
