//! Many puts of one kind of object.

use super::{Described, Raw};
use crate::error::{Error, Result};
use crate::store::borrow::Deadline;
use crate::store::many::IN_FLIGHT;
use crate::store::write::{Change, Condition};

impl Raw<'_> {
    /// [`Raw::try_put`] for many keys, of consecutive objects, in their order: each takes place by itself, but their cache misses overlap. How
    /// many were put: all, or as many as come before one that somebody changes at this moment.
    ///
    /// # Durability
    /// As for [`Store::put`](crate::Store::put).
    ///
    /// # Errors
    /// As for [`Raw::put`], except for [`Error::Busy`]; the first error ends the call, and the puts before it have taken place.
    /// [`Error::Lengths`] when there are not as many objects as keys: then none has.
    pub fn try_put_many<K: AsRef<[u8]>>(self, keys: &[K], what: &Described, objects: &[u8]) -> Result<usize> {
        self.inner().check_writable()?;
        let lengths =
            |bytes: usize| Error::Lengths { keys: keys.len(), values: objects.len().div_ceil(bytes) };
        let Some(first) = keys.first() else {
            let bytes = what.bytes().map_or(usize::MAX, |bytes| bytes.max(1) as usize);
            return if objects.is_empty() { Ok(0) } else { Err(lengths(bytes)) };
        };
        let bytes = what.bytes_under(first.as_ref())?;
        if keys.len() as u64 != objects.len() as u64 / bytes || !(objects.len() as u64).is_multiple_of(bytes)
        {
            return Err(lengths(bytes as usize));
        }
        let description = what.description()?;
        let mut done = 0;
        for (place, (key, object)) in keys.iter().zip(objects.chunks_exact(bytes as usize)).enumerate() {
            if place % IN_FLIGHT == 0 {
                self.inner().fetch_slots(&keys[place..keys.len().min(place + IN_FLIGHT)]);
            }
            let (key, condition) = (key.as_ref(), Condition::Always);
            let change = Change { key, condition, deadline: Deadline::Now, sure: true };
            match self.put_described(&change, what, &description, object) {
                Err(Error::Busy { .. }) => break,
                outcome => outcome?,
            };
            done = place + 1;
        }
        Ok(done)
    }
}
