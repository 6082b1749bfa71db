//! Reading beside a writer what is described at run time only.

use super::{Copied, Hold, Place};
use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::store::{Reader, Session};

/// The calls of a reader for objects whose types are known at run time only; see [`Reader::raw`].
#[derive(Debug, Clone, Copy)]
pub struct RawReader<'r> {
    reader: &'r Reader,
}

/// An object of another process, where it lies.
#[derive(Debug)]
#[non_exhaustive]
pub struct Seen {
    /// Keeps it there, and mapped: see [`Hold`]. Compaction by the writer leaves its chunk as it is for as long.
    pub hold: Hold,
    /// Where in the hold.
    pub place: Place,
    /// The layout of the object, or of an array's elements.
    pub layout: Layout,
    /// The dimensions of an array; `None` for what is no array.
    pub shape: Option<Vec<u64>>,
}

impl Reader {
    /// The calls for objects whose types are known at run time only.
    pub fn raw(&self) -> RawReader<'_> {
        RawReader { reader: self }
    }
}

impl RawReader<'_> {
    /// A copy of the object under `key`, of one moment, or `None`.
    ///
    /// # Errors
    /// As for [`Reader::load`].
    pub fn load(self, key: &[u8]) -> Result<Option<Copied>> {
        self.reader.ask(|session| session.ask(|store| store.raw().load(key)))
    }

    /// The same, also where a process died in the middle of changing it: then some of its bytes are old and some new.
    ///
    /// # Errors
    /// As for [`Session::load_torn`].
    pub fn load_torn(self, key: &[u8]) -> Result<Option<Copied>> {
        self.reader.ask(|session| session.ask(|store| store.raw().load_torn(key)))
    }

    /// The layout of the object under `key`, and whether it is an array; `None` where there is none.
    ///
    /// # Errors
    /// As for [`Reader::contains`].
    pub fn what(self, key: &[u8]) -> Result<Option<(Layout, bool)>> {
        self.reader.ask(|session| session.ask(|store| store.raw().what(key)))
    }

    /// The object under `key`, where it lies: may be read, not written. It changes as its writer changes it in place, at any moment and
    /// without a version word; after a put or remove of its key it is the object from before.
    ///
    /// # Errors
    /// [`Error::Busy`] while the writer moves objects out of the chunk, or puts another one in the place of this again and again, for longer than the
    /// busy timeout; [`Error::Recovering`], [`Error::Corrupt`], and what the system says.
    pub fn view(self, key: &[u8]) -> Result<Option<Seen>> {
        self.reader.ask(|session| seen(session, key))
    }
}

fn seen(session: &Session, key: &[u8]) -> Result<Option<Seen>> {
    let (mut deadline, mut first) = (session.inner().patience(true), true);
    loop {
        // It is replaced again and again.
        if !std::mem::take(&mut first) && deadline.is_over() {
            return Err(Error::Busy { key: key.to_vec() });
        }
        let place = session.ask(|store| store.raw().locate(key))?;
        let Some(before) = place else { return Ok(None) };
        let hold = match session.ask(|store| store.raw().hold(key, before.file)) {
            Ok(hold) => hold,
            // It was moved or replaced, and its file is gone.
            Err(error) => match session.ask(|store| store.raw().locate(key))? {
                Some(now) if now == before => return Err(error),
                _ => continue,
            },
        };
        // It may have been moved before it was held.
        let place = session.ask(|store| store.raw().locate(key))?;
        let Some(place) = place.filter(|now| now.file == before.file) else { continue };
        let (layout, shape) = session.ask(|store| {
            let raw = store.raw();
            let shape = if place.is_array { Some(raw.shape(&place)?) } else { None };
            Ok((raw.layout(place.type_number)?.clone(), shape))
        })?;
        return Ok(Some(Seen { hold, place, layout, shape }));
    }
}
