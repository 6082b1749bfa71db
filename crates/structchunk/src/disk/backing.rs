//! What a folder can be made of: a real one, or memory.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use super::file::Access;

/// The bare operations of one folder. [`super::Folder`] checks names, injects faults and words errors.
pub(super) trait Backing: Send + Sync {
    fn create_folder(&self, name: &str) -> io::Result<()>;
    fn open_folder(&self, name: &str) -> io::Result<Arc<dyn Backing>>;
    fn create_file(&self, name: &str) -> io::Result<OwnedFd>;
    fn open_file(&self, name: &str, access: Access) -> io::Result<OwnedFd>;
    fn names(&self) -> io::Result<Vec<String>>;
    fn contains(&self, name: &str) -> io::Result<bool>;
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
    fn remove_folder(&self, name: &str) -> io::Result<()>;
    fn sync(&self) -> io::Result<()>;
    /// The open folder, where there is one.
    fn descriptor(&self) -> Option<BorrowedFd<'_>>;
}
