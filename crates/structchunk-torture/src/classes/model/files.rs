//! What a disk holds: what processes see of it, and what would be left of that if the power went.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

use crate::common::Random;

/// What a disk writes whole or not at all, in bytes.
pub const SECTOR: usize = 512;
/// What the kernel caches, and writes, as one, in bytes.
const PAGE: usize = 4096;

pub type Bytes = Arc<Vec<u8>>;
pub type Inode = u64;

/// Pages that the kernel takes for written, although they are not: with what they held when their write failed.
type Lost = BTreeMap<usize, Vec<u8>>;

/// All files of a store.
#[derive(Clone, Default)]
pub struct Files {
    /// By their names from the root, as processes see them.
    pub names: BTreeMap<String, Inode>,
    /// The names that are there for good.
    pub durable_names: BTreeMap<String, Inode>,
    /// What the page cache has of each; of a file that has no name any more, what it had then.
    pub cached: HashMap<Inode, Bytes>,
    /// What is there for good.
    pub durable: HashMap<Inode, Bytes>,
    pub lost: HashMap<Inode, Lost>,
    /// The files of the index, which looks after its own.
    pub index: BTreeMap<String, Bytes>,
}

/// Where they lie.
pub const FOLDERS: [&str; 2] = ["", "chunks/"];

/// The files in a folder below `root`, by name from there.
pub fn names_in(root: &Path, folder: &str) -> BTreeMap<String, Inode> {
    let entries = fs::read_dir(root.join(folder)).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let metadata = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            Some((format!("{folder}{}", entry.file_name().to_string_lossy()), metadata.ino()))
        })
        .collect()
}

impl Files {
    /// Takes in what processes see below `root` now.
    pub fn look(&mut self, root: &Path) {
        self.names.clear();
        for (name, inode) in FOLDERS.into_iter().flat_map(|folder| names_in(root, folder)) {
            self.cached.insert(inode, Arc::new(fs::read(root.join(&name)).unwrap_or_default()));
            self.names.insert(name, inode);
        }
        for entry in fs::read_dir(root.join("index")).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            self.index.insert(name, Arc::new(fs::read(entry.path()).unwrap_or_default()));
        }
    }

    /// All that is below `root`, all of it durable.
    pub fn settled(mut self) -> Self {
        self.durable = self.cached.clone();
        self.durable_names = self.names.clone();
        self.lost.clear();
        self
    }

    /// The content of a file by its name.
    pub fn get(&self, name: &str) -> Option<&Bytes> {
        self.cached.get(self.names.get(name)?)
    }

    /// Puts other bytes in place of a file's, for good.
    pub fn set(&mut self, name: &str, bytes: Vec<u8>) {
        let Some(inode) = self.names.get(name) else { return };
        let bytes = Arc::new(bytes);
        self.cached.insert(*inode, bytes.clone());
        self.durable.insert(*inode, bytes);
    }

    /// Takes a file away, for good.
    pub fn remove(&mut self, name: &str) {
        self.names.remove(name);
        self.durable_names.remove(name);
    }

    /// The file is made durable: but what the kernel takes for written it does not write.
    pub fn flush(&mut self, inode: Inode, bytes: Bytes) {
        let real = if self.lost.contains_key(&inode) { self.as_written(inode, &bytes) } else { bytes };
        self.durable.insert(inode, real);
    }

    /// What would be on disk if all that the kernel takes for dirty were written.
    pub fn as_written(&self, inode: Inode, bytes: &Bytes) -> Bytes {
        let (Some(lost), Some(durable)) = (self.lost.get(&inode), self.durable.get(&inode)) else {
            return bytes.clone();
        };
        let mut real = bytes.to_vec();
        for (page, was) in lost {
            let start = page * PAGE;
            let end = (start + PAGE).min(real.len());
            // A page that was changed since is dirty again.
            if start < end && real[start..end] == was[..] {
                for (at, byte) in real[start..end].iter_mut().enumerate() {
                    *byte = durable.get(start + at).copied().unwrap_or(0);
                }
            }
        }
        Arc::new(real)
    }

    /// A flush of the file fails: of what was dirty, some sectors reach the disk, and none stays dirty.
    pub fn fail(&mut self, inode: Inode, bytes: &Bytes, random: &mut Random) {
        let before = self.durable.get(&inode).cloned().unwrap_or_default();
        let now = self.as_written(inode, bytes);
        let real = mix(random, &before, &now);
        let lost = self.lost.entry(inode).or_default();
        for (page, content) in bytes.chunks(PAGE).enumerate() {
            let start = page * PAGE;
            if real.get(start..start + content.len()) != Some(content) {
                lost.insert(page, content.to_vec());
            }
        }
        self.durable.insert(inode, Arc::new(real));
    }

    /// What is there when the machine has lost its power and got it back.
    pub fn after_power_cut(&self, random: &mut Random) -> Self {
        let mut left = Self { index: self.index.clone(), ..Self::default() };
        let name_of = |names: &BTreeMap<String, Inode>, inode: Inode| {
            names.iter().find(|(_, it)| **it == inode).map(|(name, _)| name.clone())
        };
        let mut inodes: Vec<_> = self.durable_names.values().chain(self.names.values()).copied().collect();
        inodes.sort_unstable();
        inodes.dedup();
        for inode in inodes {
            let names = [name_of(&self.durable_names, inode), name_of(&self.names, inode)];
            let Some(name) = names[random.below(2) as usize].clone() else { continue };
            let before = self.durable.get(&inode).cloned().unwrap_or_default();
            let now = self.cached.get(&inode).cloned().unwrap_or_default();
            let bytes = Arc::new(mix(random, &before, &self.as_written(inode, &now)));
            left.names.insert(name, inode);
            left.cached.insert(inode, bytes);
        }
        left.settled()
    }

    /// Makes the files below `root` these. `STORE` stays the same file: whatever it says of its inode stays true. The inodes of the others
    /// are new.
    pub fn lay_out(&self, root: &Path) -> io::Result<Self> {
        for folder in ["", "chunks", "index"] {
            fs::create_dir_all(root.join(folder))?;
            for entry in fs::read_dir(root.join(folder))? {
                let path = entry?.path();
                if path.is_file() && !path.ends_with("STORE") {
                    fs::remove_file(path)?;
                }
            }
        }
        let mut laid_out = self.clone();
        let mut inodes = HashMap::new();
        for (name, inode) in &self.names {
            let path = root.join(name);
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)?;
            write_sparsely(&file, &self.cached[inode])?;
            inodes.insert(*inode, file.metadata()?.ino());
        }
        for (name, bytes) in &self.index {
            fs::write(root.join("index").join(name), &**bytes)?;
        }
        if self.index.is_empty() {
            fs::remove_dir(root.join("index"))?;
        }
        let new = |inode: &Inode| inodes.get(inode).copied().unwrap_or(*inode);
        for names in [&mut laid_out.names, &mut laid_out.durable_names] {
            for inode in names.values_mut() {
                *inode = new(inode);
            }
        }
        laid_out.cached = self.cached.iter().map(|(inode, bytes)| (new(inode), bytes.clone())).collect();
        laid_out.durable = self.durable.iter().map(|(inode, bytes)| (new(inode), bytes.clone())).collect();
        laid_out.lost = self.lost.iter().map(|(inode, lost)| (new(inode), lost.clone())).collect();
        laid_out.index.clear();
        Ok(laid_out)
    }
}

