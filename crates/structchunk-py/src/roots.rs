//! The fast way to a ctypes object over a mapped chunk.
//!
//! `cls.from_buffer(memory, offset)` takes some 400 ns. So there is one cached array per chunk, class and offset modulo size, a *root*, which
//! spans the chunk; an object is an item of it, made by calling the slot of `ctypes.Array` itself. Through its base it keeps root, buffer and
//! chunk alive. ctypes notes in a root each struct or array that is assigned to a field of one of its items, so roots are made anew after
//! some uses; whoever still has an item keeps the old one.
#![expect(unsafe_code, reason = "a slot of a type is called through its pointer")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

use crate::memory::Memory;

/// A root serves so many objects, then it is made anew.
const MOST_USES: u32 = 1024;

/// Rises when a class takes the place of another one for some type.
static CLASSES: AtomicU64 = AtomicU64::new(1);

/// Forgets, in all stores, which class serves which type.
#[pyfunction]
pub fn classes_changed() {
    CLASSES.fetch_add(1, Ordering::Relaxed);
}

/// What is cached for one store.
#[derive(Default)]
pub struct Roots {
    /// By the number of the type.
    classes: Vec<Option<Class>>,
    /// What [`CLASSES`] was when `classes` were noted.
    as_of: u64,
    /// The chunks that are held.
    chunks: HashMap<u32, Py<Memory>>,
    /// By chunk, number of the type, and offset modulo size.
    arrays: HashMap<(u32, u32, u64), Root>,
    /// What is to be dropped by somebody who has no lock: it may run any code of Python.
    stale: Vec<Py<PyAny>>,
}

/// The same, shared.
#[derive(Default)]
pub struct SharedRoots(Mutex<Roots>);

impl SharedRoots {
    /// Does something with what is cached, which does not run any code of Python.
    pub fn with<R>(&self, action: impl FnOnce(&mut Roots) -> R) -> R {
        let (outcome, stale) = {
            let mut roots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let outcome = action(&mut roots);
            (outcome, std::mem::take(&mut roots.stale))
        };
        drop(stale);
        outcome
    }
}

struct Class {
    class: Py<PyType>,
    bytes: u64,
}

struct Root {
    array: Py<PyAny>,
    uses: u32,
}

/// What makes an object: an item of a root that is there, or one that is still to be made.
pub enum Recipe {
    Item(Py<PyAny>, isize),
    NewRoot { class: Py<PyType>, memory: Py<Memory>, bytes: u64 },
}

impl Roots {
    /// The class that serves a type, and the size of its objects.
    fn class(&mut self, type_number: u32) -> Option<&Class> {
        self.refresh();
        self.classes.get(type_number as usize)?.as_ref()
    }

    /// Forgets what was noted before a class took the place of another one.
    fn refresh(&mut self) {
        let now = CLASSES.load(Ordering::Relaxed);
        if self.as_of != now {
            self.stale.extend(self.classes.drain(..).flatten().map(|class| class.class.into_any()));
            self.stale.extend(self.arrays.drain().map(|(_, root)| root.array));
            self.as_of = now;
        }
    }

    /// Notes the class that serves a type.
    pub fn note_class(&mut self, type_number: u32, class: Py<PyType>, bytes: u64) {
        self.refresh();
        let index = type_number as usize;
        if self.classes.len() <= index {
            self.classes.resize_with(index + 1, || None);
        }
        let old = self.classes[index].replace(Class { class, bytes });
        self.stale.extend(old.map(|class| class.class.into_any()));
    }

    /// The memory of a chunk, if it is held.
    pub fn chunk(&self, py: Python<'_>, chunk: u32) -> Option<Py<Memory>> {
        self.chunks.get(&chunk).map(|memory| memory.clone_ref(py))
    }

    pub fn holds(&self, chunk: u32) -> bool {
        self.chunks.contains_key(&chunk)
    }

