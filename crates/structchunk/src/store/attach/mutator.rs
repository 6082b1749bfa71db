//! Changing objects in place beside the writer.

use std::fmt;
use std::ops::Deref;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use super::super::find::Payload;
use super::super::guard::{AtomicRef, OwnedRef};
use super::super::mutate::is_changing;
use super::super::{Inner, Options, Store};
use super::door::Door;
use super::hold::SharedHold;
use super::{Place, Session};
use crate::chunk::Record;
use crate::disk::PerProcess;
use crate::error::{Error, Result};
use crate::layout::{Object, Plain, SharedAtomic};
use crate::protocol::WRITING;

/// How long to wait before looking again whether somebody is still at work on an object.
const PAUSE: Duration = Duration::from_micros(50);

/// A store that another process writes, for changing its objects in place: see [`Options::shared_mutation`].
///
/// Any number of processes (up to 494 at a time) change objects at once, by [`Mutator::update`] and through references to atomics; none of them creates, replaces or
/// removes one. Like a [`Reader`](crate::Reader) it goes on with the next writer.
///
/// A call takes a lock of this handle for some nanoseconds; give every thread a clone.
pub struct Mutator {
    place: Arc<Place>,
    /// `None`: a child, which changes nothing.
    own: PerProcess<RwLock<Option<MutatorSession>>>,
}

/// What a [`Mutator`] changes until its writer's session is over: a [`Session`], and calls that change.
#[derive(Clone)]
pub struct MutatorSession {
    session: Session,
}

impl Deref for MutatorSession {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

/// An object that a mutator has references into: its chunk is held, so that it stays where it is, and so is its body, so that it is not sealed.
pub(in crate::store) struct Beside<'a> {
    inner: &'a Inner,
    record: Record<'a>,
    payload: Payload<'a>,
    _holds: [Option<SharedHold<'a>>; 2],
}

impl<'a> Beside<'a> {
    pub(in crate::store) fn record(&self) -> &Record<'a> {
        &self.record
    }

    pub(in crate::store) fn payload(&self) -> &Payload<'a> {
        &self.payload
    }

    fn mark(&self) -> Result<()> {
        self.inner.mark_dirty(self.record.chunk.id, self.payload.body().is_some())
    }
}

impl Drop for Beside<'_> {
    fn drop(&mut self) {
        // The parent's is still there.
        if self.inner.is_forked() {
            return;
        }
        // Before the holds go: as long as they are there, each sync marks the chunk again.
        if let Err(error) = self.mark() {
            tracing::warn!(%error, "what was changed through atomics may miss the next sync");
        }
    }
}

impl Inner {
    /// The object made of atomics under a key, held.
    pub(in crate::store) fn hold_beside<'a>(
        &'a self,
        key: &[u8],
        wait: bool,
        payload_of: impl Fn(&'a Self, &Record<'a>) -> Result<Payload<'a>>,
    ) -> Result<Option<Beside<'a>>> {
        let hash = self.views.hashes.of_key(key);
        let (mut deadline, mut until_found) = (self.patience(wait), self.patience(true));
        let busy = || Error::Busy { key: key.to_vec() };
        loop {
            let found = self.with_object(key, hash, |record| Ok((record.clone(), payload_of(self, record)?)));
            let Some((record, payload)) = self.still(found)? else { return Ok(None) };
            if !self.stands_alone_here(&record, &mut until_found)? {
                continue;
            }
            let chunk = Some(self.hold_with_others(record.chunk.id)?.ok_or_else(busy)?);
            let body = match payload.body() {
                Some(body) => Some(self.hold_body_with_others(body.number)?.ok_or_else(busy)?),
                None => None,
            };
            // Only now: it may have been moved or sealed before it was held.
            Self::check_not_sealed(&record)?;
            let word = record.version_word(Ordering::Acquire);
            if word & WRITING != 0 && !is_changing(word) {
                // Somebody is superseding it, or died in that: then what supersedes it may be in the log already.
                if deadline.is_over() {
                    return Err(busy());
                }
                std::thread::sleep(PAUSE);
                continue;
            }
            if self.still(self.is_current(&record))? {
                self.check_writer_syncs()?;
                let beside = Beside { inner: self, record, payload, _holds: [chunk, body] };
                beside.mark()?;
                return Ok(Some(beside));
            }
            // It is replaced again and again.
            if until_found.is_over() {
                return Err(busy());
            }
        }
    }
}

