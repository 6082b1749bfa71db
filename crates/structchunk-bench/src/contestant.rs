//! An engine at work: what is timed, and what is checked.

mod order;
mod second;
mod space;
mod threads;

use std::path::PathBuf;

use crate::clock::{self, Latencies, busy, timed, timed_and_busy};
use crate::data::{Growth, random_numbers};
use crate::engine::{Database, Engine, Outcome};
use crate::workload::{Scale, Workload};

/// One figure.
#[derive(Debug)]
pub struct Sample {
    pub row: &'static str,
    pub unit: &'static str,
    pub value: f64,
}

/// An engine and what it has made.
pub struct Contestant {
    pub engine: Box<dyn Engine>,
    folder: PathBuf,
    filled: bool,
    /// The databases of objects in groups that are there, too.
    grouped: Vec<Growth>,
    database: Option<Box<dyn Database>>,
    /// The store that a second process has open, too.
    shared: Option<structchunk::Store>,
    /// Whether all of the open database was read: its pages are mapped.
    warm: bool,
}

const LARGE_WORDS: usize = (1 << 20) / 8;
const SMALL_WORDS: usize = (1 << 10) / 8;

fn sample(row: &'static str, unit: &'static str, value: f64) -> Sample {
    Sample { row, unit, value }
}

/// The time of one of `count` operations.
fn each(row: &'static str, nanoseconds: f64, count: u64) -> Vec<Sample> {
    vec![sample(row, "ns", nanoseconds / count as f64)]
}

impl Contestant {
    /// An engine that works in this folder.
    pub fn new(engine: Box<dyn Engine>, folder: PathBuf) -> Self {
        Self { engine, folder, filled: false, grouped: Vec::new(), database: None, shared: None, warm: false }
    }

    /// Does a workload once. The round decides which objects are looked up.
    pub fn run(&mut self, workload: Workload, scale: &Scale, round: u64) -> Outcome<Vec<Sample>> {
        let objects = scale.objects;
        let singles = objects.min(self.engine.most_single_changes());
        let random = || random_numbers(round, scale.operations, objects);
        let changed = || random_numbers(round, scale.operations.min(singles), objects);
        match workload {
            Workload::Load => {
                let (ns, ()) = self.in_scratch(objects, 0, |db| busy(|| db.put_batches(0..objects)))?;
                Ok(each("load", ns, objects))
            }
            Workload::Put => {
                let (ns, ()) = self.in_scratch(objects, 0, |db| busy(|| db.put_each(0..singles)))?;
                Ok(each("put", ns, singles))
            }
            Workload::PutLongest => self.put_longest(singles),
            Workload::Size => {
                let sizes = self.filled(objects)?.sizes(objects)?;
                Ok(sizes.into_iter().map(|(row, bytes)| sample(row, "B", bytes)).collect())
            }
            Workload::Get => {
                let numbers = random();
                let database = self.warm(objects)?;
                let (ns, _) = busy(|| database.get_each(&numbers))?;
                Ok(each("get", ns, scale.operations))
            }
            Workload::Chain => {
                let database = self.warm(objects)?;
                let (ns, _) = busy(|| database.get_chain(scale.operations, objects))?;
                Ok(each("get_chain", ns, scale.operations))
            }
            Workload::GetMany => {
                let numbers = random();
                let database = self.warm(objects)?;
                let (few, _) = busy(|| database.get_many(&numbers, 16))?;
                let (many, _) = busy(|| database.get_many(&numbers, 256))?;
                let mut samples = each("get_many_16", few, scale.operations);
                samples.extend(each("get_many_256", many, scale.operations));
                Ok(samples)
            }
            Workload::Absent => {
                let numbers: Vec<_> = random().iter().map(|number| number + objects as u32).collect();
                let database = self.warm(objects)?;
                let (ns, found) = busy(|| database.get_absent(&numbers))?;
                if found != 0 {
                    return Err(format!("{found} objects were found that were never stored").into());
                }
                Ok(each("absent", ns, scale.operations))
            }
            Workload::Scan => {
                let database = self.warm(objects)?;
                let (ns, sum) = busy(|| database.scan())?;
                if sum != objects * (objects - 1) / 2 {
                    return Err("a scan did not see every object once".into());
                }
                Ok(each("scan", ns, objects))
            }
            Workload::ScanKeys => self.scan_keys(objects),
            Workload::ScanSorted => self.scan_sorted(objects),
            Workload::Prefix => self.prefix(scale, round),
            Workload::Change => {
                let numbers = changed();
                let database = self.warm(objects)?;
                let (ns, ()) = busy(|| database.change_each(&numbers))?;
                Ok(each("change", ns, numbers.len() as u64))
            }
            Workload::Open => self.open(scale),
            Workload::Recover => self.recover(objects),
            Workload::DurablePut => {
                let numbers = random_numbers(round, scale.durable, objects);
                let database = self.filled(objects)?;
                // The first one pays for announcing the session.
                database.put_durable(&numbers[..1])?;
                let before = clock::bytes_written()?;
                let (ns, ()) = timed(|| database.put_durable(&numbers))?;
                let bytes = clock::bytes_written()? - before;
                let count = scale.durable as f64;
                Ok(vec![
                    sample("durable_put", "us", ns / 1e3 / count),
                    sample("durable_put_bytes", "B", bytes as f64 / count),
                ])
            }
            Workload::Delete => self.delete(objects, singles, round),
            Workload::Compact => self.compact(objects, round),
            Workload::CatchUp => self.catch_up(objects),
            Workload::Large => self.large(scale, round),
            Workload::Threads => self.threads(scale, round),
            Workload::SecondProcess => self.second_process(scale, round),
        }
    }

