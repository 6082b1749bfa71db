//! The files below some paths: regular ones, each once, no symbolic links followed.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A walk over files, in the order of their names.
pub struct Files {
    /// Still to be looked at, the next one last.
    pending: Vec<PathBuf>,
    /// Device and inode of the files met, so that hard links and overlapping paths count once.
    met: HashSet<(u64, u64)>,
}

impl Files {
    /// Will walk these paths. They may be symbolic links themselves.
    ///
    /// # Errors
    /// The path that does not exist or cannot be reached.
    pub fn below(roots: &[PathBuf]) -> Result<Self, (PathBuf, io::Error)> {
        let real = |root: &PathBuf| fs::canonicalize(root).map_err(|error| (root.clone(), error));
        let pending = roots.iter().rev().map(real).collect::<Result<_, _>>()?;
        Ok(Self { pending, met: HashSet::new() })
    }

    fn visit(&mut self, path: &Path) -> io::Result<Option<File>> {
        let kind = fs::symlink_metadata(path)?.file_type();
        if kind.is_dir() {
            let entries = fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path()));
            let mut below = entries.collect::<io::Result<Vec<_>>>()?;
            below.sort_unstable_by(|a, b| b.cmp(a));
            self.pending.append(&mut below);
            return Ok(None);
        }
        if !kind.is_file() {
            return Ok(None);
        }
        // Should a link or FIFO have taken its place meanwhile, it is not followed and not waited for.
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        let metadata = file.metadata()?;
        let new = metadata.is_file() && self.met.insert((metadata.dev(), metadata.ino()));
        Ok(new.then_some(file))
    }
}

impl Iterator for Files {
    /// A file, or why a path could not be looked at.
    type Item = (PathBuf, io::Result<File>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let path = self.pending.pop()?;
            match self.visit(&path) {
                Ok(Some(file)) => return Some((path, Ok(file))),
                Ok(None) => {}
                Err(error) => return Some((path, Err(error))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::Files;

    #[test]
    fn every_file_is_met_once_and_links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("b/c")).unwrap();
        for name in ["b/c/2", "a", "b/1"] {
            fs::write(root.join(name), "x").unwrap();
        }
        fs::hard_link(root.join("a"), root.join("z")).unwrap();
        symlink(root.join("a"), root.join("link")).unwrap();
        symlink(&root, root.join("b/loop")).unwrap();
        let files = Files::below(&[root.clone(), root.join("b")]).unwrap();
        let names: Vec<_> = files.map(|(path, file)| file.map(|_| path).unwrap()).collect();
        assert_eq!(names, [root.join("a"), root.join("b/1"), root.join("b/c/2")]);
        assert!(Files::below(&[root.join("missing")]).is_err());
    }
}
