//! Objects in mapped memory, copied in and out.
#![expect(unsafe_code, reason = "copies objects from and to mapped memory")]

use super::Mapping;
use crate::layout::Object;

impl Mapping {
    /// Writes a value to memory that nobody looks at yet. `None` where it does not fit.
    #[inline]
    pub(crate) fn write_object<T: Object + ?Sized>(&self, offset: u64, value: &T) -> Option<()> {
        let bytes = value.byte_len();
        let to = self.writable_address(offset, bytes as u64)?;
        let from = std::ptr::from_ref(value).cast::<u8>();
        if T::ATOMIC {
            // SAFETY: `from` is a whole, aligned `T`; `to` has room for it and is nobody else's yet.
            unsafe { T::copy_racy(from, to, bytes) };
        } else {
            // SAFETY: `from` is a whole `T` without padding or interior mutability; `to` has room for it, in memory that no
            // reference leads to; a mapping and a value outside of it do not overlap, and one inside it lies in another record.
            unsafe { std::ptr::copy_nonoverlapping(from, to, bytes) };
        }
        Some(())
    }

    /// A copy of an object that others may change meanwhile; torn then. `None` where it is out of bounds or misaligned.
    #[inline]
    pub(crate) fn read_object<T: Object>(&self, offset: u64) -> Option<T> {
        self.window_over(offset, size_of::<T>() as u64)?.read_object(offset)
    }

    /// Bytes that were written before anybody could find them and are never written again: keys, extensions, types.
    /// Empty where they are out of bounds.
    #[inline]
    pub(crate) fn frozen(&self, offset: u64, bytes: u64) -> &[u8] {
        match self.address(offset, bytes) {
            // SAFETY: in bounds; no record is written twice while it is mapped, which is what the name of this function asks of
            // its callers inside the crate; that no other process writes there is the contract of opening a store.
            Some(address) => unsafe { std::slice::from_raw_parts(address, bytes as usize) },
            None => &[],
        }
    }
}

/// The bytes of a value, where they stand still: not of atomics.
pub(crate) fn bytes_of<T: Object + ?Sized>(value: &T) -> Option<&[u8]> {
    if T::ATOMIC {
        return None;
    }
    let address = std::ptr::from_ref(value).cast::<u8>();
    // SAFETY: a whole `T`, without padding or interior mutability, borrowed as long as the slice.
    Some(unsafe { std::slice::from_raw_parts(address, value.byte_len()) })
}

/// A pointer to a `T` of `bytes` bytes that are known to be one.
pub(crate) fn object_at<T: Object + ?Sized>(address: *const u8, bytes: usize) -> *const T {
    match T::from_raw_parts(address, bytes) {
        Some(object) => object,
        None => unreachable!("the size was checked when the guard was made"),
    }
}
