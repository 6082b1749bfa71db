//! Stores to run the command on, and how it is run.
#![expect(unsafe_code, reason = "opening a store is unsafe: others could change its files")]

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::Value;
use structchunk::{Object, Options, Space, Store};
use tempfile::TempDir;

#[derive(Object, Clone, Copy)]
#[repr(C)]
pub struct Particle {
    pub position: [f64; 3],
    pub charge: f32,
    pub id: u32,
}

#[derive(Object, Clone, Copy)]
#[repr(C)]
pub struct Pair {
    pub first: Particle,
    pub second: Particle,
    #[object(text, title = "what people call it")]
    pub label: [u8; 8],
}

/// A key that a terminal would obey.
pub const ODD_KEY: &[u8] = b"odd\0\x1b[2J\"\xff";

pub fn particle(id: u32) -> Particle {
    Particle { position: [f64::from(id), 0.5, -1.0], charge: 1.5, id }
}

/// A store with 42 particles, a pair, a sparse array, and one superseded particle.
pub struct Sample {
    folder: TempDir,
}

impl Sample {
    pub fn new() -> Self {
        let sample = Self { folder: tempfile::tempdir().unwrap() };
        let store = open(Store::options().create(true).chunk_capacity(1 << 20), &sample.path());
        for id in 0..40 {
            store.put(format!("p/{id:02}"), &particle(id)).unwrap();
        }
        store.put("p/00", &particle(0)).unwrap();
        store.put(ODD_KEY, &particle(40)).unwrap();
        store.put("zoë", &particle(41)).unwrap();
        let pair = Pair { first: particle(1), second: particle(2), label: *b"a\x1bb\0\0\0\0\0" };
        store.put("pair", &pair).unwrap();
        let mut grid = store.loan_array::<u16>("grid", &[1 << 20, 1 << 10], Space::Sparse).unwrap();
        grid[1] = 7;
        grid.publish().unwrap();
        store.close().unwrap();
        sample
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("sample.store")
    }

    /// Runs a command on the store.
    pub fn run(&self, command: &str, more: &[&str]) -> Ran {
        let path = self.path();
        run([&[command, path.to_str().unwrap()], more].concat())
    }
}

pub fn open(options: Options, path: &Path) -> Store {
    // SAFETY: the test's folder is its own.
    unsafe { options.open(path).unwrap() }
}

/// What came of a run.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn json(&self) -> Value {
        assert_eq!(self.out.lines().count(), 1, "one document on one line: {}", self.out);
        serde_json::from_str(&self.out).unwrap()
    }

    /// Standard error is one line that says `what`, and nothing else was said.
    #[track_caller]
    pub fn fails(&self, code: i32, what: &str) {
        assert_eq!((self.code, self.out.as_str()), (code, ""), "{}", self.err);
        assert!(self.err.starts_with("structchunk: ") && self.err.lines().count() == 1, "{}", self.err);
        assert!(self.err.contains(what), "{}", self.err);
    }

    #[track_caller]
    pub fn succeeds(self) -> Self {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "{}", self.out);
        self
    }
}

/// Bytes as `--hex` takes them.
pub fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

pub fn command() -> Command {
    assert_cmd::cargo::cargo_bin_cmd!("structchunk")
}

pub fn run<'a>(arguments: impl AsRef<[&'a str]>) -> Ran {
    let output = command().args(arguments.as_ref()).output().unwrap();
    Ran {
        code: output.status.code().expect("ended by a signal"),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}
