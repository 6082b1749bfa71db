//! Giving an object another key.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use super::batch::{Change, New, TypeOf};
use super::borrow::Subject;
use super::log::FRESH_VERSION;
use super::mutate::OldClaim;
use super::{Inner, Store};
use crate::chunk::Record;
use crate::error::{Error, Result};
use crate::format::{BodyNumber, Kind};
use crate::map::Buffer;

impl Inner {
    /// The object of a record, as a batch puts it under another key. A body is not copied: the new record points to it.
    fn moved<'a>(&'a self, record: &Record<'a>) -> Result<New<'a>> {
        // What is sealed stays so, under any key.
        let sealed = record.is_sealed().then(|| record.version_word(Ordering::Acquire));
        let (payload, version_word) = match record.header().kind {
            Kind::Extern => {
                let pointer = self.extern_payload(record)?.encode();
                let checksum = u64::from(self.chunks.seed.payload_checksum(&pointer));
                (Buffer::copy_of(&pointer)?, checksum << 32 | FRESH_VERSION)
            }
            _ => (Buffer::copy_of(&self.copy_settled_bytes(record, u64::MAX)?)?, FRESH_VERSION),
        };
        Ok(New {
            kind: record.header().kind,
            flags: record.header().flags,
            align_log2: record.header().align_log2,
            shape: record.extension().shape,
            payload,
            payload_length: record.header().payload_length,
            version_word: sealed.unwrap_or(version_word),
            body: None,
            number: TypeOf::Stored(record.header().type_number),
        })
    }
}

impl Store {
    /// Gives the object under `from` the key `to`, at once; whether there was one. Large objects are not copied.
    ///
    /// # Durability
    /// As for [`Store::put`].
    ///
    /// # Errors
    /// [`Error::KeyExists`] when there is an object under `to` (unless it is the same key), [`Error::Busy`] while somebody
    /// changes the object, or another process refers to atomics in a large one, and as for [`Store::put`]. Nothing has changed then.
    pub fn rename(&self, from: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Result<bool> {
        let (from, to) = (from.as_ref(), to.as_ref());
        let inner = &*self.inner;
        Inner::check_key(from)?;
        Inner::check_key(to)?;
        inner.rename(from, to)
    }
}

impl Inner {
    /// The body of an object that other processes may refer to in order to change it.
    fn body_of_shared(&self, record: &Record<'_>) -> Result<Option<BodyNumber>> {
        let may_be = self.shares_changes && record.header().kind == Kind::Extern && !record.is_sealed();
        if may_be { Ok(Some(self.extern_payload(record)?.body)) } else { Ok(None) }
    }

    fn rename(&self, from: &[u8], to: &[u8]) -> Result<bool> {
        let mut deadline = self.patience(true);
        loop {
            let mut writer = self.begin_change()?;
            let (_, old) = self.slot_of(from, self.views.hashes.of_key(from))?;
            let Some(old) = old else { return Ok(false) };
            if from == to {
                return Ok(true);
            }
            if self.slot_of(to, self.views.hashes.of_key(to))?.1.is_some() {
                return Err(Error::KeyExists { key: to.to_vec() });
            }
            if self.borrows.is_exclusive(Subject::of(&old)) {
                drop(writer);
                self.wait_for_writer(&old, &mut deadline)?;
                continue;
            }
            let claim = match self.claim_to_move(&old)? {
                OldClaim::Free(claim) => claim,
                OldClaim::Busy => {
                    drop(writer);
                    Self::wait_for_claim(Some(&old), &mut deadline)?;
                    continue;
                }
            };
            // Whoever refers to its atomics leaves word at the record that led there; so not under such a reference.
            let _alone = match self.body_of_shared(&old)? {
                None => None,
                Some(body) => match self.hold_body_alone(body) {
                    None => {
                        drop(claim);
                        drop(writer);
                        Self::wait_for_claim(Some(&old), &mut deadline)?;
                        continue;
                    }
                    held => held,
                },
            };
            self.keep_body_dirty(&mut writer, &old)?;
            let mut changes = BTreeMap::new();
            changes.insert(to.to_vec(), Change::Put(self.moved(&old)?));
            changes.insert(from.to_vec(), Change::Remove { moved: true });
            self.commit_locked(&mut writer, &mut changes)?;
            drop(claim);
            return Ok(true);
        }
    }
}