    pub fn keep_chunk(&mut self, chunk: u32, memory: Py<Memory>) {
        self.stale.extend(self.chunks.insert(chunk, memory).map(Py::into_any));
    }

    /// How to make the object at an offset of a chunk; `None` when that takes more than an item of a root.
    ///
    /// `class`: only an object of this class.
    pub fn recipe(
        &mut self,
        py: Python<'_>,
        (chunk, offset, bytes): (u32, u64, u64),
        type_number: u32,
        class: Option<&Bound<'_, PyAny>>,
    ) -> Option<Recipe> {
        // It was held before the object was looked up, or the object may have been moved by now.
        let memory = self.chunk(py, chunk)?;
        let known = self.class(type_number)?;
        if known.bytes != bytes || class.is_some_and(|class| !known.class.is(class)) {
            return None;
        }
        let known_class = known.class.clone_ref(py);
        let (key, index) = ((chunk, type_number, offset % bytes), offset / bytes);
        if let Some(root) = self.arrays.get_mut(&key)
            && root.uses < MOST_USES
        {
            root.uses += 1;
            return Some(Recipe::Item(root.array.clone_ref(py), index.cast_signed() as isize));
        }
        Some(Recipe::NewRoot { class: known_class, memory, bytes })
    }

    /// Keeps a root that was made.
    pub fn keep_root(&mut self, chunk: u32, type_number: u32, residue: u64, array: Py<PyAny>) {
        let old = self.arrays.insert((chunk, type_number, residue), Root { array, uses: 0 });
        self.stale.extend(old.map(|root| root.array));
    }

    /// Lets go of everything that keeps chunks in their places.
    pub fn forget(&mut self) {
        self.stale.extend(self.arrays.drain().map(|(_, root)| root.array));
        self.stale.extend(self.chunks.drain().map(|(_, memory)| memory.into_any()));
    }
}

/// An array of a class over a whole chunk, from this residue on.
pub fn make_root(
    py: Python<'_>,
    class: &Py<PyType>,
    memory: &Py<Memory>,
    bytes: u64,
    residue: u64,
) -> PyResult<Py<PyAny>> {
    let count = (memory.get().bytes() as u64).saturating_sub(residue) / bytes;
    let array = class.bind(py).mul(count)?;
    let root = array.call_method1(intern!(py, "from_buffer"), (memory, residue))?;
    // A metaclass may make anything of a multiplication.
    if !root.is_instance(array_type(py)?)? {
        return Err(PyTypeError::new_err(format!("{array} is no array of ctypes")));
    }
    Ok(root.unbind())
}

/// `ctypes.Array`.
fn array_type(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static ARRAY: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let array = ARRAY.get_or_try_init(py, || {
        Ok::<_, PyErr>(py.import("ctypes")?.getattr("Array")?.cast_into::<PyType>()?.unbind())
    })?;
    Ok(array.bind(py))
}

/// An item of a root.
pub fn item(py: Python<'_>, root: &Py<PyAny>, index: isize) -> PyResult<Py<PyAny>> {
    static SLOT: PyOnceLock<usize> = PyOnceLock::new();
    let slot = *SLOT.get_or_try_init(py, || {
        let array = array_type(py)?;
        // SAFETY: a type object; the slot's number is one that there is.
        let slot = unsafe { ffi::PyType_GetSlot(array.as_type_ptr(), ffi::Py_sq_item) };
        if slot.is_null() { Err(PyErr::fetch(py)) } else { Ok(slot as usize) }
    })?;
    // SAFETY: it is the function for `sq_item` of `ctypes.Array`, which takes an instance and an index.
    let get = unsafe { std::mem::transmute::<usize, ffi::ssizeargfunc>(slot) };
    // SAFETY: roots are instances of `ctypes.Array`; it checks the index.
    let item = unsafe { get(root.as_ptr(), index) };
    // SAFETY: a new reference, or null with an exception.
    unsafe { Bound::from_owned_ptr_or_err(py, item) }.map(Bound::unbind)
}
