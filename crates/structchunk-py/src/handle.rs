//! Who has the store: this process, to write it, or another one, beside which it is read, or changed in place.
#![expect(
    unsafe_code,
    reason = "opening a store is unsafe: others could change its files; the GIL is a lock"
)]

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard};

use pyo3::prelude::*;
use structchunk::{Error, Mutator, Options, Reader, Result, Store, StoredType};

/// A store, or a reader beside whoever writes it, which may change objects in place, too.
pub enum Handle {
    Own(Own),
    Beside(Beside),
}

/// A store of this process's own. One that was unpickled is opened when it is used first.
pub struct Own {
    path: PathBuf,
    options: Options,
    closed: AtomicBool,
    opening: Mutex<()>,
    /// Locked exclusively only by who has the GIL, and does not wait: so it is open in a forked child.
    store: OnceLock<RwLock<Store>>,
}

/// A reader, until it is closed. One that was unpickled attaches when it is used first.
pub struct Beside {
    path: PathBuf,
    options: Options,
    closed: AtomicBool,
    reader: UnderGil<Option<Arc<Reader>>>,
    /// Whether it changes objects in place.
    changes: bool,
    mutator: UnderGil<Option<Attached>>,
}

/// A mutator, and the process that has attached it.
#[derive(Clone)]
struct Attached {
    process: u32,
    mutator: Arc<Mutator>,
}

impl Attached {
    /// Whether it is that of the process of which this one is a child: then it is of no use here, and is left as it is.
    fn is_inherited(&self) -> bool {
        self.process != std::process::id()
    }
}

/// What is done with a store.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Read,
    /// Read, and change objects in place beside the writer.
    Change,
    Write,
}

/// What only those look into who have the GIL. Unlike a mutex it is never closed in a forked child: who forks has the GIL.
#[derive(Default)]
pub struct UnderGil<T>(RefCell<T>);

// SAFETY: `get`, `set` and `take` are the only ways in, take a proof of having the GIL, and run nothing that could give it away. (Interpreters without
// a GIL do not load modules of the stable ABI, which this one is.) What is inside may go from thread to thread.
unsafe impl<T: Send + Sync> Sync for UnderGil<T> {}

impl<T: Clone + Default> UnderGil<T> {
    pub fn get(&self, _: Python<'_>) -> T {
        self.0.borrow().clone()
    }

    /// What was in it may be dropped by this, so it is nothing that could give the GIL away.
    pub fn set(&self, _: Python<'_>, value: T) {
        *self.0.borrow_mut() = value;
    }

    pub fn take(&self, _: Python<'_>) -> T {
        self.0.take()
    }
}

/// A reader beside a handle that is open.
pub fn attach(path: &Path) -> Result<Reader> {
    // SAFETY: as for `Own::open`.
    unsafe { Reader::attach(path) }
}

impl Handle {
    /// A handle that opens or attaches when it is used first.
    pub fn later(options: Options, path: PathBuf, access: Access) -> Self {
        let closed = AtomicBool::new(false);
        if access != Access::Write {
            let (reader, mutator) = (UnderGil::default(), UnderGil::default());
            let changes = access == Access::Change;
            return Self::Beside(Beside { path, options, closed, reader, changes, mutator });
        }
        Self::Own(Own { path, options, closed, opening: Mutex::default(), store: OnceLock::new() })
    }

    /// Opens or attaches, where that was not done.
    ///
    /// # Errors
    /// As for every opening; [`Error::Closed`].
    pub fn now(&self, py: Python<'_>) -> Result<()> {
        match self {
            Self::Own(own) => py.detach(|| own.get().map(drop)),
            Self::Beside(beside) if beside.changes => beside.mutator(py).map(drop),
            Self::Beside(beside) => beside.reader(py).map(drop),
        }
    }

