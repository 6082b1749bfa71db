//! References to sealed objects, whoever writes the store.

use std::sync::atomic::Ordering;

use super::super::Inner;
use super::super::find::Payload;
use super::super::guard::{OwnedRef, Ref};
use super::hold::SharedHold;
use super::{Reader, Session};
use crate::chunk::Record;
use crate::error::{Error, Result};
use crate::layout::Plain;
use crate::protocol::WRITING;

const ODD: &str = "the object is sealed, and its version is odd, as that of no sealed object is";

/// A sealed object, and what keeps its bytes as they are.
pub(in crate::store) struct Frozen<'a> {
    pub record: Record<'a>,
    pub payload: Payload<'a>,
    /// Of its chunk, or of its body. (One that is unlinked stays mapped; but a recovery may take the seal back.)
    pub held: Option<SharedHold<'a>>,
}

impl Inner {
    /// The sealed object under a key, held: neither does its writer make a hole where it was superseded, nor does a recovery wipe it, or take
    /// the seal of a body back, after which its unsealed record would be the current one.
    ///
    /// In this order: the hold, then another look whether the record is current *and* nobody has suspended the rules of the session. A writer
    /// that has the chunk alone has let go of it before the hold was there, and a recovery says that it is one before it looks for holds; so
    /// what they did is seen by that look, and those that come later find the hold.
    pub(in crate::store) fn find_sealed<T: Plain + ?Sized>(&self, key: &[u8]) -> Result<Option<Frozen<'_>>> {
        let hash = self.views.hashes.of_key(key);
        let mut deadline = self.patience(true);
        loop {
            let found =
                self.with_object(key, hash, |record| Ok((record.clone(), self.typed_payload::<T>(record)?)));
            let Some((record, payload)) = self.still(found)? else { return Ok(None) };
            let is_lockable = self.attached.as_ref().is_some_and(|watch| watch.lock().is_some());
            if !record.is_sealed() || !is_lockable {
                return Err(Error::SharedStore { path: self.path.clone() });
            }
            let held = match payload.body() {
                Some(body) => self.hold_body_with_others(body.number)?,
                None => self.hold_with_others(record.chunk.id)?,
            };
            if held.is_none() {
                return Err(Error::Busy { key: key.to_vec() });
            }
            if record.version_word(Ordering::Acquire) & WRITING != 0 {
                return Err(Error::corrupt(record.chunk.path(), record.offset(), ODD));
            }
            // A forged directory may lead into the payload of another object, which is none that stands still.
            let stands_alone = self.stands_alone_here(&record, &mut deadline)?;
            if self.still(self.is_current(&record))? && stands_alone {
                return Ok(Some(Frozen { record, payload, held }));
            }
            // It is replaced again and again.
            if deadline.is_over() {
                return Err(Error::Busy { key: key.to_vec() });
            }
        }
    }
}

impl Session {
    /// A reference to the sealed object under `key`, or `None` where there is none: see [`Store::seal`](crate::Store::seal). Copies nothing; for
    /// slices and arrays of any length too.
    ///
    /// It stays good when the object is replaced or removed, when the writer dies, and when the session is over. As long as it lives,
    /// compaction leaves the object's chunk alone, and a recovery that would have to wipe it, or to take its seal back, is refused: one that goes
    /// back to the last sync in the same boot, after a failed sync or without trust in the page cache. The first reference into a chunk or a
    /// body, and the end of the last one, take a system call each.
    ///
    /// # Errors
    /// [`Error::SharedStore`] when the object is not sealed, or nobody can be told that it is in use (where there is no file `LOCK`): then
    /// [`Session::load`] copies it. [`Error::LayoutMismatch`], [`Error::Misaligned`]; [`Error::Busy`] while the writer moves objects out of the
    /// chunk, for longer than the busy timeout; [`Error::SessionOver`], [`Error::Corrupt`].
    pub fn get<T: Plain + ?Sized>(&self, key: impl AsRef<[u8]>) -> Result<Option<Ref<'_, T>>> {
        self.store().get(key)
    }

    /// [`Session::get`] whose guard does not borrow the session: it keeps everything mapped by itself.
    ///
    /// # Errors
    /// As for [`Session::get`].
    pub fn get_owned<T: Plain + ?Sized>(&self, key: impl AsRef<[u8]>) -> Result<Option<OwnedRef<T>>> {
        self.store().get_owned(key)
    }
}

impl Reader {
    /// A reference to the sealed object under `key`, or `None` where there is none; see [`Session::get`].
    ///
    /// # Errors
    /// As for [`Session::get`], and [`Error::Recovering`].
    pub fn get<T: Plain + ?Sized>(&self, key: impl AsRef<[u8]>) -> Result<Option<OwnedRef<T>>> {
        self.ask(|session| session.get_owned(key.as_ref()))
    }
}
