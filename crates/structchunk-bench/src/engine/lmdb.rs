//! LMDB, through heed: the fastest of the peers.
#![expect(unsafe_code, reason = "opening an environment is unsafe: others could change its files")]

use std::hint::black_box;
use std::ops::Range;
use std::path::Path;

use heed::types::Bytes;
use heed::{EnvFlags, EnvOpenOptions};
use zerocopy::{FromBytes, IntoBytes};

use super::{Database, Engine, Outcome};
use crate::clock::Latencies;
use crate::data::{Growth, Key, Particle, first_word, grouped, key, next_in_chain, prefix};
use crate::workload::Workload;

/// LMDB in one configuration. Every reading loop holds one read transaction; structs are the values.
pub struct Lmdb {
    name: &'static str,
    flags: EnvFlags,
}

struct Opened {
    env: heed::Env,
    table: heed::Database<Bytes, Bytes>,
}

impl Lmdb {
    /// Nothing is flushed.
    pub fn unsynced() -> Self {
        Self { name: "lmdb", flags: EnvFlags::NO_SYNC }
    }

    /// Nothing is flushed, and pages are changed where they are mapped.
    pub fn unsynced_write_map() -> Self {
        Self { name: "lmdb-writemap", flags: EnvFlags::NO_SYNC.union(EnvFlags::WRITE_MAP) }
    }

    /// As it comes: every commit is durable. Takes part only where that is the question.
    pub fn synced() -> Self {
        Self { name: "lmdb-sync", flags: EnvFlags::empty() }
    }
}

fn open(folder: &Path, map_bytes: u64, flags: EnvFlags) -> Outcome<Box<Opened>> {
    let mut options = EnvOpenOptions::new();
    options.map_size((map_bytes as usize).next_multiple_of(1 << 20));
    // SAFETY: the flags give up durability only; one process uses the environment.
    unsafe { options.flags(flags) };
    // SAFETY: nobody but this program knows the folder, and each environment is opened once at a time.
    let env = unsafe { options.open(folder)? };
    let mut transaction = env.write_txn()?;
    let table = env.create_database(&mut transaction, None)?;
    transaction.commit()?;
    Ok(Box::new(Opened { env, table }))
}

/// Room for so many particles, however their keys fall.
fn room_for(objects: u64) -> u64 {
    objects * 400 + (64 << 20)
}

impl Engine for Lmdb {
    fn name(&self) -> &'static str {
        self.name
    }

    fn takes_part(&self, workload: Workload) -> bool {
        if self.flags.contains(EnvFlags::NO_SYNC) {
            use Workload::{CatchUp, Compact, DurablePut, Recover, SecondProcess, Threads};
            !matches!(workload, DurablePut | Recover | Compact | CatchUp | SecondProcess | Threads)
        } else {
            matches!(workload, Workload::DurablePut)
        }
    }

    fn create(&self, folder: &Path, objects: u64, bytes: u64) -> Outcome<Box<dyn Database>> {
        std::fs::create_dir(folder)?;
        Ok(open(folder, room_for(objects) + 2 * bytes, self.flags)?)
    }

    fn open(&self, folder: &Path, objects: u64) -> Outcome<Box<dyn Database>> {
        Ok(open(folder, room_for(objects), self.flags)?)
    }

    fn fill(&self, folder: &Path, objects: u64) -> Outcome<()> {
        std::fs::create_dir(folder)?;
        let mut database = open(folder, room_for(objects), self.flags.union(EnvFlags::NO_SYNC))?;
        database.put_batches(0..objects)?;
        Ok(database.env.force_sync()?)
    }

    fn most_single_changes(&self) -> u64 {
        50_000
    }
}

impl Opened {
    fn put(&self, number: u64, value: &[u8]) -> Outcome<()> {
        let mut transaction = self.env.write_txn()?;
        self.table.put(&mut transaction, &key(number), value)?;
        Ok(transaction.commit()?)
    }

    fn put_all(&self, particles: impl Iterator<Item = (Key, Particle)>) -> Outcome<()> {
        let mut particles = particles.peekable();
        while particles.peek().is_some() {
            let mut transaction = self.env.write_txn()?;
            for (key, particle) in particles.by_ref().take(1000) {
                self.table.put(&mut transaction, &key, particle.as_bytes())?;
            }
            transaction.commit()?;
        }
        Ok(())
    }

    fn get(&self, transaction: &heed::RoTxn<'_>, number: u64) -> Outcome<Option<Particle>> {
        let value = self.table.get(transaction, &key(number))?;
        value.map(particle).transpose()
    }
}

fn particle(value: &[u8]) -> Outcome<Particle> {
    Particle::read_from_bytes(value).map_err(|_| "a value has another size than a particle".into())
}

impl Database for Opened {
    fn put_batches(&mut self, numbers: Range<u64>) -> Outcome<()> {
        self.put_all(numbers.map(|number| (key(number), Particle::new(number))))
    }

    fn put_groups(&mut self, groups: u64, growth: Growth) -> Outcome<()> {
        self.put_all(grouped(groups, growth))
    }

