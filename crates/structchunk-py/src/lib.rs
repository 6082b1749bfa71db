//! The native half of the Python package: thin, without any logic of a store.
//!
//! What Python sees is in `python/structchunk/`; this module is what it is made of. `memory` hands out the bytes of objects through the
//! buffer protocol, `store` has the calls (`handle`: of one's own or beside a writer; `change`: one object in place; `scan`: keys; `care`: all of it; `wait`: for others), `layout` the descriptions of types, `roots` the fast way to a ctypes object; `ring` the methods of rings;
//! `path` finds fields of fields, for `fields`, which changes single integers, and `column`, which gathers one field of many objects; `table`
//! encodes keys of tables.

#![expect(clippy::needless_pass_by_value, reason = "arguments come from Python by value")]

mod care;
mod change;
mod column;
mod errors;
mod fields;
mod handle;
mod keys;
mod layout;
mod locate;
mod memory;
mod path;
mod ring;
mod roots;
mod scan;
mod store;
mod table;
mod wait;

/// Says, on standard error, which byte of which file was touched when this process dies of a SIGBUS in the files of a store.
///
/// That happens when somebody else truncates a file of an open store, when its disk fails, and when a new page of a sparse array is touched on a
/// full disk. The process dies then all the same. For programs, not for modules: it takes the process's handler of SIGBUS, and calls the one
/// that was there before, such as that of `faulthandler`, after the line. Raises `OSError` when the system accepts no handler.
#[pyo3::pyfunction]
fn explain_bus_errors() -> std::io::Result<()> {
    structchunk::explain_bus_errors()
}

/// See `python/structchunk/_native.pyi`. Its caches are made for threads that take turns.
#[pyo3::pymodule(gil_used = true)]
mod _native {
    #[pymodule_export]
    use super::explain_bus_errors;
    #[pymodule_export]
    use super::fields::Atomic;
    #[pymodule_export]
    use super::layout::{Described, Layout};
    #[pymodule_export]
    use super::memory::Memory;
    #[pymodule_export]
    use super::ring::{RingIterator, RingMethods};
    #[pymodule_export]
    use super::roots::classes_changed;
    #[pymodule_export]
    use super::store::Store;
    #[pymodule_export]
    use super::table::TableKeys;
}
