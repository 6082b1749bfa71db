//! Readers when their writer ends, dies or is followed by another one.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use structchunk::testing::{Call, Fault, Faults};
use structchunk::{Error, Found, Store};

use super::{attach, attach_with, keys, process, writer};
use crate::common::*;

#[test]
fn a_reader_serves_all_that_a_killed_writer_has_put_synced_or_not() {
    let folder = folder();
    let mut writer = writer(folder.path());
    writer.tell("put kept 1");
    writer.tell("sync");
    let before = attach(folder.path());
    writer.tell("put late 2");
    writer.kill();
    let after = attach(folder.path());
    for reader in [before, after] {
        assert_eq!(reader.load::<u64>("kept").unwrap(), Some(1));
        assert_eq!(reader.load::<u64>("late").unwrap(), Some(2));
        assert_eq!(keys(&reader.session().unwrap()), ["kept", "late"]);
        assert!(reader.session().unwrap().is_shared());
    }
}

#[test]
fn a_new_writer_takes_over_beside_living_readers_again_and_again() {
    let folder = folder();
    let mut value = 0_u64;
    let mut first = writer(folder.path());
    first.tell("put key 0");
    let reader = attach(folder.path());
    let other = reader.clone();
    first.kill();
    for end in ["kill", "close", "kill", "kill", "close", "close"] {
        let mut next = writer(folder.path());
        assert_eq!(reader.load::<u64>("key").unwrap(), Some(value), "before {end}");
        value += 1;
        next.tell(&format!("put key {value}"));
        assert_eq!(reader.load::<u64>("key").unwrap(), Some(value), "beside {end}");
        next.tell(&format!("put new/{value} {value}"));
        assert_eq!(other.len().unwrap(), value + 1);
        assert_eq!(keys(&other.session().unwrap()).len() as u64, value + 1);
        if end == "close" {
            assert_eq!(next.tell("close"), "ok");
            assert_eq!(reader.load::<u64>("key").unwrap(), Some(value), "after {end}");
            assert_eq!(keys(&reader.session().unwrap()).len() as u64, value + 1);
        } else {
            next.kill();
        }
    }
    let found = open(folder.path());
    assert_eq!(found.recovery().found, Found::Clean);
}

#[test]
fn a_store_that_was_closed_is_read_and_its_next_writer_is_followed() {
    let folder = folder();
    let mut first = writer(folder.path());
    first.tell("put key 1");
    assert_eq!(first.tell("close"), "ok");
    // As it was carried to another machine, or the machine was started again.
    for without_shared in [false, true] {
        if without_shared {
            std::fs::remove_file(folder.path().join("shared")).unwrap();
        }
        let reader = attach(folder.path());
        assert_eq!(reader.load::<u64>("key").unwrap(), Some(1));
        assert_eq!(reader.session().unwrap().is_shared(), !without_shared);
        assert_eq!(first.tell("open"), "ok");
        assert_eq!(reader.load::<u64>("key").unwrap(), Some(1), "a writer that has changed nothing");
        first.tell("put key 2");
        assert_eq!(reader.load::<u64>("key").unwrap(), Some(2));
        assert!(reader.session().unwrap().is_shared());
        first.tell("put key 1");
        assert_eq!(first.tell("close"), "ok");
    }
}

#[test]
fn the_directory_that_a_close_made_smaller_is_picked_up() {
    let folder = folder();
    let mut writer = writer(folder.path());
    writer.tell("fill k 60000 1");
    let reader = attach(folder.path());
    let inode = || std::os::unix::fs::MetadataExt::ino(&folder.path().join("directory").metadata().unwrap());
    let before = inode();
    for index in 10..60_000 {
        writer.order(&format!("remove k{index:06}"));
        if index % 500 == 0 {
            while writer.answer() == "true" {
                if reader.len().unwrap() == 60_000 - (index - 10 + 1) {
                    break;
                }
            }
        }
    }
    writer.order("close");
    while writer.answer() != "ok" {}
    assert_ne!(inode(), before, "it was made anew");
    assert_eq!(keys(&reader.session().unwrap()).len(), 10);
    assert_eq!(writer.tell("open"), "ok");
    writer.tell("put k000003 7");
    assert_eq!(reader.load::<u64>("k000003").unwrap(), Some(7));
}

