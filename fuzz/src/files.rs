//! The files of a small store: in memory, to be changed, and in a folder, to be opened.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::survive;

/// By their names below the store.
#[derive(Clone)]
pub struct Files(BTreeMap<String, Vec<u8>>);

impl Files {
    /// Those of a closed store with some of everything.
    pub fn base() -> Self {
        static BASE: OnceLock<Files> = OnceLock::new();
        BASE.get_or_init(|| {
            let place = Place::new();
            survive::make(place.path());
            let mut files = BTreeMap::new();
            for folder in ["", "chunks/"] {
                for entry in fs::read_dir(place.path().join(folder)).expect("a folder").flatten() {
                    if entry.path().is_file() {
                        let name = format!("{folder}{}", entry.file_name().to_string_lossy());
                        files.insert(name, fs::read(entry.path()).expect("a file"));
                    }
                }
            }
            Files(files)
        })
        .clone()
    }

    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }

    pub fn get_mut(&mut self, name: &str) -> Option<&mut Vec<u8>> {
        self.0.get_mut(name)
    }

    pub fn remove(&mut self, name: &str) -> Vec<u8> {
        self.0.remove(name).unwrap_or_default()
    }

    /// Only below the store, or in `chunks/`.
    pub fn insert(&mut self, name: String, bytes: Vec<u8>) {
        let stem = name.strip_prefix("chunks/").unwrap_or(&name);
        let is_name = !stem.is_empty() && stem.len() < 100 && !stem.contains(['/', '\0']) && stem != "chunks";
        if is_name && ![".", ".."].contains(&stem) {
            self.0.insert(name, bytes);
        }
    }

    /// Writes them, with holes behind what is not zero.
    pub fn write(&self, place: &Path) {
        fs::create_dir_all(place.join("chunks")).expect("a folder");
        for (name, bytes) in &self.0 {
            let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
            let path = place.join(name);
            fs::write(&path, &bytes[..end]).expect("a file");
            let file = fs::OpenOptions::new().write(true).open(&path).expect("a file");
            file.set_len(bytes.len() as u64).expect("a length");
        }
    }
}

/// A folder in memory, if possible, for this process; empty, and gone in the end.
pub struct Place(PathBuf);

impl Place {
    pub fn new() -> Self {
        let memory = PathBuf::from("/dev/shm");
        let parent = if memory.is_dir() { memory } else { std::env::temp_dir() };
        let thread = format!("{:?}", std::thread::current().id()).replace(['(', ')'], "");
        let path = parent.join(format!("structchunk-fuzz-{}-{thread}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub mod right {
    //! Making checksums right, from what FORMAT.md says.

    use std::ops::Range;

    const SECTOR: usize = 512;

    /// `STORE`.
    pub fn store(file: &mut [u8]) {
        for (at, sort) in
            [(0, "identity"), (0x1000, "checkpoint"), (0x2000, "checkpoint"), (0x3000, "poison")]
        {
            sector(file, at, sort);
        }
    }

    /// A chunk: header, seal, and records as long as one follows the other.
    pub fn chunk(file: &mut [u8]) {
        let uuid: Option<[u8; 16]> = file.get(16..32).and_then(|uuid| uuid.try_into().ok());
        sector(file, 0, "file");
        sector(file, SECTOR, "seal");
        let Some(uuid) = uuid else { return };
        let (seed, mut at) = (crc32c::crc32c(&uuid), 4096);
        while let Some(end) = record(file, seed, at) {
            at = end;
        }
    }

    fn sector(file: &mut [u8], at: usize, sort: &str) {
        let Some(sector) = file.get_mut(at..at + SECTOR) else { return };
        if sector.iter().any(|&byte| byte != 0) {
            let sum = crc32c::crc32c_append(crc32c::crc32c(sort.as_bytes()), &sector[..SECTOR - 4]);
            sector[SECTOR - 4..].copy_from_slice(&sum.to_le_bytes());
        }
    }

    /// The record at a place; where the next one begins.
    fn record(file: &mut [u8], seed: u32, at: usize) -> Option<usize> {
        let head = file.get(at..at + 32)?;
        let number =
            |range: Range<usize>| head[range].iter().rev().fold(0, |n, byte| n << 8 | *byte as usize);
        let (key, payload, kind) = (number(4..6), number(8..14), head[6] & 15);
        if key == 0 && payload == 0 && kind == 0 {
            return None;
        }
        let keys = at + 32 + usize::from(head[7] >> 4) * 16;
        let start = (keys + key).next_multiple_of(1 << (head[6] >> 4));
        let end = start.checked_add(payload)?;
        let place = (at as u64 / 16).to_le_bytes();
        let known = [&place[..], &head[4..24], file.get(at + 32..keys + key)?].concat();
        let sum = crc32c::crc32c_append(seed, &known);
        if kind == 2 || kind == 4 {
            let sum = crc32c::crc32c_append(seed, file.get(start..end)?).max(1);
            file[at + 28..at + 32].copy_from_slice(&sum.to_le_bytes());
        }
        file[at..at + 4].copy_from_slice(&sum.to_le_bytes());
        (end < file.len()).then(|| end.next_multiple_of(16))
    }
}
