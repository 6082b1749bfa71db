//! Integers in objects, changed by one instruction: by threads, and by processes that share the mapping.
#![expect(unsafe_code, reason = "atomics lie in mapped files")]

use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use structchunk::{ByteOrder, FieldContent, Layout, Scalar};

use crate::errors::ours;
use crate::memory::Memory;
use crate::path::Spot;

const ALL: Ordering = Ordering::SeqCst;

/// An aligned integer field of an object. It keeps the object mapped and in its place.
#[pyclass(frozen, module = "structchunk")]
pub struct Atomic {
    memory: Py<Memory>,
    address: usize,
    scalar: Scalar,
    path: String,
}

/// Does something with the number, whatever its width.
macro_rules! with_cell {
    ($this:expr, $cell:ident: $number:ident => $action:expr) => {
        match $this.scalar.kind().size() {
            1 => with_cell!($this, AtomicU8, u8, $cell: $number => $action),
            2 => with_cell!($this, AtomicU16, u16, $cell: $number => $action),
            4 => with_cell!($this, AtomicU32, u32, $cell: $number => $action),
            _ => with_cell!($this, AtomicU64, u64, $cell: $number => $action),
        }
    };
    ($this:expr, $atomic:ident, $integer:ident, $cell:ident: $number:ident => $action:expr) => {{
        type $number = $integer;
        // SAFETY: `Atomic::new` has found it aligned and inside the memory, which `$this.memory` keeps mapped, and which other languages
        // change meanwhile as hardware does; a Rust reference to it is nobody's. Read-only memory is only loaded from.
        let $cell = unsafe { $atomic::from_ptr($this.address as *mut $integer) };
        $action
    }};
}

impl Atomic {
    /// The integer that a path leads to in the object at an offset of some memory.
    pub fn new(
        py: Python<'_>,
        memory: Py<Memory>,
        (offset, bytes): (u64, u64),
        (layout, shape): (&Layout, &[u64]),
        path: String,
    ) -> PyResult<Self> {
        let spot = Spot::find(layout, shape, &path)?;
        let refuse =
            |what: &str| Err(PyTypeError::new_err(format!("{path:?}: {what}, and no single integer")));
        if !spot.shape.is_empty() {
            return refuse("an array");
        }
        let FieldContent::Scalar(scalar) = spot.content else { return refuse("a struct") };
        let width = scalar.kind().size();
        if scalar.kind().is_float() {
            return refuse("a floating-point number");
        }
        let end = spot.offset + width as u64;
        let (address, length) = (memory.get().address(), memory.get().bytes() as u64);
        if end > bytes || offset.checked_add(end).is_none_or(|end| end > length) {
            return Err(ours(py, "CorruptError", "a field lies outside of its object"));
        }
        let address = address + (offset + spot.offset) as usize;
        if !address.is_multiple_of(width) {
            return refuse("an integer that is not aligned");
        }
        Ok(Self { memory, address, scalar, path })
    }

    fn is_swapped(&self) -> bool {
        self.scalar.order() == Some(ByteOrder::Big) && self.scalar.kind().size() > 1
    }

    fn bits(&self) -> u32 {
        8 * self.scalar.kind().size() as u32
    }

    fn is_signed(&self) -> bool {
        self.scalar.kind().name().starts_with('i')
    }

    fn check_writable(&self, py: Python<'_>) -> PyResult<()> {
        if self.memory.get().is_writable() {
            return Ok(());
        }
        Err(ours(py, "ReadOnly", "the store is open read-only, or the object is sealed"))
    }

    /// Any number of Python, as what is left of it in as many bits.
    fn wrapped(value: &Bound<'_, PyAny>) -> PyResult<u64> {
        match value.extract::<i64>() {
            Ok(number) => Ok(number.cast_unsigned()),
            Err(error) if error.is_instance_of::<PyOverflowError>(value.py()) => {
                let whole = value.call_method0(intern!(value.py(), "__index__"))?;
                whole.call_method1(intern!(value.py(), "__and__"), (u64::MAX,))?.extract()
            }
            Err(error) => Err(error),
        }
    }

    /// A number that the field can hold.
    fn exact(&self, value: &Bound<'_, PyAny>) -> PyResult<u64> {
        let number = Self::wrapped(value)?;
        if value.eq(self.shown(value.py(), number)?)? {
            return Ok(number);
        }
        let kind = self.scalar.kind().name();
        Err(PyOverflowError::new_err(format!("{:?}: {value} does not fit into {kind}", self.path)))
    }

    /// What the bits stand for.
    fn shown<'py>(&self, py: Python<'py>, number: u64) -> PyResult<Bound<'py, PyAny>> {
        let unused = 64 - self.bits();
        Ok(if self.is_signed() {
            ((number << unused).cast_signed() >> unused).into_pyobject(py)?.into_any()
        } else {
            (number << unused >> unused).into_pyobject(py)?.into_any()
        })
    }
}

