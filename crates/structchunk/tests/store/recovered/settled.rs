//! What a recovery leaves behind for the session after it: even versions, numbers, features, the epoch.

use std::os::unix::fs::FileExt;

use structchunk::Sparse;
use structchunk::testing::{Call, Fault, Faults};

use super::*;
use crate::craft::{Log, OBJECT, Record};
use crate::process::Told;
use crate::readers::{attach, writer};

/// Words of `shared`, by their numbers.
const NEXT_CHUNK: usize = 9;
const NEXT_BODY: usize = 10;

fn version(file: &[u8], at: u64) -> u32 {
    let word = file[at as usize + 24..][..4].try_into().expect("4 bytes");
    u32::from_le_bytes(word)
}

#[test]
fn versions_that_were_odd_are_even_afterwards_and_only_what_is_current_is_told_as_torn() {
    let folder = folder();
    let chunk = folder.path().join("chunks/00000000.chunk");
    let store = open(folder.path());
    let place = |key: &str| store.entry(key).expect("a look-up").expect("it was put").place().1.start;
    store.put("current", &1_u64).expect("put");
    store.put("superseded", &2_u64).expect("put");
    let places = [place("current"), place("superseded")];
    store.put("superseded", &3_u64).expect("put");
    store.sync().expect("sync");
    drop(store);
    // As if the process had died in the middle of changing both, one of which somebody else has put since.
    let file = fs::OpenOptions::new().write(true).open(&chunk).expect("a chunk");
    for at in places {
        file.write_all_at(&[3], at + 24).expect("written");
    }
    let store = open(folder.path());
    assert_eq!(store.recovery().torn, [b"current".to_vec()], "{:?}", store.recovery());
    assert_eq!(store.load::<u64>("current").expect("it stands still"), Some(1));
    let file = fs::read(&chunk).expect("a chunk");
    assert_eq!(places.map(|at| version(&file, at) % 2), [0, 0]);
    // The next one finds nothing of it.
    drop(store);
    assert_eq!(open(folder.path()).recovery().torn, Vec::<Vec<u8>>::new());
}

#[test]
fn numbers_go_on_above_those_that_a_dead_process_had_given_out() {
    let folder = folder();
    let store = open(folder.path());
    store.put("body", &[5_u64; 20_000]).expect("put");
    store.sync().expect("sync");
    // Nothing but `shared` knows of this one.
    drop(store.loan_slice::<u64>("never", 20_000).expect("a loan"));
    drop(store);
    let chunks = folder.path().join("chunks");
    let store = open(folder.path());
    assert_eq!(store.recovery().found, Found::ProcessDied);
    store.put("other", &[5_u64; 20_000]).expect("put");
    assert!(chunks.join("0000000000000002.body").exists() && !chunks.join("0000000000000001.body").exists());
    store.sync().expect("sync");
    drop(store);
    // Chunks that are gone without a trace, and bodies, as many as one likes.
    let mut shared = fs::read(folder.path().join("shared")).expect("shared");
    for (word, value) in [(NEXT_CHUNK, 0x31_u64), (NEXT_BODY, 0x32)] {
        shared[8 * word..][..8].copy_from_slice(&value.to_le_bytes());
    }
    fs::write(folder.path().join("shared"), shared).expect("shared");
    let store = open(folder.path());
    assert_eq!(store.recovery().found, Found::ProcessDied);
    two_chunks(&store);
    store.put("last", &[5_u64; 20_000]).expect("put");
    assert!(chunks.join("00000031.chunk").exists() && chunks.join("0000000000000032.body").exists());
}

#[test]
fn a_recovery_that_gave_something_up_raises_the_epoch_and_one_that_did_not_leaves_it() {
    for damaged in [false, true] {
        let folder = folder();
        let store = open(folder.path());
        store.put("first", &1_u64).expect("put");
        let at = store.entry("first").expect("a look-up").expect("it was put").place().1.start;
        store.put("second", &2_u64).expect("put");
        let before = store.stats().expect("stats").epoch;
        drop(store);
        if damaged {
            poke(&folder.path().join("chunks/00000000.chunk"), at as usize, &[0xff; 4]);
        }
        let store = open(folder.path());
        let report = store.recovery();
        assert_eq!((report.found, report.dropped.is_empty()), (Found::ProcessDied, !damaged), "{report:?}");
        assert_eq!(store.stats().expect("stats").epoch - before, u64::from(damaged));
    }
}

#[test]
fn what_lies_behind_the_end_with_a_sequence_of_long_ago_is_wiped_and_not_told_as_a_record() {
    for (sequence, told) in [(1, false), (1 << 20, true)] {
        let folder = folder();
        let store = open(folder.path());
        (0..9_u64).for_each(|key| store.put(key.to_le_bytes(), &key).expect("put"));
        store.close().expect("close");
        let log = Log::of(folder.path());
        let mut old = Record::new(OBJECT, b"old", 1, &[7; 8]);
        old.sequence = Some(sequence);
        let bytes = old.bytes(&log.uuid, log.head as u64 / 16, sequence);
        // So that there is something to recover.
        let store = open(folder.path());
        store.update(0_u64.to_le_bytes(), |number: &mut u64| *number = 5).expect("update");
        drop(store);
        poke(&folder.path().join("chunks/00000000.chunk"), log.head, &bytes);
        let store = open(folder.path());
        let report = store.recovery();
        assert_eq!(report.dropped.iter().any(|it| it.contains("behind the end")), told, "{report:?}");
        let file = fs::read(folder.path().join("chunks/00000000.chunk")).expect("a chunk");
        assert!(file[log.head..].iter().all(|byte| *byte == 0), "it is wiped");
        assert_eq!(store.load::<u64>(8_u64.to_le_bytes()).expect("load"), Some(8));
    }
}