    /// The store, for who may write it.
    ///
    /// # Errors
    /// [`Error::ReadOnly`], [`Error::Unsupported`] where it is attached to change objects in place only, [`Error::Closed`]; as for an opening, where
    /// this is one.
    #[inline]
    pub fn own(&self) -> Result<RwLockReadGuard<'_, Store>> {
        match self {
            Self::Own(own) => own.get(),
            Self::Beside(beside) => {
                beside.check_open()?;
                let path = beside.path.clone();
                if !beside.changes {
                    return Err(Error::ReadOnly { path });
                }
                let what = "this handle is attached: it changes objects in place (update, mend, add and the like), and only the writer, \
                            who has the store open, creates, replaces and removes them, and syncs";
                Err(Error::Unsupported { path, what: what.into() })
            }
        }
    }

    /// Gives the space of dropped chunks to the file system; whether nobody refers to the store, so that this was possible. (Whoever looks into
    /// it now, without the GIL, refers to it.)
    pub fn release_dropped(&self, _: Python<'_>) -> bool {
        let Self::Own(own) = self else { return false };
        let Some(Ok(mut store)) = own.store.get().map(RwLock::try_write) else { return false };
        store.release_dropped()
    }

    /// The reader, where it is one.
    ///
    /// # Errors
    /// [`Error::Closed`].
    #[inline]
    pub fn reader(&self, py: Python<'_>) -> Result<Option<Arc<Reader>>> {
        match self {
            Self::Own(_) => Ok(None),
            Self::Beside(beside) => beside.reader(py).map(Some),
        }
    }

    /// Asks something that takes a store which nobody changes meanwhile, or one of one's own. A reader keeps writers out for as long.
    ///
    /// # Errors
    /// [`Error::Locked`] for a reader beside a writer.
    pub fn alone<R>(&self, question: impl FnOnce(&Store) -> Result<R>) -> Result<R> {
        match self {
            Self::Own(own) => question(&*own.get()?),
            Self::Beside(beside) => {
                beside.check_open()?;
                // SAFETY: as for `Own::open`.
                let store = unsafe { Store::options().read_only(true).open(&beside.path) }?;
                question(&store)
            }
        }
    }

    pub fn path(&self) -> &Path {
        match self {
            Self::Own(own) => &own.path,
            Self::Beside(beside) => &beside.path,
        }
    }

    /// The mutator, where it is one.
    ///
    /// # Errors
    /// [`Error::ReadOnly`] for a mere reader, [`Error::Closed`]; as for attaching, where this does.
    pub fn mutator(&self, py: Python<'_>) -> Result<Option<Arc<Mutator>>> {
        match self {
            Self::Own(_) => Ok(None),
            Self::Beside(beside) => beside.mutator(py).map(Some),
        }
    }

    /// Whether it changes objects in place beside the writer.
    pub fn changes(&self) -> bool {
        matches!(self, Self::Beside(Beside { changes: true, .. }))
    }

    /// Whether other processes may change objects of the store, which this one writes.
    ///
    /// # Errors
    /// As for [`Handle::own`].
    pub fn is_shared(&self) -> Result<bool> {
        self.own()?.raw().is_shared()
    }

    pub fn is_beside(&self) -> bool {
        matches!(self, Self::Beside(_))
    }

    // (A reader may have to wait for the end of a recovery.)

    pub fn len(&self, py: Python<'_>) -> Result<u64> {
        match self {
            Self::Own(own) => Ok(own.get()?.len()),
            Self::Beside(beside) => beside.ask(py, Reader::len),
        }
    }

    pub fn contains(&self, py: Python<'_>, key: &[u8]) -> Result<bool> {
        match self {
            Self::Own(own) => own.get()?.contains(key),
            Self::Beside(beside) => beside.ask(py, |reader| reader.contains(key)),
        }
    }

    pub fn types(&self, py: Python<'_>) -> Result<Vec<StoredType>> {
        match self {
            Self::Own(own) => own.get()?.types(),
            Self::Beside(beside) => beside.ask(py, Reader::types),
        }
    }

    /// What an opening by this process has found.
    pub fn recovery(&self) -> String {
        match self {
            Self::Own(own) => match own.get() {
                Ok(store) => format!("{:?}", store.recovery()),
                Err(error) => error.to_string(),
            },
            Self::Beside(_) => "attached".into(),
        }
    }

    pub fn close(&self, py: Python<'_>) -> Result<()> {
        match self {
            Self::Own(own) => {
                own.closed.store(true, Ordering::Release);
                let store = own.store.get().map(|store| reading(store).clone());
                py.detach(|| store.map_or(Ok(()), Store::close))
            }
            Self::Beside(beside) => {
                beside.closed.store(true, Ordering::Release);
                let reader = beside.reader.take(py);
                let mutator = beside.own_mutator(py);
                beside.mutator.take(py);
                py.detach(|| drop((reader, mutator)));
                Ok(())
            }
        }
    }
}

fn reading(store: &RwLock<Store>) -> RwLockReadGuard<'_, Store> {
    store.read().unwrap_or_else(PoisonError::into_inner)
}

impl Own {
    #[inline]
    pub fn get(&self) -> Result<RwLockReadGuard<'_, Store>> {
        self.store.get().map_or_else(|| self.open(), |store| Ok(reading(store)))
    }

    #[cold]
    fn open(&self) -> Result<RwLockReadGuard<'_, Store>> {
        let _alone = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = self.store.get() {
            return Ok(reading(store));
        }
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        // SAFETY: that nobody but structchunk changes or truncates the files meanwhile is in the documentation of `structchunk.open`.
        let store = unsafe { self.options.clone().open(&self.path) }?;
        Ok(reading(self.store.get_or_init(|| RwLock::new(store))))
    }
}

impl Beside {
    fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) { Err(Error::Closed) } else { Ok(()) }
    }

    fn reader(&self, py: Python<'_>) -> Result<Arc<Reader>> {
        if let Some(reader) = self.reader.get(py) {
            return Ok(reader);
        }
        self.check_open()?;
        // SAFETY: as for `Own::open`.
        let reader = Arc::new(py.detach(|| unsafe { self.options.clone().attach(&self.path) })?);
        // (Another thread may have closed it meanwhile, or attached as well: then there are two.)
        self.check_open()?;
        self.reader.set(py, Some(reader.clone()));
        Ok(reader)
    }

    /// The mutator that this process has attached. One that it has inherited is forgotten.
    fn own_mutator(&self, py: Python<'_>) -> Option<Arc<Mutator>> {
        let attached = self.mutator.get(py)?;
        if attached.is_inherited() {
            std::mem::forget((attached, self.mutator.take(py)));
            return None;
        }
        Some(attached.mutator)
    }

    fn mutator(&self, py: Python<'_>) -> Result<Arc<Mutator>> {
        if let Some(mutator) = self.own_mutator(py) {
            return Ok(mutator);
        }
        self.check_open()?;
        if !self.changes {
            return Err(Error::ReadOnly { path: self.path.clone() });
        }
        // SAFETY: as for `Own::open`.
        let mutator = Arc::new(py.detach(|| unsafe { self.options.clone().attach_mut(&self.path) })?);
        self.check_open()?;
        let process = std::process::id();
        self.mutator.set(py, Some(Attached { process, mutator: mutator.clone() }));
        Ok(mutator)
    }

    fn ask<R: Send>(&self, py: Python<'_>, question: impl FnOnce(&Reader) -> Result<R> + Send) -> Result<R> {
        let reader = self.reader(py)?;
        py.detach(|| question(&reader))
    }
}
