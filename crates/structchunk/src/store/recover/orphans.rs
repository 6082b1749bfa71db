//! Files that a recovery finds and nothing points to.

use std::collections::HashSet;

use super::Situation;
use crate::error::Result;
use crate::format::{BodyNumber, ExternPayload, FileName, Kind, PAGE_BYTES};
use crate::store::extent::Log;
use crate::store::report::RecoveryReport;
use crate::store::views::Views;

impl Situation<'_> {
    /// The bodies that current records point to; `None` where that cannot be known, because something is damaged.
    fn needed_bodies(
        &self,
        views: &Views,
        report: &mut RecoveryReport,
    ) -> Result<Option<HashSet<BodyNumber>>> {
        let mut needed = HashSet::new();
        let mut known = !report.damaged;
        for location in views.directory.locations() {
            if let Some(record) = self.chunks.record(location)?
                && record.header().kind == Kind::Extern
            {
                let pointer = ExternPayload::decode(record.frozen_payload());
                known &= pointer.is_some() && record.payload_checksum_holds(self.chunks.seed);
                needed.extend(pointer.map(|pointer| pointer.body));
            }
        }
        if !known {
            report.dropped.push(
                "bodies that nothing points to are kept: what is damaged may have pointed to them".into(),
            );
        }
        Ok(known.then_some(needed))
    }

    /// Whether a file was never used: it is not finished, or a chunk without records.
    fn is_empty(&self, name: &str) -> bool {
        match FileName::parse(name) {
            FileName::Temporary(_) => true,
            FileName::Chunk(id) => {
                let written = self.chunks.get(id).and_then(|chunk| chunk.written_end(PAGE_BYTES));
                written.is_ok_and(|end| end == PAGE_BYTES)
            }
            FileName::Body(_) | FileName::Unknown => false,
        }
    }

    /// Removes bodies that no current record points to, where that is known; chunks behind the end and files that were not finished,
    /// in any case: the log goes on behind their numbers, and would have them as its own.
    pub(super) fn remove_orphans(
        &self,
        log: &mut Log,
        views: &Views,
        report: &mut RecoveryReport,
    ) -> Result<()> {
        if log.others.is_empty() {
            return Ok(());
        }
        let needed = self.needed_bodies(views, report)?;
        for name in std::mem::take(&mut log.others) {
            let name = match name {
                FileName::Body(number) if needed.as_ref().is_none_or(|needed| needed.contains(&number)) => {
                    continue;
                }
                FileName::Body(number) => FileName::of_body(number),
                FileName::Chunk(id) => FileName::of_chunk(id),
                FileName::Temporary(name) => name,
                FileName::Unknown => continue,
            };
            if self.keeps_files && !self.is_empty(&name) {
                let aside = self.chunks.folder.put_aside(&name)?;
                report.dropped.push(format!("{name}, which nothing points to, is kept as {aside}"));
                continue;
            }
            self.chunks.folder.remove(&name)?;
            report.removed_files.push(name);
        }
        Ok(())
    }
}
