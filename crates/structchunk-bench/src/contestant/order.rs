//! Scans in the order of keys.

use super::{Contestant, Sample, each, sample};
use crate::clock::busy;
use crate::data::{GROUP, Growth, first_word, key, random_numbers, sum_of_group};
use crate::engine::Outcome;
use crate::workload::Scale;

impl Contestant {
    /// All keys in order, twice after opening: whoever puts off sorting them does so in the first scan.
    pub(super) fn scan_keys(&mut self, objects: u64) -> Outcome<Vec<Sample>> {
        let expected = (0..objects)
            .try_fold(0_u64, |sum, number| Ok::<_, &str>(sum.wrapping_add(first_word(&key(number))?)))?;
        self.close()?;
        let database = self.warm(objects)?;
        let mut samples = Vec::new();
        for row in ["scan_keys_first", "scan_keys"] {
            let (ns, sum) = busy(|| database.scan_keys())?;
            if sum != expected {
                return Err("a scan in key order did not see every key once".into());
            }
            samples.extend(each(row, ns, objects));
        }
        Ok(samples)
    }

    /// All objects in the order of their keys, after somebody else did that.
    pub(super) fn scan_sorted(&mut self, objects: u64) -> Outcome<Vec<Sample>> {
        let database = self.warm(objects)?;
        database.scan_sorted()?;
        let (ns, sum) = busy(|| database.scan_sorted())?;
        if sum != objects * (objects - 1) / 2 {
            return Err("a scan in key order did not see every object once".into());
        }
        Ok(each("scan_sorted", ns, objects))
    }

    /// Groups of objects by their common prefixes: the first after opening, and those after many others.
    pub(super) fn prefix(&mut self, scale: &Scale, round: u64) -> Outcome<Vec<Sample>> {
        let mut samples = self.prefix_of(Growth::SideBySide, ["prefix_first", "prefix"], scale, round)?;
        samples.extend(self.prefix_of(
            Growth::OneByOne,
            ["prefix_near_first", "prefix_near"],
            scale,
            round,
        )?);
        Ok(samples)
    }

    fn prefix_of(
        &mut self,
        growth: Growth,
        [first, later]: [&'static str; 2],
        scale: &Scale,
        round: u64,
    ) -> Outcome<Vec<Sample>> {
        let groups = scale.objects / GROUP;
        let folder = self.folder.join(match growth {
            Growth::SideBySide => "grown-side-by-side",
            Growth::OneByOne => "grown-one-by-one",
        });
        if !self.grouped.contains(&growth) {
            std::fs::create_dir_all(&self.folder)?;
            self.engine.fill_groups(&folder, groups, growth)?;
            self.grouped.push(growth);
        }
        let database = self.engine.open(&folder, groups * GROUP)?;
        // The pages are mapped, and what is opened late is open.
        database.scan()?;
        database.scan_groups(&[0])?;
        let mut samples = Vec::new();
        let mut look_up = |row, seed, count| -> Outcome<()> {
            let numbers = random_numbers(seed, count, groups);
            let (ns, sum) = busy(|| database.scan_groups(&numbers))?;
            if sum != numbers.iter().map(|&group| sum_of_group(group.into())).sum::<u64>() {
                return Err("scans of prefixes did not see every object of a group once".into());
            }
            samples.push(sample(row, "us", ns / 1e3 / count as f64));
            Ok(())
        };
        look_up(first, round, (scale.objects / FIRST).max(1))?;
        // structchunk sorts the keys in memory when it is asked often enough.
        database.scan_groups(&random_numbers(round + 1, scale.objects / OFTEN, groups))?;
        look_up(later, round + 2, (scale.operations / GROUP).max(1))?;
        database.close()?;
        Ok(samples)
    }
}

/// The first scans are as many as there are objects, divided by this.
const FIRST: u64 = 1000;
/// After as many scans as there are objects, divided by this, what an engine learns from them it has learned.
const OFTEN: u64 = 250;
