//! What is done with the stored symbols.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Instant;

use structchunk::Store;

use super::facts::{ByPrefix, Changed, Checked, Deleted, FileCount, Named, Ordered, Sought, Work};
use super::interrupt::Interrupt;
use super::symbol::{Symbol, parse_key};
use crate::command::JsonFinding;
use crate::failure::Failure;
use crate::progress::Progress;

/// How many keys are worked on between two looks for an interruption.
const STRIDE: usize = 1 << 14;

/// Sought by prefix in the C library.
const NAME: &str = "malloc";

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

/// Goes over all keys in their order; and finds, in the C library if it is there, the symbols that begin with [`NAME`].
pub fn order(store: &Store, files: &[FileCount], interrupt: &Interrupt) -> Result<Ordered, Failure> {
    let begin = Instant::now();
    let mut count = 0;
    for key in store.keys()? {
        key?;
        count += 1;
        if count % STRIDE as u64 == 0 {
            interrupt.check()?;
        }
    }
    let keys = Work { count, time: begin.elapsed() };
    let is_library =
        |path: &Path| path.file_name().is_some_and(|name| name.as_bytes().starts_with(b"libc.so"));
    let library = files.iter().find(|file| is_library(&file.path));
    let prefix = library.map(|library| by_prefix(store, &library.path)).transpose()?;
    Ok(Ordered { keys, prefix })
}

fn by_prefix(store: &Store, file: &Path) -> Result<ByPrefix, Failure> {
    let prefix = [file.as_os_str().as_bytes(), &[0], NAME.as_bytes()].concat();
    let mut names = Vec::new();
    let begin = Instant::now();
    for entry in store.prefix(&prefix)? {
        let entry = entry?;
        let [_, name, _] = parse_key(entry.key()).unwrap_or_default();
        names.push((name.to_vec(), entry.load::<Symbol>()?.st_value));
    }
    let found = Work { count: names.len() as u64, time: begin.elapsed() };
    let symbol =
        |(name, st_value): (Vec<u8>, u64)| Named { name: String::from_utf8_lossy(&name).into(), st_value };
    let symbols = names.into_iter().map(symbol).collect();
    Ok(ByPrefix { path: file.to_owned(), prefix: NAME, found, symbols })
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
    for key in store.prefix([largest.path.as_os_str().as_bytes(), &[0]].concat())?.keys() {
        keys.push(key?.into_key());
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
