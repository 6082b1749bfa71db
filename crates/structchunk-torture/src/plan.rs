//! What a class is asked to do, and what it answers.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::common::Random;

/// A fault that is tried out in many ways.
pub struct Class {
    /// Its name on the command line.
    pub name: &'static str,
    /// Runs it.
    pub run: fn(&Plan) -> Report,
}

/// How much is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// A part, for every change.
    Quick,
    /// What is promised.
    All,
}

/// What is asked of a class.
pub struct Plan {
    /// How much.
    pub scale: Scale,
    /// Repeats a run.
    pub seed: u64,
    /// Only parts whose names begin so.
    pub part: String,
}

impl Plan {
    /// Whether a part is to be run.
    pub fn wants(&self, part: &str) -> bool {
        part.starts_with(&self.part)
    }

    /// One number or the other.
    pub fn pick(&self, quick: u64, all: u64) -> u64 {
        if self.scale == Scale::Quick { quick } else { all }
    }

    /// Numbers for a part of a class, whatever ran before it.
    pub fn random(&self, part: &str) -> Random {
        let mixed = part.bytes().fold(self.seed, |mixed, byte| mixed.wrapping_mul(31) ^ u64::from(byte));
        Random::new(mixed)
    }
}

/// What a class did.
#[derive(Default)]
pub struct Report {
    /// In the order of the table.
    pub parts: Vec<Part>,
}

impl Report {
    /// Adds a part, and says at once how it went: the table comes late.
    pub fn push(&mut self, part: Part) {
        eprintln!("{}: {} runs, {} failures, {:.0?}", part.name, part.runs, part.failures, part.took);
        self.parts.push(part);
    }
}

/// One line of the table.
#[derive(Debug, Default)]
pub struct Part {
    /// What was done to the store.
    pub name: String,
    /// How often.
    pub runs: u64,
    /// How often it did not stand it.
    pub failures: u64,
    /// How long it took.
    pub took: Duration,
    /// What else there is to say.
    pub notes: String,
}

/// So many failures of a part are shown; then it ends, as more of them teach nothing.
const ENOUGH: u64 = 10;

impl Part {
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// A part that cannot be done here: says so, loudly.
    pub fn skipped(name: &str, reason: &str) -> Self {
        eprintln!("SKIPPED: {name}: {reason}");
        Self { notes: format!("SKIPPED: {reason}"), ..Self::new(name) }
    }

    /// Does `run` up to `count` times. A panic is a failure; `what` says which run it was.
    pub fn repeat(&mut self, count: u64, mut run: impl FnMut(&mut Self, &mut String)) {
        let start = Instant::now();
        for _ in 0..count {
            let mut what = String::new();
            self.runs += 1;
            if catch_unwind(AssertUnwindSafe(|| run(self, &mut what))).is_err() {
                self.failures += 1;
                eprintln!("FAILED: {}: {what}", self.name);
            }
            if self.has_failed_enough() {
                break;
            }
        }
        self.took += start.elapsed();
    }

    /// Whether it is over because of failures.
    pub fn has_failed_enough(&self) -> bool {
        self.failures >= ENOUGH
    }
}
