//! Reading beside a writer in another process.
//!
//! A [`Session`] is a read-only store whose views are those of the writer, mapped; or, where there is nobody who keeps them up and they cannot
//! be believed, private ones. It takes no lock and writes nothing, and ends when somebody else may change the files by other rules than
//! those of the session: [`Watch`]. A [`Reader`] goes on in the next one.

mod copy;
mod door;
mod follow;
mod hold;
mod mutator;
mod sealed;
mod session;
#[cfg(test)]
mod tests;
mod watch;

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

pub use hold::AtomicView;
pub(in crate::store) use hold::SharedHold;
pub(in crate::store) use mutator::Beside;
pub use mutator::{Mutator, MutatorSession};
pub(in crate::store) use sealed::Frozen;
pub use session::Session;
pub(crate) use watch::Watch;

use self::door::Door;
use super::{Options, Stats, Store, StoredType};
use crate::disk::PerProcess;
use crate::error::{Error, Result};
use crate::layout::Object;

/// A store that another process may be writing, for reading only.
///
/// Sees every put of the writer at once, without a message and without a lock between the processes; needs no writer, survives
/// its death, and goes on with the next one. Works on files and file systems that cannot be written to.
///
/// A look-up takes a lock of this handle for some nanoseconds; give every thread a clone. Scans, and look-ups without even that, are those
/// of a [`Reader::session`].
pub struct Reader {
    place: Arc<Place>,
    /// `None`: a child, which has not attached for itself yet.
    own: PerProcess<RwLock<Option<Session>>>,
}

/// What the clones of a reader share.
struct Place {
    door: Door,
    newest: PerProcess<Mutex<Option<Session>>>,
}

impl Options {
    /// Attaches to a store as [`Reader::attach`] does. Of the options these count: [`busy_timeout`](Options::busy_timeout),
    /// [`trust_page_cache`](Options::trust_page_cache) where no writer is alive, [`mapped_limit`](Options::mapped_limit),
    /// [`allow_network_file_system`](Options::allow_network_file_system).
    ///
    /// # Errors
    /// As for [`Reader::attach`].
    ///
    /// # Safety
    /// As for [`Reader::attach`].
    #[expect(unsafe_code, reason = "what maps files cannot prove what others do to them")]
    pub unsafe fn attach(self, path: impl AsRef<Path>) -> Result<Reader> {
        let door = Door::new(&self, path.as_ref())?;
        let session = Session::new(door.attach()?);
        let newest = PerProcess::new(Mutex::new(Some(session.clone())));
        Ok(Reader {
            place: Arc::new(Place { door, newest }),
            own: PerProcess::new(RwLock::new(Some(session))),
        })
    }
}

impl Reader {
    /// Attaches to a store, whether somebody writes it or not.
    ///
    /// - Beside a living writer, and after one that died in this boot of the machine: all that it has put is there, synced or not.
    /// - After a clean close: all of it.
    /// - After the machine died, as long as no writer has recovered the store: what its last sync made durable, from private views, which
    ///   take time and memory proportional to the store. The same while its writer has failed to sync, or has no room for views.
    /// - While a writer recovers the store: waits, at most the busy timeout.
    ///
    /// # Errors
    /// [`Error::NotAStore`], also while the store is being made or deleted; [`Error::Recovering`]; [`Error::Unsupported`] for a newer format or
    /// another byte order; [`Error::NetworkFileSystem`], [`Error::Corrupt`], and what the system says, both also of a store that is being deleted. Nothing
    /// is written in any case.
    ///
    /// # Safety
    /// As for [`Options::open`]: while the store is attached, nobody but structchunk changes or truncates its files, and the disk below
    /// does not fail to give back a page.
    ///
    /// # Examples
    /// ```no_run
    /// # fn main() -> structchunk::Result<()> {
    /// // SAFETY: nobody but structchunk touches the files.
    /// let reader = unsafe { structchunk::Reader::attach("quotes.store") }?;
    /// let last: Option<u64> = reader.load("EURUSD")?;
    /// for entry in reader.session()?.prefix("EUR")? {
    ///     println!("{:?}", entry?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[expect(unsafe_code, reason = "what maps files cannot prove what others do to them")]
    pub unsafe fn attach(path: impl AsRef<Path>) -> Result<Self> {
        // SAFETY: the caller's promise is the same.
        unsafe { Store::options().attach(path) }
    }

