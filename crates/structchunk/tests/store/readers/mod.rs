//! Readers beside a writer in another process.
#![expect(unsafe_code, reason = "attaching to a store is unsafe: others could change its files")]

mod clones;
mod ended;
mod held;
mod places;
mod refused;
mod scans;
mod seen;
mod told;

use std::path::Path;

use structchunk::{Options, Reader, Result, Session};

use crate::common::options;
use crate::process::{Told, again};

pub fn attach_with(options: Options, path: &Path) -> Result<Reader> {
    // SAFETY: the tests change the files of stores that nobody is attached to only.
    unsafe { options.attach(path) }
}

pub fn attach(path: &Path) -> Reader {
    attach_with(options(), path).unwrap_or_else(|error| panic!("attach {}: {error}", path.display()))
}

/// A process that works on a store as it is told.
pub fn process(path: &Path) -> Told {
    Told::start(again("readers::told::a_child_does_as_it_is_told", &[], path))
}

/// A process that has opened the store for writing.
pub fn writer(path: &Path) -> Told {
    let mut child = process(path);
    assert_eq!(child.tell("open"), "ok");
    child
}

/// The keys of a session, in key order and in log order, which must be the same ones.
pub fn keys(session: &Session) -> Vec<String> {
    let text = |key: &[u8]| String::from_utf8(key.to_vec()).expect("a key of ours");
    let ordered: Vec<_> =
        session.keys().expect("a scan").map(|key| text(key.expect("a key").key())).collect();
    let mut logged: Vec<_> =
        session.iter().expect("a scan").map(|entry| text(entry.expect("an entry").key())).collect();
    logged.sort_unstable();
    assert_eq!(ordered, logged);
    ordered
}
