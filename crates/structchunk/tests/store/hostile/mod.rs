//! Files that are damaged, cut or forged: an error or right data, never a panic, a hang, or a byte from elsewhere.

mod checklist;
mod flips;
mod names;
mod overlaps;
mod records;
mod views;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use structchunk::{Error, Options, Store};

use crate::common::{Counter, Point, Sample, Wide, open_with, options};

/// Options for files that may hold anything: no long waits, nothing is made.
fn wary() -> Options {
    options().create(false).busy_timeout(Duration::from_millis(1))
}

/// Ends the whole test run when something takes for ever: a hang cannot be caught in any other way.
struct Watchdog(Arc<AtomicBool>);

impl Watchdog {
    fn new(what: impl Into<String>) -> Self {
        let (alive, what) = (Arc::new(AtomicBool::new(true)), what.into());
        let watched = alive.clone();
        std::thread::spawn(move || {
            let begin = Instant::now();
            while watched.load(Relaxed) {
                if begin.elapsed() > Duration::from_mins(2) {
                    eprintln!("HANG: {what}");
                    std::process::abort();
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        Self(alive)
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.0.store(false, Relaxed);
    }
}

/// Calls everything that reads, through every key and every type there is. Only panics, hangs and signals are failures here.
fn read_everything(store: &Store, keys: &[&[u8]]) {
    let mut all: Vec<Vec<u8>> = keys.iter().map(|key| key.to_vec()).collect();
    if let Ok(scan) = store.iter() {
        for entry in scan.take(10_000) {
            let Ok(entry) = entry else { continue };
            let _ = (entry.type_name(), entry.layout().map(ToString::to_string), entry.fingerprint());
            let _ = (entry.shape(), entry.len(), entry.sequence(), entry.type_number(), format!("{entry:?}"));
            if let (Ok(layout), Ok(bytes)) = (entry.layout(), entry.bytes(1 << 16)) {
                let shape = entry.shape();
                let value = layout.read(&bytes, shape.as_deref(), 100);
                let _ = value.map(|value| (value.to_string(), value.json().to_string()));
            }
            if all.len() < 100 {
                all.push(entry.key().to_vec());
            }
        }
    }
    for key in &all {
        let _ = (store.contains(key), store.sequence(key));
        let _ = (store.load::<Point>(key), store.load::<Sample>(key), store.load::<Counter>(key));
        let _ = (store.load::<u64>(key), store.load::<[u64; 5000]>(key).map(drop), store.load::<Wide>(key));
        let _ = store.get::<[u8]>(key).map(|bytes| bytes.map(|bytes| bytes.iter().fold(0, |a, b| a ^ b)));
        let _ = store.get::<[u64]>(key).map(|words| words.map(|words| words.iter().fold(0, |a, b| a ^ b)));
        let _ = store.get::<[[u16; 3]]>(key).map(|words| words.map(|words| words.len()));
    }
    let _ = store.load_many::<u64, _>(&all);
    let _ = (store.stats(), store.types(), store.count_by_type(), store.len());
    for check in [store.check(), store.check_deep()].into_iter().flatten() {
        check.for_each(|finding| drop(finding.to_string()));
    }
}

/// Changes what there is and what there is not.
fn change_everything(store: &Store, keys: &[&[u8]]) {
    for key in keys {
        let _ = store.update(key, |n: &mut u64| *n = n.wrapping_add(1));
        let _ = store.get_mut::<[u64]>(key).map(|words| words.map(|mut words| words[0] ^= 1));
        let _ = store.get_mut::<Wide>(key).map(|wide| wide.map(|mut wide| wide.words[0] ^= 1));
        let _ = store.get_atomic::<Counter>(key).map(|counter| counter.map(|c| c.hits.fetch_add(1, Relaxed)));
        let _ = store.rename(key, "renamed");
        let _ = store.put(key, &Point { x: 1.0, y: 2.0 });
        let _ = store.remove(key);
    }
    let mut batch = store.batch();
    let _ = batch.put("batch", &vec![1_u8; 100_000][..]);
    let _ = batch.commit();
    let _ = (store.sync(), store.sync());
}

/// What opening came to, with the error's text looked at.
fn try_open(options: Options, path: &Path) -> Option<Store> {
    match open_with(options, path) {
        Ok(store) => Some(store),
        Err(error) => {
            assert!(!matches!(error, Error::Busy { .. } | Error::Closed), "{error}");
            assert!(error.to_string().len() < 1000, "{error}");
            None
        }
    }
}

/// Opens for reading and for writing, reads and changes everything, rebuilds, and reads again.
fn survive(path: &Path, keys: &[&[u8]]) {
    if let Some(store) = try_open(wary().read_only(true), path) {
        read_everything(&store, keys);
    }
    if let Some(store) = try_open(wary(), path) {
        read_everything(&store, keys);
        change_everything(&store, keys);
        let _ = store.close();
    }
    let _ = rebuild(path);
    if let Some(store) = try_open(wary(), path) {
        read_everything(&store, keys);
        let _ = store.close();
    }
}

#[expect(unsafe_code, reason = "opens a store")]
fn rebuild(path: &Path) -> structchunk::Result<structchunk::RebuildReport> {
    // SAFETY: the store is closed, and its files are this test's own.
    unsafe { Store::rebuild(path) }
}
