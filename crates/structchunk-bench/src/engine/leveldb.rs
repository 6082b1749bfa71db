//! LevelDB, through the crate that structchunk keeps its index with.

use std::hint::black_box;
use std::ops::Range;
use std::path::{Path, PathBuf};

use leveldb::batch::{Batch, Writebatch};
use leveldb::compaction::Compaction;
use leveldb::database::{Database as Table, Slice};
use leveldb::iterator::{Context, EntryIterator, Iterable, LevelDBIterator, Policy};
use leveldb::kv::KV;
use leveldb::options::{Options, ReadOptions, WriteOptions};
use zerocopy::{FromBytes, IntoBytes};

use super::{Database, Engine, LEVELDB, Outcome};
use crate::clock::bytes_on_disk;
use crate::data::{Growth, Key, Particle, first_word, grouped, key, next_in_chain, prefix};
use crate::workload::Workload;

/// LevelDB as structchunk sets it up, with a filter for keys that are not there. Structs are the values; nothing is compressed.
///
/// It merges files in a thread of its own, which the time on the processor of the one that puts and removes does not contain.
pub struct LevelDb;

const WRITE_BUFFER_BYTES: usize = 8 << 20;
const FILTER_BITS: i32 = 10;

struct Opened {
    table: Table,
    folder: PathBuf,
}

fn open(folder: &Path, create: bool) -> Outcome<Box<Opened>> {
    let mut options = Options::new();
    options.create_if_missing = create;
    options.error_if_exists = create;
    options.write_buffer_size = Some(WRITE_BUFFER_BYTES);
    options.set_bloom_filter(FILTER_BITS);
    let table = Table::open(folder, options).map_err(said)?;
    Ok(Box::new(Opened { table, folder: folder.to_owned() }))
}

fn said(error: leveldb::error::Error) -> Box<dyn std::error::Error> {
    error.message.into()
}

fn particle(value: &Slice<'_>) -> Outcome<Particle> {
    Particle::read_from_bytes(value.as_bytes()).map_err(|_| "a value has another size than a particle".into())
}

/// Once it is closed, nothing is left to be merged: no thread disturbs those who read.
fn settle(mut database: Box<Opened>) -> Outcome<()> {
    database.compact()?;
    database.close()
}

impl Engine for LevelDb {
    fn name(&self) -> &'static str {
        LEVELDB
    }

    fn takes_part(&self, workload: Workload) -> bool {
        use Workload::{CatchUp, GetMany, Large, PutLongest, Recover, SecondProcess, Threads};
        !matches!(workload, PutLongest | GetMany | Recover | CatchUp | Large | SecondProcess | Threads)
    }

    fn create(&self, folder: &Path, _objects: u64, _bytes: u64) -> Outcome<Box<dyn Database>> {
        Ok(open(folder, true)?)
    }

    fn open(&self, folder: &Path, _objects: u64) -> Outcome<Box<dyn Database>> {
        Ok(open(folder, false)?)
    }

    fn fill(&self, folder: &Path, objects: u64) -> Outcome<()> {
        let mut database = open(folder, true)?;
        database.put_batches(0..objects)?;
        settle(database)
    }

    fn fill_groups(&self, folder: &Path, groups: u64, growth: Growth) -> Outcome<()> {
        let mut database = open(folder, true)?;
        database.put_groups(groups, growth)?;
        settle(database)
    }
}

/// Goes on from where an iterator was set.
struct AsSet;

impl Policy for AsSet {
    fn should_continue(&self, _context: &dyn Context<'_>) -> bool {
        true
    }

    fn should_seek_begin(&self) -> bool {
        false
    }
}

impl Opened {
    fn put(&self, number: u64, particle: &Particle, sync: bool) -> Outcome<()> {
        let (key, value) = (key(number), Slice::from(particle.as_bytes()));
        self.table.put(WriteOptions { sync }, Slice::from(&key[..]), value).map_err(said)
    }

    fn put_all(&self, particles: impl Iterator<Item = (Key, Particle)>) -> Outcome<()> {
        let mut particles = particles.peekable();
        let mut batch = Writebatch::new();
        while particles.peek().is_some() {
            for (key, particle) in particles.by_ref().take(1000) {
                batch.put(Slice::from(&key[..]), Slice::from(particle.as_bytes()));
            }
            self.table.write(WriteOptions { sync: false }, &batch).map_err(said)?;
            batch.clear();
        }
        Ok(())
    }

