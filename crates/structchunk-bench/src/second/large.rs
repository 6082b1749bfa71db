//! Objects of 1 MiB, which have files of their own, and copies of all that there is.

use std::hint::black_box;
use std::path::Path;

use structchunk::Store;

use super::access::{there, timed};
use super::side::Side;
use crate::clock::busy;
use crate::data::{Key, key, random_numbers};
use crate::engine::Outcome;

/// How many there are.
pub const LARGE: u64 = 4;
/// What their numbers begin with.
const NUMBER: u64 = 1 << 35;
/// Each has so many words.
pub const WORDS: usize = (1 << 20) / 8;
/// One of them is copied, and one changed, for so many accesses to small objects.
const FEWER: u64 = 1000;
/// A thread that copies them into its stack needs some times their size.
const STACK: usize = 64 << 20;

/// The key of a large object.
pub fn large_key(number: u64) -> Key {
    key(NUMBER + number)
}

/// How often large objects are changed by one side.
pub fn changes(operations: u64) -> u64 {
    operations.div_ceil(FEWER)
}

/// Puts them: zeroes.
pub fn put(store: &Store) -> Outcome<()> {
    for number in 0..LARGE {
        store.put(large_key(number), &vec![0_u64; WORDS][..])?;
    }
    Ok(())
}

/// What was added to them so far.
pub fn total(store: &Store) -> Outcome<u64> {
    let mut sum = 0;
    for number in 0..LARGE {
        let entry = store.entry(large_key(number))?.ok_or("a large object is missing")?;
        let bytes = entry.bytes(u64::MAX)?;
        sum += bytes.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).sum::<u64>();
    }
    Ok(sum)
}

/// Accesses of one side to large objects.
pub struct Large<'a, S> {
    side: &'a S,
    /// Which of them, and which of their words.
    places: Vec<(Key, usize)>,
}

impl<'a, S: Side + Sync> Large<'a, S> {
    pub fn new(side: &'a S, operations: u64, round: u64) -> Self {
        let count = changes(operations);
        let numbers = random_numbers(round, count, LARGE);
        let words = random_numbers(round, count, WORDS as u64);
        let place = |(number, word): (u32, u32)| (large_key(number.into()), word as usize);
        Self { side, places: numbers.into_iter().zip(words).map(place).collect() }
    }

    /// A copy of the whole, to the stack.
    pub fn get(&self) -> Outcome<f64> {
        let work = || {
            // The stack is mapped then.
            let load = |key| there(self.side.load_large(key)).map(|object| black_box(&object).len() as u64);
            load(&self.places[0].0).map_err(|error| error.to_string())?;
            let all = || self.places.iter().map(|(key, _)| load(key)).sum();
            timed(self.places.len(), (self.places.len() * WORDS) as u64, all)
                .map_err(|error| error.to_string())
        };
        let outcome = std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work);
            thread.map_err(|error| error.to_string())?.join().unwrap_or_else(|_| Err("it panicked".into()))
        });
        Ok(outcome?)
    }

    /// One word.
    pub fn change(&self) -> Outcome<f64> {
        timed(self.places.len(), self.places.len() as u64, || {
            self.places.iter().map(|(key, word)| Ok(u64::from(self.side.change_large(key, *word)?))).sum()
        })
    }
}

/// A copy of the store, in a folder of its own, per object.
pub fn copy_to<S: Side>(side: &S, folder: &Path, objects: u64) -> Outcome<f64> {
    let place = folder.join("copy");
    let (ns, ()) = busy(|| Ok(side.copy_to(&place)?))?;
    std::fs::remove_dir_all(&place)?;
    Ok(ns / objects as f64)
}
