//! A folder of the file system, held by its descriptor: renaming or replacing a parent folder changes nothing,
//! and no name inside it is ever followed out of it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

use super::backing::Backing;
use super::file::Access;

/// More names than a store can have; a folder that holds more is not listed to the end.
const MAX_NAMES: usize = 1 << 22;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// A folder in one that is held.
const INSIDE: OFlags = FOLDER.union(OFlags::NOFOLLOW);
const FOLDER_MODE: Mode = Mode::RWXU;
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);

pub(super) struct RealFolder {
    descriptor: OwnedFd,
}

impl RealFolder {
    /// The folder the caller named. A symbolic link to it is the caller's choice.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { descriptor: rustix::fs::open(path, FOLDER, Mode::empty())? })
    }

    /// Makes the folder, 0700, and its name durable.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        rustix::fs::mkdir(path, FOLDER_MODE)?;
        // Each of these is tried again by itself: all of it again would find the folder there.
        let descriptor = retry_on_intr(|| rustix::fs::open(path, FOLDER | OFlags::NOFOLLOW, Mode::empty()))?;
        retry_on_intr(|| rustix::fs::fchmod(&descriptor, FOLDER_MODE))?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let parent = retry_on_intr(|| rustix::fs::open(parent, FOLDER, Mode::empty()))?;
        retry_on_intr(|| rustix::fs::fsync(&parent))?;
        Ok(Self { descriptor })
    }

    fn enter(&self, name: &str) -> io::Result<OwnedFd> {
        rustix::fs::openat(&self.descriptor, name, INSIDE, Mode::empty()).map_err(followed)
    }
}

impl Backing for RealFolder {
    fn create_folder(&self, name: &str) -> io::Result<()> {
        rustix::fs::mkdirat(&self.descriptor, name, FOLDER_MODE)?;
        // The umask may have taken bits away.
        let folder = retry_on_intr(|| rustix::fs::openat(&self.descriptor, name, INSIDE, Mode::empty()));
        let folder = folder.map_err(followed)?;
        retry_on_intr(|| rustix::fs::fchmod(&folder, FOLDER_MODE))?;
        Ok(())
    }

    fn open_folder(&self, name: &str) -> io::Result<Arc<dyn Backing>> {
        Ok(Arc::new(Self { descriptor: self.enter(name)? }))
    }

    fn create_file(&self, name: &str) -> io::Result<OwnedFd> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.descriptor, name, flags, FILE_MODE)?;
        retry_on_intr(|| rustix::fs::fchmod(&file, FILE_MODE))?;
        Ok(file)
    }

    fn open_file(&self, name: &str, access: Access) -> io::Result<OwnedFd> {
        // Without NONBLOCK, opening a FIFO would wait for its other end.
        let careful = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = rustix::fs::openat(&self.descriptor, name, access.flags() | careful, Mode::empty())
            .map_err(followed)?;
        let status = rustix::fs::fstat(&file)?;
        let kind = FileType::from_raw_mode(status.st_mode);
        if kind != FileType::RegularFile {
            return Err(refused(format!("it is not a regular file but a {}", name_of(kind))));
        }
        if status.st_nlink == 0 {
            // Removed between the two calls: as if it had been removed before.
            return Err(io::ErrorKind::NotFound.into());
        }
        if status.st_nlink != 1 {
            return Err(refused(format!("it has {} names instead of one", status.st_nlink)));
        }
        rustix::fs::fcntl_setfl(&file, OFlags::empty())?;
        Ok(file)
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.descriptor)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            if names.len() == MAX_NAMES {
                return Err(refused(format!("it holds more than {MAX_NAMES} names")));
            }
            // A replacement character is in none of the store's own names, so no foreign name can pass for one.
            names.push(String::from_utf8_lossy(name).into_owned());
        }
        Ok(names)
    }

    fn contains(&self, name: &str) -> io::Result<bool> {
        match rustix::fs::statat(&self.descriptor, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.descriptor, from, &self.descriptor, to)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.descriptor, name, AtFlags::empty())?)
    }

    fn remove_folder(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.descriptor, name, AtFlags::REMOVEDIR)?)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.descriptor)?)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.descriptor.as_fd())
    }
}

/// `NOFOLLOW` reports "too many links", which would puzzle people.
fn followed(errno: Errno) -> io::Error {
    if errno == Errno::LOOP { refused("it is a symbolic link".to_owned()) } else { errno.into() }
}

fn refused(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

fn name_of(kind: FileType) -> &'static str {
    match kind {
        FileType::Directory => "directory",
        FileType::Symlink => "symbolic link",
        FileType::Fifo => "FIFO",
        FileType::Socket => "socket",
        FileType::CharacterDevice | FileType::BlockDevice => "device",
        _ => "thing of unknown kind",
    }
}
