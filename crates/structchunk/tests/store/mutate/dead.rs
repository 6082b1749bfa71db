//! Processes that die or stop while they change an object.

use rustix::process::Signal;
use structchunk::testing::{Call, Event, Faults};
use structchunk::{Compaction, Error, Found};

use super::{attach, mutator, shared};
use crate::common::*;
use crate::readers::{process, writer};

fn is_torn<T>(outcome: structchunk::Result<T>) -> bool {
    matches!(outcome, Err(Error::Torn { key }) if key == b"key")
}

fn is_busy<T>(outcome: structchunk::Result<T>) -> bool {
    matches!(outcome, Err(Error::Busy { key }) if key == b"key")
}

#[test]
fn what_a_killed_process_was_changing_is_torn_until_somebody_mends_it() {
    let folder = folder();
    let store = shared(folder.path());
    store.put("key", &7_u64).unwrap();
    let mut child = mutator(folder.path());
    assert_eq!(child.tell("dwell key"), "dwelling");
    child.kill();
    let (reader, beside) = (crate::readers::attach(folder.path()), attach(folder.path()).unwrap());
    assert!(is_torn(store.load::<u64>("key")) && is_torn(reader.load::<u64>("key")));
    assert!(is_torn(beside.load::<u64>("key")) && is_torn(beside.update("key", |_: &mut u64| {})));
    assert!(is_torn(store.update("key", |_: &mut u64| {})));
    assert!(is_torn(store.replace("key", &1_u64)) && is_torn(store.take::<u64>("key")));
    assert!(is_torn(store.rename("key", "other")) && is_torn(store.seal("key")));
    let copies =
        [store.load_torn("key"), reader.session().unwrap().load_torn("key"), beside.load_torn("key")];
    assert_eq!(copies.map(Result::unwrap), [Some(7_u64); 3]);
    // Who panics over it leaves it torn.
    let panicking = || beside.mend("key", |_: &mut u64| panic!("in the middle"));
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(panicking)).is_err());
    assert!(is_torn(store.load::<u64>("key")));
    assert!(beside.mend("key", |value: &mut u64| *value += 1).unwrap());
    assert!(!beside.mend("key", |_: &mut u64| panic!("it is whole")).unwrap());
    assert!(!store.mend("key", |_: &mut u64| panic!("it is whole")).unwrap());
    assert_eq!((store.load("key").unwrap(), reader.load("key").unwrap()), (Some(8_u64), Some(8_u64)));
}

#[test]
fn the_writer_mends_and_replaces_what_is_torn() {
    let folder = folder();
    let store = shared(folder.path());
    for key in ["key", "other"] {
        store.put(key, &7_u64).unwrap();
        let mut child = mutator(folder.path());
        assert_eq!(child.tell(&format!("dwell {key}")), "dwelling");
        child.kill();
    }
    assert!(store.mend("key", |value: &mut u64| *value = 1).unwrap());
    store.put("other", &2_u64).unwrap();
    assert_eq!((store.load("key").unwrap(), store.load("other").unwrap()), (Some(1_u64), Some(2_u64)));
}

#[test]
fn what_a_stopped_process_is_changing_is_busy_and_goes_on() {
    let folder = folder();
    let store = shared(folder.path());
    store.put("key", &7_u64).unwrap();
    let mut child = mutator(folder.path());
    assert_eq!(child.tell("dwell key"), "dwelling");
    child.signal(Signal::STOP);
    let (reader, beside) = (crate::readers::attach(folder.path()), attach(folder.path()).unwrap());
    assert!(is_busy(store.load::<u64>("key")) && is_busy(reader.load::<u64>("key")));
    assert!(is_busy(store.update("key", |_: &mut u64| {})) && is_busy(store.put("key", &1_u64)));
    assert!(
        is_busy(store.remove("key")) && is_busy(store.rename("key", "other")) && is_busy(store.seal("key"))
    );
    let mut batch = store.batch();
    batch.put("key", &1_u64).unwrap();
    batch.put("new", &1_u64).unwrap();
    assert!(is_busy(batch.commit()) && !store.contains("new").unwrap());
    assert!(is_busy(beside.try_update("key", |_: &mut u64| {})) && is_busy(beside.load_torn::<u64>("key")));
    assert!(is_busy(beside.mend("key", |_: &mut u64| {})) && is_busy(store.mend("key", |_: &mut u64| {})));
    child.signal(Signal::CONT);
    assert_eq!(child.tell("go on"), "true");
    assert_eq!(store.load("key").unwrap(), Some(8_u64));
    store.put("key", &1_u64).unwrap();
}

