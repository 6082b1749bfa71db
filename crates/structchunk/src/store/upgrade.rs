//! Objects of older layouts, written anew as the type that extends them.

use std::collections::HashMap;
use std::ops::ControlFlow;

use super::evolve::Older;
use super::loan::Space;
use super::write::{Change, Condition, Description, Outcome};
use super::{Inner, Store};
use crate::chunk::Record;
use crate::error::{Error, Result};
use crate::format::PAGE_BYTES;
use crate::layout::Evolves;

/// How often [`Store::upgrade_all_with`] tells how far it is, in objects.
const STRIDE: u64 = 256;

/// What became of the objects that [`Store::upgrade_all`] met.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Upgraded {
    /// How many were written anew.
    pub rewritten: u64,
    /// How many had the new layout already.
    pub current: u64,
    /// How many have a layout that the type does not say it extends.
    pub others: u64,
    /// How many could not be upgraded: somebody held them for longer than the busy timeout, or they could not be read.
    pub left: u64,
    /// Why the first of these could not.
    pub reason: Option<Error>,
    /// Whether every object was looked at. False while it goes on, and when it was ended early.
    pub finished: bool,
}

impl Upgraded {
    /// How many objects were looked at.
    pub fn seen(&self) -> u64 {
        self.rewritten + self.current + self.others + self.left
    }

    fn leave(&mut self, error: Error) {
        self.left += 1;
        self.reason.get_or_insert(error);
    }
}

/// What is to be done with objects of one stored type.
enum Plan {
    Current,
    Other,
    Old,
    /// Its type cannot be read; whoever asks again gets the reason again.
    Unknown,
}

impl Inner {
    /// Writes the object under a key anew, if it has an older layout; whether it did. `check` may refuse it.
    fn upgrade<'a, T: Evolves + ?Sized>(
        &'a self,
        key: &[u8],
        check: impl Fn(&Older<'a>) -> Result<()>,
        current: impl Fn(&Record<'a>) -> Result<()>,
    ) -> Result<bool> {
        let mut gone = None;
        loop {
            let Some(record) = self.find(key)? else { return Ok(false) };
            let Some(conversion) = self.conversion_of::<T>(&record)? else {
                return current(&record).map(|()| false);
            };
            Self::check_not_sealed(&record)?;
            let older = match self.hold_older(&record, conversion) {
                // The object was replaced meanwhile, and its body given back: look again, unless nobody did.
                Err(error) if error.is_absent() && gone != Some(record.location()) => {
                    gone = Some(record.location());
                    continue;
                }
                older => older?,
            };
            check(&older)?;
            // Only in place of the record that was read, whose bytes nobody changes while `older` lives.
            if self.rewrite::<T>(key, &older)? == Outcome::Stored {
                return Ok(true);
            }
        }
    }

    fn rewrite<T: Evolves + ?Sized>(&self, key: &[u8], older: &Older<'_>) -> Result<Outcome> {
        let header = older.record.header();
        let mut description = Description::with_shape::<T>(&older.record.extension().shape)?;
        description.flags.array = header.flags.array;
        let condition = Condition::Sequence(header.sequence);
        let change = Change { key, condition, deadline: self.patience(true), sure: false };
        if older.new_bytes > self.chunks.geometry.largest_inline() {
            // What takes no space goes on taking none; what is backed stays backed.
            let backed = older.payload.body().map_or(Ok(true), |body| {
                body.allocated_bytes().map(|allocated| allocated >= body.payload_bytes)
            })?;
            let body =
                self.begin_body(older.new_bytes, if backed { Space::Reserved } else { Space::Sparse })?;
            older.convert(|at, piece| {
                if piece.iter().all(|&byte| byte == 0) {
                    return Ok(());
                }
                if !backed {
                    body.body.reserve(at, piece.len() as u64)?;
                }
                body.body.map.copy_in(PAGE_BYTES + at, piece).ok_or_else(|| body.truncated())
            })?;
            return self.publish_body(&change, &description, body, Self::number_at_hand::<T>, |_| Ok(()));
        }
        let payload = older.converted(16)?;
        let draft = description.draft(key, older.new_bytes);
        self.store_record(
            &change,
            draft,
            Self::number_at_hand::<T>,
            |_| Ok(()),
            |_| Ok(()),
            |chunk, at| chunk.map.copy_in(at, payload.bytes()),
        )
    }

    fn plan_for<T: Evolves + ?Sized>(&self, number: u32) -> Result<Plan> {
        let Ok(stored) = self.stored_type(number) else { return Ok(Plan::Unknown) };
        if stored.fingerprint == T::FINGERPRINT {
            return Ok(Plan::Current);
        }
        Ok(self.conversion::<T>(stored)?.map_or(Plan::Other, |_| Plan::Old))
    }
}

impl Store {
    /// Writes the object under `key` anew as a `T`, when it has a layout that `T` [extends](crate::Evolves); whether it was written.
    /// False when there is none, or it is a `T` already.
    ///
    /// Atomic: everybody sees the old object or the new one, and it replaces exactly the object that was read: changes in
    /// place wait meanwhile, and when somebody puts another object, that one is looked at instead. Guards taken before keep the old
    /// object. Waits for whoever changes it, guards of atomics included.
    ///
    /// An array (`T` is an array or slice) is converted element by element, in the log or, where it is large, in a file of its own; of a
    /// sparse one, pieces of zeroes take no space as long as the defaults are zero too.
    ///
    /// # Durability
    /// As for [`Store::put`].
    ///
    /// # Errors
    /// As for [`Store::load_as`] and [`Store::put`]; [`Error::Sealed`], and [`Error::SharedStore`] where other processes change objects in place.
    /// Nothing has changed then.
    pub fn upgrade<T: Evolves + ?Sized>(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        const { T::CHECKED };
        let inner = &*self.inner;
        inner.check_writable()?;
        inner.check_not_shared()?;
        let check = |older: &Older<'_>| inner.check_kind::<T>(older);
        inner.upgrade::<T>(key.as_ref(), check, |record| inner.typed_payload::<T>(record).map(drop))
    }