impl Options {
    /// Attaches to a store as [`Mutator::attach`] does. The same options count as for [`Options::attach`].
    ///
    /// # Errors
    /// As for [`Mutator::attach`].
    ///
    /// # Safety
    /// As for [`Mutator::attach`].
    #[expect(unsafe_code, reason = "what maps files cannot prove what others do to them")]
    pub unsafe fn attach_mut(self, path: impl AsRef<Path>) -> Result<Mutator> {
        let (door, store) = Door::attach_to_change(&self, path.as_ref())?;
        let session = Session::new(store);
        let newest = PerProcess::new(Mutex::new(Some(session.clone())));
        let place = Place { door, newest };
        Ok(Mutator::with(Arc::new(place), Some(MutatorSession { session })))
    }
}

impl Mutator {
    fn with(place: Arc<Place>, session: Option<MutatorSession>) -> Self {
        Self { place, own: PerProcess::new(RwLock::new(session)) }
    }

    fn own(&self) -> &RwLock<Option<MutatorSession>> {
        self.own.here(|_| RwLock::default())
    }

    /// The session at hand.
    fn present(&self) -> Result<MutatorSession> {
        self.check_not_forked()?;
        let present = self.own().read().unwrap_or_else(PoisonError::into_inner).clone();
        present.map_or_else(|| self.next(), Ok)
    }

    /// Attaches to a store that was created with [`shared_mutation`](Options::shared_mutation), to change its objects in place.
    ///
    /// There must be a session to take part in: a writer has the store open, or died with it in this boot of the machine and no other one has
    /// come yet. A store that its writer closes while mutators are attached does not count as closed cleanly: they go on, and the next open
    /// recovers.
    ///
    /// # Errors
    /// [`Error::NoWriter`], [`Error::Unsupported`] for a store that was created without `shared_mutation`, [`Error::Exhausted`] when 494 processes change
    /// objects already; and as for [`Reader::attach`](crate::Reader::attach).
    ///
    /// # Safety
    /// As for [`Options::open`].
    #[expect(unsafe_code, reason = "what maps files cannot prove what others do to them")]
    pub unsafe fn attach(path: impl AsRef<Path>) -> Result<Self> {
        // SAFETY: the caller's promise is the same.
        unsafe { Store::options().attach_mut(path) }
    }

    /// The present session of the store's writer, for scans and for references to atomics. Where the one at hand is over, the next one.
    ///
    /// # Errors
    /// As for [`Mutator::attach`].
    pub fn session(&self) -> Result<MutatorSession> {
        self.ask(|session| session.session.check().map(|()| session.clone()))
    }

    /// Changes the object under `key` in place, alone among all threads and processes; whether there was one. For arrays of any length too: `T` may
    /// be a slice.
    ///
    /// `change` works on a copy, which is stored back when it returns; others that want to change or load the object wait meanwhile, at most
    /// their busy timeout. When it panics, the object stays as it was. It must not change the same object once more. Of a sparse object only what is
    /// no hole is copied, and what stays zero stays a hole.
    ///
    /// # Durability
    /// The change survives the death of the process once this has returned, and a power cut after the writer's next
    /// [`sync`](Store::sync). A process that dies in here leaves the object [`Torn`](Error::Torn).
    ///
    /// # Errors
    /// [`Error::LayoutMismatch`], [`Error::Misaligned`]; [`Error::Busy`] when another process was at work on the object for the busy timeout;
    /// [`Error::Torn`] when one died at that: see [`Mutator::mend`]; [`Error::NoSpace`] where a hole of a sparse object is to be filled and the disk has no
    /// room, [`Error::NoMemory`] where there is none for the copy; [`Error::Sealed`], [`Error::NoWriter`], [`Error::Recovering`],
    /// [`Error::Poisoned`] when the writer's sync has failed,
    /// [`Error::Forked`], [`Error::Corrupt`].
    pub fn update<T: Plain + ?Sized>(
        &self,
        key: impl AsRef<[u8]>,
        change: impl FnOnce(&mut T),
    ) -> Result<bool> {
        self.change(change, |inner, change| inner.update_beside::<T, _>(key.as_ref(), true, change))
    }

    /// [`Mutator::update`] that answers [`Error::Busy`] at once instead of waiting.
    ///
    /// # Durability
    /// As for [`Mutator::update`].
    ///
    /// # Errors
    /// As for [`Mutator::update`].
    pub fn try_update<T: Plain + ?Sized>(
        &self,
        key: impl AsRef<[u8]>,
        change: impl FnOnce(&mut T),
    ) -> Result<bool> {
        self.change(change, |inner, change| inner.update_beside::<T, _>(key.as_ref(), false, change))
    }

