//! What goes away, and what is done about it afterwards.

use super::{Contestant, Sample, each, sample};
use crate::clock::{busy, bytes_on_disk, timed_and_busy};
use crate::data::shuffled;
use crate::engine::Outcome;

/// One object of so many stays in a database that is compacted.
const STAYS: u64 = 10;

impl Contestant {
    /// Removes objects one at a time, each once, in random order.
    pub(super) fn delete(&self, objects: u64, singles: u64, round: u64) -> Outcome<Vec<Sample>> {
        let numbers = &shuffled(round, objects)[..singles as usize];
        let (ns, ()) = self.in_scratch(objects, 0, |database| {
            database.put_batches(0..objects)?;
            busy(|| database.remove_each(numbers))
        })?;
        Ok(each("delete", ns, singles))
    }

    /// Removes a random nine tenths, and gives their space back.
    pub(super) fn compact(&self, objects: u64, round: u64) -> Outcome<Vec<Sample>> {
        let numbers = shuffled(round, objects);
        let (gone, stays) = numbers.split_at((objects - objects / STAYS) as usize);
        std::fs::create_dir_all(&self.folder)?;
        let folder = self.folder.join("scratch");
        let mut database = self.engine.create(&folder, objects, 0)?;
        database.put_batches(0..objects)?;
        database.remove_each(gone)?;
        database.sync()?;
        let before = bytes_on_disk(&folder)?;
        let (time, busy, ()) = timed_and_busy(|| database.compact())?;
        let sum: u64 = stays.iter().map(|&number| u64::from(number)).sum();
        if database.get_each(stays)? != sum || database.get_absent(gone)? != 0 {
            return Err("a compaction changed what is there".into());
        }
        // Some give space back only now.
        database.close()?;
        let after = bytes_on_disk(&folder)?;
        std::fs::remove_dir_all(&folder)?;
        let count = stays.len() as u64;
        let mut samples = each("compact", time, count);
        samples.extend(each("compact_busy", busy, count));
        samples.push(sample("compact_before", "B", before as f64 / count as f64));
        samples.push(sample("compact_after", "B", after as f64 / count as f64));
        Ok(samples)
    }

    /// Makes an index of all keys, from nothing.
    pub(super) fn catch_up(&self, objects: u64) -> Outcome<Vec<Sample>> {
        let (time, busy, ()) = self.in_scratch(objects, 0, |database| {
            database.put_batches(0..objects)?;
            database.sync()?;
            timed_and_busy(|| database.catch_up())
        })?;
        let mut samples = each("catch_up", time, objects);
        samples.extend(each("catch_up_busy", busy, objects));
        Ok(samples)
    }
}
