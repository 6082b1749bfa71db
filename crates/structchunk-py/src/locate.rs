//! Where objects of a store lie, and the fast way to them.

use pyo3::prelude::*;
use structchunk::raw::{self, FileId, Place, Raw, Seen};

use crate::errors::OrRaise;
use crate::handle::Handle;
use crate::keys;
use crate::layout::Layout;
use crate::memory::{Bytes, Memory};
use crate::roots::{At, Recipe, Roots, item};
use crate::store::Store;

/// Memory, offset in it, bytes, number of the type, its layout, dimensions.
pub type Found = (Py<Memory>, u64, u64, u32, Layout, Option<Vec<u64>>);

impl Store {
    /// The untyped calls of a store that is this process's own.
    #[inline]
    pub fn raw(&self) -> structchunk::Result<Raw<'_>> {
        self.handle.own().map(structchunk::Store::raw)
    }

    /// The memory of the file in which an object lies, and where it is there: held before it was looked up.
    fn find(&self, py: Python<'_>, key: &[u8]) -> PyResult<Option<(Py<Memory>, Place)>> {
        let raw = self.raw().or_raise(py)?;
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
        let Handle::Own(store) = &self.handle else { return Ok(None) };
        let Some(place) = store.raw().locate(key).or_raise(py)? else { return Ok(None) };
        let Place { file: FileId::Chunk(chunk), offset, bytes, type_number, is_array: false, .. } = place
        else {
            return Ok(None);
        };
        if store.is_read_only() {
            return Ok(None);
        }
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
        let raw = self.raw().or_raise(py)?;
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
        let Some((memory, place)) = self.find(py, key)? else { return Ok(false) };
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

    /// Where an object lies, with what it is.
    pub fn locate(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<Option<Found>> {
        let key = keys::to_bytes(key)?;
        if let Some(reader) = self.handle.reader(py).or_raise(py)? {
            let seen = py.detach(|| reader.raw().view(&key)).or_raise(py)?;
            let Some(Seen { hold, place, layout, shape, .. }) = seen else { return Ok(None) };
            let memory = Py::new(py, Memory::of_hold(hold, place.file))?;
            return Ok(Some((memory, place.offset, place.bytes, place.type_number, Layout(layout), shape)));
        }
        let Some((memory, place)) = self.find(py, &key)? else { return Ok(None) };
        let raw = self.raw().or_raise(py)?;
        let shape = if place.is_array { Some(raw.shape(&place).or_raise(py)?) } else { None };
        let layout = Layout(raw.layout(place.type_number).or_raise(py)?.clone());
        Ok(Some((memory, place.offset, place.bytes, place.type_number, layout, shape)))
    }
}
