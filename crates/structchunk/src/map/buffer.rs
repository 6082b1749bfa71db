//! Aligned memory on the heap, for objects that are filled before they are stored.
#![expect(unsafe_code, reason = "std has no boxed slice of chosen alignment")]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;

use crate::error::{Error, Result};
use crate::layout::Object;

/// Zeroed bytes at an aligned address.
pub(crate) struct Buffer {
    memory: NonNull<u8>,
    layout: Layout,
}

// SAFETY: it owns its bytes as a `Box<[u8]>` does.
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// So few zeroes that a program without memory for them cannot go on: `bytes` of them (at least one), aligned to `align`, the alignment of
    /// some type.
    pub(crate) fn few_zeroes(bytes: usize, align: usize) -> Self {
        Self::zeroed(bytes, align).unwrap_or_else(|_| handle_alloc_error(Layout::new::<u128>()))
    }

    /// `bytes` zeroes (at least one), aligned to `align`, the alignment of some type.
    ///
    /// # Errors
    /// [`Error::NoMemory`].
    pub(crate) fn zeroed(bytes: usize, align: usize) -> Result<Self> {
        let refused = || Error::NoMemory { what: "a copy", bytes: bytes as u64 };
        let layout = Layout::from_size_align(bytes.max(1), align).map_err(|_| refused())?;
        // SAFETY: the layout's size is not zero.
        let memory = unsafe { alloc_zeroed(layout) };
        Ok(Self { memory: NonNull::new(memory).ok_or_else(refused)?, layout })
    }

    /// A copy of bytes.
    ///
    /// # Errors
    /// [`Error::NoMemory`].
    pub(crate) fn copy_of(bytes: &[u8]) -> Result<Self> {
        let buffer = Self::zeroed(bytes.len(), 16)?;
        // SAFETY: both are `bytes.len()` bytes long, and the buffer is new.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), buffer.as_ptr(), bytes.len()) };
        Ok(buffer)
    }

    /// A copy of an object's bytes.
    ///
    /// # Errors
    /// [`Error::NoMemory`].
    pub(crate) fn copy_of_object<T: Object + ?Sized>(value: &T) -> Result<Self> {
        let buffer = Self::zeroed(value.byte_len(), T::ALIGN)?;
        // SAFETY: the buffer has room for the value and is aligned for it, and nobody else uses it.
        unsafe { T::copy_racy(std::ptr::from_ref(value).cast(), buffer.as_ptr(), value.byte_len()) };
        Ok(buffer)
    }

    /// The object of `bytes` bytes in it; `None` when a `T` has another size or alignment.
    pub(crate) fn read_object<T: Object>(&self, bytes: usize) -> Option<T> {
        if bytes != size_of::<T>() || !self.memory.cast::<T>().is_aligned() {
            return None;
        }
        // SAFETY: aligned, all bytes initialised, and any bytes are a `T`; at least `bytes` belong to the buffer.
        Some(unsafe { self.memory.cast::<T>().read() })
    }

    /// The first byte.
    pub(crate) fn as_ptr(&self) -> *mut u8 {
        self.memory.as_ptr()
    }

    /// All bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: `layout.size()` initialised bytes belong to this buffer; whoever writes through `as_ptr` borrows it exclusively.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr(), self.layout.size()) }
    }

    /// All bytes, to be changed.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: `layout.size()` initialised bytes belong to this buffer, which is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.memory.as_ptr(), self.layout.size()) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and freed once.
        unsafe { dealloc(self.memory.as_ptr(), self.layout) };
    }
}