#[test]
fn readers_join_a_session_that_began_with_a_recovery_which_raised_the_epoch() {
    let folder = folder();
    let path = folder.path().join("store");
    let store = open(&path);
    store.put("first", &1_u64).expect("put");
    let at = store.entry("first").expect("a look-up").expect("it was put").place().1.start;
    store.put("second", &2_u64).expect("put");
    drop(store);
    poke(&path.join("chunks/00000000.chunk"), at as usize, &[0xff; 4]);
    let mut child: Told = writer(&path);
    let reader = attach(&path);
    assert!(reader.session().expect("a session").is_shared(), "the views of the writer serve");
    assert_eq!(child.tell("put third 3"), "ok");
    assert_eq!(reader.load::<u64>("third").expect("load"), Some(3));
}

#[test]
fn a_store_whose_files_grow_in_steps_does_so_after_a_recovery() {
    let folder = folder();
    let steps = || options().sparse(Sparse::Never);
    let store = open_with(steps(), folder.path()).expect("open");
    store.put("k", &1_u64).expect("put");
    drop(store);
    // The second opening goes by what the recovery of the first one has written.
    for _ in 0..2 {
        let store = open(folder.path());
        assert_eq!(store.recovery().found, Found::ProcessDied);
        store.put("k", &1_u64).expect("put");
    }
    let store = open(folder.path());
    two_chunks(&store);
    let made = fs::metadata(folder.path().join("chunks/00000001.chunk")).expect("a chunk");
    assert!(made.len() < CHUNK_BYTES, "{} bytes", made.len());
}

#[test]
fn the_chunk_that_is_appended_to_stays_mapped_after_an_open() {
    let folder = folder();
    let store = open(folder.path());
    let keys = two_chunks(&store);
    store.close().expect("close");
    let faults = Faults::recorded();
    let store = open_with(options().mapped_limit(0).faults(faults.clone()), folder.path()).expect("open");
    // Everything else is mapped anew when it is used, which lets go of what is not.
    assert!(store.contains(&keys[0]).expect("a look-up") && store.contains(&keys[1]).expect("a look-up"));
    faults.plan(Fault::nth(1, libc::ENOMEM).of(Call::Map).on("00000001.chunk").from_then_on());
    store.put("late", &1_u64).expect("its chunk is there");
    let mut batch = store.batch();
    batch.put("later", &2_u64).expect("put");
    batch.commit().expect("a batch");
    faults.heal();
    assert_eq!(store.load::<u64>("later").expect("load"), Some(2));
}

#[test]
fn a_seal_names_the_first_record_of_the_log_and_not_one_that_lies_behind_its_end() {
    let folder = folder();
    let chunk = folder.path().join("chunks/00000000.chunk");
    open(folder.path()).close().expect("close");
    let log = Log::of(folder.path());
    assert_eq!(log.head, PAGE, "there are no records");
    poke(&chunk, PAGE, &Record::new(OBJECT, b"none", 1, &[7; 8]).bytes(&log.uuid, PAGE as u64 / 16, 1 << 20));
    let store = open(folder.path());
    assert!(store.is_empty());
    two_chunks(&store);
    // The first sequence in the seal.
    let mut file = fs::read(&chunk).expect("a chunk");
    assert_eq!(Sector(&mut file[512..1024]).u64(24), 1);
    assert_eq!(store.check_deep().expect("a check").count(), 0);
}

#[test]
fn what_a_recovery_has_wiped_and_mended_is_durable_before_its_checkpoint_is() {
    let folder = folder();
    let store = open(folder.path());
    store.put("k", &1_u64).expect("put");
    drop(store);
    let faults = Faults::recorded();
    let store = open_with(options().faults(faults.clone()), folder.path()).expect("open");
    assert_eq!(store.recovery().found, Found::ProcessDied);
    let events: Vec<_> = faults.trace().iter().map(ToString::to_string).collect();
    let last = |event: &str| {
        events.iter().rposition(|it| it == event).unwrap_or_else(|| panic!("{event}: {events:#?}"))
    };
    let (wiped, durable) = (last("Punch 00000000.chunk"), last("Sync 00000000.chunk"));
    let checkpoint = events.iter().position(|it| it == "Write STORE").expect("a checkpoint");
    assert!(wiped < durable && durable < checkpoint && last("SyncFolder chunks") < checkpoint, "{events:#?}");
}

#[test]
fn a_recovery_still_knows_which_chunks_had_left_the_log() {
    let folder = folder();
    let (path, left) = (folder.path().join("store"), folder.path().join("left"));
    let faults = Faults::recorded();
    let store = open_with(options().faults(faults.clone()), &path).expect("open");
    let keys = two_chunks(&store);
    for key in keys {
        assert!(store.remove(key).expect("remove"));
    }
    // As if the process died before the file went, but after the checkpoint without it.
    let (from, to) = (path, left.clone());
    faults.watch(move |event| {
        if event.to_string() == "Remove 00000000.chunk" {
            copy_folder(&from, &to);
        }
    });
    assert_eq!(store.compact().expect("a compaction").dropped_chunks.len(), 1);
    // It goes with the first sync of a session; these have none.
    for _ in 0..3 {
        assert!(left.join("chunks/00000000.chunk").exists());
        assert!(open(&left).is_empty());
    }
    let store = open(&left);
    store.put("k", &1_u64).expect("put");
    (0..2).for_each(|_| store.sync().expect("sync"));
    assert!(!left.join("chunks/00000000.chunk").exists());
}
