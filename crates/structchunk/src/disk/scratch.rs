//! A folder outside of the store, for code that does its own file I/O and must not touch the store's files.
//!
//! What is done in it does not go through [`Faults`](super::Faults): nothing of any store is in it but copies and links.

use std::io;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

use super::{Access, Folder, environment::random_bytes};
use crate::error::{Error, Result};

/// A folder that nobody else may enter, gone with everything in it when it is dropped.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Makes one in the system's folder for temporary files.
    pub(crate) fn create() -> Result<Self> {
        let name = format!("structchunk-{:032x}", u128::from_le_bytes(random_bytes()?));
        let path = std::env::temp_dir().join(name);
        // Whatever has that name already is an error, a link too.
        let made = std::fs::DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|error| Error::io("create", &path, error))?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Makes a name for what lies at another path.
    pub(crate) fn link(&self, name: &str, to: &Path) -> Result<()> {
        self.done(name, symlink(to, self.0.join(name)))
    }

    /// Copies a file, of which no more than `most` bytes are there.
    pub(crate) fn copy(&self, from: &Folder, name: &str, most: u64) -> Result<()> {
        let file = from.open_file(name, Access::Read)?;
        let bytes = file.len()?;
        if bytes > most {
            return Err(Error::corrupt(file.path(), most, "the file is larger than it can be"));
        }
        let mut content = vec![0; bytes as usize];
        file.read_exact_at(0, &mut content)?;
        self.done(name, std::fs::write(self.0.join(name), content))
    }

    fn done(&self, name: &str, outcome: io::Result<()>) -> Result<()> {
        outcome.map_err(|error| Error::io("write", self.0.join(name), error))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, path = %self.0.display(), "a temporary folder stays");
        }
    }
}