    /// The present session of the store's writer, for scans. Where the one at hand is over, the next one.
    ///
    /// # Errors
    /// As for [`Reader::attach`].
    pub fn session(&self) -> Result<Session> {
        self.ask(|session| session.check().map(|()| session.clone()))
    }

    /// A consistent copy of the object under `key`, or `None` where there is none: of any size, never half changed.
    ///
    /// # Errors
    /// [`Error::LayoutMismatch`], [`Error::Misaligned`]; [`Error::Busy`] when the object did not stand still for the busy timeout,
    /// [`Error::Torn`] when the process that was changing it died; [`Error::Recovering`], [`Error::Corrupt`], and what the system
    /// says.
    #[inline]
    pub fn load<T: Object>(&self, key: impl AsRef<[u8]>) -> Result<Option<T>> {
        self.ask(|session| session.load(key.as_ref()))
    }

    /// [`Reader::load`] for many keys at once: their cache misses overlap. Every copy is consistent by itself.
    ///
    /// # Errors
    /// As for [`Reader::load`]; the first error ends the call.
    pub fn load_many<T: Object, K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Vec<Option<T>>> {
        self.ask(|session| session.load_many(keys))
    }

    /// Whether there is an object under `key`.
    ///
    /// # Errors
    /// [`Error::Recovering`], [`Error::Corrupt`], and what the system says.
    pub fn contains(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        self.ask(|session| session.contains(key.as_ref()))
    }

    /// The sequence of the record of the object under `key`: another one after every put.
    ///
    /// # Errors
    /// As for [`Reader::contains`].
    pub fn sequence(&self, key: impl AsRef<[u8]>) -> Result<Option<u64>> {
        self.ask(|session| session.sequence(key.as_ref()))
    }

    /// How many objects there are.
    ///
    /// # Errors
    /// As for [`Reader::contains`].
    pub fn len(&self) -> Result<u64> {
        self.ask(Session::len)
    }

    /// Whether there are no objects.
    ///
    /// # Errors
    /// As for [`Reader::contains`].
    pub fn is_empty(&self) -> Result<bool> {
        self.len().map(|objects| objects == 0)
    }

    /// The types that objects of this store have or had.
    ///
    /// # Errors
    /// As for [`Reader::contains`].
    pub fn types(&self) -> Result<Vec<StoredType>> {
        self.ask(Session::types)
    }

    /// Sizes and counts; see [`Store::stats`]. Of a writer at work they are of several moments.
    ///
    /// # Errors
    /// As for [`Reader::contains`].
    pub fn stats(&self) -> Result<Stats> {
        self.ask(Session::stats)
    }

    /// Asks the present session, and the next one where that is over before it has answered.
    #[inline]
    pub(in crate::store) fn ask<R>(&self, question: impl Fn(&Session) -> Result<R>) -> Result<R> {
        let answer = {
            let own = self.own().read().unwrap_or_else(PoisonError::into_inner);
            own.as_ref().map(&question)
        };
        match answer {
            None | Some(Err(Error::SessionOver { .. })) => self.ask_next(question),
            Some(answer) => answer,
        }
    }

    #[inline]
    fn own(&self) -> &RwLock<Option<Session>> {
        self.own.here(|_| RwLock::default())
    }

    #[cold]
    fn ask_next<R>(&self, question: impl Fn(&Session) -> Result<R>) -> Result<R> {
        loop {
            let session = self.place.next()?;
            let answer = question(&session);
            *self.own().write().unwrap_or_else(PoisonError::into_inner) = Some(session);
            match answer {
                Err(Error::SessionOver { .. }) => {}
                answer => return answer,
            }
        }
    }
}

impl Place {
    /// A session that is not over, as far as is known.
    fn next(&self) -> Result<Session> {
        let newest = self.newest.here(|_| Mutex::default());
        let mut newest = newest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = newest.as_ref().filter(|session| session.check().is_ok()) {
            return Ok(session.clone());
        }
        let session = Session::new(self.door.attach()?);
        if let Some(before) = &*newest {
            session.adopt(before);
        }
        *newest = Some(session.clone());
        Ok(session)
    }
}

impl Clone for Reader {
    fn clone(&self) -> Self {
        let session = self.own().read().unwrap_or_else(PoisonError::into_inner).clone();
        Self { place: self.place.clone(), own: PerProcess::new(RwLock::new(session)) }
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("path", &self.place.door.path()).finish_non_exhaustive()
    }
}
