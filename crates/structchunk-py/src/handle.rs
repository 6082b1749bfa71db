//! Who has the store: this process, to write it, or another one, beside which it is read.
#![expect(unsafe_code, reason = "opening a store is unsafe: others could change its files")]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use structchunk::{Error, Options, Reader, Result, Store, StoredType};

/// A store, or a reader beside whoever writes it.
pub enum Handle {
    Own(Store),
    Beside(Beside),
}

/// A reader, until it is closed.
pub struct Beside {
    path: PathBuf,
    reader: Mutex<Option<Arc<Reader>>>,
}

impl Handle {
    pub fn open(options: Options, path: PathBuf) -> Result<Self> {
        // SAFETY: that nobody but structchunk changes or truncates the files meanwhile is in the documentation of `structchunk.open`.
        unsafe { options.open(path) }.map(Self::Own)
    }

    pub fn attach(options: Options, path: PathBuf) -> Result<Self> {
        // SAFETY: as for `open`.
        let reader = unsafe { options.attach(&path) }?;
        Ok(Self::Beside(Beside { path, reader: Mutex::new(Some(Arc::new(reader))) }))
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
                beside.reader()?;
                Err(Error::ReadOnly { path: beside.path.clone() })
            }
        }
    }

    /// The reader, where it is one.
    ///
    /// # Errors
    /// [`Error::Closed`].
    #[inline]
    pub fn reader(&self) -> Result<Option<Arc<Reader>>> {
        match self {
            Self::Own(_) => Ok(None),
            Self::Beside(beside) => beside.reader().map(Some),
        }
    }

    /// Asks something that takes a store which nobody changes meanwhile, or one of one's own.
    ///
    /// # Errors
    /// [`Error::Locked`] for a reader beside a writer.
    pub fn alone<R>(&self, question: impl FnOnce(&Store) -> Result<R>) -> Result<R> {
        match self {
            Self::Own(store) => question(store),
            Self::Beside(beside) => {
                beside.reader()?;
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

    pub fn len(&self) -> Result<u64> {
        match self {
            Self::Own(store) => Ok(store.len()),
            Self::Beside(beside) => beside.reader()?.len(),
        }
    }

    pub fn contains(&self, key: &[u8]) -> Result<bool> {
        match self {
            Self::Own(store) => store.contains(key),
            Self::Beside(beside) => beside.reader()?.contains(key),
        }
    }

    pub fn types(&self) -> Result<Vec<StoredType>> {
        match self {
            Self::Own(store) => store.types(),
            Self::Beside(beside) => beside.reader()?.types(),
        }
    }

    /// What an opening by this process has found.
    pub fn recovery(&self) -> String {
        match self {
            Self::Own(store) => format!("{:?}", store.recovery()),
            Self::Beside(_) => "attached".into(),
        }
    }

    pub fn close(&self) -> Result<()> {
        match self {
            Self::Own(store) => store.clone().close(),
            Self::Beside(beside) => {
                beside.reader.lock().unwrap_or_else(PoisonError::into_inner).take();
                Ok(())
            }
        }
    }
}

impl Beside {
    fn reader(&self) -> Result<Arc<Reader>> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or(Error::Closed)
    }
}
