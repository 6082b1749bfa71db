//! Scans, by the log and by the keys.

use std::hint::black_box;

use structchunk::{Entry, Error};

use super::access::timed;
use super::side::Side;
use super::{SEALED, all_keys, sealed_beside};
use crate::clock::busy;
use crate::data::{Key, Particle, first_word, key, random_numbers};
use crate::engine::Outcome;

/// One range is begun for so many look-ups of single objects, and has as many objects.
const IN_RANGE: usize = 100;

/// Scans of one side.
pub struct Order<'a, S> {
    side: &'a S,
    objects: u64,
    /// Where ranges begin.
    starts: Vec<Key>,
}

/// What the numbers of all particles add up to that are met; whoever meets something else goes on.
pub fn sum_of_particles<'a>(entries: impl Iterator<Item = structchunk::Result<Entry<'a>>>) -> Outcome<u64> {
    let mut sum = 0;
    for entry in entries {
        match entry?.load::<Particle>() {
            Ok(particle) => sum += black_box(&particle).number,
            Err(Error::LayoutMismatch { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(sum)
}

impl<'a, S: Side> Order<'a, S> {
    pub fn new(side: &'a S, objects: u64, operations: u64, round: u64) -> Self {
        let count = operations.div_ceil(IN_RANGE as u64);
        let starts = random_numbers(round, count, objects).iter().map(|&number| key(number.into())).collect();
        Self { side, objects, starts }
    }

    /// How many particles there are, sealed ones among them.
    pub fn objects(&self) -> usize {
        (self.objects + sealed_beside(self.objects)) as usize
    }

    /// What their numbers add up to.
    pub fn sum(&self) -> u64 {
        let sum = |count: u64| count * count.saturating_sub(1) / 2;
        let sealed = sealed_beside(self.objects);
        sum(self.objects) + sum(sealed) + SEALED * sealed
    }

    /// So often that whoever puts it off has sorted the keys in memory.
    pub fn sort(&self) -> Outcome<()> {
        for _ in 0..2 {
            black_box(self.side.keys()?.count());
        }
        Ok(())
    }

    pub fn scan_keys(&self) -> Outcome<f64> {
        let keys = all_keys(self.objects);
        let add = |sum: u64, key: Key| Ok::<_, &str>(sum.wrapping_add(first_word(&key)?));
        let (count, expected) = (keys.clone().count(), keys.clone().try_fold(0, add)?);
        timed(count, expected, || {
            let mut sum = 0_u64;
            for entry in self.side.keys()? {
                sum = sum.wrapping_add(first_word(entry?.key())?);
            }
            Ok(sum)
        })
    }

    pub fn scan_sorted(&self) -> Outcome<f64> {
        timed(self.objects(), self.sum(), || sum_of_particles(self.side.ordered()?))
    }

    /// Objects whose keys follow each other lie anywhere in the log.
    pub fn range_100(&self) -> Outcome<f64> {
        // (Few begin so near to the last key.)
        let fewest = self.starts.len() * IN_RANGE * 9 / 10;
        let (ns, met) = busy(|| {
            let mut met = 0;
            for start in &self.starts {
                let mut range = self.side.range_from(start)?;
                let first = range.next().ok_or("a range is empty")??;
                if first.key() != start || first.load::<Particle>()?.number >= self.objects {
                    return Err("a range begins with another object".into());
                }
                for entry in range.take(IN_RANGE - 1) {
                    met += 1;
                    black_box(sum_of_particles(std::iter::once(entry))?);
                }
                met += 1;
            }
            Ok(met)
        })?;
        if met < fewest {
            return Err(format!("{met} objects were met in {} ranges", self.starts.len()).into());
        }
        Ok(ns / self.starts.len() as f64)
    }
}