fn write_sparsely(file: &fs::File, bytes: &[u8]) -> io::Result<()> {
    for (number, page) in bytes.chunks(16 * PAGE).enumerate() {
        if page.iter().any(|byte| *byte != 0) {
            file.write_all_at(page, (number * 16 * PAGE) as u64)?;
        }
    }
    file.set_len(bytes.len() as u64)
}

/// Writes those pages of a file that differ.
pub fn overwrite(path: &Path, old: &[u8], new: &[u8]) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    for (number, (old, new)) in old.chunks(PAGE).zip(new.chunks(PAGE)).enumerate() {
        if old != new {
            file.write_all_at(new, (number * PAGE) as u64)?;
        }
    }
    Ok(())
}

/// Each sector as before or as now.
fn mix(random: &mut Random, before: &[u8], now: &[u8]) -> Vec<u8> {
    match random.below(4) {
        0 => return before.to_vec(),
        1 => return now.to_vec(),
        _ => {}
    }
    let (base, other) = if random.one_in(2) { (before, now) } else { (now, before) };
    let (mut bytes, length) = (base.to_vec(), base.len());
    let mut choice = 0;
    for start in (0..length.min(other.len())).step_by(SECTOR) {
        if (start / SECTOR).is_multiple_of(64) {
            choice = random.next();
        }
        if choice >> (start / SECTOR % 64) & 1 == 0 {
            let end = (start + SECTOR).min(length).min(other.len());
            bytes[start..end].copy_from_slice(&other[start..end]);
        }
    }
    // Where one is longer, its sectors behind the other's end may be holes.
    for start in (other.len().next_multiple_of(SECTOR)..length).step_by(SECTOR) {
        if random.one_in(2) {
            let end = (start + SECTOR).min(length);
            bytes[start..end].fill(0);
        }
    }
    bytes
}