/// A store whose machine died: "kept" was synced, "late" was not.
fn cut_off(path: &Path) {
    let faults = Faults::recorded();
    faults.pretend_boot(Some([1; 16]));
    let store = open_with(options().faults(faults), path).unwrap();
    store.put("kept", &1_u64).unwrap();
    store.sync().unwrap();
    store.put("late", &2_u64).unwrap();
}

#[test]
fn before_the_first_writer_of_a_boot_a_reader_has_what_the_last_sync_made_durable() {
    let folder = folder();
    cut_off(folder.path());
    let reader = attach(folder.path());
    assert_eq!(reader.load::<u64>("kept").unwrap(), Some(1));
    assert_eq!(reader.load::<u64>("late").unwrap(), None);
    assert!(!reader.session().unwrap().is_shared());
    assert_eq!(keys(&reader.session().unwrap()), ["kept"]);
    let mut writer = writer(folder.path());
    assert_eq!(reader.load::<u64>("late").unwrap(), None);
    assert!(reader.session().unwrap().is_shared(), "recovered, and joined");
    writer.tell("put late 3");
    assert_eq!(reader.load::<u64>("late").unwrap(), Some(3));
}

/// Faults that let the first such call wait; what tells that it waits, and what lets it go on.
fn stuck_in(call: Call, file: &'static str) -> (Faults, Receiver<()>, Sender<()>) {
    let faults = Faults::recorded();
    let (entered, wait) = channel();
    let (go_on, told) = channel();
    let told = Mutex::new((Some(entered), told));
    faults.watch(move |event| {
        let mut told = told.lock().unwrap();
        if event.call == call
            && event.file == file
            && let Some(entered) = told.0.take()
        {
            entered.send(()).unwrap();
            told.1.recv().unwrap();
        }
    });
    (faults, wait, go_on)
}

#[test]
fn beside_a_writer_that_recovers_a_reader_waits_and_then_says_so() {
    let folder = folder();
    let mut first = writer(folder.path());
    first.tell("put key 1");
    let living = attach(folder.path());
    first.kill();
    // In the sync that ends its recovery.
    let (faults, wait, go_on) = stuck_in(Call::SyncFolder, "chunks");
    let path = folder.path().to_owned();
    let second = std::thread::spawn(move || open_with(options().faults(faults), &path).unwrap());
    wait.recv().unwrap();
    assert!(matches!(living.load::<u64>("key"), Err(Error::Recovering { .. })));
    assert!(matches!(attach_with(options(), folder.path()), Err(Error::Recovering { .. })));
    go_on.send(()).unwrap();
    let second = second.join().unwrap();
    assert_eq!(living.load::<u64>("key").unwrap(), Some(1));
    second.put("key", &2_u64).unwrap();
    assert_eq!(living.load::<u64>("key").unwrap(), Some(2));
}

#[test]
fn a_reader_that_comes_while_a_session_begins_follows_it() {
    let folder = folder();
    let store = open(folder.path());
    store.put("key", &1_u64).unwrap();
    store.close().unwrap();
    // `shared` has the new session already, `STORE` is as the last one has closed it.
    let (faults, wait, go_on) = stuck_in(Call::Write, "STORE");
    let path = folder.path().to_owned();
    let writer = std::thread::spawn(move || {
        let store = open_with(options().faults(faults), &path).unwrap();
        store.put("key", &2_u64).unwrap();
        store
    });
    wait.recv().unwrap();
    let reader = attach(folder.path());
    assert_eq!(reader.load::<u64>("key").unwrap(), Some(1));
    assert!(!reader.session().unwrap().is_shared());
    go_on.send(()).unwrap();
    let store = writer.join().unwrap();
    assert_eq!(reader.load::<u64>("key").unwrap(), Some(2));
    assert!(reader.session().unwrap().is_shared());
    store.put("key", &3_u64).unwrap();
    assert_eq!(reader.load::<u64>("key").unwrap(), Some(3));
}