    /// Writes all objects anew that have a layout which `T` [extends](crate::Evolves), arrays of such elements too.
    ///
    /// Each is one [`Store::upgrade`]. So it may be interrupted at any time, also by a kill, and run again: it goes on with what is left.
    /// The old objects' space is dead afterwards, as after any put: compact the store.
    ///
    /// What cannot be upgraded now (held by somebody, unreadable) is left as it is and counted.
    ///
    /// # Durability
    /// As for [`Store::put`]: what was rewritten before a power cut and after the last sync is of the old layout again.
    ///
    /// # Errors
    /// [`Error::NoExtension`] when `T` does not keep what it says it extends, before anything has changed;
    /// [`Error::NoSpace`] and what else refuses all puts: what was rewritten by then stays so.
    pub fn upgrade_all<T: Evolves>(&self) -> Result<Upgraded> {
        self.upgrade_all_with::<T>(|_| ControlFlow::Continue(()))
    }

    /// [`Store::upgrade_all`] that tells how far it is, every few hundred objects, and ends early when it is told to break.
    ///
    /// # Errors
    /// As for [`Store::upgrade_all`].
    pub fn upgrade_all_with<T: Evolves>(
        &self,
        mut progress: impl FnMut(&Upgraded) -> ControlFlow<()>,
    ) -> Result<Upgraded> {
        const { T::CHECKED };
        let inner = &*self.inner;
        inner.check_writable()?;
        inner.check_not_shared()?;
        // What does not fit is refused before anything is written.
        let next_type = inner.lock_writer().next_type;
        let plans = (1..next_type).map(|number| Ok((number, inner.plan_for::<T>(number)?)));
        let mut plans = plans.collect::<Result<HashMap<u32, Plan>>>()?;
        let mut done = Upgraded::default();
        for entry in self.iter()? {
            match entry {
                Err(error @ Error::Corrupt { .. }) => done.leave(error),
                Err(error) => return Err(error),
                Ok(entry) => {
                    self.upgrade_entry::<T>(entry.key(), entry.type_number(), &mut plans, &mut done)?;
                }
            }
            if done.seen().is_multiple_of(STRIDE) && progress(&done).is_break() {
                return Ok(done);
            }
        }
        done.finished = true;
        // There is nothing left to break off.
        let _ = progress(&done);
        Ok(done)
    }

    fn upgrade_entry<T: Evolves>(
        &self,
        key: &[u8],
        number: u32,
        plans: &mut HashMap<u32, Plan>,
        done: &mut Upgraded,
    ) -> Result<()> {
        let inner = &*self.inner;
        let plan = match plans.entry(number) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            // A type that came while the scan was under way.
            std::collections::hash_map::Entry::Vacant(new) => new.insert(inner.plan_for::<T>(number)?),
        };
        match plan {
            Plan::Current => done.current += 1,
            Plan::Other => done.others += 1,
            Plan::Unknown => match inner.stored_type(number) {
                Err(error) => done.leave(error),
                Ok(_) => done.others += 1,
            },
            Plan::Old => match inner.upgrade::<T>(key, |_| Ok(()), |_| Ok(())) {
                Ok(true) => done.rewritten += 1,
                // Removed or replaced meanwhile.
                Ok(false) => done.current += 1,
                Err(Error::LayoutMismatch { .. }) => done.others += 1,
                Err(error @ (Error::Busy { .. } | Error::Sealed { .. } | Error::Corrupt { .. })) => {
                    done.leave(error);
                }
                Err(error) if error.is_absent() => done.leave(error),
                Err(error) => return Err(error),
            },
        }
        Ok(())
    }
}
