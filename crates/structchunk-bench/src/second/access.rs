//! What either side does, and how long it takes.

use std::hint::black_box;
use std::path::Path;
use std::sync::atomic::Ordering;

use super::large::{Large, copy_to};
use super::order::{Order, sum_of_particles};
use super::side::Side;
use super::{COUNTERS, SEALED, counter_key, sealed_beside, sealed_key};
use crate::clock::busy;
use crate::data::{Key, Particle, key, random_numbers};
use crate::engine::Outcome;

/// The rows of one kind of access: of the second process, of the writer, and the former as a multiple of the latter.
pub struct Rows {
    pub second: &'static str,
    pub writer: &'static str,
    pub ratio: &'static str,
    pub unit: &'static str,
}

const fn rows([second, writer, ratio]: [&'static str; 3], unit: &'static str) -> Rows {
    Rows { second, writer, ratio, unit }
}

/// All kinds of access that both sides have, in the order in which they are done.
pub const ALL: [Rows; 16] = [
    rows(["second_get", "writer_get", "second_get_x"], "ns"),
    rows(["second_session_get", "writer_session_get", "second_session_get_x"], "ns"),
    rows(["second_get_many_16", "writer_get_many_16", "second_get_many_16_x"], "ns"),
    rows(["second_get_sealed", "writer_get_sealed", "second_get_sealed_x"], "ns"),
    rows(["second_sealed_held", "writer_sealed_held", "second_sealed_held_x"], "ns"),
    rows(["second_view", "writer_view", "second_view_x"], "ns"),
    rows(["second_get_atomic", "writer_get_atomic", "second_get_atomic_x"], "ns"),
    rows(["second_add", "writer_add", "second_add_x"], "ns"),
    rows(["second_change", "writer_change", "second_change_x"], "ns"),
    rows(["second_scan", "writer_scan", "second_scan_x"], "ns"),
    rows(["second_scan_keys", "writer_scan_keys", "second_scan_keys_x"], "ns"),
    rows(["second_scan_sorted", "writer_scan_sorted", "second_scan_sorted_x"], "ns"),
    rows(["second_range_100", "writer_range_100", "second_range_100_x"], "us"),
    rows(["second_get_1MiB", "writer_get_1MiB", "second_get_1MiB_x"], "us"),
    rows(["second_change_1MiB", "writer_change_1MiB", "second_change_1MiB_x"], "us"),
    rows(["second_copy_to", "writer_copy_to", "second_copy_to_x"], "ns"),
];

/// How many of [`ALL`] add to counters.
pub const ADDING: u64 = 2;

/// One sealed object of so many is referred to all the time in `sealed_held`: at least one in each chunk.
const HELD: usize = 1000;

/// How many nanoseconds each kind of access takes one side. The round decides which objects it is.
/// Whatever is made on the way is made in `folder`, and removed.
pub fn all_of<S: Side + Sync>(
    side: &S,
    folder: &Path,
    objects: u64,
    operations: u64,
    round: u64,
) -> Outcome<[f64; ALL.len()]> {
    let work = Work::new(side, objects, operations, round);
    work.warm_up()?;
    let order = Order::new(side, objects, operations, round);
    order.sort()?;
    let large = Large::new(side, operations, round);
    Ok([
        work.get(S::load)?,
        work.get(S::load_in_session)?,
        work.get_many()?,
        work.get_sealed()?,
        work.sealed_held()?,
        work.view()?,
        work.get_atomic()?,
        work.add()?,
        work.change()?,
        timed(order.objects(), order.sum(), || sum_of_particles(side.entries()?))?,
        order.scan_keys()?,
        order.scan_sorted()?,
        order.range_100()?,
        large.get()?,
        large.change()?,
        copy_to(side, folder, objects)?,
    ])
}

struct Work<'a, S> {
    side: &'a S,
    objects: u64,
    keys: Vec<Key>,
    sealed_keys: Vec<Key>,
    counters: Vec<u32>,
    /// What the numbers of the particles under the keys add up to.
    sum: u64,
    sealed_sum: u64,
}

pub(super) fn there<T>(found: structchunk::Result<Option<T>>) -> Outcome<T> {
    Ok(found?.ok_or("an object is missing")?)
}

