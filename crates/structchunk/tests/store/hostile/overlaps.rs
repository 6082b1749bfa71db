//! Records inside of the payloads of others, in a store that was closed cleanly: directory and live map are believed, and lead there.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

use structchunk::{Error, Result, Store};
use tempfile::TempDir;

use super::views::{lead, words, write};
use super::wary;
use crate::common::{CHUNK_BYTES, copy_folder, folder, open, open_with};
use crate::craft::{self, Log, OBJECT, Record};

/// Bytes of the object in which another one lies: enough for a hole when it is superseded.
const OUTER_BYTES: usize = 24 << 10;

/// A closed store with a number under `k`, to which the directory leads inside of the payload of `outer`. The record there has 666.
struct Forged {
    folder: TempDir,
    inner: u64,
}

impl Forged {
    fn new() -> Self {
        let folder = folder();
        let store = open(folder.path());
        store.put("k", &7_u64).unwrap();
        store.put("outer", &[0_u8; OUTER_BYTES][..]).unwrap();
        store.put("other", &8_u64).unwrap();
        store.close().unwrap();
        let payload = payload_of(folder.path(), b"outer");
        let inner = (payload.start + OUTER_BYTES / 2).next_multiple_of(4096) + 64;
        assert!(inner + 4096 < payload.end);
        let forged = Self { folder, inner: inner as u64 / 16 };
        lead(forged.path(), b"k", forged.inner);
        let mut log = Log::of(forged.path());
        let record = Record::new(OBJECT, b"k", 1, &666_u64.to_le_bytes()).bytes(&log.uuid, forged.inner, 99);
        log.bytes[inner..inner + record.len()].copy_from_slice(&record);
        fs::write(forged.path().join("chunks/00000000.chunk"), &log.bytes).unwrap();
        forged
    }

