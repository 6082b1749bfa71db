//! A folder in memory, its files being memfds: they have everything real files have (mapping, reserving, punching,
//! locks), so a store in memory needs no code of its own.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{MemfdFlags, Mode};
use rustix::io::Errno;

use super::backing::Backing;
use super::file::Access;

#[derive(Default)]
pub(super) struct MemoryFolder {
    nodes: Mutex<BTreeMap<String, Node>>,
}

enum Node {
    File(OwnedFd),
    Folder(Arc<MemoryFolder>),
}

impl MemoryFolder {
    fn nodes(&self) -> MutexGuard<'_, BTreeMap<String, Node>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens a memfd once more, as a description of its own: locks of two descriptions exclude each other, and one that
/// is only for reading cannot write.
fn reopen(file: &OwnedFd, access: Access) -> io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    match rustix::fs::open(path, access.flags() | rustix::fs::OFlags::CLOEXEC, Mode::empty()) {
        // Without /proc the same description has to do: nobody else can reach the file, so there is nobody to exclude.
        Err(Errno::NOENT) => Ok(file.try_clone()?),
        outcome => Ok(outcome?),
    }
}

impl Backing for MemoryFolder {
    fn create_folder(&self, name: &str) -> io::Result<()> {
        match self.nodes().entry(name.to_owned()) {
            Entry::Occupied(_) => Err(Errno::EXIST.into()),
            Entry::Vacant(vacant) => {
                vacant.insert(Node::Folder(Arc::default()));
                Ok(())
            }
        }
    }

    fn open_folder(&self, name: &str) -> io::Result<Arc<dyn Backing>> {
        match self.nodes().get(name) {
            Some(Node::Folder(folder)) => Ok(folder.clone()),
            Some(Node::File(_)) => Err(Errno::NOTDIR.into()),
            None => Err(Errno::NOENT.into()),
        }
    }

    fn create_file(&self, name: &str) -> io::Result<OwnedFd> {
        match self.nodes().entry(name.to_owned()) {
            Entry::Occupied(_) => Err(Errno::EXIST.into()),
            Entry::Vacant(vacant) => {
                let file = rustix::fs::memfd_create("structchunk", MemfdFlags::CLOEXEC)?;
                let opened = reopen(&file, Access::Write)?;
                vacant.insert(Node::File(file));
                Ok(opened)
            }
        }
    }

    fn open_file(&self, name: &str, access: Access) -> io::Result<OwnedFd> {
        match self.nodes().get(name) {
            Some(Node::File(file)) => reopen(file, access),
            Some(Node::Folder(_)) => Err(Errno::ISDIR.into()),
            None => Err(Errno::NOENT.into()),
        }
    }

    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.nodes().keys().cloned().collect())
    }

    fn contains(&self, name: &str) -> io::Result<bool> {
        Ok(self.nodes().contains_key(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut nodes = self.nodes();
        let node = nodes.remove(from).ok_or(Errno::NOENT)?;
        nodes.insert(to.to_owned(), node);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut nodes = self.nodes();
        match nodes.get(name) {
            Some(Node::File(_)) => {
                nodes.remove(name);
                Ok(())
            }
            Some(Node::Folder(_)) => Err(Errno::ISDIR.into()),
            None => Err(Errno::NOENT.into()),
        }
    }

    fn remove_folder(&self, name: &str) -> io::Result<()> {
        let mut nodes = self.nodes();
        match nodes.get(name) {
            Some(Node::Folder(folder)) if folder.nodes().is_empty() => {
                nodes.remove(name);
                Ok(())
            }
            Some(Node::Folder(_)) => Err(Errno::NOTEMPTY.into()),
            Some(Node::File(_)) => Err(Errno::NOTDIR.into()),
            None => Err(Errno::NOENT.into()),
        }
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}
