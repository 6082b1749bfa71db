//! One field of many objects, gathered.

use std::path::PathBuf;

use pyo3::exceptions::{PyKeyError, PyMemoryError};
use pyo3::prelude::*;
use structchunk::raw::RawReader;
use structchunk::{Entry, Error, Reader, Result, Store};

use crate::errors::OrRaise;
use crate::handle::Handle;
use crate::path::Spot;

/// Which bytes to take out of objects of which type.
pub struct Column<'a> {
    path: PathBuf,
    layout: &'a structchunk::Layout,
    start: usize,
    end: usize,
    out: Vec<u8>,
    count: usize,
}

/// Why a column ends.
pub enum Stop {
    Refused(Error),
    Missing(usize),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl<'a> Column<'a> {
    pub fn new(handle: &Handle, layout: &'a structchunk::Layout, spot: &Spot) -> PyResult<Self> {
        let bytes = spot.bytes().ok_or_else(|| PyMemoryError::new_err("a field too large for memory"))?;
        let (start, end) = (spot.offset as usize, (spot.offset + bytes) as usize);
        let path = handle.path().to_owned();
        Ok(Self { path, layout, start, end, out: Vec::new(), count: 0 })
    }

    fn take(&mut self, object: &[u8]) -> Result<()> {
        let Some(field) = object.get(self.start..self.end) else {
            let reason = "an object is shorter than its type".to_owned();
            return Err(Error::Corrupt { path: self.path.clone(), offset: 0, reason });
        };
        let bytes = (self.out.len() + field.len()) as u64;
        let refused = |_| Error::NoMemory { what: "a column", bytes };
        self.out.try_reserve(field.len()).map_err(refused)?;
        self.out.extend_from_slice(field);
        self.count += 1;
        Ok(())
    }

    fn is_of_type(&self, entry: &Entry<'_>) -> Result<bool> {
        Ok(entry.shape().is_none() && entry.fingerprint()? == self.layout.fingerprint())
    }

    /// Of the objects under these keys, which have to be of the type.
    pub fn of_keys(
        &mut self,
        handle: &Handle,
        reader: Option<&Reader>,
        keys: &[Vec<u8>],
    ) -> std::result::Result<(), Stop> {
        let what = structchunk::raw::Described::one(self.layout.clone());
        for (index, key) in keys.iter().enumerate() {
            let taken = match reader {
                Some(reader) => self.of_reader(reader.raw(), &what, key)?,
                None => self.of_key(&*handle.own()?, &what, key)?,
            };
            if !taken {
                return Err(Stop::Missing(index));
            }
        }
        Ok(())
    }

    fn of_key(&mut self, store: &Store, what: &structchunk::raw::Described, key: &[u8]) -> Result<bool> {
        let Some(entry) = store.entry(key)? else { return Ok(false) };
        if !self.is_of_type(&entry)? {
            what.check(key, entry.layout()?, entry.shape().as_deref(), entry.len()?)?;
        }
        self.take(&entry.bytes(self.end as u64)?)?;
        Ok(true)
    }

    fn of_reader(
        &mut self,
        raw: RawReader<'_>,
        what: &structchunk::raw::Described,
        key: &[u8],
    ) -> Result<bool> {
        let Some(copy) = raw.load(key)? else { return Ok(false) };
        what.check(key, &copy.layout, copy.shape.as_deref(), copy.bytes.len() as u64)?;
        self.take(&copy.bytes)?;
        Ok(true)
    }

    /// Of all objects of the type, in the order of their keys.
    pub fn of_all(&mut self, handle: &Handle, reader: Option<&Reader>) -> Result<()> {
        let Some(reader) = reader else {
            return self.of_entries(handle.own()?.ordered()?);
        };
        loop {
            (self.out, self.count) = (Vec::new(), 0);
            let session = reader.session()?;
            match session.ordered().and_then(|range| self.of_entries(range)) {
                // Another writer has taken over: from the beginning.
                Err(Error::SessionOver { .. }) => {}
                outcome => return outcome,
            }
        }
    }

    fn of_entries(&mut self, entries: structchunk::Range<'_>) -> Result<()> {
        for entry in entries {
            let entry = entry?;
            if self.is_of_type(&entry)? {
                self.take(&entry.bytes(self.end as u64)?)?;
            }
        }
        Ok(())
    }

    /// How many, and their bytes.
    pub fn finish(self) -> (usize, Vec<u8>) {
        (self.count, self.out)
    }
}

/// The outcome for Python, which knows the keys.
pub fn raise(
    py: Python<'_>,
    outcome: std::result::Result<(), Stop>,
    keys: &[Bound<'_, PyAny>],
) -> PyResult<()> {
    match outcome {
        Ok(()) => Ok(()),
        Err(Stop::Refused(error)) => Err(error).or_raise(py),
        Err(Stop::Missing(index)) => {
            Err(PyKeyError::new_err(keys.get(index).map(|key| key.clone().unbind())))
        }
    }
}
