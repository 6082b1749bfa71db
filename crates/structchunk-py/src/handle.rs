//! Who has the store: this process, to write it, or another one, beside which it is read.
#![expect(
    unsafe_code,
    reason = "opening a store is unsafe: others could change its files; the GIL is a lock"
)]

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;
use structchunk::{Error, Options, Reader, Result, Store, StoredType};

/// A store, or a reader beside whoever writes it.
pub enum Handle {
    Own(Store),
    Beside(Beside),
}

/// A reader, until it is closed.
pub struct Beside {
    path: PathBuf,
    closed: AtomicBool,
    reader: UnderGil<Option<Arc<Reader>>>,
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
    // SAFETY: as for `Handle::open`.
    unsafe { Reader::attach(path) }
}

impl Handle {
    pub fn open(options: Options, path: PathBuf) -> Result<Self> {
        // SAFETY: that nobody but structchunk changes or truncates the files meanwhile is in the documentation of `structchunk.open`.
        unsafe { options.open(path) }.map(Self::Own)
    }

    pub fn attach(options: Options, path: PathBuf) -> Result<Self> {
        // SAFETY: as for `open`.
        let reader = unsafe { options.attach(&path) }?;
        let reader = UnderGil(RefCell::new(Some(Arc::new(reader))));
        Ok(Self::Beside(Beside { path, closed: AtomicBool::new(false), reader }))
    }

    /// The store, for who may change it.
    ///
    /// # Errors
    /// [`Error::ReadOnly`], [`Error::Closed`].
    #[inline]
    pub fn own(&self) -> Result<&Store> {
        match self {
            Self::Own(store) => Ok(store),
            Self::Beside(beside) => {
                beside.check_open()?;
                Err(Error::ReadOnly { path: beside.path.clone() })
            }
        }
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
            Self::Own(store) => question(store),
            Self::Beside(beside) => {
                beside.check_open()?;
                // SAFETY: as for `open`.
                let store = unsafe { Store::options().read_only(true).open(&beside.path) }?;
                question(&store)
            }
        }
    }

    pub fn path(&self) -> &Path {
        match self {
            Self::Own(store) => store.path(),
            Self::Beside(beside) => &beside.path,
        }
    }

    pub fn is_read_only(&self) -> bool {
        match self {
            Self::Own(store) => store.is_read_only(),
            Self::Beside(_) => true,
        }
    }

    // (A reader may have to wait for the end of a recovery.)

    pub fn len(&self, py: Python<'_>) -> Result<u64> {
        match self {
            Self::Own(store) => Ok(store.len()),
            Self::Beside(beside) => beside.ask(py, Reader::len),
        }
    }

    pub fn contains(&self, py: Python<'_>, key: &[u8]) -> Result<bool> {
        match self {
            Self::Own(store) => store.contains(key),
            Self::Beside(beside) => beside.ask(py, |reader| reader.contains(key)),
        }
    }

    pub fn types(&self, py: Python<'_>) -> Result<Vec<StoredType>> {
        match self {
            Self::Own(store) => store.types(),
            Self::Beside(beside) => beside.ask(py, Reader::types),
        }
    }

    /// What an opening by this process has found.
    pub fn recovery(&self) -> String {
        match self {
            Self::Own(store) => format!("{:?}", store.recovery()),
            Self::Beside(_) => "attached".into(),
        }
    }

    pub fn close(&self, py: Python<'_>) -> Result<()> {
        match self {
            Self::Own(store) => py.detach(|| store.clone().close()),
            Self::Beside(beside) => {
                beside.closed.store(true, Ordering::Release);
                let reader = beside.reader.take(py);
                py.detach(|| drop(reader));
                Ok(())
            }
        }
    }
}

impl Beside {
    fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) { Err(Error::Closed) } else { Ok(()) }
    }

    fn reader(&self, py: Python<'_>) -> Result<Arc<Reader>> {
        self.reader.get(py).ok_or(Error::Closed)
    }

    fn ask<R: Send>(&self, py: Python<'_>, question: impl FnOnce(&Reader) -> Result<R> + Send) -> Result<R> {
        let reader = self.reader(py)?;
        py.detach(|| question(&reader))
    }
}
