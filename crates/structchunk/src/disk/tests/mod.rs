//! What the seam promises, on real folders and on folders in memory.

mod child;
mod faults;
mod files;
mod locks;
mod names;
mod space;

use super::{Faults, Folder};

/// Runs the same test on a real folder and on one in memory.
fn on_both(test: impl Fn(&Folder)) {
    on_both_with(&Faults::none(), test);
}

fn on_both_with(faults: &Faults, test: impl Fn(&Folder)) {
    let (_kept, folder) = real(faults);
    test(&folder);
    test(&Folder::in_memory(faults.clone()));
}

/// A real folder, removed with the first part of the answer.
fn real(faults: &Faults) -> (tempfile::TempDir, Folder) {
    let parent = tempfile::tempdir().unwrap();
    let folder = Folder::create(parent.path().join("some.store"), faults.clone()).unwrap();
    (parent, folder)
}
