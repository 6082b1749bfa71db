//! Rings: what a ctypes structure of head, length and items does when it is one.
//!
//! `structchunk.Ring` has this class among its bases and `ctypes.Structure` beside it: the methods are native, the memory is the structure's.
#![expect(unsafe_code, reason = "head and length are read and written where they lie")]

use std::sync::atomic::{Ordering, fence};

use pyo3::exceptions::{PyIndexError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyList, PySlice};

use crate::memory::Bytes;
use crate::roots::{is_array, item, set_item};

/// The methods of rings.
#[pyclass(subclass, frozen, module = "structchunk._native", name = "Ring")]
pub struct RingMethods;

/// A ring as it is now: whatever the memory says, within bounds.
struct State<'r, 'py> {
    ring: &'r Bound<'py, RingMethods>,
    items: Bound<'py, PyAny>,
    capacity: u64,
    head: u64,
    length: u64,
}

impl<'r, 'py> State<'r, 'py> {
    fn of(ring: &'r Bound<'py, RingMethods>) -> PyResult<Self> {
        let items = ring.getattr(intern!(ring.py(), "items"))?;
        let capacity = if is_array(&items)? { items.len()? as u64 } else { 0 };
        let Some(at) = Self::numbers(ring)?.filter(|_| capacity > 0) else {
            return Err(PyTypeError::new_err("this is no ring"));
        };
        // SAFETY: `numbers` found both in a buffer of a structure of ctypes; no code of Python has run since.
        let [head, length] = unsafe { at.1.read_unaligned() };
        Ok(Self { ring, items, capacity, head: head % capacity, length: length.min(capacity) })
    }

    /// Head and length, where they are, if they are.
    fn numbers(ring: &Bound<'py, RingMethods>) -> PyResult<Option<(Bytes, *mut [u64; 2])>> {
        let memory = Bytes::writable(ring.as_any())?;
        let at = memory.address() as *mut [u64; 2];
        Ok((memory.count() >= size_of::<[u64; 2]>()).then_some((memory, at)))
    }

    /// Sets the head, behind everything that was written before. (Setting an item may have run any code of Python, so it is looked again
    /// where it is.)
    fn set_head(&mut self, head: u64) -> PyResult<()> {
        self.head = head;
        self.set(0, head)
    }

    /// The same for the length.
    fn set_length(&mut self, length: u64) -> PyResult<()> {
        self.length = length;
        self.set(1, length)
    }

    fn set(&self, index: usize, number: u64) -> PyResult<()> {
        let Some(at) = Self::numbers(self.ring)? else {
            return Err(PyTypeError::new_err("this is no ring"));
        };
        fence(Ordering::Release);
        // SAFETY: `numbers` found both in a buffer that may be written to by whoever has the GIL; no code of Python has run since.
        unsafe { at.1.cast::<u64>().wrapping_add(index).write_unaligned(number) };
        fence(Ordering::Release);
        Ok(())
    }

    /// Goes back to what was before a change that was begun.
    fn restore(&mut self, head: u64, length: u64, error: PyErr) -> PyResult<()> {
        self.set_head(head)?;
        self.set_length(length)?;
        Err(error)
    }

    /// Where an item is that is counted from the head.
    fn place(&self, number: u64) -> isize {
        ((self.head + number) % self.capacity).cast_signed() as isize
    }

    /// The same for an index of Python.
    fn index(&self, index: &Bound<'py, PyAny>) -> PyResult<isize> {
        let number: Option<i64> = match index.extract() {
            Ok(number) => Some(number),
            Err(error) if error.is_instance_of::<pyo3::exceptions::PyOverflowError>(index.py()) => None,
            Err(error) => return Err(error),
        };
        let from_front = number.and_then(|number| match number {
            0.. => Some(number.cast_unsigned()),
            _ => self.length.checked_add_signed(number),
        });
        match from_front.filter(|&number| number < self.length) {
            Some(number) => Ok(self.place(number)),
            None => Err(PyIndexError::new_err(format!("item {index} of a ring of {}", self.length))),
        }
    }

    fn not_empty(&self) -> PyResult<()> {
        if self.length > 0 { Ok(()) } else { Err(PyIndexError::new_err("the ring is empty")) }
    }
}

#[pymethods]
impl RingMethods {
    /// How many items there is room for.
    #[getter]
    fn capacity(slf: &Bound<'_, Self>) -> PyResult<u64> {
        Ok(State::of(slf)?.capacity)
    }

    /// Adds an item behind the last one; in a full ring the first one goes.
    fn append(slf: &Bound<'_, Self>, item: &Bound<'_, PyAny>) -> PyResult<()> {
        let mut ring = State::of(slf)?;
        let (head, length) = (ring.head, ring.length);
        if length == ring.capacity {
            ring.set_length(length - 1)?;
            ring.set_head((head + 1) % ring.capacity)?;
        } else {
            ring.set_head(head)?;
        }
        match set_item(&ring.items, ring.place(ring.length), item) {
            Ok(()) => ring.set_length(ring.length + 1),
            Err(error) => ring.restore(head, length, error),
        }
    }

