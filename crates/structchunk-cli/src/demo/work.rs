//! What is done with the stored symbols.

use std::os::unix::ffi::OsStrExt;
use std::time::Instant;

use structchunk::Store;

use super::facts::{Changed, Checked, Deleted, FileCount, Sought, Work};
use super::interrupt::Interrupt;
use super::symbol::Symbol;
use crate::command::JsonFinding;
use crate::failure::Failure;
use crate::progress::Progress;

/// How many keys are worked on between two looks for an interruption.
const STRIDE: usize = 1 << 14;

/// Added to every address of the sample, as a loader does when it places a file in memory.
const BASE: u64 = 0x5555_5555_4000;

/// Does something with every key and measures how long that takes.
fn each<K>(
    keys: &[K],
    interrupt: &Interrupt,
    mut action: impl FnMut(&K) -> Result<bool, Failure>,
) -> Result<Work, Failure> {
    let begin = Instant::now();
    for keys in keys.chunks(STRIDE) {
        interrupt.check()?;
        for key in keys {
            if !action(key)? {
                return Err(Failure::Other("the store does not hold what was put: run check".into()));
            }
        }
    }
    Ok(Work { count: keys.len() as u64, time: begin.elapsed() })
}

/// Looks symbols up by key: one by one, many at once, and ones that are not there.
pub fn find(store: &Store, sample: &[Vec<u8>], interrupt: &Interrupt) -> Result<Sought, Failure> {
    let load = each(sample, interrupt, |key| Ok(store.load::<Symbol>(key)?.is_some()))?;
    let groups: Vec<_> = sample.chunks(64).collect();
    let load_many =
        each(&groups, interrupt, |keys| Ok(store.load_many::<Symbol, _>(keys)?.iter().all(Option::is_some)))?;
    let absent: Vec<_> = sample.iter().map(|key| [key, b"?".as_slice()].concat()).collect();
    let absent = each(&absent, interrupt, |key| Ok(!store.contains(key)?))?;
    Ok(Sought { load, load_many: Work { count: load.count, ..load_many }, absent })
}

/// Adds the base address to symbols, in place, and looks whether that is what is there then.
pub fn change(store: &Store, sample: &[Vec<u8>], interrupt: &Interrupt) -> Result<Changed, Failure> {
    let mut before = Vec::with_capacity(sample.len());
    for keys in sample.chunks(STRIDE) {
        let symbols = store.load_many::<Symbol, _>(keys)?;
        before.extend(symbols.into_iter().flatten().map(|symbol| symbol.st_value));
    }
    let relocate = |symbol: &mut Symbol| symbol.st_value = symbol.st_value.wrapping_add(BASE);
    let update = each(sample, interrupt, |key| Ok(store.update(key, relocate)?))?;
    let pairs: Vec<_> = sample.iter().zip(&before).collect();
    each(&pairs, interrupt, |&(key, before)| {
        Ok(store.load::<Symbol>(key)?.is_some_and(|symbol| symbol.st_value == before.wrapping_add(BASE)))
    })?;
    // A symbol with an address makes the better example.
    let example = pairs.iter().find(|(_, before)| **before != 0).or(pairs.first());
    let (key, before) = example.map_or((&[][..], 0), |(key, before)| (&key[..], **before));
    let after = before.wrapping_add(BASE);
    Ok(Changed { update, key: key.to_vec(), before, after })
}

/// Deletes all symbols of the file with the most of them, at once.
pub fn delete(store: &Store, files: &[FileCount], interrupt: &Interrupt) -> Result<Deleted, Failure> {
    let largest = files.iter().max_by_key(|file| file.symbols);
    let largest = largest.ok_or_else(|| Failure::Other("there is no file to delete".into()))?;
    let mut keys = Vec::new();
    for entry in store.iter()? {
        let entry = entry?;
        let file = entry.key().split(|&byte| byte == 0).next();
        if file == Some(largest.path.as_os_str().as_bytes()) {
            keys.push(entry.key());
        }
    }
    interrupt.check()?;
    let before = store.len();
    let begin = Instant::now();
    let mut batch = store.batch();
    for key in &keys {
        batch.remove(key)?;
    }
    batch.commit()?;
    let batch = Work { count: keys.len() as u64, time: begin.elapsed() };
    let objects_left = store.len();
    if objects_left + batch.count != before {
        return Err(Failure::Other(format!("{objects_left} objects are left of {before}")));
    }
    Ok(Deleted { path: largest.path.clone(), batch, objects_left })
}

/// Looks at everything.
pub fn check(store: &Store, interrupt: &Interrupt) -> Result<Checked, Failure> {
    let progress = Progress::waiting("checking");
    let begin = Instant::now();
    let mut check = store.check()?;
    let records = Work { count: check.records(), time: begin.elapsed() };
    drop(progress);
    interrupt.check()?;
    let findings: Vec<_> = check.by_ref().collect();
    Ok(Checked { records, findings: findings.iter().map(JsonFinding::from).collect() })
}
