//! Opening stores. The only unsafe code of the command: what others do to the files of an open store is nothing that a
//! program can prove, so the command passes the condition on to its user.
#![expect(unsafe_code, reason = "opening a store is unsafe: others could change its files")]

use std::path::Path;

use structchunk::{Error, Options, Reader, RebuildReport, Store};

use crate::failure::Failure;
use crate::progress::Progress;
use crate::reading::Reading;

/// Opens a store to look into it, also beside a program that writes it. Writes nothing.
pub fn for_reading(path: &Path) -> Result<Reading, Failure> {
    match alone(path) {
        Err(Failure::Store(Error::Locked { .. })) => {
            let _progress = Progress::waiting("opening");
            Ok(Reading::Beside(beside(path)?.session()?))
        }
        store => store.map(Reading::Alone),
    }
}

/// Opens a store to look into it while nobody writes it. Writes nothing.
pub fn alone(path: &Path) -> Result<Store, Failure> {
    open(Store::options().read_only(true), path)
}

/// Opens a store to change it.
pub fn for_writing(path: &Path) -> Result<Store, Failure> {
    open(Store::options(), path)
}

/// Opens a store with these options.
pub fn open(options: Options, path: &Path) -> Result<Store, Failure> {
    let _progress = Progress::waiting("opening");
    // SAFETY: a store's files are structchunk's alone while it is open; who runs the command sees to that.
    Ok(unsafe { options.open(path) }?)
}

/// Attaches to a store, whether another program writes to it or not. Writes nothing and keeps nobody out.
pub fn beside(path: &Path) -> Result<Reader, Failure> {
    let _progress = Progress::waiting("opening");
    // SAFETY: as for `open`.
    Ok(unsafe { Reader::attach(path) }?)
}

/// Makes what is derived anew; see [`Store::rebuild`].
pub fn rebuild(path: &Path) -> Result<RebuildReport, Failure> {
    let _progress = Progress::waiting("rebuilding");
    // SAFETY: as for `open`.
    Ok(unsafe { Store::rebuild(path) }?)
}