    /// Adds an item before the first one; in a full ring the last one goes.
    fn prepend(slf: &Bound<'_, Self>, item: &Bound<'_, PyAny>) -> PyResult<()> {
        let mut ring = State::of(slf)?;
        let (head, length) = (ring.head, ring.length);
        ring.set_length(length.min(ring.capacity - 1))?;
        let before = (head + ring.capacity - 1) % ring.capacity;
        match set_item(&ring.items, before.cast_signed() as isize, item) {
            Ok(()) => ring.set_head(before).and_then(|()| ring.set_length(ring.length + 1)),
            Err(error) => ring.restore(head, length, error),
        }
    }

    /// Drops the last item.
    fn pop(slf: &Bound<'_, Self>) -> PyResult<()> {
        let mut ring = State::of(slf)?;
        ring.not_empty()?;
        ring.set_length(ring.length - 1)
    }

    /// Drops the first item.
    fn popleft(slf: &Bound<'_, Self>) -> PyResult<()> {
        let mut ring = State::of(slf)?;
        ring.not_empty()?;
        ring.set_length(ring.length - 1)?;
        ring.set_head((ring.head + 1) % ring.capacity)
    }

    /// Drops all items.
    fn clear(slf: &Bound<'_, Self>) -> PyResult<()> {
        let mut ring = State::of(slf)?;
        ring.set_length(0)?;
        ring.set_head(0)
    }

    /// Appends the items of a buffer, which are as those of the ring: in one or two pieces.
    fn _extend(slf: &Bound<'_, Self>, values: &Bound<'_, PyAny>) -> PyResult<()> {
        let mut ring = State::of(slf)?;
        let (new, room) = (Bytes::of(values)?, Bytes::writable(&ring.items)?);
        let capacity = ring.capacity as usize;
        let item_bytes = room.count() / capacity;
        if item_bytes == 0 || !new.count().is_multiple_of(item_bytes) {
            return Err(PyValueError::new_err("these are not whole items"));
        }
        let total = new.count() / item_bytes;
        let count = total.min(capacity);
        let behind = ((ring.head + ring.length + (total - count) as u64) % ring.capacity) as usize;
        let first = count.min(capacity - behind);
        let begin = (total - count) * item_bytes;
        let to = room.address() as *mut u8;
        // The ring's own items are copied first, or the first piece would change the second one.
        let is_own =
            new.address() < room.address() + room.count() && room.address() < new.address() + new.count();
        let copy = if is_own { new.as_slice(slf.py()).to_vec() } else { Vec::new() };
        let from = if is_own { copy.as_ptr() } else { new.address() as *const u8 }.wrapping_add(begin);
        let target = to.wrapping_add(behind * item_bytes);
        let kept = ring.length.min((capacity - count) as u64);
        ring.set_length(kept)?;
        ring.set_head((behind as u64 + ring.capacity - kept) % ring.capacity)?;
        // SAFETY: the last `count` items of the buffer, or of a copy; `behind + first` is at most the capacity; they do not overlap.
        unsafe { std::ptr::copy_nonoverlapping(from, target, first * item_bytes) };
        let (rest, bytes) = (from.wrapping_add(first * item_bytes), (count - first) * item_bytes);
        // SAFETY: what is left of them, which is less than the capacity.
        unsafe { std::ptr::copy_nonoverlapping(rest, to, bytes) };
        ring.set_length(kept + count as u64)
    }

    fn __len__(slf: &Bound<'_, Self>) -> PyResult<usize> {
        Ok(State::of(slf)?.length as usize)
    }

    fn __getitem__<'py>(slf: &Bound<'py, Self>, index: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let ring = State::of(slf)?;
        let Ok(slice) = index.cast::<PySlice>() else { return item(&ring.items, ring.index(index)?) };
        let part = slice.indices(ring.length.cast_signed() as isize)?;
        let list = PyList::empty(slf.py());
        for step in 0..part.slicelength {
            let number = part.start + step.cast_signed() * part.step;
            list.append(item(&ring.items, ring.place(number.cast_unsigned() as u64))?)?;
        }
        Ok(list.into_any())
    }

    fn __setitem__(
        slf: &Bound<'_, Self>,
        index: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let ring = State::of(slf)?;
        set_item(&ring.items, ring.index(index)?, value)
    }

    fn __iter__(slf: &Bound<'_, Self>) -> PyResult<RingIterator> {
        RingIterator::over(slf, false)
    }

    fn __reversed__(slf: &Bound<'_, Self>) -> PyResult<RingIterator> {
        RingIterator::over(slf, true)
    }
}

/// The items that a ring had when it was made.
#[pyclass(module = "structchunk._native")]
pub struct RingIterator {
    items: Py<PyAny>,
    capacity: u64,
    /// Where the next one is.
    at: u64,
    left: u64,
    reverse: bool,
}

impl RingIterator {
    fn over(ring: &Bound<'_, RingMethods>, reverse: bool) -> PyResult<Self> {
        let State { items, capacity, head, length, .. } = State::of(ring)?;
        let at = if reverse { (head + length + capacity - 1) % capacity } else { head };
        Ok(Self { items: items.unbind(), capacity, at, left: length, reverse })
    }
}

#[pymethods]
impl RingIterator {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __length_hint__(&self) -> u64 {
        self.left
    }

    fn __next__<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        if self.left == 0 {
            return Ok(None);
        }
        let step = if self.reverse { self.capacity - 1 } else { 1 };
        let found = item(self.items.bind(py), self.at.cast_signed() as isize)?;
        (self.at, self.left) = ((self.at + step) % self.capacity, self.left - 1);
        Ok(Some(found))
    }
}
