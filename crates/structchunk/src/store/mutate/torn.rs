//! Looking at objects that a process which died has left half changed.

use super::super::borrow::{Deadline, Want};
use super::super::find::Payload;
use super::super::guard::WriteHold;
use super::super::overlap::overlapping;
use super::super::read::out_of_bounds;
use super::super::{Inner, Store};
use super::owner::is_changing;
use super::staged::Staged;
use crate::chunk::Record;
use crate::error::{Error, Result};
use crate::layout::{Object, Plain};

impl Inner {
    /// Whether the record that a look-up has led to is one of its own; false when it may be so in a moment.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when it was not until the time was up.
    pub(crate) fn stands_alone_here(&self, record: &Record<'_>, deadline: &mut Deadline) -> Result<bool> {
        if self.views.live.stands_alone(record.location(), record.bytes()) {
            return Ok(true);
        }
        // What was put a moment ago is marked in a moment; and what was superseded is not marked any more.
        if deadline.is_over() && self.still(self.is_current(record))? {
            return Err(overlapping(record));
        }
        std::thread::yield_now();
        Ok(false)
    }

    pub(crate) fn load_torn<T: Object>(&self, key: &[u8]) -> Result<Option<T>> {
        let hash = self.views.hashes.of_key(key);
        let mut deadline = self.patience(true);
        self.with_object(key, hash, |record| self.copy_torn(record, &mut deadline))
    }

    fn copy_torn<T: Object>(&self, record: &Record<'_>, deadline: &mut Deadline) -> Result<T> {
        let payload = self.typed_payload::<T>(record)?;
        self.copy_torn_by(record, deadline, || {
            payload.map().read_object::<T>(payload.offset).ok_or_else(|| out_of_bounds(record))
        })
    }

    /// A copy that is made while nobody is at work on the object, whether it is torn or not.
    pub(crate) fn copy_torn_by<T>(
        &self,
        record: &Record<'_>,
        deadline: &mut Deadline,
        copy: impl Fn() -> Result<T>,
    ) -> Result<T> {
        let payload = self.payload(record)?;
        loop {
            let before = record.look();
            if !is_changing(before) || !self.is_at_work(before)? {
                let copy = copy()?;
                if record.is_still(before) {
                    self.check_not_gone_on(record, &payload)?;
                    return Ok(copy);
                }
            }
            if deadline.is_over() {
                return Err(Error::Busy { key: record.key().to_vec() });
            }
            std::thread::yield_now();
        }
    }
}

impl Inner {
    /// Mends an object in the process that writes.
    fn mend<T: Plain + ?Sized>(&self, key: &[u8], change: impl FnOnce(&mut T)) -> Result<bool> {
        let mut deadline = self.patience(true);
        let hold = self.borrow_to_mend(key, &mut deadline, Self::typed_payload::<T>)?;
        let Some((hold, claim)) = hold.as_ref().and_then(|hold| Some((hold, hold.claim.as_ref()?))) else {
            return Ok(false);
        };
        let mut staged = Staged::copy::<T>(&hold.record, &hold.payload)?;
        staged.change(change);
        self.check_writable()?;
        staged.write_back::<T>(&hold.record, &hold.payload, claim)?;
        claim.mended();
        Ok(true)
    }

    /// The object under a key, if it is torn: borrowed and claimed, by the process that writes.
    pub(in crate::store) fn borrow_to_mend<'a>(
        &'a self,
        key: &[u8],
        deadline: &mut Deadline,
        payload_of: impl Fn(&'a Self, &Record<'a>) -> Result<Payload<'a>>,
    ) -> Result<Option<WriteHold<'a>>> {
        self.check_writable()?;
        if !self.shares_changes {
            // Nobody else can have left anything, and what this process has left is its guard's.
            return Ok(None);
        }
        let find = |hash| {
            let Some(record) = self.find_hashed(key, hash)? else { return Ok(None) };
            let payload = payload_of(self, &record)?;
            Ok(Some((record, payload)))
        };
        // Whoever closes the store sees the borrow, and leaves no clean mark; and the lock stays until it ends.
        let hold = self.borrow_unclaimed(key, Want::Exclusive, deadline, find)?;
        let Some(mut hold) = hold else { return Ok(None) };
        // (In the hold, which ends it before the borrow.)
        let claim = hold.claim.insert(self.claim(&hold.record, deadline, true)?);
        Ok(if claim.is_torn() { Some(hold) } else { None })
    }
}

impl Store {
    /// Mends the object under `key` where a process died in the middle of changing it; whether that was so. `change` is given the object as it
    /// was left, some of its bytes old and some new, and makes it whole. (What a writer leaves half changed, the next one's recovery makes whole as it is,
    /// and reports.)
    ///
    /// # Durability
    /// As for [`RefMut`](crate::RefMut).
    ///
    /// # Errors
    /// As for [`Store::update`].
    pub fn mend<T: Plain + ?Sized>(
        &self,
        key: impl AsRef<[u8]>,
        change: impl FnOnce(&mut T),
    ) -> Result<bool> {
        self.inner.mend(key.as_ref(), change)
    }

    /// A copy of the object under `key`, also where a process died in the middle of changing it: then some of its bytes are old and some new, in
    /// words of up to eight. `None` where there is none.
    ///
    /// # Errors
    /// As for [`Store::load`], but for [`Error::Torn`].
    pub fn load_torn<T: Object>(&self, key: impl AsRef<[u8]>) -> Result<Option<T>> {
        self.inner.check_open()?;
        self.inner.load_torn(key.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::Deadline;
    use crate::{Space, Store};

    #[test]
    fn a_body_that_goes_on_under_another_key_is_not_copied_by_its_old_record() {
        let store = Store::in_memory().unwrap();
        store.loan_array::<u64>("large", &[100], Space::Sparse).unwrap().publish().unwrap();
        let record = store.inner.find(b"large").unwrap().unwrap();
        let copy = || store.inner.copy_torn::<[u64; 100]>(&record, &mut Deadline::Now);
        assert_eq!(copy().unwrap(), [0; 100]);
        assert!(store.rename("large", "other").unwrap());
        let mut guard = store.get_mut::<[u64; 100]>("other").unwrap().unwrap();
        guard[0] = 1;
        assert!(copy().unwrap_err().is_absent(), "it is half changed");
    }
}