#[test]
fn after_a_writer_that_died_in_its_recovery_a_reader_makes_views_of_its_own() {
    let folder = folder();
    let mut first = writer(folder.path());
    first.tell("put key 1");
    first.tell("sync");
    first.tell("put late 2");
    let living = attach(folder.path());
    first.kill();
    let faults = Faults::recorded();
    faults.plan(Fault::nth(1, libc::EIO).of(Call::SyncFolder));
    assert!(open_with(options().faults(faults), folder.path()).is_err());
    for reader in [living, attach(folder.path())] {
        assert_eq!(reader.load::<u64>("key").unwrap(), Some(1));
        assert_eq!(reader.load::<u64>("late").unwrap(), Some(2));
        assert!(!reader.session().unwrap().is_shared());
        let store = open(folder.path());
        store.put("late", &3_u64).unwrap();
        assert_eq!(reader.load::<u64>("late").unwrap(), Some(3));
        store.put("late", &2_u64).unwrap();
        drop(store);
        let faults = Faults::recorded();
        faults.plan(Fault::nth(1, libc::EIO).of(Call::SyncFolder));
        assert!(open_with(options().faults(faults), folder.path()).is_err());
    }
}

#[test]
fn what_a_killed_writer_was_changing_is_torn_until_a_recovery() {
    let folder = folder();
    let mut first = writer(folder.path());
    first.tell("put_wide wide 1");
    let reader = attach(folder.path());
    first.tell("half_change wide");
    assert!(matches!(reader.load::<Wide>("wide"), Err(Error::Busy { .. })), "its writer may go on");
    let session = reader.session().unwrap();
    let entry = session.first().unwrap().unwrap();
    assert!(matches!(entry.bytes(8), Err(Error::Busy { .. })));
    first.kill();
    assert!(matches!(reader.load::<Wide>("wide"), Err(Error::Torn { .. })));
    assert!(matches!(entry.bytes(8), Err(Error::Torn { .. })));
    assert!(matches!(entry.value(10), Err(Error::Torn { .. })));
    let store = open(folder.path());
    assert_eq!(store.recovery().torn, [b"wide".to_vec()]);
    assert_eq!(reader.load::<Wide>("wide").unwrap().unwrap().words[0], u64::MAX);
}

#[test]
fn after_a_failed_sync_new_readers_see_what_is_durable_and_old_ones_what_the_writer_sees() {
    let folder = folder();
    let faults = Faults::recorded();
    let store = open_with(options().faults(faults.clone()), folder.path()).unwrap();
    store.put("key", &1_u64).unwrap();
    store.sync().unwrap();
    store.put("key", &2_u64).unwrap();
    let old = attach(folder.path());
    faults.plan(Fault::nth(1, libc::EIO).of(Call::Sync));
    assert!(store.sync().is_err());
    assert_eq!(old.load::<u64>("key").unwrap(), Some(2));
    let new = attach(folder.path());
    assert_eq!(new.load::<u64>("key").unwrap(), Some(1));
    drop(store);
    let store = open(folder.path());
    assert_eq!(store.recovery().found, Found::MachineDied);
    for reader in [old, new] {
        assert_eq!(reader.load::<u64>("key").unwrap(), Some(1));
        assert!(reader.session().unwrap().is_shared());
    }
}

#[test]
fn a_stopped_reader_holds_nobody_up_and_goes_on_with_the_writer_of_then() {
    let folder = folder();
    let mut first = writer(folder.path());
    first.tell("put key 1");
    let mut reader = process(folder.path());
    assert_eq!(reader.tell("attach"), "ok");
    assert_eq!(reader.tell("load key"), "1");
    reader.signal(rustix::process::Signal::STOP);
    first.tell("fill k 5000 1");
    first.kill();
    let mut second = writer(folder.path());
    second.tell("put key 2");
    second.tell("compact");
    second.tell("sync");
    reader.signal(rustix::process::Signal::CONT);
    assert_eq!(reader.tell("load key"), "2");
    assert_eq!(reader.tell("len"), "5001");
}