    fn get(&self, number: u64) -> Outcome<Option<Particle>> {
        let key = key(number);
        let value = self.table.get(ReadOptions::new(), Slice::from(&key[..])).map_err(said)?;
        value.as_ref().map(particle).transpose()
    }

    fn load(&self, number: u64) -> Outcome<Particle> {
        self.get(number)?.ok_or_else(|| "a particle is missing".into())
    }

    /// Shows entries from a key on, until somebody has seen enough. No slice outlives the step to the next.
    fn show(&self, from: &[u8], mut visit: impl FnMut(Slice<'_>, Slice<'_>) -> Outcome<bool>) -> Outcome<()> {
        let mut entries: EntryIterator<'_, AsSet> = self.table.iter_with_policy(ReadOptions::new(), AsSet);
        entries.seek(&Slice::from(from));
        for (key, value) in entries.by_ref() {
            if !visit(key, value)? {
                break;
            }
        }
        entries.get_error().map_or(Ok(()), |error| Err(said(error)))
    }
}

impl Database for Opened {
    fn put_batches(&mut self, numbers: Range<u64>) -> Outcome<()> {
        self.put_all(numbers.map(|number| (key(number), Particle::new(number))))
    }

    fn put_groups(&mut self, groups: u64, growth: Growth) -> Outcome<()> {
        self.put_all(grouped(groups, growth))
    }

    fn put_each(&mut self, mut numbers: Range<u64>) -> Outcome<()> {
        numbers.try_for_each(|number| self.put(number, &Particle::new(number), false))
    }

    fn put_durable(&mut self, numbers: &[u32]) -> Outcome<()> {
        numbers.iter().try_for_each(|&number| self.put(number.into(), &Particle::new(number.into()), true))
    }

    fn get_each(&self, numbers: &[u32]) -> Outcome<u64> {
        numbers.iter().try_fold(0, |sum, &number| Ok(sum + black_box(&self.load(number.into())?).number))
    }

    fn get_chain(&self, steps: u64, objects: u64) -> Outcome<u64> {
        (0..steps).try_fold(0, |at, step| Ok(next_in_chain(step, black_box(&self.load(at)?).number, objects)))
    }

    fn get_absent(&self, numbers: &[u32]) -> Outcome<u64> {
        numbers.iter().try_fold(0, |found, &number| {
            Ok(found + u64::from(black_box(&self.get(number.into())?).is_some()))
        })
    }

    fn change_each(&mut self, numbers: &[u32]) -> Outcome<()> {
        for &number in numbers {
            let mut particle = self.load(number.into())?;
            particle.counter += 1;
            self.put(number.into(), &particle, false)?;
        }
        Ok(())
    }

    /// Its cursor knows no order but that of keys.
    fn scan(&self) -> Outcome<u64> {
        self.scan_sorted()
    }

    fn scan_keys(&self) -> Outcome<u64> {
        let mut sum = 0_u64;
        self.show(&[], |key, value| {
            black_box(value.as_bytes().as_ptr());
            sum = sum.wrapping_add(first_word(key.as_bytes())?);
            Ok(true)
        })?;
        Ok(sum)
    }

    fn scan_sorted(&self) -> Outcome<u64> {
        let mut sum = 0;
        self.show(&[], |_, value| {
            sum += black_box(&particle(&value)?).number;
            Ok(true)
        })?;
        Ok(sum)
    }

    fn scan_groups(&self, groups: &[u32]) -> Outcome<u64> {
        let mut sum = 0;
        for &group in groups {
            let prefix = prefix(group.into());
            self.show(&prefix, |key, value| {
                let belongs = key.as_bytes().starts_with(&prefix);
                if belongs {
                    sum += black_box(&particle(&value)?).number;
                }
                Ok(belongs)
            })?;
        }
        Ok(sum)
    }

    fn remove_each(&mut self, numbers: &[u32]) -> Outcome<()> {
        numbers.iter().try_for_each(|&number| {
            let key = key(number.into());
            self.table.delete(WriteOptions { sync: false }, Slice::from(&key[..])).map_err(said)
        })
    }

    /// Whatever was written before is durable when a later write is.
    fn sync(&mut self) -> Outcome<()> {
        self.table.write(WriteOptions { sync: true }, &Writebatch::new()).map_err(said)
    }

    fn compact(&mut self) -> Outcome<()> {
        self.table.compact_all();
        Ok(())
    }

    fn sizes(&self, objects: u64) -> Outcome<Vec<(&'static str, f64)>> {
        Ok(vec![("disk_bytes", bytes_on_disk(&self.folder)? as f64 / objects as f64)])
    }
}
