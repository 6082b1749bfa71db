//! The calls of a store. `python/structchunk/_store.py` makes them into a mapping.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyDict, PyList, PyType};
use structchunk::raw::{Copied as Copy, When};
use structchunk::{Error, Reader, Space};

use crate::care;
use crate::change::{self, Change};
use crate::column::{self, Column};
use crate::errors::OrRaise;
use crate::fields::Atomic;
use crate::handle::{Access, Handle, UnderGil};
use crate::keys;
use crate::layout::{Described, Layout, show_content, show_presentation};
use crate::locate::{Found, Shared};
use crate::memory::{Bytes, Memory};
use crate::path::Spot;
use crate::roots::SharedRoots;
use crate::scan::Within;
use crate::wait::{BUSY_TIMEOUT, patiently};

/// An open store, without the ways of a mapping.
#[pyclass(subclass, frozen, weakref, module = "structchunk._native")]
pub struct Store {
    pub(crate) handle: Handle,
    as_text: bool,
    pub(crate) busy_timeout: Duration,
    pub(crate) roots: SharedRoots,
    /// Where it has looked into sealed objects of a store that it writes: what they are seen through.
    pub(crate) sealed: UnderGil<Option<Arc<Reader>>>,
}

/// Puts that are made in one go: signals are looked for between them.
const PUT_AT_ONCE: usize = 256;

/// Number of the type, its layout, dimensions, bytes.
type Copied<'py> = (u32, Layout, Option<Vec<u64>>, Bound<'py, PyByteArray>);

