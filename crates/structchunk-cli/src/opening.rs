//! Opening stores. The only unsafe code of the command: what others do to the files of an open store is nothing that a
//! program can prove, so the command passes the condition on to its user.
#![expect(unsafe_code, reason = "opening a store is unsafe: others could change its files")]

use std::path::Path;

use structchunk::{Options, Reader, RebuildReport, Store};

use crate::failure::Failure;
use crate::progress::Progress;

/// Opens a store to look into it. Writes nothing.
pub fn for_reading(path: &Path) -> Result<Store, Failure> {
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
pub fn for_copying(path: &Path) -> Result<Reader, Failure> {
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
