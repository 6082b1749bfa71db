//! Loans of what is described at run time. They keep the store open by themselves.
#![expect(unsafe_code, reason = "a loan outlives the handle that it came from, with the store in it")]

use std::fmt;
use std::sync::Arc;

use super::place::Hold;
use super::{Described, Raw, When};
use crate::error::{Error, Result};
use crate::format::PAGE_BYTES;
use crate::map::Buffer;
use crate::store::Inner;
use crate::store::borrow::Deadline;
use crate::store::hold::FileHold;
use crate::store::loan::{NewBody, Space};
use crate::store::write::{Change, Outcome};

/// Memory for one object, zeroed, to be filled in place. Nobody else can see it until [`Lent::publish`]; dropping it forgets it.
pub struct Lent {
    // Before `inner`, which it borrows from.
    memory: Memory,
    is_over: bool,
    key: Vec<u8>,
    what: Described,
    bytes: u64,
    inner: Arc<Inner>,
}

enum Memory {
    Staged(Buffer),
    New(NewBody<'static>),
    /// It was published, or that was refused; the memory stays.
    Over(Hold),
    /// While it is being published.
    Away,
}

/// A store, for what lives in one value with it.
///
/// # Safety
/// What borrows the result is dropped before `inner` is.
pub(super) unsafe fn outlived(inner: &Arc<Inner>) -> &'static Inner {
    // SAFETY: it lies on the heap and stays there while the caller's `inner` lives, as they promise.
    unsafe { &*Arc::as_ptr(inner) }
}

impl Raw<'_> {
    /// Lends zeroed memory for an object under `key`.
    ///
    /// # Errors
    /// As for [`Store::loan_array`](crate::Store::loan_array).
    pub fn loan(self, key: &[u8], what: &Described, space: Space) -> Result<Lent> {
        let inner = &self.store.inner;
        inner.check_writable()?;
        let bytes = what.bytes_under(key)?;
        what.description()?;
        let memory = if bytes > inner.chunks.geometry.largest_inline() || space == Space::Sparse {
            // SAFETY: it goes into the loan, whose fields are dropped in the order of their declaration.
            let inner = unsafe { outlived(inner) };
            Memory::New(inner.begin_body(bytes, space)?)
        } else {
            Memory::Staged(Buffer::zeroed(bytes as usize, what.layout().align() as usize)?)
        };
        Ok(Lent {
            memory,
            is_over: false,
            key: key.to_vec(),
            what: what.clone(),
            bytes,
            inner: inner.clone(),
        })
    }
}

impl Lent {
    /// The memory: good until the loan is dropped.
    ///
    /// # Safety of its use
    /// [`Lent::len`] bytes may be read and written. After [`Lent::publish`] they are the object where it has a file of its own, as with
    /// [`Hold::as_ptr`], and else a copy of it that nobody sees.
    pub fn as_ptr(&self) -> *mut u8 {
        match &self.memory {
            Memory::Staged(buffer) => buffer.as_ptr(),
            Memory::New(new) => new.body.map.as_ptr().wrapping_add(PAGE_BYTES as usize),
            Memory::Over(hold) => hold.as_ptr().wrapping_add(PAGE_BYTES as usize),
            Memory::Away => std::ptr::null_mut(),
        }
    }

    /// How many bytes.
    pub fn len(&self) -> u64 {
        self.bytes
    }

    /// Whether there are none: never.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Whether [`Lent::publish`] copies the memory, which nobody may write to meanwhile. (What has a file of its own is not copied.)
    pub fn is_staged(&self) -> bool {
        matches!(self.memory, Memory::Staged(_))
    }

    /// How long [`Lent::publish`] waits for whoever changes the object under its key alone.
    pub fn busy_timeout(&self) -> std::time::Duration {
        self.inner.busy_timeout
    }

    /// Makes the object exist; false when the condition did not hold. Once only: what has a file of its own has then gone into the store, or
    /// is nothing any more.
    ///
    /// # Durability
    /// As for [`Loan::publish`](crate::Loan::publish).
    ///
    /// # Errors
    /// As for [`Store::put`](crate::Store::put); [`Error::KeyExists`] the second time.
    pub fn publish(&mut self, when: When) -> Result<bool> {
        let deadline = self.inner.patience(true);
        self.publish_until(when, deadline)
    }

    /// [`Lent::publish`] of a staged loan that answers [`Error::Busy`] at once instead of waiting, and can be called again then.
    ///
    /// # Errors
    /// As for [`Lent::publish`].
    pub fn try_publish(&mut self, when: When) -> Result<bool> {
        self.publish_until(when, Deadline::Now)
    }

    fn publish_until(&mut self, when: When, deadline: Deadline) -> Result<bool> {
        if self.is_over {
            return Err(Error::KeyExists { key: self.key.clone() });
        }
        let description = self.what.description()?;
        let change = Change { key: &self.key, condition: when.into(), deadline, sure: false };
        if let Memory::Staged(buffer) = &self.memory {
            // (It stays where it is whatever happens: somebody may still look into it.)
            let draft = description.draft(&self.key, self.bytes);
            let bytes = buffer.bytes().get(..self.bytes as usize).unwrap_or_default();
            let fill = |chunk: &crate::chunk::Chunk, at| chunk.map.copy_in(at, bytes);
            let number = self.what.number();
            let outcome = self.inner.store_record(&change, draft, number, |_| Ok(()), |_| Ok(()), fill)?;
            self.is_over = true;
            return Ok(outcome == Outcome::Stored);
        }
        let outcome = match std::mem::replace(&mut self.memory, Memory::Away) {
            Memory::New(new) => {
                // It may be written to from the moment that it is an object.
                let hold = match FileHold::of_new_body(&self.inner, &new.body) {
                    Ok(hold) => hold,
                    Err(error) => {
                        self.memory = Memory::New(new);
                        return Err(error);
                    }
                };
                self.memory = Memory::Over(Hold::of(hold, &self.key));
                // SAFETY: what borrows it ends with this call, and the loan has the store for longer.
                let inner = unsafe { outlived(&self.inner) };
                inner.publish_body(&change, &description, new, self.what.number(), |_| Ok(()))?
            }
            other @ (Memory::Staged(_) | Memory::Over(_) | Memory::Away) => {
                self.memory = other;
                return Err(Error::KeyExists { key: self.key.clone() });
            }
        };
        self.is_over = true;
        Ok(outcome == Outcome::Stored)
    }
}

impl fmt::Debug for Lent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lent").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}