fn copied(py: Python<'_>, copy: Option<Copy>) -> PyResult<Option<Copied<'_>>> {
    let Some(copy) = copy else { return Ok(None) };
    let bytes = bytearray(py, &copy.bytes)?;
    Ok(Some((copy.type_number, Layout(copy.layout), copy.shape, bytes)))
}

/// A copy of bytes for Python, where there is memory for it.
fn bytearray<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyByteArray>> {
    PyByteArray::new_with(py, bytes.len(), |memory| {
        memory.copy_from_slice(bytes);
        Ok(())
    })
}

#[pymethods]
impl Store {
    #[new]
    #[pyo3(signature = (path, *, create, create_new, access, as_text, shared=false, chunk_capacity=None, busy_timeout=None, index=true, later=false))]
    #[expect(clippy::too_many_arguments, clippy::fn_params_excessive_bools, reason = "keywords of Python")]
    fn new(
        py: Python<'_>,
        path: PathBuf,
        create: bool,
        create_new: bool,
        access: &str,
        as_text: bool,
        shared: bool,
        chunk_capacity: Option<u64>,
        busy_timeout: Option<f64>,
        index: bool,
        later: bool,
    ) -> PyResult<Self> {
        let mut options = structchunk::Store::options();
        options = options.create(create).create_new(create_new).shared_mutation(shared).index(index);
        if let Some(bytes) = chunk_capacity {
            options = options.chunk_capacity(bytes);
        }
        let refused = |error| PyValueError::new_err(format!("busy_timeout: {error}"));
        let busy_timeout = busy_timeout.map(Duration::try_from_secs_f64).transpose().map_err(refused)?;
        let busy_timeout = busy_timeout.unwrap_or(BUSY_TIMEOUT);
        options = options.busy_timeout(busy_timeout);
        let access = match access {
            "read" => Access::Read,
            "change" => Access::Change,
            _ => Access::Write,
        };
        let handle = Handle::later(options, path, access);
        if !later {
            handle.now(py).or_raise(py)?;
        }
        Ok(Self { handle, as_text, busy_timeout, roots: SharedRoots::default(), sealed: UnderGil::default() })
    }

    #[getter]
    fn _path(&self) -> PathBuf {
        self.handle.path().to_owned()
    }

    /// Whether another process writes the store, if any does.
    #[getter]
    fn _is_beside(&self) -> bool {
        self.handle.is_beside()
    }

    /// Whether other processes may change objects of the store, which this one writes.
    fn _is_shared(&self, py: Python<'_>) -> PyResult<bool> {
        self.handle.is_shared().or_raise(py)
    }

    fn _recovery(&self) -> String {
        self.handle.recovery()
    }

    fn _len(&self, py: Python<'_>) -> PyResult<u64> {
        self.handle.len(py).or_raise(py)
    }

    fn _close(&self, py: Python<'_>) -> PyResult<()> {
        self.let_go(py);
        let sealed = self.sealed.take(py);
        py.detach(|| drop(sealed));
        self.handle.close(py).or_raise(py)
    }

    /// Lets go of what is cached and keeps chunks in their places.
    fn _forget(&self, py: Python<'_>) {
        self.let_go(py);
    }

    fn __getitem__<'py>(slf: &Bound<'py, Self>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        if let Some(object) = slf.get().quick(py, &keys::to_bytes(key)?, None)? {
            return Ok(object);
        }
        slf.call_method1(intern!(py, "_get"), (key,))
    }

    /// The object under `key` as a `cls`, which is a ctypes class or a numpy dtype.
    fn view<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyAny>,
        cls: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        if let Some(object) = slf.get().quick(py, &keys::to_bytes(key)?, Some(cls))? {
            return Ok(object);
        }
        slf.call_method1(intern!(py, "_view"), (key, cls))
    }

    fn __contains__(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.handle.contains(py, &keys::to_bytes(key)?).or_raise(py)
    }

    fn _locate(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<Option<Found>> {
        self.locate(py, key, Shared::CopiedForReaders)
    }

    /// The same for whoever only looks: a copy where nobody may refer to the object, because other processes change it.
    fn _peek(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<Option<Found>> {
        self.locate(py, key, Shared::Copied)
    }

    /// Refuses a store whose objects nobody may refer to, before anything is put that would be referred to.
    fn _check_not_shared(&self, py: Python<'_>) -> PyResult<()> {
        if self.handle.is_shared().or_raise(py)? {
            return Err(Error::SharedStore { path: self.handle.path().to_owned() }).or_raise(py);
        }
        Ok(())
    }

    /// The layout of the object under `key`, and whether it is an array.
    fn _what(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<Option<(Layout, bool)>> {
        let key = keys::to_bytes(key)?;
        let what = match self.handle.reader(py).or_raise(py)? {
            Some(reader) => py.detach(|| match reader.raw().what(&key) {
                Err(Error::SharedStore { .. }) => {
                    let copy = reader.raw().load(&key)?;
                    Ok(copy.map(|copy| (copy.layout, copy.shape.is_some())))
                }
                what => what,
            }),
            None => self.handle.own().and_then(|own| own.raw().what(&key)),
        };
        Ok(what.or_raise(py)?.map(|(layout, is_array)| (Layout(layout), is_array)))
    }

    fn _note_class(&self, py: Python<'_>, type_number: u32, class: Py<PyType>, bytes: u64) {
        self.roots.with(py, |roots| roots.note_class(type_number, class, bytes));
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
        let own = self.handle.own().or_raise(py)?;
        let (raw, what) = (own.raw(), &what.get().0);
        patiently(py, self.busy_timeout, || raw.try_put(&key, what, bytes.as_slice(py), when))
    }

    fn _remove(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        let (key, own) = (keys::to_bytes(key)?, self.handle.own().or_raise(py)?);
        patiently(py, self.busy_timeout, || own.try_remove(&key))
    }

    fn _load<'py>(&self, py: Python<'py>, key: &Bound<'py, PyAny>) -> PyResult<Option<Copied<'py>>> {
        let key = keys::to_bytes(key)?;
        let copy = match self.handle.reader(py).or_raise(py)? {
            Some(reader) => py.detach(|| reader.raw().load(&key)),
            None => py.detach(|| self.handle.own()?.raw().load(&key)),
        };
        copied(py, copy.or_raise(py)?)
    }

    /// The same, also where a process that died has left it half changed.
    fn _load_torn<'py>(&self, py: Python<'py>, key: &Bound<'py, PyAny>) -> PyResult<Option<Copied<'py>>> {
        let key = keys::to_bytes(key)?;
        let copy = match self.handle.reader(py).or_raise(py)? {
            Some(reader) => py.detach(|| reader.raw().load_torn(&key)),
            None => py.detach(|| self.handle.own()?.raw().load_torn(&key)),
        };
        copied(py, copy.or_raise(py)?)
    }

    fn _take<'py>(&self, py: Python<'py>, key: &Bound<'py, PyAny>) -> PyResult<Option<Copied<'py>>> {
        let key = keys::to_bytes(key)?;
        let copy = py.detach(|| self.handle.own()?.raw().take(&key)).or_raise(py)?;
        copied(py, copy)
    }

    /// Puts and removes (`None`), all or nothing.
    fn _commit(&self, py: Python<'_>, changes: &Bound<'_, PyList>) -> PyResult<()> {
        let own = self.handle.own().or_raise(py)?;
        let mut batch = own.batch();
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
        let own = self.handle.own().or_raise(py)?;
        let (raw, what) = (own.raw(), &what.get().0);
        let mut items = bytes.as_slice(py).chunks(item_bytes.max(1) * PUT_AT_ONCE);
        let mut listed = keys.try_iter()?;
        loop {
            let some: Vec<_> = listed.by_ref().take(PUT_AT_ONCE).collect::<PyResult<_>>()?;
            let keys: Vec<_> = some.iter().map(keys::to_bytes).collect::<PyResult<_>>()?;
            if keys.is_empty() {
                return Ok(());
            }
            let (mut keys, mut items) = (&*keys, items.next().unwrap_or_default());
            loop {
                let done = raw.try_put_many(keys, what, items).or_raise(py)?;
                (keys, items) = (&keys[done..], &items[done * item_bytes..]);
                let Some((key, rest)) = keys.split_first() else { break };
                let item = &items[..item_bytes];
                patiently(py, self.busy_timeout, || raw.try_put(key, what, item, When::Always))?;
                (keys, items) = (rest, &items[item_bytes..]);
            }
            py.check_signals()?;
        }
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
        let own = self.handle.own().or_raise(py)?;
        let (raw, key, what) = (own.raw(), keys::to_bytes(key)?, &what.get().0);
        // It may take a while to find space for it.
        py.detach(|| raw.loan(&key, what, space)).map(Memory::of_loan).or_raise(py)
    }

    /// The copy in which the object under `key` is changed; or mended, if it has to be.
    #[expect(clippy::type_complexity, reason = "a tuple of Python")]
    fn _begin_update(
        &self,
        py: Python<'_>,
        key: &Bound<'_, PyAny>,
        mends: bool,
    ) -> PyResult<Option<(Memory, u32, Layout, Option<Vec<u64>>)>> {
        let change = if mends { Change::Mend } else { Change::Update };
        let update = change::begin(py, &self.handle, self.busy_timeout, &keys::to_bytes(key)?, change)?;
        Ok(update.map(|update| {
            let (number, shape) = (update.type_number(), update.shape().map(<[u64]>::to_vec));
            let layout = Layout(update.layout().clone());
            (Memory::of_update(update), number, layout, shape)
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
        let within = Within::of([start, stop, prefix, after], reverse)?;
        let reader = self.handle.reader(py).or_raise(py)?;
        let found = py.detach(|| within.keys(&self.handle, reader.as_deref(), limit)).or_raise(py)?;
        found.iter().map(|key| keys::to_python(py, key, self.as_text)).collect()
    }

    /// The integer at a path of fields of the object under `key`.
    fn _atomic(&self, py: Python<'_>, key: &Bound<'_, PyAny>, path: String) -> PyResult<Option<Atomic>> {
        let Some((memory, offset, bytes, _, layout, shape)) = self.locate(py, key, Shared::Atomics)? else {
            return Ok(None);
        };
        let what = (&layout.0, shape.as_deref().unwrap_or_default());
        Atomic::new(py, memory, (offset, bytes), what, path).map(Some)
    }

    /// What a path of fields leads to in the objects of a type, how many there are, and the bytes of all.
    #[expect(clippy::type_complexity, reason = "a tuple of Python")]
    fn _column<'py>(
        &self,
        py: Python<'py>,
        layout: &Layout,
        path: &str,
        keys: Option<Vec<Bound<'py, PyAny>>>,
    ) -> PyResult<(Bound<'py, PyAny>, String, Vec<u64>, usize, Bound<'py, PyByteArray>)> {
        let spot = Spot::find(&layout.0, &[], path)?;
        let mut column = Column::new(&self.handle, &layout.0, &spot)?;
        let reader = self.handle.reader(py).or_raise(py)?;
        if let Some(keys) = keys {
            let owned = |key| keys::to_bytes(key).map(std::borrow::Cow::into_owned);
            let bytes: Vec<Vec<u8>> = keys.iter().map(owned).collect::<PyResult<_>>()?;
            let outcome = py.detach(|| column.of_keys(&self.handle, reader.as_deref(), &bytes));
            column::raise(py, outcome, &keys)?;
        } else {
            py.detach(|| column.of_all(&self.handle, reader.as_deref())).or_raise(py)?;
        }
        let (count, bytes) = column.finish();
        let content = show_content(py, &spot.content)?;
        Ok((content, show_presentation(spot.presentation), spot.shape, count, bytearray(py, &bytes)?))
    }

    fn _sync(&self, py: Python<'_>) -> PyResult<()> {
        // Chunks that were looked into and that nobody refers to any more give their space back.
        self.let_go(py);
        py.detach(|| self.handle.own()?.sync()).or_raise(py)?;
        // (Nobody is told of it who has objects: there is nothing to be done then.)
        self.handle.release_dropped(py);
        Ok(())
    }

    fn _check(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        care::check(py, &self.handle)
    }

    fn _compact<'py>(&self, py: Python<'py>, fill_ratio: Option<f64>) -> PyResult<Bound<'py, PyDict>> {
        // What is merely cached does not keep anything in its place.
        self.let_go(py);
        let report = care::compact(py, &*self.handle.own().or_raise(py)?, fill_ratio)?;
        self.release_dropped(py);
        Ok(report)
    }

    /// Gives the space of chunks that `compact` has dropped to the file system, and closes their files; whether that was possible.
    ///
    /// It is when no object, array, `Atomic` or update of the store is referred to, and no other thread is in a call. `compact` and `sync` do it by
    /// themselves, and so does `close`: this is for a program that has let go of its objects since.
    fn release_dropped(&self, py: Python<'_>) -> bool {
        self.let_go(py);
        // (What is seen through it, whoever refers to that, keeps it.)
        let sealed = self.sealed.take(py);
        py.detach(|| drop(sealed));
        self.handle.release_dropped(py)
    }

    fn _copy_to(&self, py: Python<'_>, path: PathBuf) -> PyResult<u64> {
        care::copy_to(py, &self.handle, path)
    }

    fn _types(&self, py: Python<'_>) -> PyResult<Vec<Layout>> {
        let types = self.handle.types(py).or_raise(py)?;
        Ok(types.into_iter().map(|stored| Layout(stored.layout)).collect())
    }

    fn _stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        care::stats(py, &self.handle)
    }
}
