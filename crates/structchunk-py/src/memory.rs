//! The memory of objects, handed out through the buffer protocol.
#![expect(unsafe_code, reason = "the buffer protocol hands out pointers")]

use std::ffi::{c_int, c_void};
use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::{PyBufferError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use structchunk::raw::{Atomics, FileId, Hold, Lent, Update, When};

use crate::errors::OrRaise;
use crate::wait::patiently;

/// A mapped file of a store, the memory of a loan or an update, or one object. Whoever has a view of it keeps it alive, and with it what it refers to.
#[pyclass(frozen, weakref, module = "structchunk._native")]
pub struct Memory {
    address: usize,
    bytes: usize,
    writable: bool,
    owner: Owner,
}

enum Owner {
    Hold(Hold, FileId),
    Loan(Mutex<Lent>),
    Update(Mutex<Update>),
    Atomics {
        _object: Mutex<Atomics>,
    },
    /// Its bytes, which nobody writes to.
    Copy {
        _bytes: Vec<u8>,
    },
}

impl Memory {
    /// A file that is held.
    pub fn of_hold(hold: Hold, file: FileId) -> Self {
        let (address, bytes) = (hold.as_ptr() as usize, hold.len() as usize);
        Self { address, bytes, writable: hold.is_writable(), owner: Owner::Hold(hold, file) }
    }

    pub fn of_loan(loan: Lent) -> Self {
        let (address, bytes) = (loan.as_ptr() as usize, loan.len() as usize);
        Self { address, bytes, writable: true, owner: Owner::Loan(Mutex::new(loan)) }
    }

    pub fn of_update(update: Update) -> Self {
        let (address, bytes) = (update.as_ptr() as usize, update.len() as usize);
        Self { address, bytes, writable: true, owner: Owner::Update(Mutex::new(update)) }
    }

    /// An object that is changed through atomics only: it is not handed out.
    pub fn of_atomics(object: Atomics) -> Self {
        let (address, bytes) = (object.as_ptr() as usize, object.len() as usize);
        Self { address, bytes, writable: true, owner: Owner::Atomics { _object: Mutex::new(object) } }
    }

    /// A copy of an object, to be read.
    pub fn of_copy(bytes: Vec<u8>) -> Self {
        let (address, length) = (bytes.as_ptr() as usize, bytes.len());
        Self { address, bytes: length, writable: false, owner: Owner::Copy { _bytes: bytes } }
    }

    /// Where it lies.
    pub fn address(&self) -> usize {
        self.address
    }

    /// How long it is.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn is_writable(&self) -> bool {
        self.writable
    }

    fn publish_when(&self, py: Python<'_>, when: When) -> PyResult<bool> {
        let Owner::Loan(loan) = &self.owner else { return Err(PyTypeError::new_err("this is no loan")) };
        let loan = || loan.lock().unwrap_or_else(PoisonError::into_inner);
        if !loan().is_staged() {
            // (What has a file of its own is published once, so this one waits in one piece.)
            return py.detach(|| loan().publish(when)).or_raise(py);
        }
        let timeout = loan().busy_timeout();
        // What is copied may be written to by whoever has the GIL.
        patiently(py, timeout, || loan().try_publish(when))
    }
}

/// Where the object begins that has a file of its own.
const PAGE: u64 = 4096;

#[pymethods]
impl Memory {
    /// Makes the object of a loan exist.
    fn publish(&self, py: Python<'_>) -> PyResult<()> {
        self.publish_when(py, When::Always).map(drop)
    }

    /// Makes the object of a loan exist where there is none; whether it did.
    fn publish_new(&self, py: Python<'_>) -> PyResult<bool> {
        self.publish_when(py, When::Absent)
    }

    /// Writes an update back.
    fn commit(&self, py: Python<'_>) -> PyResult<()> {
        let Owner::Update(update) = &self.owner else {
            return Err(PyTypeError::new_err("this is no update"));
        };
        update.lock().unwrap_or_else(PoisonError::into_inner).commit().or_raise(py)
    }

