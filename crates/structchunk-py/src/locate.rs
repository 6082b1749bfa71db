//! Where objects of a store lie, and the fast way to them.

use std::sync::Arc;

use pyo3::prelude::*;
use structchunk::Error;
use structchunk::raw::{self, Copied, FileId, Place, Raw, Seen};

use crate::change;
use crate::errors::OrRaise;
use crate::handle::{Handle, attach};
use crate::keys;
use crate::layout::Layout;
use crate::memory::{Bytes, Memory};
use crate::roots::{At, Recipe, Roots, item};
use crate::store::Store;

/// Memory, offset in it, bytes, number of the type, its layout, dimensions.
pub type Found = (Py<Memory>, u64, u64, u32, Layout, Option<Vec<u64>>);

/// What becomes of an object that other processes may change in place, so that nobody refers to it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Shared {
    /// It is changed through atomics; [`Error::SharedStore`] for whoever reads.
    Atomics,
    /// A copy, for whoever reads.
    CopiedForReaders,
    /// A copy, for whoever only looks.
    Copied,
}

fn seen(py: Python<'_>, seen: Option<Seen>) -> PyResult<Option<Found>> {
    let Some(Seen { hold, place, layout, shape, .. }) = seen else { return Ok(None) };
    let memory = Py::new(py, Memory::of_hold(hold, place.file))?;
    Ok(Some((memory, place.offset, place.bytes, place.type_number, Layout(layout), shape)))
}

fn detached(py: Python<'_>, copy: Option<Copied>) -> PyResult<Option<Found>> {
    let Some(copy) = copy else { return Ok(None) };
    let (bytes, memory) = (copy.bytes.len() as u64, Py::new(py, Memory::of_copy(copy.bytes))?);
    Ok(Some((memory, 0, bytes, copy.type_number, Layout(copy.layout), copy.shape)))
}

impl Store {
    /// The memory of the file in which an object lies, and where it is there: held before it was looked up.
    fn find(&self, py: Python<'_>, raw: Raw<'_>, key: &[u8]) -> PyResult<Option<(Py<Memory>, Place)>> {
        let mut place = raw.locate(key).or_raise(py)?;
        loop {
            let Some(before) = place else { return Ok(None) };
            if let FileId::Chunk(chunk) = before.file
                && let Some(memory) = self.roots.with(py, |roots| roots.chunk(py, chunk))
            {
                return Ok(Some((memory, before)));
            }
            let hold = match py.detach(|| raw.hold(key, before.file)) {
                Ok(hold) => hold,
                // It was moved or replaced, and its file is gone.
                Err(error) => match raw.locate(key).or_raise(py)? {
                    Some(now) if now == before => return Err(error).or_raise(py),
                    now => {
                        place = now;
                        continue;
                    }
                },
            };
            let memory = Py::new(py, Memory::of_hold(hold, before.file))?;
            if let FileId::Chunk(chunk) = before.file {
                let memory = memory.clone_ref(py);
                self.roots.with(py, |roots| roots.keep_chunk(chunk, memory));
            }
            place = raw.locate(key).or_raise(py)?;
            if let Some(now) = place
                && now.file == before.file
            {
                return Ok(Some((memory, now)));
            }
        }
    }