/// Work whose outcome tells whether all of it was done.
pub(super) fn timed(count: usize, expected: u64, work: impl FnOnce() -> Outcome<u64>) -> Outcome<f64> {
    let (ns, outcome) = busy(work)?;
    if outcome != expected {
        return Err(format!("what was read adds up to {outcome} instead of {expected}").into());
    }
    Ok(ns / count as f64)
}

impl<'a, S: Side> Work<'a, S> {
    fn new(side: &'a S, objects: u64, operations: u64, round: u64) -> Self {
        let numbers = random_numbers(round, operations, objects);
        let sealed = random_numbers(round, operations, sealed_beside(objects));
        let sum = |numbers: &[u32], base| numbers.iter().map(|&number| base + u64::from(number)).sum();
        Self {
            side,
            objects,
            keys: numbers.iter().map(|&number| key(number.into())).collect(),
            sealed_keys: sealed.iter().map(|&number| sealed_key(number.into())).collect(),
            counters: random_numbers(round, operations, COUNTERS),
            sum: sum(&numbers, 0),
            sealed_sum: sum(&sealed, SEALED),
        }
    }

    /// Reads all that is read later: its pages are mapped then.
    fn warm_up(&self) -> Outcome<()> {
        for number in 0..self.objects {
            there(self.side.load(&key(number)))?;
        }
        self.look_at_sealed()?;
        Ok(())
    }

    fn get(&self, load: impl Fn(&S, &Key) -> structchunk::Result<Option<Particle>>) -> Outcome<f64> {
        timed(self.keys.len(), self.sum, || {
            let number = |key| Ok(black_box(&there(load(self.side, key))?).number);
            self.keys.iter().map(number).sum()
        })
    }

    fn get_many(&self) -> Outcome<f64> {
        timed(self.keys.len(), self.sum, || {
            let mut sum = 0;
            for keys in self.keys.chunks(16) {
                for particle in black_box(&self.side.load_many(keys)?) {
                    sum += particle.as_ref().ok_or("a particle is missing")?.number;
                }
            }
            Ok(sum)
        })
    }

    fn look_at_sealed(&self) -> Outcome<u64> {
        self.sealed_keys.iter().map(|key| Ok(black_box(&*there(self.side.get(key))?).number)).sum()
    }

    fn get_sealed(&self) -> Outcome<f64> {
        timed(self.sealed_keys.len(), self.sealed_sum, || self.look_at_sealed())
    }

    fn sealed_held(&self) -> Outcome<f64> {
        let some = (0..sealed_beside(self.objects)).step_by(HELD).map(sealed_key).collect::<Vec<_>>();
        let _held = some.iter().map(|key| there(self.side.get(key))).collect::<Outcome<Vec<_>>>()?;
        self.get_sealed()
    }

    fn view(&self) -> Outcome<f64> {
        let keys: Vec<_> = (0..COUNTERS).map(counter_key).collect();
        let views = keys.iter().map(|key| there(self.side.view(key))).collect::<Outcome<Vec<_>>>()?;
        let values = views.iter().map(|view| Ok(view()?)).collect::<Outcome<Vec<_>>>()?;
        let expected = self.counters.iter().map(|&counter| values[counter as usize]).sum();
        timed(self.counters.len(), expected, || {
            self.counters.iter().map(|&counter| Ok(views[counter as usize]()?)).sum()
        })
    }

    fn get_atomic(&self) -> Outcome<f64> {
        timed(self.counters.len(), self.counters.len() as u64, || {
            let add = |&counter| {
                there(self.side.get_atomic(&counter_key(u32::into(counter))))?
                    .fetch_add(1, Ordering::Relaxed);
                Ok(1)
            };
            self.counters.iter().map(add).sum()
        })
    }

    fn add(&self) -> Outcome<f64> {
        let keys: Vec<_> = (0..COUNTERS).map(counter_key).collect();
        let counters =
            keys.iter().map(|key| there(self.side.get_atomic(key))).collect::<Outcome<Vec<_>>>()?;
        timed(self.counters.len(), self.counters.len() as u64, || {
            for &counter in &self.counters {
                counters[counter as usize].fetch_add(1, Ordering::Relaxed);
            }
            Ok(self.counters.len() as u64)
        })
    }

    fn change(&self) -> Outcome<f64> {
        timed(self.keys.len(), self.keys.len() as u64, || {
            self.keys.iter().map(|key| Ok(u64::from(self.side.update(key)?))).sum()
        })
    }
}
