//! structchunk.
#![expect(unsafe_code, reason = "opening a store is unsafe: others could change its files")]

use std::hint::black_box;
use std::ops::Range;
use std::path::Path;

use structchunk::{Object, Store};

use super::{Database, Engine, OURS, Outcome};
use crate::clock::Latencies;
use crate::data::{Growth, Key, Particle, first_word, grouped, key, next_in_chain, prefix};
use crate::workload::Workload;

/// structchunk with its default options.
pub struct Structchunk;

struct Opened {
    store: Store,
}

fn missing(number: u64) -> Box<dyn std::error::Error> {
    format!("particle {number} is missing").into()
}

impl Engine for Structchunk {
    fn name(&self) -> &'static str {
        OURS
    }

    fn takes_part(&self, _workload: Workload) -> bool {
        true
    }

    fn create(&self, folder: &Path, _objects: u64, _bytes: u64) -> Outcome<Box<dyn Database>> {
        // SAFETY: nobody but this program knows the folder.
        let store = unsafe { Store::options().create_new(true).open(folder)? };
        Ok(Box::new(Opened { store }))
    }

    fn open(&self, folder: &Path, _objects: u64) -> Outcome<Box<dyn Database>> {
        // SAFETY: as in `create`.
        let store = unsafe { Store::options().open(folder)? };
        Ok(Box::new(Opened { store }))
    }

    fn fill(&self, folder: &Path, objects: u64) -> Outcome<()> {
        let mut database = self.create(folder, objects, 0)?;
        database.put_each(0..objects)?;
        database.close()
    }
}

/// Has each share done by a thread of its own, all at once.
fn by_threads<S: Sync, T: Send>(
    shares: &[S],
    work: impl Fn(&S) -> Result<T, String> + Sync,
) -> Result<Vec<T>, String> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = shares.iter().map(|share| scope.spawn(|| work(share))).collect();
        threads.into_iter().map(|thread| thread.join().map_err(|_| "a thread has failed")?).collect()
    })
}

impl Opened {
    fn put<T: Object + ?Sized>(&self, number: u64, value: &T) -> Outcome<()> {
        Ok(self.store.put(key(number), value)?)
    }

    fn put_all(&self, particles: impl Iterator<Item = (Key, Particle)>) -> Outcome<()> {
        let mut particles = particles.peekable();
        while particles.peek().is_some() {
            let mut batch = self.store.batch();
            for (key, particle) in particles.by_ref().take(1000) {
                batch.put(key, &particle)?;
            }
            batch.commit()?;
        }
        Ok(())
    }

    #[inline]
    fn load(&self, number: u64) -> Outcome<Particle> {
        self.store.load(key(number))?.ok_or_else(|| missing(number))
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
        numbers.try_for_each(|number| self.put(number, &Particle::new(number)))
    }

    fn put_timed(&mut self, numbers: Range<u64>, latencies: &mut Latencies) -> Outcome<()> {
        for number in numbers {
            latencies.time(|| self.put(number, &Particle::new(number)))?;
        }
        Ok(())
    }

    fn put_durable(&mut self, numbers: &[u32]) -> Outcome<()> {
        for &number in numbers {
            self.put(number.into(), &Particle::new(number.into()))?;
            self.store.sync()?;
        }
        Ok(())
    }

    fn get_each(&self, numbers: &[u32]) -> Outcome<u64> {
        numbers.iter().try_fold(0, |sum, &number| match &self.store.load::<Particle>(key(number.into()))? {
            Some(particle) => Ok(sum + black_box(particle).number),
            None => Err(missing(number.into())),
        })
    }

    fn get_chain(&self, steps: u64, objects: u64) -> Outcome<u64> {
        (0..steps).try_fold(0, |at, step| Ok(next_in_chain(step, black_box(&self.load(at)?).number, objects)))
    }

    fn get_many(&self, numbers: &[u32], at_once: usize) -> Outcome<u64> {
        let mut keys: Vec<Key> = Vec::with_capacity(at_once);
        let mut sum = 0;
        for numbers in numbers.chunks(at_once) {
            keys.clear();
            keys.extend(numbers.iter().map(|&number| key(number.into())));
            for particle in black_box(&self.store.load_many::<Particle, _>(&keys)?) {
                sum += particle.as_ref().ok_or("a particle is missing")?.number;
            }
        }
        Ok(sum)
    }

