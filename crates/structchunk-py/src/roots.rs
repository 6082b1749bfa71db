//! The fast way to a ctypes object over a mapped chunk.
//!
//! `cls.from_buffer(memory, offset)` takes some 400 ns. So there is one cached array per chunk, class and offset modulo size, a *root*, which
//! spans the chunk; an object is an item of it, made by calling the slot of `ctypes.Array` itself. Through its base it keeps root, buffer and
//! chunk alive. ctypes notes in a root each struct or array that is assigned to a field of one of its items, so roots are made anew after
//! some uses; whoever still has an item keeps the old one.
#![expect(
    unsafe_code,
    reason = "a slot of a type is called through its pointer; the GIL guards what is cached"
)]

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

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

/// Where an object lies that is to be made, and the number of its type.
#[derive(Clone, Copy)]
pub struct At {
    pub chunk: u32,
    pub offset: u64,
    pub bytes: u64,
    pub type_number: u32,
}

impl At {
    /// Which root it is an item of.
    fn root(self) -> RootKey {
        let residue = self.offset % self.bytes.max(1);
        RootKey { chunk: self.chunk, type_number: self.type_number, residue }
    }

    /// Which item.
    fn index(self) -> isize {
        (self.offset / self.bytes.max(1)).cast_signed() as isize
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct RootKey {
    chunk: u32,
    type_number: u32,
    /// Offset modulo size.
    residue: u64,
}

impl std::hash::Hash for RootKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(u64::from(self.chunk) << 32 ^ u64::from(self.type_number) << 16 ^ self.residue);
    }
}

/// Hashes a number that nobody chose to collide (Knuth, TAOCP 3, 6.4: multiplicative hashing).
#[derive(Default)]
struct Quick(u64);

impl Hasher for Quick {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        // (The table takes its bits from both ends.)
        let product = (self.0 ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = product ^ product >> 32;
    }
}

type QuickMap<K, V> = HashMap<K, V, BuildHasherDefault<Quick>>;

/// What is cached for one store.
#[derive(Default)]
pub struct Roots {
    /// By the number of the type.
    classes: Vec<Option<Class>>,
    /// What [`CLASSES`] was when `classes` were noted.
    as_of: u64,
    /// The chunks that are held.
    chunks: HashMap<u32, Py<Memory>>,
    /// Of chunks that are held, and classes that are noted. (Each keeps its chunk in its place.)
    arrays: QuickMap<RootKey, Root>,
    /// What is to be dropped by somebody who does not look into this: it may run any code of Python.
    stale: Vec<Py<PyAny>>,
}

/// The same, for whoever has the GIL.
#[derive(Default)]
pub struct SharedRoots(RefCell<Roots>);

// SAFETY: `with` is the only way in, and takes a proof of having the GIL, without which nobody gets out of it either. (Interpreters without
// a GIL do not load modules of the stable ABI, which this one is.) What is inside may go from thread to thread.
unsafe impl Sync for SharedRoots {}

impl SharedRoots {
    /// Does something with what is cached, which does not run any code of Python.
    #[inline]
    pub fn with<R>(&self, _: Python<'_>, action: impl FnOnce(&mut Roots) -> R) -> R {
        let mut roots = self.0.borrow_mut();
        let outcome = action(&mut roots);
        if roots.stale.is_empty() {
            return outcome;
        }
        let stale = std::mem::take(&mut roots.stale);
        drop(roots);
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
pub enum Recipe<'py> {
    Item(Bound<'py, PyAny>, isize),
    NewRoot(NewRoot<'py>),
}

/// A root that is still to be made, for one object.
pub struct NewRoot<'py> {
    class: Bound<'py, PyType>,
    memory: Bound<'py, Memory>,
    at: At,
}

impl Roots {
    /// The class that serves a type, and the size of its objects.
    #[inline]
    fn class(&mut self, type_number: u32) -> Option<&Class> {
        if self.as_of != CLASSES.load(Ordering::Relaxed) {
            self.refresh();
        }
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
        if self.classes[index].as_ref().is_some_and(|known| !known.class.is(&class)) {
            let others = self.arrays.extract_if(|key, _| key.type_number == type_number);
            self.stale.extend(others.map(|(_, root)| root.array));
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

    /// How to make an object; `None` when that takes more than an item of a root.
    ///
    /// `class`: only an object of this class.
    #[inline]
    pub fn recipe<'py>(
        &mut self,
        py: Python<'py>,
        at: At,
        class: Option<&Bound<'py, PyAny>>,
    ) -> Option<Recipe<'py>> {
        let known = self.class(at.type_number)?;
        if known.bytes != at.bytes || class.is_some_and(|class| !known.class.is(class)) {
            return None;
        }
        if let Some(root) = self.arrays.get_mut(&at.root())
            && root.uses < MOST_USES
        {
            root.uses += 1;
            return Some(Recipe::Item(root.array.bind(py).clone(), at.index()));
        }
        self.new_root(py, at).map(Recipe::NewRoot)
    }

    #[cold]
    fn new_root<'py>(&self, py: Python<'py>, at: At) -> Option<NewRoot<'py>> {
        // The chunk was held before the object was looked up, or the object may have been moved by now.
        let memory = self.chunk(py, at.chunk)?.into_bound(py);
        let class = self.classes.get(at.type_number as usize)?.as_ref()?.class.bind(py).clone();
        Some(NewRoot { class, memory, at })
    }

