//! The calls of a store. `python/structchunk/_store.py` makes them into a mapping.
#![expect(unsafe_code, reason = "opening a store is unsafe: others could change its files")]

use std::ops::Bound as End;
use std::path::PathBuf;
use std::time::Duration;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyDict, PyList, PyType};
use structchunk::raw::{self, Copied as Copy, FileId, Place, When};
use structchunk::{Compaction, Error, Space};

use crate::errors::{OrRaise, named};
use crate::keys;
use crate::layout::{Described, Layout};
use crate::memory::{Bytes, Memory};
use crate::roots::{Recipe, Roots, SharedRoots, item, make_root};

/// An open store, without the ways of a mapping.
#[pyclass(subclass, frozen, weakref, module = "structchunk._native")]
pub struct Store {
    handle: structchunk::Store,
    as_text: bool,
    roots: SharedRoots,
}

/// Memory, offset in it, number of the type, dimensions.
type Found = (Py<Memory>, u64, u64, u32, Option<Vec<u64>>);

impl Store {
    /// The memory of the file in which an object lies, and where it is there: held before it was looked up.
    fn find(&self, py: Python<'_>, key: &[u8]) -> PyResult<Option<(Py<Memory>, Place)>> {
        let raw = self.handle.raw();
        let mut place = raw.locate(key).or_raise(py)?;
        loop {
            let Some(before) = place else { return Ok(None) };
            if let FileId::Chunk(chunk) = before.file
                && let Some(memory) = self.roots.with(|roots| roots.chunk(py, chunk))
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
                self.roots.with(|roots| roots.keep_chunk(chunk, memory));
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
    fn quick(
        &self,
        py: Python<'_>,
        key: &[u8],
        class: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Option<Py<PyAny>>> {
        let Some(place) = self.handle.raw().locate(key).or_raise(py)? else { return Ok(None) };
        let FileId::Chunk(chunk) = place.file else { return Ok(None) };
        if place.is_array || self.handle.is_read_only() {
            return Ok(None);
        }
        let at = (chunk, place.offset, place.bytes);
        match self.roots.with(|roots| roots.recipe(py, at, place.type_number, class)) {
            Some(Recipe::Item(root, index)) => item(py, &root, index).map(Some),
            Some(Recipe::NewRoot { class, memory, bytes }) => {
                let residue = place.offset % bytes;
                let root = make_root(py, &class, &memory, bytes, residue)?;
                let object = item(py, &root, (place.offset / bytes).cast_signed() as isize)?;
                self.roots.with(|roots| roots.keep_root(chunk, place.type_number, residue, root));
                Ok(Some(object))
            }
            None => Ok(None),
        }
    }

    /// Whether these bytes are those of the object that is under a key already, and what they are is what it is.
    fn is_there(&self, py: Python<'_>, key: &[u8], what: &raw::Described, bytes: &Bytes) -> PyResult<bool> {
        let raw = self.handle.raw();
        let Ok(Some(place)) = raw.locate(key) else { return Ok(false) };
        if place.bytes != bytes.as_slice(py).len() as u64 {
            return Ok(false);
        }
        // What lies in a chunk that nobody holds is referred to by nobody.
        if let FileId::Chunk(chunk) = place.file
            && !self.roots.with(|roots| roots.holds(chunk))
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

    fn let_go(&self) {
        self.roots.with(Roots::forget);
    }
}

/// Number of the type, dimensions, bytes.
type Copied<'py> = (u32, Option<Vec<u64>>, Bound<'py, PyByteArray>);

fn copied(py: Python<'_>, copy: Option<Copy>) -> Option<Copied<'_>> {
    copy.map(|copy| (copy.type_number, copy.shape, PyByteArray::new(py, &copy.bytes)))
}

#[pymethods]
impl Store {
    #[new]
    #[pyo3(signature = (path, *, create, create_new, read_only, as_text, chunk_capacity=None, busy_timeout=None, index=true))]
    #[expect(clippy::too_many_arguments, clippy::fn_params_excessive_bools, reason = "keywords of Python")]
    fn new(
        py: Python<'_>,
        path: PathBuf,
        create: bool,
        create_new: bool,
        read_only: bool,
        as_text: bool,
        chunk_capacity: Option<u64>,
        busy_timeout: Option<f64>,
        index: bool,
    ) -> PyResult<Self> {
        let mut options = structchunk::Store::options();
        options = options.create(create).create_new(create_new).read_only(read_only).index(index);
        if let Some(bytes) = chunk_capacity {
            options = options.chunk_capacity(bytes);
        }
        if let Some(seconds) = busy_timeout {
            let timeout = Duration::try_from_secs_f64(seconds)
                .map_err(|error| pyo3::exceptions::PyValueError::new_err(format!("busy_timeout: {error}")))?;
            options = options.busy_timeout(timeout);
        }
        // SAFETY: that nobody but structchunk changes or truncates the files meanwhile is in the documentation of `structchunk.open`.
        let handle = py.detach(|| unsafe { options.open(path) }).or_raise(py)?;
        Ok(Self { handle, as_text, roots: SharedRoots::default() })
    }

    #[getter]
    fn _path(&self) -> PathBuf {
        self.handle.path().to_owned()
    }

    #[getter]
    fn _read_only(&self) -> bool {
        self.handle.is_read_only()
    }

    fn _recovery(&self) -> String {
        format!("{:?}", self.handle.recovery())
    }

    fn _len(&self) -> u64 {
        self.handle.len()
    }

    fn _close(&self, py: Python<'_>) -> PyResult<()> {
        self.let_go();
        py.detach(|| self.handle.clone().close()).or_raise(py)
    }

    /// Lets go of what is cached and keeps chunks in their places.
    fn _forget(&self) {
        self.let_go();
    }

    fn __getitem__(slf: &Bound<'_, Self>, key: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        if let Some(object) = slf.get().quick(py, &keys::to_bytes(key)?, None)? {
            return Ok(object);
        }
        Ok(slf.call_method1(intern!(py, "_get"), (key,))?.unbind())
    }

    /// The object under `key` as a `cls`, which is a ctypes class or a numpy dtype.
    fn view(slf: &Bound<'_, Self>, key: &Bound<'_, PyAny>, cls: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        if let Some(object) = slf.get().quick(py, &keys::to_bytes(key)?, Some(cls))? {
            return Ok(object);
        }
        Ok(slf.call_method1(intern!(py, "_view"), (key, cls))?.unbind())
    }

    fn _contains(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.handle.contains(keys::to_bytes(key)?).or_raise(py)
    }

    fn _locate(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<Option<Found>> {
        let Some((memory, place)) = self.find(py, &keys::to_bytes(key)?)? else { return Ok(None) };
        let shape = if place.is_array { Some(self.handle.raw().shape(&place).or_raise(py)?) } else { None };
        Ok(Some((memory, place.offset, place.bytes, place.type_number, shape)))
    }

    fn _layout(&self, py: Python<'_>, type_number: u32) -> PyResult<Layout> {
        Ok(Layout(self.handle.raw().layout(type_number).or_raise(py)?.clone()))
    }

    fn _note_class(&self, type_number: u32, class: Py<PyType>, bytes: u64) {
        self.roots.with(|roots| roots.note_class(type_number, class, bytes));
    }

    #[pyo3(signature = (key, what, value, absent=false))]
    fn _put(
        &self,
        py: Python<'_>,
        key: &Bound<'_, PyAny>,
        what: &Bound<'_, Described>,
        value: &Bound<'_, PyAny>,
        absent: bool,
    ) -> PyResult<bool> {
        let (key, bytes) = (keys::to_bytes(key)?, Bytes::of(value)?);
        let when = if absent { When::Absent } else { When::Always };
        if !absent && self.is_there(py, &key, &what.get().0, &bytes)? {
            return Ok(true);
        }
        let (raw, what) = (self.handle.raw(), &what.get().0);
        match raw.try_put(&key, what, bytes.as_slice(py), when) {
            // Whoever changes the object may need the GIL to come to an end.
            Err(Error::Busy { .. }) => {
                let copy = bytes.as_slice(py).to_vec();
                py.detach(|| raw.put(&key, what, &copy, when)).or_raise(py)
            }
            outcome => outcome.or_raise(py),
        }
    }

    fn _remove(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        let key = keys::to_bytes(key)?;
        match self.handle.try_remove(&key) {
            Err(Error::Busy { .. }) => py.detach(|| self.handle.remove(&key)).or_raise(py),
            outcome => outcome.or_raise(py),
        }
    }

    fn _load<'py>(&self, py: Python<'py>, key: &Bound<'py, PyAny>) -> PyResult<Option<Copied<'py>>> {
        let key = keys::to_bytes(key)?;
        let copy = py.detach(|| self.handle.raw().load(&key)).or_raise(py)?;
        Ok(copied(py, copy))
    }

    fn _take<'py>(&self, py: Python<'py>, key: &Bound<'py, PyAny>) -> PyResult<Option<Copied<'py>>> {
        let key = keys::to_bytes(key)?;
        let copy = py.detach(|| self.handle.raw().take(&key)).or_raise(py)?;
        Ok(copied(py, copy))
    }

    /// Puts and removes (`None`), all or nothing.
    fn _commit(&self, py: Python<'_>, changes: &Bound<'_, PyList>) -> PyResult<()> {
        let mut batch = self.handle.batch();
        for change in changes.iter() {
            let (key, what, value) =
                change.extract::<(Bound<'_, PyAny>, Option<Bound<'_, Described>>, Bound<'_, PyAny>)>()?;
            let key = keys::to_bytes(&key)?;
            match what {
                Some(what) => {
                    let bytes = Bytes::of(&value)?;
                    batch.put_raw(key, &what.get().0, bytes.as_slice(py)).or_raise(py)?;
                }
                None => batch.remove(key).or_raise(py)?,
            }
        }
        py.detach(|| batch.commit()).or_raise(py)
    }

    /// Puts consecutive items of a buffer, each `item_bytes` long, under these keys.
    fn _put_items(
        &self,
        py: Python<'_>,
        keys: &Bound<'_, PyAny>,
        what: &Bound<'_, Described>,
        value: &Bound<'_, PyAny>,
        item_bytes: usize,
    ) -> PyResult<()> {
        let bytes = Bytes::of(value)?;
        let (raw, what) = (self.handle.raw(), &what.get().0);
        let mut items = bytes.as_slice(py).chunks_exact(item_bytes.max(1));
        for key in keys.try_iter()? {
            let key = key?;
            let (key, item) = (keys::to_bytes(&key)?, items.next().unwrap_or_default());
            if let Err(error) = raw.try_put(&key, what, item, When::Always) {
                let Error::Busy { .. } = error else { return Err(error).or_raise(py) };
                py.detach(|| raw.put(&key, what, item, When::Always)).or_raise(py)?;
            }
        }
        Ok(())
    }

    fn _loan(
        &self,
        py: Python<'_>,
        key: &Bound<'_, PyAny>,
        what: &Bound<'_, Described>,
        sparse: Option<bool>,
    ) -> PyResult<Memory> {
        let space = match sparse {
            None => Space::Auto,
            Some(true) => Space::Sparse,
            Some(false) => Space::Reserved,
        };
        self.handle.raw().loan(&keys::to_bytes(key)?, &what.get().0, space).map(Memory::of_loan).or_raise(py)
    }

    #[expect(clippy::type_complexity, reason = "a tuple of Python")]
    fn _begin_update(
        &self,
        py: Python<'_>,
        key: &Bound<'_, PyAny>,
    ) -> PyResult<Option<(Memory, u32, Option<Vec<u64>>)>> {
        let (key, raw) = (keys::to_bytes(key)?, self.handle.raw());
        let update = py.detach(|| raw.update(&key)).or_raise(py)?;
        Ok(update.map(|update| {
            let (number, shape) = (update.type_number(), update.shape().map(<[u64]>::to_vec));
            (Memory::of_update(update), number, shape)
        }))
    }

    /// The next keys of a range, in order; after `after`, where that is given.
    #[expect(clippy::too_many_arguments, reason = "keywords of Python")]
    fn _keys<'py>(
        &self,
        py: Python<'py>,
        start: Option<Bound<'py, PyAny>>,
        stop: Option<Bound<'py, PyAny>>,
        prefix: Option<Bound<'py, PyAny>>,
        after: Option<Bound<'py, PyAny>>,
        reverse: bool,
        limit: usize,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let owned = |key: Option<Bound<'py, PyAny>>| {
            key.map(|key| keys::to_bytes(&key).map(std::borrow::Cow::into_owned)).transpose()
        };
        let (start, stop, prefix, after) = (owned(start)?, owned(stop)?, owned(prefix)?, owned(after)?);
        let end = prefix.as_deref().and_then(behind_prefix);
        let mut low = start.max(prefix).map_or(End::Unbounded, End::Included);
        let mut high = [stop, end].into_iter().flatten().min().map_or(End::Unbounded, End::Excluded);
        match (after, reverse) {
            (Some(after), false) => low = End::Excluded(after),
            (Some(after), true) => high = End::Excluded(after),
            (None, _) => {}
        }
        let found = py.detach(|| {
            let keys = self.handle.range((low, high))?.keys();
            let take = |entry: structchunk::Result<structchunk::KeyEntry>| Ok(entry?.into_key());
            if reverse {
                keys.rev().take(limit).map(take).collect::<structchunk::Result<Vec<Vec<u8>>>>()
            } else {
                keys.take(limit).map(take).collect()
            }
        });
        found.or_raise(py)?.iter().map(|key| keys::to_python(py, key, self.as_text)).collect()
    }

    fn _sync(&self, py: Python<'_>) -> PyResult<()> {
        // Chunks that were looked into and that nobody refers to any more give their space back.
        self.let_go();
        py.detach(|| self.handle.sync()).or_raise(py)
    }

    fn _check(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        let findings = py.detach(|| Ok(self.handle.check()?.map(|finding| finding.to_string()).collect()));
        findings.or_raise(py)
    }

    fn _compact<'py>(&self, py: Python<'py>, fill_ratio: Option<f64>) -> PyResult<Bound<'py, PyDict>> {
        // What is merely cached does not keep anything in its place.
        self.let_go();
        let report = py.detach(|| match fill_ratio {
            Some(ratio) => self.handle.compact_with(Compaction::new().fill_ratio(ratio)),
            None => self.handle.compact(),
        });
        let report = report.or_raise(py)?;
        let left: Vec<(u32, String)> =
            report.left_chunks.iter().map(|(chunk, reason)| (*chunk, reason.to_string())).collect();
        named(
            py,
            [
                ("moved_objects", report.moved_objects.into_pyobject(py)?.into_any()),
                ("moved_bytes", report.moved_bytes.into_pyobject(py)?.into_any()),
                ("dropped_chunks", report.dropped_chunks.into_pyobject(py)?.into_any()),
                ("dropped_bytes", report.dropped_bytes.into_pyobject(py)?.into_any()),
                ("left_chunks", left.into_pyobject(py)?.into_any()),
            ],
        )
    }

    fn _copy_to(&self, py: Python<'_>, path: PathBuf) -> PyResult<u64> {
        py.detach(|| self.handle.copy_to(path)).or_raise(py).map(|report| report.objects)
    }

    fn _types(&self, py: Python<'_>) -> PyResult<Vec<Layout>> {
        let types = self.handle.types().or_raise(py)?;
        Ok(types.into_iter().map(|stored| Layout(stored.layout)).collect())
    }

    fn _stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = self.handle.stats().or_raise(py)?;
        let live: u64 = stats.chunks.iter().map(|chunk| chunk.live_bytes).sum();
        let dead: u64 = stats.chunks.iter().map(|chunk| chunk.dead_bytes).sum();
        named(
            py,
            [
                ("objects", stats.objects.into_pyobject(py)?.into_any()),
                ("sequence", stats.sequence.into_pyobject(py)?.into_any()),
                ("chunks", stats.chunks.len().into_pyobject(py)?.into_any()),
                ("chunk_capacity", stats.chunk_capacity.into_pyobject(py)?.into_any()),
                ("bodies", stats.bodies.into_pyobject(py)?.into_any()),
                ("live_bytes", live.into_pyobject(py)?.into_any()),
                ("dead_bytes", dead.into_pyobject(py)?.into_any()),
                ("bytes_apparent", stats.bytes_apparent.into_pyobject(py)?.into_any()),
                ("bytes_allocated", stats.bytes_allocated.into_pyobject(py)?.into_any()),
            ],
        )
    }
}

/// The first key behind all that begin with a prefix; `None` where there is none.
fn behind_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let kept = prefix.iter().rposition(|&byte| byte != 0xff)?;
    let mut behind = prefix[..=kept].to_vec();
    behind[kept] += 1;
    Some(behind)
}
