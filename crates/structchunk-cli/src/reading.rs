//! A store that is looked into: while nobody writes it, or beside a program that does.

use std::path::Path;

use structchunk::{Entry, Iter, Range, RecoveryReport, Result, Session, Stats, Store, StoredType};

pub enum Reading {
    /// Nobody can write it meanwhile.
    Alone(Store),
    /// As its writer has it from one moment to the next.
    Beside(Session),
}

impl Reading {
    pub fn path(&self) -> &Path {
        match self {
            Self::Alone(store) => store.path(),
            Self::Beside(session) => session.path(),
        }
    }

    /// What opening it found and did; `None` beside the one who did that.
    pub fn recovery(&self) -> Option<&RecoveryReport> {
        match self {
            Self::Alone(store) => Some(store.recovery()),
            Self::Beside(_) => None,
        }
    }

    pub fn len(&self) -> Result<u64> {
        match self {
            Self::Alone(store) => Ok(store.len()),
            Self::Beside(session) => session.len(),
        }
    }

    pub fn stats(&self) -> Result<Stats> {
        match self {
            Self::Alone(store) => store.stats(),
            Self::Beside(session) => session.stats(),
        }
    }

    pub fn types(&self) -> Result<Vec<StoredType>> {
        match self {
            Self::Alone(store) => store.types(),
            Self::Beside(session) => session.types(),
        }
    }

    pub fn entry(&self, key: &[u8]) -> Result<Option<Entry<'_>>> {
        match self {
            Self::Alone(store) => store.entry(key),
            Self::Beside(session) => session.entry(key),
        }
    }

    pub fn scan(&self) -> Result<Iter<'_>> {
        match self {
            Self::Alone(store) => store.iter(),
            Self::Beside(session) => session.iter(),
        }
    }

    pub fn prefix(&self, prefix: &[u8]) -> Result<Range<'_>> {
        match self {
            Self::Alone(store) => store.prefix(prefix),
            Self::Beside(session) => session.prefix(prefix),
        }
    }
}
