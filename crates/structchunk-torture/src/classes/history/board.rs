//! What the processes tell each other, in files beside the store: numbers, each written by one process at a time.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// What a process counts, over all its lives: looks at the store, changes of the three arrays, and atomic adds.
pub const LOOKS: usize = 0;
pub const SMALL: usize = 1;
pub const WIDE: usize = 2;
pub const LARGE: usize = 3;
pub const ADDS: usize = 4;
const COUNTS: usize = 5;

/// On the common file: how often a writer was killed, and for which of these times what it had left was looked through.
const KILLED: usize = 0;
const LOOKED_THROUGH: usize = 1;
/// 1: readers and mutators come to an end. 2: the writer, too.
const END: usize = 2;
/// What the writer has put, and returned from: the last of `first` and `second`, and of the batches.
pub const FIRST: usize = 3;
pub const BATCH: usize = 4;

pub struct Board {
    pub place: PathBuf,
    pub number: usize,
    common: File,
    counts: Vec<File>,
}

fn open(path: PathBuf) -> File {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).expect("a file")
}

fn read(file: &File, at: usize) -> u64 {
    let mut bytes = [0; 8];
    match file.read_exact_at(&mut bytes, at as u64 * 8) {
        Ok(()) => u64::from_le_bytes(bytes),
        // Nobody has written it yet.
        Err(_) => 0,
    }
}

fn write(file: &File, at: usize, value: u64) {
    file.write_all_at(&value.to_le_bytes(), at as u64 * 8).expect("room");
}

impl Board {
    pub fn create(place: &Path, processes: usize) -> Self {
        for number in 0..processes {
            open(place.join(format!("counts-{number}")));
        }
        let board = Self::of(place, 0);
        board.doubt();
        board
    }

    pub fn of(place: &Path, number: usize) -> Self {
        let mut counts = Vec::new();
        while let Some(path) =
            Some(place.join(format!("counts-{}", counts.len()))).filter(|path| path.exists())
        {
            counts.push(open(path));
        }
        Self { place: place.to_owned(), number, common: open(place.join("common")), counts }
    }

    pub fn store(&self) -> PathBuf {
        self.place.join("store")
    }

    /// Counts something that has returned.
    pub fn count(&self, what: usize, more: u64) {
        debug_assert!(what < COUNTS, "there is room for it");
        let file = &self.counts[self.number];
        write(file, what, read(file, what) + more);
    }

    /// How often something has returned, in all processes.
    pub fn sum(&self, what: usize) -> u64 {
        self.counts.iter().map(|file| read(file, what)).sum()
    }

    /// Says that the writer is about to be killed, or to begin.
    pub fn doubt(&self) {
        write(&self.common, KILLED, read(&self.common, KILLED) + 1);
    }

    /// How often a writer was killed, and how often what it had left was looked through.
    pub fn doubts(&self) -> (u64, u64) {
        (read(&self.common, KILLED), read(&self.common, LOOKED_THROUGH))
    }

    /// The writer has looked through what was left when so many had been killed.
    pub fn looked_through(&self, killed: u64) {
        write(&self.common, LOOKED_THROUGH, killed);
    }

    pub fn is_whole(&self) -> bool {
        let (killed, looked_through) = self.doubts();
        killed == looked_through
    }

    pub fn end(&self, stage: u64) {
        write(&self.common, END, stage);
    }

    pub fn is_over(&self, stage: u64) -> bool {
        read(&self.common, END) >= stage
    }

    /// Says what has returned.
    pub fn returned(&self, what: usize, value: u64) {
        write(&self.common, what, value);
    }

    pub fn has_returned(&self, what: usize) -> u64 {
        read(&self.common, what)
    }
}