#[test]
fn the_slot_of_a_dead_process_is_used_again_and_what_it_left_stays_torn() {
    let folder = folder();
    let store = shared(folder.path());
    store.put("key", &7_u64).unwrap();
    let mut child = mutator(folder.path());
    assert_eq!(child.tell("dwell key"), "dwelling");
    child.kill();
    // The first free slot is the dead one's; alive, and of another generation.
    let mut next = mutator(folder.path());
    assert!(is_torn(store.load::<u64>("key")));
    let answer = next.tell("set key 1");
    assert!(answer.starts_with("error: ") && answer.contains("half changed"), "{answer}");
}

#[test]
fn mutators_go_on_without_the_writer_and_through_the_recovery_of_the_next_one() {
    let folder = folder();
    let mut first = process(folder.path());
    assert_eq!(first.tell("open_shared"), "ok");
    first.tell("put key 1");
    first.tell("put torn 1");
    first.tell("put_counter counter");
    let mut child = mutator(folder.path());
    assert_eq!(child.tell("hold_counter counter"), "ok");
    let mut dead = mutator(folder.path());
    assert_eq!(dead.tell("dwell torn"), "dwelling");
    first.kill();
    dead.kill();
    assert_eq!(child.tell("set key 2"), "true");
    assert_eq!(child.tell("dwell key"), "dwelling");
    let store = open(folder.path());
    assert_eq!(store.recovery().found, Found::ProcessDied);
    assert_eq!(store.recovery().torn, [b"torn".to_vec()], "what somebody living is at is not torn");
    assert!(is_busy(store.load::<u64>("key")));
    assert_eq!(store.load("torn").unwrap(), Some(1_u64));
    assert_eq!(child.tell("go on"), "true");
    assert_eq!(store.load("key").unwrap(), Some(3_u64));
    assert_eq!(child.tell("hit_held 5"), "ok");
    assert_eq!(child.tell("add key 10"), "ok");
    assert_eq!(store.load("key").unwrap(), Some(13_u64));
    assert_eq!(store.load::<Counter>("counter").unwrap().unwrap().hits.into_inner(), 5);
    assert_eq!(store.check_deep().unwrap().count(), 0);
}

#[test]
fn a_store_that_is_closed_under_mutators_is_recovered_and_one_without_is_clean() {
    let folder = folder();
    for stays in [true, false] {
        let store = shared(folder.path());
        store.put("key", &1_u64).unwrap();
        let mut child = mutator(folder.path());
        assert_eq!(child.tell("add key 1"), "ok");
        if !stays {
            assert_eq!(child.tell("detach_mut"), "ok");
        }
        store.close().unwrap();
        if stays {
            assert_eq!(child.tell("add key 1"), "ok");
        }
        child.kill();
        let store = open(folder.path());
        let (found, value) = if stays { (Found::ProcessDied, 3_u64) } else { (Found::Clean, 2) };
        assert_eq!((store.recovery().found, store.load("key").unwrap()), (found, Some(value)));
        store.close().unwrap();
    }
}

#[test]
fn a_writer_takes_nothing_back_while_others_change_objects() {
    use structchunk::testing::{Call, Fault, Faults};
    let (folder, faults) = (folder(), Faults::recorded());
    let store = open_with(options().shared_mutation(true).faults(faults.clone()), folder.path()).unwrap();
    store.put("key", &1_u64).unwrap();
    store.put("counter", &Counter::default()).unwrap();
    store.sync().unwrap();
    store.put("late", &2_u64).unwrap();
    let mut child = mutator(folder.path());
    assert_eq!(child.tell("add late 1"), "ok");
    let beside = attach(folder.path()).unwrap();
    let mut begun = beside.raw().try_update(b"key").unwrap().unwrap();
    faults.plan(Fault::nth(1, libc::EIO).of(Call::Sync));
    assert!(store.sync().is_err());
    assert!(matches!(begun.commit(), Err(Error::Poisoned { .. })));
    assert!(matches!(beside.update("key", |_: &mut u64| {}), Err(Error::Poisoned { .. })));
    assert!(matches!(beside.raw().try_atomics(b"key"), Err(Error::Poisoned { .. })));
    let session = beside.session().unwrap();
    assert!(matches!(session.get_atomic::<Counter>("counter"), Err(Error::Poisoned { .. })));
    drop((session, beside));
    drop(store);
    let refused = open_with(options(), folder.path());
    assert!(matches!(refused, Err(Error::Locked { .. })), "{refused:?}");
    child.kill();
    let store = open(folder.path());
    assert_eq!((store.recovery().found, store.load::<u64>("late").unwrap()), (Found::MachineDied, None));
}

/// Syncs; whether there was anything to be made durable. (With nothing marked, a sync does nothing at all.)
fn syncs(store: &structchunk::Store) -> u64 {
    let generation = || {
        let bytes = std::fs::read(store.path().join("STORE")).unwrap();
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        word(0x1008).max(word(0x2008))
    };
    let before = generation();
    store.sync().unwrap();
    generation() - before
}