    fn put_longest(&mut self, count: u64) -> Outcome<Vec<Sample>> {
        let mut latencies = Latencies::new(count);
        self.in_scratch(count, 0, |database| database.put_timed(0..count, &mut latencies))?;
        Ok(vec![
            sample("put_9999", "us", f64::from(latencies.percentile_9999()) / 1e3),
            sample("put_longest", "us", f64::from(latencies.longest_without_fault()) / 1e3),
            sample("put_longest_faulting", "us", f64::from(latencies.longest()) / 1e3),
        ])
    }

    /// Opens a database that was closed, and reads one object, so that nothing can be put off.
    fn open(&mut self, scale: &Scale) -> Outcome<Vec<Sample>> {
        self.filled(scale.objects)?;
        let mut times = Vec::new();
        for index in 0..scale.opens {
            self.close()?;
            let (ns, database) = timed(|| {
                let database = self.engine.open(&self.folder.join("filled"), scale.objects)?;
                database.get_each(&[index as u32])?;
                Ok(database)
            })?;
            (self.database, self.warm) = (Some(database), false);
            times.push(ns / 1e3);
        }
        Ok(vec![sample("open", "us", crate::rounds::median(&mut times))])
    }

    /// Opens a database that was left as a kill leaves it. What was in it had reached the disk: flushing that is not what is timed.
    fn recover(&mut self, objects: u64) -> Outcome<Vec<Sample>> {
        self.filled(objects)?;
        if let Some(mut database) = self.database.take() {
            database.sync()?;
            database.abandon()?;
        }
        let (time, busy, database) =
            timed_and_busy(|| self.engine.open(&self.folder.join("filled"), objects))?;
        database.get_each(&[0, objects as u32 - 1])?;
        (self.database, self.warm) = (Some(database), false);
        let mut samples = each("recover", time, objects);
        samples.extend(each("recover_busy", busy, objects));
        Ok(samples)
    }

    fn large(&self, scale: &Scale, round: u64) -> Outcome<Vec<Sample>> {
        let count = scale.large;
        let words = vec![round; LARGE_WORDS];
        let numbers = random_numbers(round, scale.operations.min(100_000), count);
        let reads = self.engine.name() != crate::engine::FLOOR;
        let mut samples = Vec::new();
        let mut get = |database: &mut dyn Database, row| {
            if reads {
                database.get_large(&numbers)?;
                let (ns, _) = busy(|| database.get_large(&numbers))?;
                samples.extend(each(row, ns, numbers.len() as u64));
            }
            Ok(())
        };
        let ns = self.in_scratch(0, count << 20, |database| {
            let (ns, ()) = busy(|| database.put_large(0..count, &words))?;
            get(database, "get_1MiB")?;
            Ok(ns)
        })?;
        self.in_scratch(0, count << 20, |database| {
            database.put_large(0..count, &words[..SMALL_WORDS])?;
            get(database, "get_1KiB")
        })?;
        samples.push(sample("put_1MiB", "us", ns / 1e3 / count as f64));
        Ok(samples)
    }

    /// The database that holds all objects, open.
    fn filled(&mut self, objects: u64) -> Outcome<&mut dyn Database> {
        let folder = self.folder.join("filled");
        if !self.filled {
            std::fs::create_dir_all(&self.folder)?;
            self.engine.fill(&folder, objects)?;
            self.filled = true;
        }
        if self.database.is_none() {
            self.database = Some(self.engine.open(&folder, objects)?);
            self.warm = false;
        }
        Ok(self.database.as_deref_mut().ok_or("the database was not opened")?)
    }

    /// The same, after every object was read: the page cache has it and the pages are mapped.
    fn warm(&mut self, objects: u64) -> Outcome<&mut dyn Database> {
        self.filled(objects)?;
        if !self.warm {
            let every: Vec<u32> = (0..objects as u32).collect();
            self.filled(objects)?.get_each(&every)?;
            self.warm = true;
        }
        self.filled(objects)
    }

    fn close(&mut self) -> Outcome<()> {
        self.database.take().map_or(Ok(()), Database::close)
    }

    /// Does something with an empty database, which is thrown away afterwards.
    fn in_scratch<T>(
        &self,
        objects: u64,
        bytes: u64,
        work: impl FnOnce(&mut dyn Database) -> Outcome<T>,
    ) -> Outcome<T> {
        std::fs::create_dir_all(&self.folder)?;
        let folder = self.folder.join("scratch");
        let mut database = self.engine.create(&folder, objects, bytes)?;
        let value = work(&mut *database)?;
        drop(database);
        std::fs::remove_dir_all(&folder)?;
        Ok(value)
    }
}
