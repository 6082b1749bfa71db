//! What is compared: ways of keeping objects under keys.

mod floor;
mod leveldb;
mod lmdb;
mod structchunk;

use std::error::Error;
use std::ops::Range;
use std::path::Path;

use crate::clock::Latencies;
use crate::data::{GROUP, Growth};
use crate::workload::Workload;

/// A result with any error.
pub type Outcome<T> = Result<T, Box<dyn Error>>;

/// The engine that the others are compared with.
pub const OURS: &str = "structchunk";
/// The engine that does nothing but the loads and stores that cannot be avoided.
pub const FLOOR: &str = "floor";

/// The peer that structchunk keeps keys in order with.
pub const LEVELDB: &str = "leveldb";

/// A way of keeping objects.
pub trait Engine {
    /// Its name in every row.
    fn name(&self) -> &'static str;

    /// Whether it does this workload at all.
    fn takes_part(&self, workload: Workload) -> bool;

    /// An empty database with room for `objects` particles and `bytes` bytes of large objects.
    fn create(&self, folder: &Path, objects: u64, bytes: u64) -> Outcome<Box<dyn Database>>;

    /// The database that was left there.
    fn open(&self, folder: &Path, objects: u64) -> Outcome<Box<dyn Database>>;

    /// A database with particles `0..objects`, closed: what is read from.
    fn fill(&self, folder: &Path, objects: u64) -> Outcome<()>;

    /// A database with the particles of so many groups, closed, with nothing put off: what prefixes are looked up in.
    fn fill_groups(&self, folder: &Path, groups: u64, growth: Growth) -> Outcome<()> {
        let mut database = self.create(folder, groups * GROUP, 0)?;
        database.put_groups(groups, growth)?;
        database.catch_up()?;
        database.close()
    }

    /// How many transactions of one change each are enough, since they are so slow.
    fn most_single_changes(&self) -> u64 {
        u64::MAX
    }
}

/// Objects, kept somehow. What an engine does not take part in is refused.
///
/// Reads give the sum of the numbers of the particles that were read, so that nobody can skip the work.
pub trait Database {
    /// Stores particles, 1,000 at a time.
    fn put_batches(&mut self, _numbers: Range<u64>) -> Outcome<()> {
        refused()
    }

    /// Stores the particles of groups, as [`grouped`](crate::data::grouped) gives them, 1,000 at a time.
    fn put_groups(&mut self, _groups: u64, _growth: Growth) -> Outcome<()> {
        refused()
    }

    /// Stores particles, one at a time.
    fn put_each(&mut self, _numbers: Range<u64>) -> Outcome<()> {
        refused()
    }

    /// Stores particles, one at a time, and takes the time of each.
    fn put_timed(&mut self, _numbers: Range<u64>, _latencies: &mut Latencies) -> Outcome<()> {
        refused()
    }

    /// Stores particles again, one at a time, each durable before the next.
    fn put_durable(&mut self, _numbers: &[u32]) -> Outcome<()> {
        refused()
    }

    /// Copies of particles.
    fn get_each(&self, _numbers: &[u32]) -> Outcome<u64> {
        refused()
    }

    /// Copies of particles, of which each decides which one is next.
    fn get_chain(&self, _steps: u64, _objects: u64) -> Outcome<u64> {
        refused()
    }

    /// Copies of particles, so many asked for at once.
    fn get_many(&self, _numbers: &[u32], _at_once: usize) -> Outcome<u64> {
        refused()
    }

    /// Looks for particles that are not there; how many were.
    fn get_absent(&self, _numbers: &[u32]) -> Outcome<u64> {
        refused()
    }

    /// Adds one to the counters of particles, one at a time.
    fn change_each(&mut self, _numbers: &[u32]) -> Outcome<()> {
        refused()
    }

    /// Copies of all particles, in the order that is fastest.
    fn scan(&self) -> Outcome<u64> {
        refused()
    }

    /// All keys in order, and where their particles lie. The sum of the [`first_word`](crate::data::first_word)s of the keys.
    fn scan_keys(&self) -> Outcome<u64> {
        refused()
    }

    /// Copies of all particles, in the order of their keys.
    fn scan_sorted(&self) -> Outcome<u64> {
        refused()
    }

    /// Copies of the particles of groups, found by the prefix of each.
    fn scan_groups(&self, _groups: &[u32]) -> Outcome<u64> {
        refused()
    }

    /// Removes particles, one at a time.
    fn remove_each(&mut self, _numbers: &[u32]) -> Outcome<()> {
        refused()
    }

    /// Makes everything durable.
    fn sync(&mut self) -> Outcome<()> {
        refused()
    }

    /// Gives back the space of what is not current.
    fn compact(&mut self) -> Outcome<()> {
        refused()
    }

    /// Does what was put off until somebody asks for keys in order.
    fn catch_up(&mut self) -> Outcome<()> {
        Ok(())
    }

    /// Stores the words as objects of their own, one for each number.
    fn put_large(&mut self, _numbers: Range<u64>, _words: &[u64]) -> Outcome<()> {
        refused()
    }

    /// The sum of the first words of large objects, without copying them.
    fn get_large(&self, _numbers: &[u32]) -> Outcome<u64> {
        refused()
    }

    /// [`Database::get_each`] of each share by a thread of its own, all at once.
    fn get_by_threads(&self, _shares: &[&[u32]]) -> Outcome<u64> {
        refused()
    }

    /// [`Database::put_each`] of each share by a thread of its own, all at once; where `sync` is set, each is durable before that thread's next.
    fn put_by_threads(&mut self, _shares: &[Range<u64>], _sync: bool) -> Outcome<()> {
        refused()
    }

    /// Sizes: name of the row, bytes of an object.
    fn sizes(&self, _objects: u64) -> Outcome<Vec<(&'static str, f64)>> {
        refused()
    }

    /// Closes in an orderly way.
    fn close(self: Box<Self>) -> Outcome<()> {
        Ok(())
    }

    /// Goes away with changes that were not synced, as if the process had been killed; all that went before is synced.
    fn abandon(self: Box<Self>) -> Outcome<()> {
        refused()
    }
}

fn refused<T>() -> Outcome<T> {
    Err("this engine does not take part in this workload".into())
}

/// All engines.
pub fn all() -> Vec<Box<dyn Engine>> {
    vec![
        Box::new(structchunk::Structchunk),
        Box::new(floor::Floor),
        Box::new(lmdb::Lmdb::unsynced()),
        Box::new(lmdb::Lmdb::unsynced_write_map()),
        Box::new(lmdb::Lmdb::synced()),
        Box::new(leveldb::LevelDb),
    ]
}

/// Whether an engine is a peer: neither we nor the floor.
pub fn is_peer(name: &str) -> bool {
    name != OURS && name != FLOOR
}

/// Whether an engine is LMDB, in whichever configuration.
pub fn is_lmdb(name: &str) -> bool {
    name.starts_with("lmdb")
}