#[test]
fn a_change_that_ends_after_a_recovery_is_in_the_next_sync() {
    let folder = folder();
    let store = shared(folder.path());
    store.put("key", &1_u64).unwrap();
    store.put("large", &vec![1_u64; 9000][..]).unwrap();
    let mut children = [mutator(folder.path()), mutator(folder.path())];
    assert_eq!(children[0].tell("dwell key"), "dwelling");
    assert_eq!(children[1].tell("dwell_words large"), "dwelling");
    drop(store);
    let store = open(folder.path());
    assert_eq!(store.recovery().found, Found::ProcessDied);
    for child in &mut children {
        assert_eq!((syncs(&store), syncs(&store)), (1, 1), "as long as somebody is at it");
        assert_eq!(child.tell("go on"), "true");
    }
    assert_eq!((syncs(&store), syncs(&store)), (1, 0));
    assert_eq!(store.load("key").unwrap(), Some(2_u64));
}

#[test]
fn what_has_returned_before_a_sync_survives_the_loss_of_everything_later() {
    let folder = folder();
    let path = folder.path().join("store");
    let store = open_with(options().shared_mutation(true), &path).unwrap();
    store.put("key", &1_u64).unwrap();
    store.put("large", &vec![1_u64; 9000][..]).unwrap();
    store.put("counter", &Counter::default()).unwrap();
    store.sync().unwrap();
    let beside = attach(&path).unwrap();
    // The writer cannot know; the marks tell it.
    let syncs = || syncs(&store);
    while syncs() > 0 {}
    assert!(beside.update("key", |value: &mut u64| *value += 1).unwrap());
    assert_eq!((syncs(), syncs()), (1, 0));
    assert!(beside.update("large", |large: &mut [u64]| large.fill(2)).unwrap());
    assert_eq!((syncs(), syncs()), (1, 0));
    let session = beside.session().unwrap();
    let counter = session.get_atomic::<Counter>("counter").unwrap().unwrap();
    assert_eq!((syncs(), syncs()), (1, 1), "as long as somebody may change it");
    drop(counter);
    assert_eq!((syncs(), syncs()), (1, 0));
}

/// What gives the record of an object another place.
type Move = fn(&structchunk::Store);

#[test]
fn a_large_object_that_another_process_has_changed_is_synced_wherever_its_record_goes_before_that() {
    let folder = folder();
    let path = folder.path().join("store");
    let faults = Faults::recorded();
    let store = open_with(options().shared_mutation(true).faults(faults.clone()), &path).unwrap();
    store.put("large", &vec![1_u64; 9000][..]).unwrap();
    let beside = attach(&path).unwrap();
    let moves: [(&str, Move); 3] = [
        ("where it was", |_| {}),
        ("renamed", |store| {
            assert!(store.rename("large", "other").unwrap() && store.rename("other", "large").unwrap());
        }),
        ("moved", |store| {
            assert!(store.compact_with(Compaction::new().fill_ratio(1.0)).unwrap().moved_objects > 0);
        }),
    ];
    for (what, go) in moves {
        // Its new record is to be in another chunk.
        let active = || store.stats().unwrap().chunks.last().unwrap().number;
        let before = active();
        while active() == before {
            store.put("filler", &[0_u8; 4096]).unwrap();
        }
        while syncs(&store) > 0 {}
        assert!(beside.update("large", |large: &mut [u64]| large[0] += 1).unwrap());
        faults.forget();
        go(&store);
        store.sync().unwrap();
        let synced = |event: &Event| event.call == Call::Sync && event.file.contains(".body");
        assert!(faults.trace().iter().any(synced), "{what}");
    }
}

#[test]
fn a_mutator_of_a_writer_that_was_killed_is_told_when_the_store_is_closed_for_good() {
    let folder = folder();
    let mut first = writer_of_shared(folder.path());
    first.tell("put key 1");
    let beside = attach(folder.path()).unwrap();
    first.kill();
    drop(beside);
    let store = open(folder.path());
    store.close().unwrap();
    assert!(matches!(attach(folder.path()), Err(Error::NoWriter { .. })));
    drop(writer(folder.path()));
}

fn writer_of_shared(path: &std::path::Path) -> crate::process::Told {
    let mut child = process(path);
    assert_eq!(child.tell("open_shared"), "ok");
    child
}

