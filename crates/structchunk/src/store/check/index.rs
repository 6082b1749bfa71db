//! The index on disk against the log.

use std::ops::Bound;

use super::super::ordered::{INDEX, IndexFound};
use super::Checker;
use super::deep::Deep;
use crate::EscapedKey;
use crate::chunk::Record;
use crate::error::Result;
use crate::format::{IndexValue, Location};
use crate::index::Direction;

/// More keys than this are not named one by one.
const MOST_NAMED: usize = 100;

impl<'a> Checker<'a> {
    /// Compares the index with the objects that were current at its end, and still are. (What was changed behind it will be caught
    /// up with, and may have been in part by one that died; and where records are missing there, all of it is made anew.)
    pub(super) fn index(&mut self, deep: &Deep<'_>) -> Result<()> {
        let path = self.inner.root.path().join(INDEX);
        let (index, end) = match &deep.index {
            IndexFound::None => return Ok(()),
            IndexFound::Useless(what) => {
                self.find(&path, 0, what.as_str());
                return Ok(());
            }
            IndexFound::Some { index, mark, .. } => (index, mark.sequence),
        };
        if deep.gap.is_some_and(|sequence| sequence > end + 1) {
            return Ok(());
        }
        let (mut right, mut wrong) = (0_u64, Vec::new());
        let mut failed = None;
        let mut visit = |key: &[u8], value: &[u8]| {
            let mut look = || -> Result<()> {
                let current = self.current(key)?.map(|record| (record.location(), record.header().sequence));
                let says = IndexValue::decode(value).map(|value| (value.location, value.sequence));
                if current.is_some_and(|(_, sequence)| sequence > end) {
                    return Ok(());
                }
                if current.is_some() && says == current {
                    right += 1;
                } else if current.is_some() {
                    right += 1;
                    wrong.push(format!("it leads elsewhere for {}", EscapedKey(key)));
                } else if !deep.deleted.contains(&self.inner.views.hashes.of_key(key)) {
                    wrong.push(format!("it has {}, which is no object", EscapedKey(key)));
                }
                Ok(())
            };
            failed = look().err();
            failed.is_none() && wrong.len() < MOST_NAMED
        };
        let read = index.read(Bound::Unbounded, Direction::Forward, &mut visit);
        if let Some(error) = failed {
            return Err(error);
        }
        let is_cut = wrong.len() >= MOST_NAMED;
        for what in wrong {
            self.find(&path, 0, what);
        }
        match read {
            Err(error) if error.is_corrupt() => self.find(&path, 0, error.to_string()),
            Err(error) => return Err(error),
            Ok(()) if is_cut => self.find(&path, 0, "and more; the index is of no use"),
            Ok(()) => self.missing(deep, end, right)?,
        }
        Ok(())
    }

    /// The record that the log has under a key.
    fn current(&self, key: &[u8]) -> Result<Option<Record<'a>>> {
        let (views, chunks) = (self.views, &self.inner.chunks);
        let (_, record) =
            views.slot_where(chunks, views.hashes.of_key(key), |record| record.is_object_under(key))?;
        Ok(record)
    }

    /// Names objects that the index should have: `right` of them it has.
    fn missing(&mut self, deep: &Deep<'_>, end: u64, right: u64) -> Result<()> {
        let IndexFound::Some { index, .. } = &deep.index else { return Ok(()) };
        let mut expected = Vec::new();
        for location in self.views.directory.locations() {
            if self.is_due(location, end)? {
                expected.push(location);
            }
        }
        if expected.len() as u64 == right {
            return Ok(());
        }
        let path = self.inner.root.path().join(INDEX);
        let mut named = 0;
        for location in expected {
            let Some(record) = self.inner.chunks.record(location)? else { continue };
            let mut is_there = false;
            index.read(Bound::Included(record.key()), Direction::Forward, &mut |key, _| {
                is_there = key == record.key();
                false
            })?;
            if !is_there && named < MOST_NAMED {
                named += 1;
                self.find(&path, 0, format!("it does not have {}", EscapedKey(record.key())));
            }
        }
        Ok(())
    }

    /// Whether there is an object that was there already when the index ended.
    fn is_due(&self, location: Location, end: u64) -> Result<bool> {
        let record = self.inner.chunks.record(location)?;
        Ok(record.is_some_and(|record| {
            let header = record.header();
            header.kind.is_object() && header.sequence <= end
        }))
    }
}
