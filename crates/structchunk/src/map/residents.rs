//! Mappings that go while nobody uses them, and come back: so more is stored than fits into the address space, or than a process is to
//! have mapped.
//!
//! Nobody has an address in such a mapping but who has a [`Present`] of its file. Coming by one is an atomic addition where the mapping is
//! there; and the mapping goes only when there is none.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::Mapping;
use super::presence::Presence;
use crate::disk::{File, PerProcess};
use crate::error::Result;

/// A file whose mapping may go and come back.
pub(crate) trait Resident: Send + Sync + 'static {
    /// Its mapping, there or not.
    fn mapping(&self) -> &Mapping;

    /// The same, before anybody else knows the file.
    fn mapping_mut(&mut self) -> &mut Mapping;

    /// What is mapped.
    fn file(&self) -> &File;
}

/// A file that stays mapped as long as this lives; `P` is a reference to it, of one kind or another.
pub(crate) struct Present<P: Deref<Target: Resident>>(P);

impl<P: Deref<Target: Resident>> Present<P> {
    /// Keeps it mapped until [`Residents::let_go`].
    pub(crate) fn keep(self) {
        std::mem::forget(self);
    }
}

impl<P: Deref<Target: Resident>> Deref for Present<P> {
    type Target = P::Target;

    #[inline]
    fn deref(&self) -> &P::Target {
        &self.0
    }
}

impl<F: Resident> Present<Arc<F>> {
    /// The file, for one who will come back to it.
    pub(crate) fn shared(&self) -> Arc<F> {
        self.0.clone()
    }
}

impl<P: Deref<Target: Resident> + Clone> Clone for Present<P> {
    #[inline]
    fn clone(&self) -> Self {
        if let Some(presence) = self.mapping().presence() {
            presence.enter_again();
        }
        Self(self.0.clone())
    }
}

impl<P: Deref<Target: Resident>> Drop for Present<P> {
    #[inline]
    fn drop(&mut self) {
        if let Some(presence) = self.mapping().presence() {
            presence.leave();
        }
    }
}

impl<P: Deref<Target: Resident>> Present<P> {
    /// Of a file that nobody else knows yet, or whose mapping stays.
    #[inline]
    pub(crate) fn new(file: P) -> Self {
        if let Some(presence) = file.mapping().presence() {
            presence.enter_again();
        }
        Self(file)
    }
}

/// Which mappings are there: together no more than a limit, except for what is in use.
pub(crate) struct Residents {
    /// In bytes. Without one, mappings stay.
    limit: Option<u64>,
    /// Rises whenever something is mapped; what was used since then is equally recent.
    clock: AtomicU64,
    there: PerProcess<Mutex<Vec<Weak<dyn Resident>>>>,
}

impl Residents {
    pub(crate) fn new(limit: Option<u64>) -> Self {
        Self { limit, clock: AtomicU64::new(0), there: PerProcess::new(Mutex::default()) }
    }

    fn lock_there(&self) -> MutexGuard<'_, Vec<Weak<dyn Resident>>> {
        let there = self.there.here(|of_parent| {
            let there = of_parent.try_lock().map(|there| there.clone());
            Mutex::new(there.unwrap_or_default())
        });
        there.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether mappings go.
    #[inline]
    pub(crate) fn is_limited(&self) -> bool {
        self.limit.is_some()
    }

    /// Opens a file. `open` is given what makes room for so many bytes, to be called before they are mapped.
    ///
    /// # Errors
    /// Those of `open`.
    pub(crate) fn admit<F: Resident>(
        &self,
        open: impl FnOnce(&mut dyn FnMut(u64)) -> Result<F>,
    ) -> Result<Arc<F>> {
        let Some(limit) = self.limit else { return open(&mut |_| {}).map(Arc::new) };
        let mut there = self.lock_there();
        let mut file = open(&mut |bytes| self.make_room(&mut there, limit, bytes))?;
        file.mapping_mut().may_go();
        let file = Arc::new(file);
        there.push(Arc::<F>::downgrade(&file) as Weak<dyn Resident>);
        Ok(file)
    }

    /// Uses a file; its mapping comes back if it is away.
    ///
    /// # Errors
    /// What the system says when it cannot be mapped.
    #[inline]
    pub(crate) fn enter<'a, F: Resident>(&self, file: &'a Arc<F>) -> Result<Present<&'a F>> {
        if let Some(presence) = file.mapping().presence()
            && !presence.enter(self.clock.load(Ordering::Relaxed))
        {
            self.bring_back(file, presence)?;
        }
        Ok(Present(&**file))
    }

    /// The same for one who shares the file.
    pub(crate) fn enter_shared<F: Resident>(&self, file: Arc<F>) -> Result<Present<Arc<F>>> {
        self.enter(&file)?.keep();
        Ok(Present(file))
    }

    /// Takes back what [`Present::keep`] did.
    pub(crate) fn let_go<F: Resident>(file: &F) {
        drop(Present(file));
    }

    #[cold]
    fn bring_back<F: Resident>(&self, file: &Arc<F>, presence: &Presence) -> Result<()> {
        let mut there = self.lock_there();
        // Somebody else may have been faster.
        while !presence.enter(self.clock.load(Ordering::Relaxed)) {
            let map = file.mapping();
            self.make_room(&mut there, self.limit.unwrap_or(u64::MAX), map.len());
            map.come_back(file.file())?;
            there.push(Arc::<F>::downgrade(file) as Weak<dyn Resident>);
        }
        Ok(())
    }

    /// Unmaps what was used least recently, until so many bytes more are within the limit or everything is in use.
    fn make_room(&self, there: &mut Vec<Weak<dyn Resident>>, limit: u64, bytes: u64) {
        self.clock.fetch_add(1, Ordering::Relaxed);
        let mut files: Vec<_> = there.iter().filter_map(Weak::upgrade).collect();
        let mut sum = files.iter().fold(bytes, |sum, file| sum.saturating_add(file.mapping().len()));
        if sum > limit {
            files.sort_by_cached_key(|file| last_use(&**file));
            files.retain(|file| {
                let goes = sum > limit && file.mapping().go();
                sum = sum.saturating_sub(if goes { file.mapping().len() } else { 0 });
                !goes
            });
        }
        *there = files.iter().map(Arc::downgrade).collect();
    }

    /// Bytes that are mapped now, where there is a limit.
    pub(crate) fn mapped_bytes(&self) -> Option<u64> {
        self.limit?;
        let there = self.lock_there();
        Some(there.iter().filter_map(Weak::upgrade).map(|file| file.mapping().len()).sum())
    }
}

fn last_use(file: &dyn Resident) -> u64 {
    file.mapping().presence().map_or(0, Presence::last_use)
}