/// Changes the number; gives the bits of what it was before.
macro_rules! change {
    ($this:expr, $py:expr, $operand:expr, $native:ident, $swapped:expr) => {{
        $this.check_writable($py)?;
        let operand: u64 = $operand;
        let before: u64 = with_cell!($this, cell: Number => {
            let operand = operand as Number;
            if $this.is_swapped() {
                let swapped = |now: Number| {
                    let change: fn(Number, Number) -> Number = $swapped;
                    Some(change(now.swap_bytes(), operand).swap_bytes())
                };
                let (Ok(before) | Err(before)) = cell.fetch_update(ALL, ALL, swapped);
                u64::from(before.swap_bytes())
            } else {
                u64::from(cell.$native(operand, ALL))
            }
        });
        before
    }};
}

#[expect(clippy::cast_possible_truncation, reason = "numbers wrap as the field's do")]
#[pymethods]
impl Atomic {
    /// The number.
    #[expect(clippy::useless_conversion, reason = "of one of four widths")]
    fn load<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let now: u64 = with_cell!(self, cell: Number => {
            let now: Number = cell.load(ALL);
            (if self.is_swapped() { now.swap_bytes() } else { now }).into()
        });
        self.shown(py, now)
    }

    /// Sets the number.
    fn store(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.exchange(py, value).map(drop)
    }

    /// Adds, and wraps around; gives the number before.
    #[pyo3(signature = (value=1))]
    fn add<'py>(
        &self,
        py: Python<'py>,
        #[pyo3(from_py_with = Self::wrapped)] value: u64,
    ) -> PyResult<Bound<'py, PyAny>> {
        let before = change!(self, py, value, fetch_add, |now, by| now.wrapping_add(by));
        self.shown(py, before)
    }

    /// Subtracts, and wraps around; gives the number before.
    #[pyo3(signature = (value=1))]
    fn sub<'py>(
        &self,
        py: Python<'py>,
        #[pyo3(from_py_with = Self::wrapped)] value: u64,
    ) -> PyResult<Bound<'py, PyAny>> {
        let before = change!(self, py, value, fetch_sub, |now, by| now.wrapping_sub(by));
        self.shown(py, before)
    }

    /// Leaves the bits that are set in both; gives the number before.
    fn and_<'py>(&self, py: Python<'py>, value: &Bound<'_, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let before = change!(self, py, Self::wrapped(value)?, fetch_and, |now, with| now & with);
        self.shown(py, before)
    }

    /// Sets bits; gives the number before.
    fn or_<'py>(&self, py: Python<'py>, value: &Bound<'_, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let before = change!(self, py, Self::wrapped(value)?, fetch_or, |now, with| now | with);
        self.shown(py, before)
    }

    /// Turns bits; gives the number before.
    fn xor<'py>(&self, py: Python<'py>, value: &Bound<'_, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let before = change!(self, py, Self::wrapped(value)?, fetch_xor, |now, with| now ^ with);
        self.shown(py, before)
    }

    fn __iadd__(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        change!(self, py, Self::wrapped(value)?, fetch_add, |now, by| now.wrapping_add(by));
        Ok(())
    }

    fn __isub__(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        change!(self, py, Self::wrapped(value)?, fetch_sub, |now, by| now.wrapping_sub(by));
        Ok(())
    }

    fn __iand__(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        change!(self, py, Self::wrapped(value)?, fetch_and, |now, with| now & with);
        Ok(())
    }

    fn __ior__(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        change!(self, py, Self::wrapped(value)?, fetch_or, |now, with| now | with);
        Ok(())
    }

    fn __ixor__(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        change!(self, py, Self::wrapped(value)?, fetch_xor, |now, with| now ^ with);
        Ok(())
    }

    /// Sets the number; gives the one before.
    fn exchange<'py>(&self, py: Python<'py>, value: &Bound<'_, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let before = change!(self, py, self.exact(value)?, swap, |_, new| new);
        self.shown(py, before)
    }

    /// Sets the number to `value` if it is `expected`; whether it was.
    fn compare_exchange(
        &self,
        py: Python<'_>,
        expected: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        self.check_writable(py)?;
        let (expected, value) = (self.exact(expected)?, self.exact(value)?);
        Ok(with_cell!(self, cell: Number => {
            let (mut expected, mut value) = (expected as Number, value as Number);
            if self.is_swapped() {
                (expected, value) = (expected.swap_bytes(), value.swap_bytes());
            }
            cell.compare_exchange(expected, value, ALL, ALL).is_ok()
        }))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("<structchunk.Atomic {:?}: {} of kind {}>", self.path, self.load(py)?, self.scalar))
    }
}