    /// Mends the object under `key` where a process died in the middle of changing it; whether that was so. `change` is given the object as it
    /// was left, some of its bytes old and some new, and makes it whole.
    ///
    /// # Durability
    /// As for [`Mutator::update`].
    ///
    /// # Errors
    /// As for [`Mutator::update`].
    pub fn mend<T: Plain + ?Sized>(
        &self,
        key: impl AsRef<[u8]>,
        change: impl FnOnce(&mut T),
    ) -> Result<bool> {
        self.change(change, |inner, change| inner.mend_beside::<T, _>(key.as_ref(), change))
    }

    /// See [`Reader::load`](crate::Reader::load).
    ///
    /// # Errors
    /// As there.
    pub fn load<T: Object>(&self, key: impl AsRef<[u8]>) -> Result<Option<T>> {
        self.ask(|session| session.load(key.as_ref()))
    }

    /// See [`Store::load_torn`].
    ///
    /// # Errors
    /// As for [`Mutator::load`].
    pub fn load_torn<T: Object>(&self, key: impl AsRef<[u8]>) -> Result<Option<T>> {
        self.ask(|session| session.load_torn(key.as_ref()))
    }

    /// See [`Reader::get`](crate::Reader::get).
    ///
    /// # Errors
    /// As there.
    pub fn get<T: Plain + ?Sized>(&self, key: impl AsRef<[u8]>) -> Result<Option<OwnedRef<T>>> {
        self.ask(|session| session.get_owned(key.as_ref()))
    }

    fn check_not_forked(&self) -> Result<()> {
        let is_forked = self.place.door.slot().is_none_or(|slot| slot.is_inherited());
        if is_forked { Err(Error::Forked) } else { Ok(()) }
    }

    /// Carries a change out in the present session, or the next one: it is taken at most once.
    fn change<F>(
        &self,
        change: F,
        carry_out: impl Fn(&Inner, &mut Option<F>) -> Result<bool>,
    ) -> Result<bool> {
        let mut change = Some(change);
        loop {
            let session = self.present()?;
            match carry_out(session.session.inner(), &mut change) {
                Err(Error::SessionOver { .. }) if change.is_some() => drop(self.next()?),
                Err(error) => return Err(error),
                Ok(changed) => return Ok(changed),
            }
        }
    }

    fn next(&self) -> Result<MutatorSession> {
        self.check_not_forked()?;
        let next = MutatorSession { session: self.place.next()? };
        *self.own().write().unwrap_or_else(PoisonError::into_inner) = Some(next.clone());
        Ok(next)
    }

    pub(in crate::store) fn ask<R>(&self, question: impl Fn(&MutatorSession) -> Result<R>) -> Result<R> {
        let mut session = self.present()?;
        loop {
            match question(&session) {
                Err(Error::SessionOver { .. }) => session = self.next()?,
                answer => return answer,
            }
        }
    }
}

impl MutatorSession {
    /// A reference to the object made of atomics under `key`, through which any number of threads and processes change it at once; `None` where
    /// there is none.
    ///
    /// As long as it lives, compaction leaves the object's chunk alone. After a put or remove of its key, changes go to the object from before. The
    /// first reference into a chunk, and the end of the last one, take a system call each.
    ///
    /// An object is changed through atomics *or* by [`Mutator::update`]: the two do not see each other.
    ///
    /// # Durability
    /// Stores survive the death of the process at once; after a power cut, each atomic changed since the writer's last sync is old or new.
    ///
    /// # Errors
    /// As for [`Mutator::update`], and [`Error::SessionOver`].
    pub fn get_atomic<T: SharedAtomic>(&self, key: impl AsRef<[u8]>) -> Result<Option<AtomicRef<'_, T>>> {
        self.session.inner().borrow_atomic_beside(key.as_ref())
    }
}

impl Clone for Mutator {
    fn clone(&self) -> Self {
        let session = self.own().read().unwrap_or_else(PoisonError::into_inner).clone();
        Self::with(self.place.clone(), session)
    }
}

impl fmt::Debug for MutatorSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MutatorSession").field("path", &self.path()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Mutator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutator").field("path", &self.place.door.path()).finish_non_exhaustive()
    }
}