    /// Lets go of the object of an update.
    fn cancel(&self) {
        if let Owner::Update(update) = &self.owner {
            update.lock().unwrap_or_else(PoisonError::into_inner).cancel();
        }
    }

    /// Whether what lies at an offset is still the object that is current under its key. (All of a file of its own is.)
    fn is_current(&self, offset: u64) -> bool {
        match &self.owner {
            Owner::Hold(hold, file @ FileId::Body(_)) => hold.is_current(*file, PAGE),
            Owner::Hold(hold, file) => hold.is_current(*file, offset),
            _ => false,
        }
    }

    /// Whether it is one object, with a file of its own.
    #[getter]
    fn is_one(&self) -> bool {
        matches!(&self.owner, Owner::Hold(_, FileId::Body(_)))
    }

    /// Whether an address lies in here, and where.
    fn offset_of(&self, address: usize) -> Option<usize> {
        address.checked_sub(self.address).filter(|&offset| offset < self.bytes)
    }

    #[getter(bytes)]
    fn python_bytes(&self) -> usize {
        self.bytes
    }

    #[getter]
    fn writable(&self) -> bool {
        self.writable
    }

    /// # Safety
    /// Called by Python, which gives a valid `view`.
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        // SAFETY: `view` is Python's; whoever raises leaves no object in it.
        unsafe { (*view).obj = std::ptr::null_mut() };
        let this = slf.get();
        let (address, bytes) = (this.address as *mut c_void, this.bytes.cast_signed());
        if flags & ffi::PyBUF_WRITABLE != 0 && !this.writable {
            return Err(PyBufferError::new_err("the store is open read-only"));
        }
        let readonly = c_int::from(!this.writable);
        // SAFETY: `view` is Python's; the memory stays for as long as this object, which the view refers to; and what a holder of the view
        // does there is ctypes' and numpy's kind of safe: the package hands out only views of whole objects.
        let filled = unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), address, bytes, readonly, flags) };
        if filled == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}

/// The bytes of any object with a contiguous buffer, for as long as this lives.
pub struct Bytes {
    view: Box<ffi::Py_buffer>,
}

impl Bytes {
    /// Of a value.
    pub fn of(value: &Bound<'_, PyAny>) -> PyResult<Self> {
        Self::with(value, ffi::PyBUF_SIMPLE)
    }

    /// Of a value that can be written to.
    pub fn writable(value: &Bound<'_, PyAny>) -> PyResult<Self> {
        Self::with(value, ffi::PyBUF_WRITABLE)
    }

    fn with(value: &Bound<'_, PyAny>, flags: c_int) -> PyResult<Self> {
        let mut view = Box::new(ffi::Py_buffer::new());
        // SAFETY: both are valid; the view is released when it was got.
        let got = unsafe { ffi::PyObject_GetBuffer(value.as_ptr(), &raw mut *view, flags) };
        if got == 0 { Ok(Self { view }) } else { Err(PyErr::fetch(value.py())) }
    }

    /// The bytes. Whoever copies them has the GIL, as for every copy of a buffer in Python.
    pub fn as_slice(&self, _: Python<'_>) -> &[u8] {
        if self.view.len == 0 {
            return &[];
        }
        // SAFETY: the buffer is contiguous, of this length, and stays until the view is released. That nobody without the GIL writes there
        // meanwhile is what every reader of a Python buffer relies on.
        unsafe { std::slice::from_raw_parts(self.view.buf.cast(), self.view.len.cast_unsigned()) }
    }

    /// Where they lie.
    pub fn address(&self) -> usize {
        self.view.buf as usize
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.view.len.cast_unsigned()
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        // SAFETY: it was got, and is released once; values of this type live inside of calls from Python only, with the GIL.
        unsafe { ffi::PyBuffer_Release(&raw mut *self.view) };
    }
}
