//! The bodies that the copy's current records point to.

use std::collections::BTreeMap;
use std::sync::atomic::{Ordering, fence};

use super::Job;
use crate::chunk::{Body, Record, WRITING};
use crate::error::{Error, Result};
use crate::format::{BodyNumber, ExternPayload, FileName, Kind, Location};
use crate::store::Finding;

impl Job<'_> {
    pub(super) fn copy_bodies(&mut self) -> Result<()> {
        let mut needed: BTreeMap<BodyNumber, Location> = BTreeMap::new();
        for location in self.views.directory.locations() {
            let Some(record) = self.copied.record(location)? else { continue };
            if record.header().kind != Kind::Extern {
                continue;
            }
            match ExternPayload::decode(record.frozen_payload())
                .filter(|_| record.payload_checksum_holds(self.copied.seed))
            {
                Some(pointer) => {
                    needed.insert(pointer.body, location);
                }
                None => self.damaged(&record, "the pointer to a body is damaged")?,
            }
        }
        for &number in needed.keys() {
            if let Ok(body) = self.inner.bodies.get(number) {
                self.done.of_bytes += body.allocated_bytes()?;
            }
        }
        for (number, location) in needed {
            let Some(record) = self.inner.chunks.record(location)? else { continue };
            match self.inner.bodies.get(number) {
                Ok(body) => self.copy_body(&record, &body)?,
                // The source has lost it, and so has the copy.
                Err(error) if error.is_corrupt() || error.is_absent() => {
                    self.damaged(&record, &error.to_string())?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn copy_body(&mut self, record: &Record<'_>, body: &Body) -> Result<()> {
        let file = self.target.chunks.create_file(&FileName::of_body(body.number))?;
        let before = record.version_word(Ordering::SeqCst);
        body.copy_into(&file, &mut |bytes| self.tell(bytes))?;
        fence(Ordering::SeqCst);
        // Whoever has changed it since it was moved or renamed has left word at another record.
        let stood_still = before & WRITING == 0
            && record.version_word(Ordering::SeqCst) == before
            && self.inner.is_current(record).unwrap_or(false);
        if !stood_still {
            self.while_borrowed(record, || body.copy_into(&file, &mut |_| self.inner.check_open()))?;
        }
        file.sync_data()
    }

    fn damaged(&mut self, record: &Record<'_>, what: &str) -> Result<()> {
        let id = record.chunk.id;
        let path = self.inner.chunks.get(id)?.path().to_owned();
        let what = format!("object {}: {what}", crate::EscapedKey(record.key()));
        self.report.findings.push(Finding { path, offset: record.offset(), bytes: 0, what });
        Ok::<(), Error>(())
    }
}
