//! One pass over all objects: counts, and a sample of keys to work with.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::Instant;

use structchunk::Store;

use super::facts::{FileCount, TypeCounts, Work};
use super::interrupt::Interrupt;
use super::symbol::{Symbol, TYPES, parse_key, type_name};
use crate::failure::Failure;

/// How many keys are drawn by lot.
const SAMPLE: usize = 200_000;

/// How often an interruption is looked for, in objects.
const STRIDE: u64 = 1 << 16;

/// What a scan found.
pub struct Scanned {
    pub work: Work,
    pub types: TypeCounts,
    pub files: Vec<FileCount>,
    /// Keys drawn by lot, in random order.
    pub sample: Vec<Vec<u8>>,
}

/// Counts all symbols by type and file.
pub fn scan(store: &Store, interrupt: &Interrupt) -> Result<Scanned, Failure> {
    let mut totals = [0; TYPES];
    let mut files: Vec<(Vec<u8>, [u64; TYPES])> = Vec::new();
    let begin = Instant::now();
    let mut count = 0;
    for entry in store.iter()? {
        let entry = entry?;
        let kind = entry.load::<Symbol>()?.type_number();
        totals[kind] += 1;
        // Symbols of a file were put one after the other, and the scan meets them so.
        let [file, ..] = parse_key(entry.key()).unwrap_or([entry.key(); 3]);
        match files.last_mut() {
            Some((last, counts)) if *last == file => counts[kind] += 1,
            _ => {
                let mut counts = [0; TYPES];
                counts[kind] = 1;
                files.push((file.to_vec(), counts));
            }
        }
        count += 1;
        if count % STRIDE == 0 {
            interrupt.check()?;
        }
    }
    let work = Work { count, time: begin.elapsed() };
    let files = files.iter().map(|(file, counts)| FileCount {
        path: OsStr::from_bytes(file).into(),
        symbols: counts.iter().sum(),
        types: named(counts),
    });
    Ok(Scanned { work, types: named(&totals), files: files.collect(), sample: sample(store)? })
}

fn named(counts: &[u64; TYPES]) -> TypeCounts {
    let present = counts.iter().enumerate().filter(|(_, count)| **count > 0);
    present.map(|(number, count)| (type_name(number), *count)).collect()
}

/// Draws keys by lot (Vitter's algorithm R: every key has the same chance), and shuffles them.
fn sample(store: &Store) -> Result<Vec<Vec<u8>>, Failure> {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let mut keys: Vec<Vec<u8>> = Vec::with_capacity(SAMPLE);
    for (index, entry) in store.iter()?.enumerate() {
        let entry = entry?;
        if keys.len() < SAMPLE {
            keys.push(entry.key().to_vec());
        } else if let Some(place) = keys.get_mut(random.below(index + 1)) {
            entry.key().clone_into(place);
        }
    }
    for index in (1..keys.len()).rev() {
        keys.swap(index, random.below(index + 1));
    }
    Ok(keys)
}

/// Marsaglia's xorshift: random enough for drawing lots.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((u128::from(self.0) * limit as u128) >> 64) as usize
    }
}