    /// The same, where the live map has both records.
    fn marked() -> Self {
        let forged = Self::new();
        mark(forged.path(), forged.inner);
        forged
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn open(&self) -> Store {
        open_with(wary(), self.path()).unwrap()
    }
}

/// Where in the first chunk the payload of an object lies.
fn payload_of(store: &Path, key: &[u8]) -> Range<usize> {
    let log = Log::of(store);
    let records = craft::walk(&log.bytes, log.head);
    records.into_iter().rfind(|record| log.bytes[record.key.clone()] == *key).unwrap().payload
}

/// Says in the live map that a record of the first chunk is current.
fn mark(store: &Path, location: u64) {
    let live = store.join("live");
    let mut all = words(&live);
    let at = 512 + 8 + location as usize / 64;
    all.resize(all.len().max(at + 1), 0);
    all[at] |= 1 << (location % 64);
    write(&live, &all);
}

fn refused<T>(outcome: Result<T>) -> bool {
    outcome.is_err_and(|error| error.is_corrupt())
}

#[test]
fn nobody_refers_to_a_record_inside_of_another_that_the_live_map_does_not_have() {
    let forged = Forged::new();
    let store = forged.open();
    assert!(refused(store.get::<u64>("k")) && refused(store.get_mut::<u64>("k")));
    assert!(refused(store.get_atomic::<AtomicU64>("k")));
    assert!(refused(store.update("k", |_: &mut u64| {})) && refused(store.get_owned::<u64>("k")));
    assert!(refused(store.entry("k")));
    store.get_mut::<[u8]>("outer").unwrap().unwrap().fill(1);
    assert_eq!((store.load("other").unwrap(), store.check().unwrap().count() > 0), (Some(8_u64), true));
    // Who changes nothing may look at anything.
    drop(store);
    let store = open_with(wary().read_only(true), forged.path());
    drop(store.map(|store| store.get::<u64>("k").map(|found| found.as_deref().copied())));
}

#[test]
fn of_two_records_that_overlap_one_can_be_borrowed_whatever_the_live_map_says() {
    let forged = Forged::marked();
    let store = forged.open();
    let guard = store.get::<u64>("k").unwrap().unwrap();
    assert!(refused(store.get_mut::<[u8]>("outer")) && refused(store.get::<[u8]>("outer")));
    assert!(refused(store.entry("outer")));
    assert_eq!(*guard, 666);
    // The mark goes, the guard stays.
    store.put("k", &9_u64).unwrap();
    assert!(refused(store.get_mut::<[u8]>("outer")));
    assert_eq!((*guard, store.load("k").unwrap()), (666, Some(9_u64)));
    drop(guard);
    store.get_mut::<[u8]>("outer").unwrap().unwrap().fill(1);
    assert_eq!(store.load("k").unwrap(), Some(9_u64));
}

#[test]
fn a_superseded_object_that_threads_may_still_change_keeps_readers_from_what_overlaps_it() {
    // Removed, replaced alone and in a batch, renamed: each takes the mark.
    let ways: [fn(&Store) -> Result<()>; 4] = [
        |store| store.remove("k").map(drop),
        |store| store.put("k", &1_u64),
        |store| store.rename("k", "renamed").map(drop),
        |store| {
            let mut batch = store.batch();
            batch.put("k", &1_u64)?;
            batch.commit()
        },
    ];
    for way in ways {
        let forged = Forged::marked();
        let store = forged.open();
        let shared = store.get_atomic::<AtomicU64>("k");
        let Ok(Some(counter)) = shared else { panic!("{shared:?}") };
        way(&store).unwrap();
        assert!(refused(store.get::<[u8]>("outer")) && refused(store.get_mut::<[u8]>("outer")));
        drop(counter);
        assert_eq!(store.get::<[u8]>("outer").unwrap().unwrap().len(), OUTER_BYTES);
    }
}

#[test]
fn no_hole_is_made_under_the_guard_of_what_lies_in_a_superseded_object() {
    let forged = Forged::marked();
    let store = forged.open();
    let guard = store.get::<u64>("k").unwrap().unwrap();
    store.remove("outer").unwrap();
    for n in 0..4_u64 {
        store.put("other", &n).unwrap();
        store.sync().unwrap();
        if n == 1 {
            store.remove("k").unwrap();
        }
    }
    assert_eq!(*guard, 666);
}

#[test]
fn marks_behind_the_end_of_the_log_are_forgotten_when_it_goes_on() {
    let folder = folder();
    let path = |name: &str| -> PathBuf { folder.path().join(name) };
    let store = open(path("s"));
    store.put("k", &7_u64).unwrap();
    store.close().unwrap();
    let mut hostile = vec![0_u8; 30_000];
    let write_on = |store: &Store, hostile: &[u8]| {
        // In the first chunk, and in the next one.
        for n in 0..12 {
            store.put(format!("outer {n}"), hostile).unwrap();
        }
    };
    copy_folder(&path("s"), &path("trial"));
    let store = open(path("trial"));
    write_on(&store, &hostile);
    let places = ["outer 0", "outer 11"].map(|key| store.entry(key).unwrap().unwrap().place());
    drop(store);
    for (chunk, place) in places {
        copy_folder(&path("s"), &path("forged"));
        let forged = path("forged");
        let uuid = Log::of(&forged).uuid;
        // Somewhere in the payload, which the program gets from who made the files.
        let at = (place.end - 4096) / 16 * 16;
        let location = u64::from(chunk) * (CHUNK_BYTES / 16) + at / 16;
        let record = Record::new(OBJECT, b"k", 1, &666_u64.to_le_bytes()).bytes(&uuid, location, 99);
        let payload = place.end - (hostile.len() as u64).next_multiple_of(16);
        let within = (at - payload) as usize;
        hostile.fill(0);
        hostile[within..within + record.len()].copy_from_slice(&record);
        lead(&forged, b"k", location);
        let live = forged.join("live");
        let mut all = words(&live);
        let word = 512 + chunk as usize * 512 + 8 + (at as usize / 16) / 64;
        all.resize(all.len().max(word + 1), 0);
        all[word] |= 1 << (at / 16 % 64);
        write(&live, &all);
        let store = open_with(wary(), &forged).unwrap();
        write_on(&store, &hostile);
        assert_eq!(store.load::<u64>("k").unwrap(), Some(666), "the forger has aimed well");
        let error = store.get::<u64>("k").unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");
        drop(store);
        fs::remove_dir_all(&forged).unwrap();
    }
}
