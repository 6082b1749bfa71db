//! An open folder: the store's own, or one below it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::Errno;

use super::backing::Backing;
use super::environment;
use super::faults::{Call, Faults};
use super::file::{Access, File};
use super::memory::MemoryFolder;
use super::real::RealFolder;
use super::space::refused;
use crate::error::{Error, Result};

/// A folder held open, real or in memory. Clones are the same folder.
#[derive(Clone)]
pub(crate) struct Folder(Arc<Inner>);

struct Inner {
    backing: Arc<dyn Backing>,
    path: PathBuf,
    faults: Faults,
}

impl Folder {
    /// Creates the folder, readable by its owner only, and makes its name durable.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] where anything has that name.
    pub(crate) fn create(path: impl AsRef<Path>, faults: Faults) -> Result<Self> {
        let path = path.as_ref();
        match faults.guard(Call::CreateFolder, path, || RealFolder::create(path)) {
            Ok(folder) => Ok(Self::new(Arc::new(folder), path.to_owned(), faults)),
            Err(error) => Err(not_created(path, error)),
        }
    }

    /// Opens a folder that exists.
    ///
    /// # Errors
    /// [`Error::NotAStore`] where there is none.
    pub(crate) fn open(path: impl AsRef<Path>, faults: Faults) -> Result<Self> {
        let path = path.as_ref();
        let reason = match faults.guard(Call::Open, path, || RealFolder::open(path)) {
            Ok(folder) => return Ok(Self::new(Arc::new(folder), path.to_owned(), faults)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => "it does not exist",
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => "it is not a directory",
            Err(error) => return Err(Error::io("open", path, error)),
        };
        Err(Error::NotAStore { path: path.to_owned(), reason: reason.to_owned() })
    }

    /// An empty folder in memory. It is gone when its last clone, subfolder and file are.
    pub(crate) fn in_memory(faults: Faults) -> Self {
        Self::new(Arc::new(MemoryFolder::default()), PathBuf::from("memory:"), faults)
    }

    fn new(backing: Arc<dyn Backing>, path: PathBuf, faults: Faults) -> Self {
        Self(Arc::new(Inner { backing, path, faults }))
    }

    /// Opens the folder `name` in this one; with `create`, makes it first where it is missing.
    pub(crate) fn subfolder(&self, name: &str, create: bool) -> Result<Self> {
        if create {
            match self.effect(Call::CreateFolder, name, |folder| folder.create_folder(name)) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(refused("create", self.at(name), 0, error));
                }
                _ => {}
            }
        }
        let backing = self
            .effect(Call::Open, name, |folder| folder.open_folder(name))
            .map_err(|error| Error::io("open", self.at(name), error))?;
        Ok(Self::new(backing, self.at(name), self.0.faults.clone()))
    }

    /// Creates an empty file, readable and writable by its owner only.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] where anything has that name.
    pub(crate) fn create_file(&self, name: &str) -> Result<File> {
        match self.effect(Call::Create, name, |folder| folder.create_file(name)) {
            Ok(descriptor) => Ok(File::new(descriptor, self.at(name), self.0.faults.clone())),
            Err(error) => Err(not_created(&self.at(name), error)),
        }
    }

    /// Opens a regular file that has one name. Links, FIFOs, devices and folders are refused, and none is waited for.
    ///
    /// # Errors
    /// [`Error::is_absent`] tells a missing file from other errors.
    pub(crate) fn open_file(&self, name: &str, access: Access) -> Result<File> {
        match self.effect(Call::Open, name, |folder| folder.open_file(name, access)) {
            Ok(descriptor) => Ok(File::new(descriptor, self.at(name), self.0.faults.clone())),
            Err(error) => Err(Error::io("open", self.at(name), error)),
        }
    }

    /// The names in this folder, in no order. Those that are not UTF-8 come with replacement characters.
    pub(crate) fn list(&self) -> Result<Vec<String>> {
        self.own_effect(Call::List, "list", |folder| folder.names())
    }

    /// Whether anything has this name.
    pub(crate) fn exists(&self, name: &str) -> Result<bool> {
        self.effect(Call::List, name, |folder| folder.contains(name))
            .map_err(|error| Error::io("look for", self.at(name), error))
    }

    /// Gives a file another name, in place of whatever had that name.
    ///
    /// # Durability
    /// Survives a power cut after [`Folder::sync`].
    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<()> {
        check_name(from)
            .and_then(|()| self.effect(Call::Rename, to, |folder| folder.rename(from, to)))
            .map_err(|error| refused("rename", self.at(from), 0, error))
    }

    /// Gives an open file another name, which its error messages then show.
    pub(crate) fn rename_file(&self, file: &mut File, to: &str) -> Result<()> {
        let from = file.name().to_owned();
        self.rename(&from, to)?;
        file.set_path(self.at(to));
        Ok(())
    }

    /// Removes a file's name; its space is free when nobody has it open or mapped any more.
    ///
    /// # Durability
    /// Survives a power cut after [`Folder::sync`].
    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        self.effect(Call::Remove, name, |folder| folder.remove(name))
            .map_err(|error| Error::io("remove", self.at(name), error))
    }

    /// Gives a file a name under which nobody looks for it, and replaces nothing by that; the name.
    ///
    /// # Durability
    /// Survives a power cut after [`Folder::sync`].
    pub(crate) fn put_aside(&self, name: &str) -> Result<String> {
        let mut aside = format!("{name}.aside");
        let mut number = 1;
        while self.exists(&aside)? {
            number += 1;
            aside = format!("{name}.aside.{number}");
        }
        self.rename(name, &aside)?;
        Ok(aside)
    }

    /// Removes an empty folder in this one.
    pub(crate) fn remove_folder(&self, name: &str) -> Result<()> {
        self.effect(Call::Remove, name, |folder| folder.remove_folder(name))
            .map_err(|error| Error::io("remove", self.at(name), error))
    }

    /// Removes this folder, which must be empty, from where it was opened.
    pub(crate) fn remove_itself(&self) -> Result<()> {
        let path = self.path();
        self.0
            .faults
            .guard(Call::Remove, path, || rustix::fs::rmdir(path))
            .map_err(|error| Error::io("remove", path, error))
    }

    /// [`Folder::create`] on a disk that fails as this one's does.
    pub(crate) fn create_elsewhere(&self, path: &Path) -> Result<Self> {
        Self::create(path, self.0.faults.clone())
    }

    /// [`Folder::open`] on a disk that fails as this one's does.
    pub(crate) fn open_elsewhere(&self, path: &Path) -> Result<Self> {
        Self::open(path, self.0.faults.clone())
    }

    /// Whether `path`, at which nothing need be yet, is this folder or lies below it.
    pub(crate) fn encloses(&self, path: &Path) -> Result<bool> {
        self.inspect(|folder| environment::encloses(folder, path))
    }

    /// Makes the names in this folder durable.
    pub(crate) fn sync(&self) -> Result<()> {
        self.own_effect(Call::SyncFolder, "sync", |folder| folder.sync())
    }

    pub(super) fn faults(&self) -> &Faults {
        &self.0.faults
    }

    /// Where the folder is, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.0.path
    }

    /// A path to the folder for code that does its own file I/O, whose files stay below `largest_file` bytes. It leads through the open
    /// descriptor, so it is good while this folder is held, and wherever the folder is moved.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a folder in memory, [`Error::NoSpace`] where files may not become that large.
    #[cfg(feature = "leveldb")]
    pub(crate) fn lend(&self, largest_file: u64) -> Result<PathBuf> {
        use std::os::fd::AsRawFd;
        super::space::require_room("lend", self.path(), largest_file, largest_file)?;
        let what = "other code cannot reach a folder in memory";
        let descriptor = self
            .0
            .backing
            .descriptor()
            .ok_or_else(|| Error::Unsupported { path: self.path().to_owned(), what: what.into() })?;
        Ok(format!("/proc/self/fd/{}", descriptor.as_raw_fd()).into())
    }

    /// Evidence of which boot of the machine this is; `None` where it cannot be had.
    pub(crate) fn boot_id(&self) -> Option<[u8; 16]> {
        self.0.faults.boot_id(environment::boot_id)
    }

    /// The name of the network file system that the folder lies on, if it does.
    pub(crate) fn network_file_system(&self) -> Result<Option<&'static str>> {
        self.inspect(environment::network_file_system)
    }

    /// The name of the copy-on-write file system that the folder lies on, if it does: reserved space is no guarantee
    /// there, because overwriting takes new space.
    pub(crate) fn copy_on_write(&self) -> Result<Option<&'static str>> {
        self.inspect(environment::copy_on_write)
    }

    /// Asks a copy-on-write file system to overwrite files created here later in place; whether it agreed.
    pub(crate) fn disable_copy_on_write(&self) -> bool {
        self.0.backing.descriptor().is_some_and(environment::disable_copy_on_write)
    }

    fn inspect<T: Default>(
        &self,
        question: impl Fn(std::os::fd::BorrowedFd<'_>) -> rustix::io::Result<T>,
    ) -> Result<T> {
        self.own_effect(Call::Inspect, "inspect", |folder| match folder.descriptor() {
            Some(descriptor) => Ok(question(descriptor)?),
            None => Ok(T::default()),
        })
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path.join(name)
    }

    fn effect<T>(
        &self,
        call: Call,
        name: &str,
        action: impl Fn(&dyn Backing) -> io::Result<T>,
    ) -> io::Result<T> {
        check_name(name)?;
        self.0.faults.guard(call, &self.at(name), || action(&*self.0.backing))
    }

    fn own_effect<T>(
        &self,
        call: Call,
        verb: &'static str,
        action: impl Fn(&dyn Backing) -> io::Result<T>,
    ) -> Result<T> {
        let path = self.path();
        self.0
            .faults
            .guard(call, path, || action(&*self.0.backing))
            .map_err(|error| Error::io(verb, path, error))
    }
}

impl fmt::Debug for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Folder").field(&self.0.path).finish()
    }
}

/// A name is one component and never leads out of its folder.
fn check_name(name: &str) -> io::Result<()> {
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
        return Err(Errno::INVAL.into());
    }
    Ok(())
}

fn not_created(path: &Path, error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::AlreadyExists {
        return Error::AlreadyExists { path: path.to_owned() };
    }
    refused("create", path, 0, error)
}