/// Compacts a store until a chunk's file is removed.
fn compact_until_gone(store: &Store, file: &Path) {
    for number in 0..=10 {
        store.compact().unwrap();
        store.put("filler", &number).unwrap();
        store.sync().unwrap();
        if !file.exists() {
            return;
        }
    }
    panic!("{} stays", file.display());
}

#[test]
fn a_reader_that_sleeps_from_before_a_batch_until_what_it_replaces_is_gone_sees_the_batch() {
    let folder = folder();
    let moments = Faults::recorded();
    let store = open_with(options().faults(moments.clone()), folder.path()).unwrap();
    store.put("a", &1_u64).unwrap();
    store.put("b", &1_u64).unwrap();
    while store.stats().unwrap().chunks.len() < 2 {
        store.put("filler", &[0_u8; 4096]).unwrap();
    }
    let (sleepy, asleep, wake_up) = stuck_in(Call::Open, "00000000.chunk");
    let reader = attach_with(options().faults(sleepy), folder.path()).unwrap();
    // Before each of its two records, and when both have their slots and do not count yet.
    let (halfway, wait) = channel();
    let (go_on, told) = channel();
    let (count, told) = (AtomicU64::new(0), Mutex::new(told));
    moments.watch(move |event| {
        if event.call == Call::Memory && count.fetch_add(1, Ordering::SeqCst) == 2 {
            halfway.send(()).unwrap();
            told.lock().unwrap().recv().unwrap();
        }
    });
    std::thread::scope(|scope| {
        let commit = scope.spawn(|| {
            let mut batch = store.batch();
            batch.put("a", &2_u64).unwrap();
            batch.put("b", &2_u64).unwrap();
            batch.commit().unwrap();
        });
        wait.recv().unwrap();
        let load = scope.spawn(|| reader.load::<u64>("a"));
        asleep.recv().unwrap();
        go_on.send(()).unwrap();
        commit.join().unwrap();
        compact_until_gone(&store, &folder.path().join("chunks/00000000.chunk"));
        wake_up.send(()).unwrap();
        assert_eq!(load.join().unwrap().unwrap(), Some(2));
    });
}

#[test]
fn a_scan_that_sleeps_until_another_writer_has_dropped_a_chunk_says_that_its_session_is_over() {
    let folder = folder();
    let grow = |store: &Store, chunks: u32| {
        while store.stats().unwrap().chunks.last().unwrap().number < chunks {
            store.put("filler", &[0_u8; 4096]).unwrap();
        }
    };
    let store = open(folder.path());
    store.put("a", &1_u64).unwrap();
    store.put("b", &1_u64).unwrap();
    let (sleepy, asleep, wake_up) = stuck_in(Call::Open, "00000001.chunk");
    let reader = attach_with(options().faults(sleepy), folder.path()).unwrap();
    let session = reader.session().unwrap();
    let mut scan = session.ordered().unwrap();
    assert_eq!(scan.next().unwrap().unwrap().key(), b"a");
    grow(&store, 1);
    store.put("b", &2_u64).unwrap();
    std::thread::scope(|scope| {
        let met = scope.spawn(|| scan.next().unwrap().map(drop));
        asleep.recv().unwrap();
        drop(store);
        let next = open(folder.path());
        grow(&next, 2);
        next.put("b", &3_u64).unwrap();
        compact_until_gone(&next, &folder.path().join("chunks/00000001.chunk"));
        wake_up.send(()).unwrap();
        let met = met.join().unwrap();
        assert!(matches!(met, Err(Error::SessionOver { .. })), "{met:?}");
    });
    assert_eq!(reader.load::<u64>("b").unwrap(), Some(3));
}