    fn get_absent(&self, numbers: &[u32]) -> Outcome<u64> {
        numbers.iter().try_fold(0, |found, &number| {
            let particle = self.store.load::<Particle>(key(number.into()))?;
            Ok(found + u64::from(black_box(&particle).is_some()))
        })
    }

    fn change_each(&mut self, numbers: &[u32]) -> Outcome<()> {
        for &number in numbers {
            if !self.store.update(key(number.into()), |particle: &mut Particle| particle.counter += 1)? {
                return Err(missing(number.into()));
            }
        }
        Ok(())
    }

    fn scan(&self) -> Outcome<u64> {
        let mut sum = 0;
        for entry in self.store.iter()? {
            sum += black_box(&entry?.load::<Particle>()?).number;
        }
        Ok(sum)
    }

    fn scan_keys(&self) -> Outcome<u64> {
        let mut sum = 0_u64;
        for entry in self.store.keys()? {
            let entry = entry?;
            black_box(entry.location());
            sum = sum.wrapping_add(first_word(entry.key())?);
        }
        Ok(sum)
    }

    fn scan_sorted(&self) -> Outcome<u64> {
        let mut sum = 0;
        for entry in self.store.ordered()? {
            sum += black_box(&entry?.load::<Particle>()?).number;
        }
        Ok(sum)
    }

    fn scan_groups(&self, groups: &[u32]) -> Outcome<u64> {
        let mut sum = 0;
        for &group in groups {
            for entry in self.store.prefix(prefix(group.into()))? {
                sum += black_box(&entry?.load::<Particle>()?).number;
            }
        }
        Ok(sum)
    }

    fn remove_each(&mut self, numbers: &[u32]) -> Outcome<()> {
        for &number in numbers {
            if !self.store.remove(key(number.into()))? {
                return Err(missing(number.into()));
            }
        }
        Ok(())
    }

    fn sync(&mut self) -> Outcome<()> {
        Ok(self.store.sync()?)
    }

    fn compact(&mut self) -> Outcome<()> {
        self.store.compact()?;
        Ok(())
    }

    fn catch_up(&mut self) -> Outcome<()> {
        Ok(self.store.sync_index()?)
    }

    fn put_large(&mut self, mut numbers: Range<u64>, words: &[u64]) -> Outcome<()> {
        numbers.try_for_each(|number| self.put(number, words))
    }

    fn get_large(&self, numbers: &[u32]) -> Outcome<u64> {
        numbers.iter().try_fold(0_u64, |sum, &number| {
            let words = self.store.get::<[u64]>(key(number.into()))?.ok_or("a large object is missing")?;
            Ok(sum.wrapping_add(black_box(&words)[0]))
        })
    }

    fn get_by_threads(&self, shares: &[&[u32]]) -> Outcome<u64> {
        let get = |numbers: &[u32]| self.get_each(numbers).map_err(|error| error.to_string());
        Ok(by_threads(shares, |numbers| get(numbers))?.into_iter().sum())
    }

    fn put_by_threads(&mut self, shares: &[Range<u64>], sync: bool) -> Outcome<()> {
        let put = |number| {
            self.put(number, &Particle::new(number))?;
            if sync {
                self.store.sync()?;
            }
            Outcome::Ok(())
        };
        by_threads(shares, |numbers| numbers.clone().try_for_each(put).map_err(|error| error.to_string()))?;
        Ok(())
    }

    fn sizes(&self, _objects: u64) -> Outcome<Vec<(&'static str, f64)>> {
        let stats = self.store.stats()?;
        let objects = stats.objects as f64;
        let live: u64 = stats.chunks.iter().map(|chunk| chunk.live_bytes).sum();
        Ok(vec![
            ("chunk_bytes", live as f64 / objects),
            ("directory_bytes", stats.directory_bytes as f64 / objects),
            ("live_map_bytes", stats.live_map_bytes as f64 / objects),
            ("disk_bytes", stats.bytes_allocated as f64 / objects),
        ])
    }

    fn close(self: Box<Self>) -> Outcome<()> {
        Ok(self.store.close()?)
    }

    fn abandon(self: Box<Self>) -> Outcome<()> {
        self.put(0, &Particle::new(0))?;
        self.store.sync()?;
        self.put(0, &Particle::new(0))
    }
}