    fn put_each(&mut self, mut numbers: Range<u64>) -> Outcome<()> {
        numbers.try_for_each(|number| self.put(number, Particle::new(number).as_bytes()))
    }

    fn put_timed(&mut self, numbers: Range<u64>, latencies: &mut Latencies) -> Outcome<()> {
        for number in numbers {
            latencies.time(|| self.put(number, Particle::new(number).as_bytes()))?;
        }
        Ok(())
    }

    fn put_durable(&mut self, numbers: &[u32]) -> Outcome<()> {
        for &number in numbers {
            self.put(number.into(), Particle::new(number.into()).as_bytes())?;
        }
        Ok(())
    }

    fn get_each(&self, numbers: &[u32]) -> Outcome<u64> {
        let transaction = self.env.read_txn()?;
        numbers.iter().try_fold(0, |sum, &number| {
            let particle = self.get(&transaction, number.into())?.ok_or("a particle is missing")?;
            Ok(sum + black_box(&particle).number)
        })
    }

    fn get_chain(&self, steps: u64, objects: u64) -> Outcome<u64> {
        let transaction = self.env.read_txn()?;
        (0..steps).try_fold(0, |at, step| {
            let particle = self.get(&transaction, at)?.ok_or("a particle is missing")?;
            Ok(next_in_chain(step, black_box(&particle).number, objects))
        })
    }

    fn get_many(&self, numbers: &[u32], at_once: usize) -> Outcome<u64> {
        let transaction = self.env.read_txn()?;
        let mut sum = 0;
        for numbers in numbers.chunks(at_once) {
            let particles: Outcome<Vec<_>> =
                numbers.iter().map(|&number| self.get(&transaction, number.into())).collect();
            for particle in black_box(&particles?) {
                sum += particle.as_ref().ok_or("a particle is missing")?.number;
            }
        }
        Ok(sum)
    }

    fn get_absent(&self, numbers: &[u32]) -> Outcome<u64> {
        let transaction = self.env.read_txn()?;
        numbers.iter().try_fold(0, |found, &number| {
            Ok(found + u64::from(black_box(&self.get(&transaction, number.into())?).is_some()))
        })
    }

    fn change_each(&mut self, numbers: &[u32]) -> Outcome<()> {
        for &number in numbers {
            let mut transaction = self.env.write_txn()?;
            let mut particle = self.get(&transaction, number.into())?.ok_or("a particle is missing")?;
            particle.counter += 1;
            self.table.put(&mut transaction, &key(number.into()), particle.as_bytes())?;
            transaction.commit()?;
        }
        Ok(())
    }

    fn scan(&self) -> Outcome<u64> {
        let transaction = self.env.read_txn()?;
        let mut sum = 0;
        for entry in self.table.iter(&transaction)? {
            sum += black_box(&particle(entry?.1)?).number;
        }
        Ok(sum)
    }

    fn scan_keys(&self) -> Outcome<u64> {
        let transaction = self.env.read_txn()?;
        let mut sum = 0_u64;
        for entry in self.table.iter(&transaction)? {
            let (key, value) = entry?;
            black_box(value.as_ptr());
            sum = sum.wrapping_add(first_word(key)?);
        }
        Ok(sum)
    }

    /// Its cursor knows no other order.
    fn scan_sorted(&self) -> Outcome<u64> {
        self.scan()
    }

    fn scan_groups(&self, groups: &[u32]) -> Outcome<u64> {
        let transaction = self.env.read_txn()?;
        let mut sum = 0;
        for &group in groups {
            for entry in self.table.prefix_iter(&transaction, &prefix(group.into()))? {
                sum += black_box(&particle(entry?.1)?).number;
            }
        }
        Ok(sum)
    }

    fn remove_each(&mut self, numbers: &[u32]) -> Outcome<()> {
        for &number in numbers {
            let mut transaction = self.env.write_txn()?;
            if !self.table.delete(&mut transaction, &key(number.into()))? {
                return Err("a particle is missing".into());
            }
            transaction.commit()?;
        }
        Ok(())
    }

    fn put_large(&mut self, mut numbers: Range<u64>, words: &[u64]) -> Outcome<()> {
        numbers.try_for_each(|number| self.put(number, words.as_bytes()))
    }

    fn get_large(&self, numbers: &[u32]) -> Outcome<u64> {
        let transaction = self.env.read_txn()?;
        numbers.iter().try_fold(0_u64, |sum, &number| {
            let value = self.table.get(&transaction, &key(number.into()))?;
            let value = black_box(value).ok_or("a large object is missing")?;
            let (first, _) = u64::read_from_prefix(value).map_err(|_| "a large object is too short")?;
            Ok(sum.wrapping_add(first))
        })
    }

    fn sizes(&self, objects: u64) -> Outcome<Vec<(&'static str, f64)>> {
        let transaction = self.env.read_txn()?;
        let page = self.table.stat(&transaction)?.page_size;
        let bytes = (self.env.info().last_page_number + 1) as f64 * f64::from(page);
        Ok(vec![("disk_bytes", bytes / objects as f64)])
    }

    fn close(self: Box<Self>) -> Outcome<()> {
        Ok(self.env.force_sync()?)
    }
}