    /// Lets go of everything that keeps chunks in their places.
    pub fn forget(&mut self) {
        self.stale.extend(self.arrays.drain().map(|(_, root)| root.array));
        self.stale.extend(self.chunks.drain().map(|(_, memory)| memory.into_any()));
    }
}

impl<'py> NewRoot<'py> {
    /// Makes the root, keeps it, and makes the object.
    #[cold]
    pub fn object(self, roots: &SharedRoots) -> PyResult<Bound<'py, PyAny>> {
        let py = self.class.py();
        let key = self.at.root();
        let array = make_root(&self.class, &self.memory, self.at.bytes, key.residue)?;
        let object = item(&array, self.at.index())?;
        let (array, class) = (array.unbind(), self.class);
        roots.with(py, |roots| {
            // (Making it has run code of Python, which may have closed the store, or have had another class serve the type.)
            let serves = roots.class(key.type_number).is_some_and(|known| known.class.is(&class));
            if serves && roots.chunks.contains_key(&key.chunk) {
                let old = roots.arrays.insert(key, Root { array, uses: 0 });
                roots.stale.extend(old.map(|root| root.array));
            } else {
                roots.stale.push(array);
            }
        });
        Ok(object)
    }
}

/// An array of a class over a whole chunk, from this residue on.
fn make_root<'py>(
    class: &Bound<'py, PyType>,
    memory: &Bound<'py, Memory>,
    bytes: u64,
    residue: u64,
) -> PyResult<Bound<'py, PyAny>> {
    let py = class.py();
    let count = (memory.get().bytes() as u64).saturating_sub(residue) / bytes.max(1);
    // (A metaclass may make anything of a multiplication.)
    let module = py.import(intern!(py, "structchunk._classes"))?;
    let array = module.getattr(intern!(py, "times"))?.call1((class, count))?;
    let root = array.call_method1(intern!(py, "from_buffer"), (memory, residue))?;
    if !is_array(&root)? {
        return Err(PyTypeError::new_err(format!("{array} is no array of ctypes")));
    }
    py.import(intern!(py, "structchunk._objects"))?.getattr(intern!(py, "watch"))?.call1((&root,))?;
    Ok(root)
}

/// `ctypes.Array`.
fn array_type(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static ARRAY: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let array = ARRAY.get_or_try_init(py, || {
        Ok::<_, PyErr>(py.import("ctypes")?.getattr("Array")?.cast_into::<PyType>()?.unbind())
    })?;
    Ok(array.bind(py))
}

/// Whether something is a ctypes array, of any class.
pub fn is_array(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    value.get_type().is_subclass(array_type(value.py())?)
}

/// A slot of `ctypes.Array`.
fn array_slot(py: Python<'_>, cell: &PyOnceLock<usize>, number: std::ffi::c_int) -> PyResult<usize> {
    let slot = cell.get_or_try_init(py, || {
        let array = array_type(py)?;
        // SAFETY: a type object; the slot's number is one that there is.
        let slot = unsafe { ffi::PyType_GetSlot(array.as_type_ptr(), number) };
        if slot.is_null() { Err(PyErr::fetch(py)) } else { Ok(slot as usize) }
    })?;
    Ok(*slot)
}

/// An item of a ctypes array: of a root, which is one, or of a ring's items.
#[inline]
pub fn item<'py>(array: &Bound<'py, PyAny>, index: isize) -> PyResult<Bound<'py, PyAny>> {
    static SLOT: PyOnceLock<usize> = PyOnceLock::new();
    let py = array.py();
    let slot = array_slot(py, &SLOT, ffi::Py_sq_item)?;
    // SAFETY: it is the function for `sq_item` of `ctypes.Array`, which takes an instance and an index.
    let get = unsafe { std::mem::transmute::<usize, ffi::ssizeargfunc>(slot) };
    // SAFETY: `array` is an instance of `ctypes.Array`; it checks the index.
    let item = unsafe { get(array.as_ptr(), index) };
    // SAFETY: a new reference, or null with an exception.
    unsafe { Bound::from_owned_ptr_or_err(py, item) }
}

/// Sets an item of a ctypes array.
pub fn set_item(array: &Bound<'_, PyAny>, index: isize, value: &Bound<'_, PyAny>) -> PyResult<()> {
    static SLOT: PyOnceLock<usize> = PyOnceLock::new();
    let py = array.py();
    let slot = array_slot(py, &SLOT, ffi::Py_sq_ass_item)?;
    // SAFETY: it is the function for `sq_ass_item` of `ctypes.Array`, which takes an instance, an index and a value.
    let set = unsafe { std::mem::transmute::<usize, ffi::ssizeobjargproc>(slot) };
    // SAFETY: as for `item`.
    match unsafe { set(array.as_ptr(), index, value.as_ptr()) } {
        0 => Ok(()),
        _ => Err(PyErr::fetch(py)),
    }
}