    /// The object under a key, where a cached class and root make it; `None` in all other cases.
    #[inline]
    pub fn quick<'py>(
        &self,
        py: Python<'py>,
        key: &[u8],
        class: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Handle::Own(own) = &self.handle else { return Ok(None) };
        let store = own.get().or_raise(py)?;
        let place = match store.raw().locate(key) {
            Err(Error::Sealed { .. }) => None,
            place => place.or_raise(py)?,
        };
        let Some(place) = place else { return Ok(None) };
        let Place { file: FileId::Chunk(chunk), offset, bytes, type_number, is_array: false, .. } = place
        else {
            return Ok(None);
        };
        drop(store);
        let at = At { chunk, offset, bytes, type_number };
        match self.roots.with(py, |roots| roots.recipe(py, at, class)) {
            Some(Recipe::Item(root, index)) => item(&root, index).map(Some),
            Some(Recipe::NewRoot(root)) => root.object(&self.roots).map(Some),
            None => Ok(None),
        }
    }

    /// Whether these bytes are those of the object that is under a key already, and what they are is what it is.
    pub fn is_there(
        &self,
        py: Python<'_>,
        key: &[u8],
        what: &raw::Described,
        bytes: &Bytes,
    ) -> PyResult<bool> {
        let own = self.handle.own().or_raise(py)?;
        let raw = own.raw();
        let Ok(Some(place)) = raw.locate(key) else { return Ok(false) };
        if place.bytes != bytes.as_slice(py).len() as u64 {
            return Ok(false);
        }
        // What lies in a chunk that nobody holds is referred to by nobody.
        if let FileId::Chunk(chunk) = place.file
            && !self.roots.with(py, |roots| roots.holds(chunk))
        {
            return Ok(false);
        }
        let Some((memory, place)) = self.find(py, raw, key)? else { return Ok(false) };
        if bytes.address() != memory.get().address() + place.offset as usize {
            return Ok(false);
        }
        let (Ok(layout), Ok(wanted)) = (raw.layout(place.type_number), what.layout().encode()) else {
            return Ok(false);
        };
        let shape = if place.is_array { Some(raw.shape(&place).or_raise(py)?) } else { None };
        Ok(layout.encode().is_ok_and(|encoded| encoded == wanted) && shape.as_deref() == what.shape())
    }

    /// Lets go of what is cached.
    pub fn let_go(&self, py: Python<'_>) {
        self.roots.with(py, Roots::forget);
    }

    /// Where an object lies, with what it is. What is sealed may be read, not written.
    pub fn locate(&self, py: Python<'_>, key: &Bound<'_, PyAny>, shared: Shared) -> PyResult<Option<Found>> {
        let key = keys::to_bytes(key)?;
        if let Some(reader) = self.handle.reader(py).or_raise(py)? {
            return match py.detach(|| reader.raw().view(&key)) {
                Err(Error::SharedStore { .. }) if shared != Shared::Atomics => {
                    detached(py, py.detach(|| reader.raw().load(&key)).or_raise(py)?)
                }
                Err(Error::SharedStore { .. }) if self.handle.changes() => self.atomics(py, &key),
                place => seen(py, place.or_raise(py)?),
            };
        }
        let own = self.handle.own().or_raise(py)?;
        let raw = own.raw();
        match raw.locate(&key) {
            Err(Error::Sealed { .. }) => self.view_sealed(py, &key),
            Err(Error::SharedStore { .. }) if shared == Shared::Copied => {
                detached(py, py.detach(|| raw.load(&key)).or_raise(py)?)
            }
            Err(Error::SharedStore { .. }) if shared == Shared::Atomics => self.atomics(py, &key),
            Err(error) => Err(error).or_raise(py),
            Ok(_) => {
                let Some((memory, place)) = self.find(py, raw, &key)? else { return Ok(None) };
                let shape = if place.is_array { Some(raw.shape(&place).or_raise(py)?) } else { None };
                let layout = Layout(raw.layout(place.type_number).or_raise(py)?.clone());
                Ok(Some((memory, place.offset, place.bytes, place.type_number, layout, shape)))
            }
        }
    }

    fn atomics(&self, py: Python<'_>, key: &[u8]) -> PyResult<Option<Found>> {
        let atomics = change::atomics(py, &self.handle, self.busy_timeout, key)?;
        let Some(atomics) = atomics else { return Ok(None) };
        let (bytes, number, layout) = (atomics.len(), atomics.type_number(), atomics.layout().clone());
        let shape = atomics.shape().map(<[u64]>::to_vec);
        let memory = Py::new(py, Memory::of_atomics(atomics))?;
        Ok(Some((memory, 0, bytes, number, Layout(layout), shape)))
    }

    /// A sealed object of a store that this process writes. Nobody may write to it, so it is mapped as for those who read beside the writer.
    fn view_sealed(&self, py: Python<'_>, key: &[u8]) -> PyResult<Option<Found>> {
        let reader = if let Some(reader) = self.sealed.get(py) {
            reader
        } else {
            let path = self.handle.path();
            let reader = Arc::new(py.detach(|| attach(path)).or_raise(py)?);
            self.sealed.set(py, Some(reader.clone()));
            reader
        };
        seen(py, py.detach(|| reader.raw().view(key)).or_raise(py)?)
    }
}