#[test]
fn a_store_that_is_closed_in_the_middle_of_mending_lets_nobody_in_and_does_not_count_as_clean() {
    let folder = folder();
    let store = shared(folder.path());
    store.put("key", &7_u64).unwrap();
    let mut child = mutator(folder.path());
    assert_eq!(child.tell("dwell key"), "dwelling");
    child.kill();
    let other = store.clone();
    let outcome = store.mend("key", |value: &mut u64| {
        *value = 1;
        other.close().unwrap();
        assert!(matches!(open_with(options(), folder.path()), Err(Error::Locked { .. })));
    });
    assert!(matches!(outcome, Err(Error::Closed)), "{outcome:?}");
    let store = open(folder.path());
    assert_eq!(
        (store.recovery().found, &store.recovery().torn[..]),
        (Found::ProcessDied, &[b"key".to_vec()][..])
    );
    assert_eq!(store.load("key").unwrap(), Some(7_u64));
}

#[test]
fn a_large_object_whose_file_is_missing_keeps_no_sync_from_its_end() {
    let folder = folder();
    let store = shared(folder.path());
    store.put("lost", &vec![1_u64; 9000][..]).unwrap();
    store.put("large", &vec![1_u64; 9000][..]).unwrap();
    store.close().unwrap();
    std::fs::remove_file(folder.path().join("chunks/0000000000000000.body")).unwrap();
    let store = open(folder.path());
    let beside = attach(folder.path()).unwrap();
    assert!(beside.update("large", |large: &mut [u64]| large.fill(2)).unwrap());
    store.sync().unwrap();
    drop(beside);
    store.close().unwrap();
    let store = open(folder.path());
    assert_eq!(store.recovery().found, Found::Clean);
    assert!(store.entry("large").unwrap().unwrap().bytes(8).unwrap() == 2_u64.to_le_bytes());
}

#[test]
fn a_recovery_that_takes_records_back_waits_for_mutators_and_not_for_those_that_wait_for_it() {
    let folder = folder();
    let store = shared(folder.path());
    store.put("key", &1_u64).unwrap();
    store.sync().unwrap();
    let mut child = mutator(folder.path());
    store.put("late", &1_u64).unwrap();
    drop(store);
    let patient = options().busy_timeout(std::time::Duration::from_secs(20));
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| open_with(patient.trust_page_cache(false), folder.path()));
        std::thread::sleep(std::time::Duration::from_millis(200));
        let beside = scope.spawn(|| super::attach_patiently(folder.path()));
        std::thread::sleep(std::time::Duration::from_millis(200));
        assert!(!writer.is_finished() && !beside.is_finished());
        let begun = std::time::Instant::now();
        assert_eq!(child.tell("detach_mut"), "ok");
        let (store, beside) = (writer.join().unwrap().unwrap(), beside.join().unwrap().unwrap());
        assert!(begun.elapsed() < std::time::Duration::from_secs(10), "the two wait for each other");
        assert_eq!((store.recovery().found, store.contains("late").unwrap()), (Found::MachineDied, false));
        assert!(beside.update("key", |value: &mut u64| *value += 1).unwrap());
        assert_eq!(store.load("key").unwrap(), Some(2_u64));
    });
}

#[test]
fn who_dies_while_a_recovery_is_under_way_leaves_its_object_torn_and_not_made_whole_unseen() {
    use std::os::unix::fs::FileExt;
    let folder = folder();
    let store = shared(folder.path());
    store.put("key", &1_u64).unwrap();
    store.put("damaged", &1_u64).unwrap();
    store.put("counters", &[1_u64; 9000]).unwrap();
    store.put_sealed("sealed", &1_u64).unwrap();
    let (chunk, bytes) = store.entry("damaged").unwrap().unwrap().place();
    let beside = attach(folder.path()).unwrap();
    let session = beside.session().unwrap();
    let counters = session.get_atomic::<[std::sync::atomic::AtomicU64; 9000]>("counters").unwrap().unwrap();
    let mut child = mutator(folder.path());
    assert_eq!(child.tell("dwell key"), "dwelling");
    drop(store);
    // Where something is damaged, a recovery waits for who refers to large objects: they may take them for sealed.
    let file = folder.path().join(format!("chunks/{chunk:08x}.chunk"));
    let file = std::fs::File::options().write(true).open(file).unwrap();
    file.write_all_at(&[0xff; 8], bytes.start).unwrap();
    let patient = options().busy_timeout(std::time::Duration::from_secs(20));
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| open_with(patient, folder.path()));
        std::thread::sleep(std::time::Duration::from_millis(300));
        assert!(!writer.is_finished());
        child.kill();
        drop(counters);
        let store = writer.join().unwrap().unwrap();
        assert!(store.recovery().damaged && store.recovery().torn.is_empty());
        assert!(is_torn(store.load::<u64>("key")));
        assert!(store.mend("key", |value: &mut u64| *value = 2).unwrap());
        assert_eq!(store.load("key").unwrap(), Some(2_u64));
    });
}
