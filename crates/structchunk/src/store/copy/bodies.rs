//! The bodies that the copy's current records point to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{Ordering, fence};

use super::Job;
use crate::chunk::{Body, BodyRef, Record, is_odd};
use crate::disk::{Access, File};
use crate::error::{Error, Result};
use crate::format::{BodyNumber, ExternPayload, FileName, Location};
use crate::store::Finding;

/// So many bodies are open at a time where the writer, in another process, may unlink them: who has one open has it for good.
const AT_ONCE: usize = 128;

/// What is known of the source's bodies.
#[derive(Default)]
pub(super) struct Bodies {
    /// Those that are copied: as which record, and which version of it.
    copied: BTreeMap<BodyNumber, (Location, u64)>,
    /// Those that were gone when they were looked for.
    absent: BTreeSet<BodyNumber>,
    /// Those that the source has lost, and so has the copy.
    lost: BTreeSet<BodyNumber>,
    /// The records of those that somebody who died had left half changed when they were copied.
    pub(super) torn: BTreeSet<Location>,
}

impl Job<'_> {
    /// Copies the bodies of the cut. With a key where one is gone, or has changed its record: then a later cut has to serve.
    pub(super) fn copy_bodies(&mut self) -> Result<Option<Vec<u8>>> {
        let needed = self.needed_bodies()?;
        self.remove_unneeded(&needed)?;
        let (mut missed, mut superseded) = (None, Vec::new());
        let pending: Vec<_> = needed.into_iter().filter(|body| !self.is_copied(*body)).collect();
        let at_once = if self.inner.follows() { AT_ONCE } else { 1 };
        for &(number, _) in pending.iter().filter(|_| !self.inner.follows()) {
            self.done.of_bytes += self.inner.bodies.get(number).map_or(Ok(0), |it| it.allocated_bytes())?;
        }
        for part in pending.chunks(at_once) {
            let mut open: Vec<(Record<'_>, BodyRef)> = Vec::new();
            for &(number, location) in part {
                let Some(record) = self.inner.chunks.record(location)? else { continue };
                match self.inner.bodies.get(number) {
                    Ok(body) => open.push((record, body)),
                    // It was superseded behind the cut, unless it is needed by the next one as well.
                    Err(error)
                        if error.is_absent() && self.inner.follows() && self.bodies.absent.insert(number) =>
                    {
                        missed = Some(record.key().to_vec());
                    }
                    Err(error) if error.is_corrupt() || error.is_absent() => {
                        self.bodies.lost.insert(number);
                        self.damaged(&record, &error.to_string())?;
                    }
                    Err(error) => return Err(error),
                }
            }
            for (record, body) in open {
                if self.inner.follows() {
                    self.done.of_bytes += body.allocated_bytes()?;
                }
                let version = self.copy_body(&record, &body)?;
                self.bodies.copied.insert(body.number, (record.location(), version));
                if self.inner.follows() && !self.inner.is_current(&record).unwrap_or(false) {
                    superseded.push((body.number, record.key().to_vec()));
                }
            }
        }
        if !superseded.is_empty() {
            // Nobody changes it any more, unless as the object of another record.
            let renamed = self.inner.externs_since(self.cut.end(), self.last_sequence)?;
            let gone_on = superseded
                .into_iter()
                .find(|(number, _)| renamed.as_ref().is_none_or(|renamed| renamed.contains_key(number)));
            missed = missed.or(gone_on.map(|(_, key)| key));
        }
        Ok(missed)
    }

    /// The bodies of the cut, and the records that lead to them.
    fn needed_bodies(&mut self) -> Result<BTreeMap<BodyNumber, Location>> {
        let mut needed: BTreeMap<BodyNumber, Location> = BTreeMap::new();
        let live = &self.views.live;
        self.externs.retain(|location| live.is_live(*location));
        for location in self.externs.clone() {
            let Some(record) = self.copied.record(location)? else { continue };
            match ExternPayload::decode(record.frozen_payload())
                .filter(|_| record.payload_checksum_holds(self.copied.seed))
            {
                Some(pointer) => {
                    needed.insert(pointer.body, location);
                }
                None => self.damaged(&record, "the pointer to a body is damaged")?,
            }
        }
        if let Some((last, _)) = needed.last_key_value() {
            let next = last.0.saturating_add(1);
            self.cut.checkpoint.next_body = self.cut.checkpoint.next_body.max(next);
        }
        Ok(needed)
    }

    /// Removes what was copied for an earlier cut, and has been superseded before this one.
    fn remove_unneeded(&mut self, needed: &BTreeMap<BodyNumber, Location>) -> Result<()> {
        for (number, _) in self.bodies.copied.extract_if(.., |number, _| !needed.contains_key(number)) {
            self.target.chunks.remove(&FileName::of_body(number))?;
        }
        Ok(())
    }

    /// Whether there is nothing more to do about a body. Where it was copied for an earlier cut, it may have changed since.
    fn is_copied(&self, (number, location): (BodyNumber, Location)) -> bool {
        let version = || {
            let record = self.inner.chunks.record(location).ok().flatten()?;
            Some((location, record.version_word(Ordering::SeqCst)))
        };
        let copied = self.bodies.copied.get(&number);
        self.bodies.lost.contains(&number) || copied.is_some() && copied == version().as_ref()
    }

    /// Copies a body; with the version that its record had.
    fn copy_body(&mut self, record: &Record<'_>, body: &Body) -> Result<u64> {
        let name = FileName::of_body(body.number);
        let file = if self.bodies.copied.contains_key(&body.number) {
            self.target.chunks.open_file(&name, Access::Write)?
        } else {
            self.target.chunks.create_file(&name)?
        };
        let version = if self.inner.sees_no_borrows() {
            self.copy_body_of_others(record, body, &file)?
        } else {
            self.copy_own_body(record, body, &file)?
        };
        file.sync_data()?;
        Ok(version)
    }

    fn copy_own_body(&mut self, record: &Record<'_>, body: &Body, file: &File) -> Result<u64> {
        let before = record.version_word(Ordering::SeqCst);
        body.copy_into(file, &mut |bytes| self.tell(bytes))?;
        fence(Ordering::SeqCst);
        // Whoever has changed it since it was moved or renamed has left word at another record.
        let stood_still = !is_odd(before)
            && record.version_word(Ordering::SeqCst) == before
            && self.inner.is_current(record).unwrap_or(false);
        if !stood_still {
            self.while_borrowed(record, || body.copy_into(file, &mut |_| self.inner.check_open()))?;
        }
        Ok(before)
    }

    fn copy_body_of_others(&mut self, record: &Record<'_>, body: &Body, file: &File) -> Result<u64> {
        let inner = self.inner;
        let mut told = false;
        let (version, mut is_torn) = inner.steadily_or_left(record, || {
            body.copy_into(file, &mut |bytes| if told { inner.check_scan() } else { self.tell(bytes) })?;
            told = true;
            Ok(record.version_word(Ordering::SeqCst))
        })?;
        if inner.shares_changes && !inner.follows() && !inner.is_current(record).unwrap_or(false) {
            is_torn = self.copy_body_gone_on(record, body, file)?.unwrap_or(is_torn);
        }
        // What is half changed is named.
        let location = record.location();
        if is_torn {
            self.bodies.torn.insert(location);
            self.unsettled.insert(location);
        } else {
            self.bodies.torn.remove(&location);
        }
        Ok(version)
    }

    /// Copies a body once more that this process has given another record, by moving or renaming it, while other processes may change it: they
    /// go by the word of that one. (Of a store that another process writes, a later cut serves.) Whether it is half changed, where a record leads to it.
    fn copy_body_gone_on(&self, record: &Record<'_>, body: &Body, file: &File) -> Result<Option<bool>> {
        let inner = self.inner;
        let copy = || body.copy_into(file, &mut |_| inner.check_scan());
        let (mut deadline, mut before) = (inner.patience(true), None);
        while !deadline.is_over() {
            let Some(records) = inner.externs_since(self.cut.end(), self.last_sequence)? else { continue };
            let newest = records.get(&body.number).copied();
            let now = newest.map_or(Ok(None), |location| inner.chunks.record(location))?;
            if let Some(now) = &now
                && inner.is_current(now).unwrap_or(false)
            {
                let ((), is_torn) = inner.steadily_or_left(now, copy)?;
                if inner.is_current(now).unwrap_or(false) {
                    return Ok(Some(is_torn));
                }
            } else if before.replace(newest) == Some(newest) {
                // It was superseded when it was looked at before, and nothing leads to it since: nobody changes it any more.
                return copy().map(|()| None);
            }
        }
        Err(Error::Busy { key: record.key().to_vec() })
    }

    fn damaged(&mut self, record: &Record<'_>, what: &str) -> Result<()> {
        let id = record.chunk.id;
        let path = self.inner.chunks.get(id)?.path().to_owned();
        let what = format!("object {}: {what}", crate::EscapedKey(record.key()));
        let finding = Finding { path, offset: record.offset(), bytes: 0, what };
        // It may have been found for an earlier cut.
        if !self.report.findings.contains(&finding) {
            self.report.findings.push(finding);
        }
        Ok::<(), Error>(())
    }
}
