//! Sealed objects: what nobody changes any more, in the process that writes and beside it.

use structchunk::{Compaction, Error, Found, LeftReason, Space};

use crate::common::*;
use crate::readers::{attach, process, writer};

const LARGE: u64 = 3 * LARGEST_INLINE / 8;

fn is_sealed<T>(outcome: Result<T, Error>) -> bool {
    matches!(outcome, Err(Error::Sealed { key }) if key == b"key")
}

fn findings(store: &structchunk::Store) -> Vec<String> {
    store.check_deep().unwrap().map(|finding| finding.to_string()).collect()
}

#[test]
fn every_call_that_changes_in_place_refuses_a_sealed_object_and_nothing_has_changed() {
    let folder = folder();
    let store = open(folder.path());
    store.put("key", &7_u64).unwrap();
    assert_eq!(store.is_sealed("key").unwrap(), Some(false));
    assert!(store.seal("key").unwrap() && store.seal("key").unwrap());
    assert!(!store.seal("nothing").unwrap());
    assert_eq!(store.is_sealed("key").unwrap(), Some(true));
    assert!(is_sealed(store.get_mut::<u64>("key")));
    assert!(is_sealed(store.try_get_mut::<u64>("key")));
    assert!(is_sealed(store.update("key", |_: &mut u64| panic!("it is sealed"))));
    assert!(is_sealed(store.try_update("key", |_: &mut u64| panic!("it is sealed"))));
    assert!(is_sealed(store.get_atomic::<std::sync::atomic::AtomicU64>("key")));
    assert!(is_sealed(store.raw().update(b"key")));
    assert!(is_sealed(store.raw().locate(b"key")));
    assert_eq!((store.load("key").unwrap(), *store.get::<u64>("key").unwrap().unwrap()), (Some(7_u64), 7));
    assert_eq!(findings(&store), Vec::<String>::new());
    // Another object can take its place.
    store.put("key", &8_u64).unwrap();
    assert_eq!(store.is_sealed("key").unwrap(), Some(false));
    assert!(store.update("key", |value: &mut u64| *value += 1).unwrap());
}

#[test]
fn large_objects_are_sealed_in_their_files_holes_and_all() {
    let folder = folder();
    let store = open(folder.path());
    let mut loan = store.loan_array::<u64>("key", &[100 * LARGE], Space::Sparse).unwrap();
    (loan[0], loan[70 * LARGE as usize]) = (1, 2);
    loan.publish().unwrap();
    store.put_sealed("other", &vec![3_u64; LARGE as usize][..]).unwrap();
    let files = || std::fs::read_dir(folder.path().join("chunks")).unwrap().count();
    let before = files();
    assert!(store.seal("key").unwrap());
    assert!(is_sealed(store.get_mut::<[u64]>("key")));
    for _ in 0..3 {
        store.put("tick", &1_u64).unwrap();
        store.sync().unwrap();
    }
    assert_eq!(files(), before, "no body was copied, and none was given back");
    assert_eq!(findings(&store), Vec::<String>::new());
    store.close().unwrap();
    let store = open(folder.path());
    assert_eq!(store.recovery().found, Found::Clean);
    let key = store.get::<[u64]>("key").unwrap().unwrap();
    assert_eq!((key.len() as u64, key[0], key[70 * LARGE as usize]), (100 * LARGE, 1, 2));
    assert_eq!(
        (store.is_sealed("key").unwrap(), store.is_sealed("other").unwrap()),
        (Some(true), Some(true))
    );
}

#[test]
fn what_is_sealed_stays_so_when_it_is_renamed_moved_copied_and_rebuilt() {
    let folder = folder();
    let path = folder.path().join("store");
    let store = open(&path);
    store.put_sealed("small", &SAMPLE).unwrap();
    store.put_sealed("large", &vec![5_u64; LARGE as usize][..]).unwrap();
    for index in 0..9000_u64 {
        store.put(format!("k{index}"), &index).unwrap();
    }
    for index in 0..9000_u64 {
        store.remove(format!("k{index}")).unwrap();
    }
    let place = store.entry("small").unwrap().unwrap().place();
    store.compact_with(Compaction::new().fill_ratio(0.9)).unwrap();
    assert_ne!(store.entry("small").unwrap().unwrap().place(), place);
    store.rename("small", "little").unwrap();
    store.rename("large", "big").unwrap();
    store.copy_to(folder.path().join("copy")).unwrap();
    store.close().unwrap();
    std::fs::remove_file(path.join("STORE")).unwrap();
    #[expect(unsafe_code, reason = "opens a store")]
    // SAFETY: nobody else knows the folder.
    unsafe { structchunk::Store::rebuild(&path) }.unwrap();
    for path in [path, folder.path().join("copy")] {
        let store = open(&path);
        assert_eq!(store.load("little").unwrap(), Some(SAMPLE));
        for key in ["little", "big"] {
            assert_eq!(store.is_sealed(key).unwrap(), Some(true), "{key}");
        }
        assert_eq!(findings(&store), Vec::<String>::new());
    }
}

const SAMPLE: Sample = Sample { at: 1, value: 2, kind: 3, flags: 4, pair: [5, 6] };

#[test]
fn a_deep_check_finds_that_a_sealed_object_is_another_one() {
    for large in [false, true] {
        let folder = folder();
        let store = open(folder.path());
        let words = vec![0x5ea1_5ea1_5ea1_5ea1_u64; if large { LARGE as usize } else { 8 }];
        store.put_sealed("key", &words[..]).unwrap();
        store.close().unwrap();
        let name = if large { "0000000000000000.body" } else { "00000000.chunk" };
        let file = folder.path().join("chunks").join(name);
        let mut bytes = std::fs::read(&file).unwrap();
        let at = bytes.windows(8).position(|it| it == words[0].to_le_bytes()).unwrap();
        bytes[at] ^= 1;
        std::fs::write(&file, bytes).unwrap();
        let store = open(folder.path());
        assert_eq!(store.check().unwrap().count(), 0);
        let found = findings(&store);
        assert!(found.len() == 1 && found[0].contains("its checksum differs"), "{found:?}");
    }
}

#[test]
fn a_store_with_sealed_objects_says_so_before_there_are_any() {
    let folder = folder();
    let store = open(folder.path());
    store.put("key", &1_u64).unwrap();
    let bits = || {
        let bytes = std::fs::read(folder.path().join("STORE")).unwrap();
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        let newest = if word(0x1008) > word(0x2008) { 0x1000 } else { 0x2000 };
        word(newest + 40)
    };
    assert_eq!(bits(), 0);
    store.seal("key").unwrap();
    assert_eq!(bits(), 1);
    drop(store);
    assert_eq!(open(folder.path()).load("key").unwrap(), Some(1_u64));
    assert_eq!(bits(), 1);
}

#[test]
fn a_copy_of_a_reader_that_came_before_the_first_seal_says_so_too() {
    let folder = folder();
    let path = folder.path().join("store");
    let store = open(&path);
    store.put("key", &1_u64).unwrap();
    let reader = attach(&path);
    assert_eq!(reader.load("key").unwrap(), Some(1_u64));
    store.seal("key").unwrap();
    let copy = folder.path().join("copy");
    reader.copy_to(&copy).unwrap();
    let bytes = std::fs::read(copy.join("STORE")).unwrap();
    assert_eq!((bytes[4096 + 40], bytes[8192 + 40]), (1, 1));
    assert!(is_sealed(open(&copy).get_mut::<u64>("key")));
}

#[test]
fn a_kill_loses_no_seal() {
    let folder = folder();
    let mut child = writer(folder.path());
    child.tell("put key 7");
    assert_eq!(child.tell("seal key"), "true");
    child.kill();
    let store = open(folder.path());
    assert_eq!(store.recovery().found, Found::ProcessDied);
    assert!(is_sealed(store.get_mut::<u64>("key")));
    assert_eq!(findings(&store), Vec::<String>::new());
}

#[test]
fn a_reader_refers_to_what_is_sealed_and_to_nothing_else() {
    let folder = folder();
    let mut child = writer(folder.path());
    child.tell("put key 7");
    child.tell("put_large large 5");
    let reader = attach(folder.path());
    assert!(matches!(reader.get::<u64>("key"), Err(Error::SharedStore { .. })));
    child.tell("seal key");
    child.tell("seal large");
    let (key, large) =
        (reader.get::<u64>("key").unwrap().unwrap(), reader.get::<[u64]>("large").unwrap().unwrap());
    assert_eq!((*key, &large[..]), (7, &[5; 4200][..]));
    assert!(reader.get::<u64>("nothing").unwrap().is_none());
    assert!(matches!(reader.get::<Point>("key"), Err(Error::LayoutMismatch { .. })));
    // They outlive their object, their writer, and their session.
    child.tell("put key 8");
    child.tell("remove large");
    for _ in 0..3 {
        child.tell("put tick 1");
        child.tell("sync");
    }
    child.kill();
    let store = open(folder.path());
    assert_eq!((*key, &large[..], store.load("key").unwrap()), (7, &[5; 4200][..], Some(8_u64)));
    let session = reader.session().unwrap();
    assert!(session.entry_is_shared("key"));
}

trait EntryIsShared {
    fn entry_is_shared(&self, key: &str) -> bool;
}

impl EntryIsShared for structchunk::Session {
    fn entry_is_shared(&self, key: &str) -> bool {
        let entry = self.prefix(key).unwrap().next().unwrap().unwrap();
        matches!(entry.get::<u64>(), Err(Error::SharedStore { .. }))
    }
}

#[test]
fn what_a_stopped_process_refers_to_is_neither_moved_nor_punched() {
    let folder = folder();
    let store = open_with(options().chunk_capacity(1 << 20), folder.path()).unwrap();
    // Large enough to become a hole.
    store.put_sealed("key", &vec![7_u64; 12_000][..]).unwrap();
    for index in 0..30 {
        store.put(format!("waste/{index}"), &vec![1_u8; 50_000][..]).unwrap();
    }
    let mut reader = process(folder.path());
    assert_eq!(reader.tell("attach"), "ok");
    assert_eq!(reader.tell("refer key"), "ok");
    reader.signal(rustix::process::Signal::STOP);
    let compact = || store.compact_with(Compaction::new().fill_ratio(1.0)).unwrap().left_chunks;
    for index in 0..30 {
        store.remove(format!("waste/{index}")).unwrap();
    }
    assert!(compact().contains(&(0, LeftReason::Held)));
    store.put("key", &1_u64).unwrap();
    for _ in 0..4 {
        store.put("tick", &1_u64).unwrap();
        store.sync().unwrap();
    }
    reader.signal(rustix::process::Signal::CONT);
    assert_eq!(reader.tell("sum_reference"), (7 * 12_000).to_string());
    assert_eq!(reader.tell("end_reference"), "ok");
    assert_eq!(compact(), []);
}

#[test]
fn a_failed_sync_does_not_take_back_what_somebody_refers_to() {
    use structchunk::testing::{Call, Fault, Faults};
    let (folder, faults) = (folder(), Faults::recorded());
    let store = open_with(options().faults(faults.clone()), folder.path()).unwrap();
    store.put("key", &1_u64).unwrap();
    store.sync().unwrap();
    store.put_sealed("key", &2_u64).unwrap();
    let reader = attach(folder.path());
    let reference = reader.get::<u64>("key").unwrap().unwrap();
    faults.plan(Fault::nth(1, libc::EIO).of(Call::Sync));
    assert!(store.sync().is_err());
    drop(store);
    let refused = open_with(options(), folder.path());
    assert!(matches!(refused, Err(Error::Locked { .. })), "{refused:?}");
    assert_eq!(*reference, 2);
    drop(reference);
    let store = open(folder.path());
    assert_eq!((store.recovery().found, store.load("key").unwrap()), (Found::MachineDied, Some(1_u64)));
}

#[test]
fn a_failed_sync_does_not_take_back_the_seal_of_a_body_that_somebody_refers_to() {
    use structchunk::testing::{Call, Fault, Faults};
    let (folder, faults) = (folder(), Faults::recorded());
    let store = open_with(options().faults(faults.clone()), folder.path()).unwrap();
    store.put("key", &vec![1_u64; LARGE as usize][..]).unwrap();
    store.put_sealed("kept", &vec![3_u64; LARGE as usize][..]).unwrap();
    store.sync().unwrap();
    let reader = attach(folder.path());
    // One whose seal is durable is in nobody's way.
    let kept = reader.get::<[u64]>("kept").unwrap().unwrap();
    store.seal("key").unwrap();
    let reference = reader.get::<[u64]>("key").unwrap().unwrap();
    faults.plan(Fault::nth(1, libc::EIO).of(Call::Sync));
    assert!(store.sync().is_err());
    drop(store);
    for options in [options(), options().trust_page_cache(false)] {
        let refused = open_with(options, folder.path());
        assert!(matches!(refused, Err(Error::Locked { .. })), "{refused:?}");
    }
    assert_eq!(reference[..], [1; LARGE as usize]);
    drop(reference);
    let store = open(folder.path());
    assert_eq!((store.recovery().found, store.is_sealed("key").unwrap()), (Found::MachineDied, Some(false)));
    store.get_mut::<[u64]>("key").unwrap().unwrap()[0] = 2;
    assert_eq!((store.is_sealed("kept").unwrap(), kept[0]), (Some(true), 3));
}

#[test]
fn a_recovery_that_takes_nothing_sealed_back_does_not_wait_for_views_of_atomics() {
    let folder = folder();
    let store = open(folder.path());
    store.put("key", &Counter::default()).unwrap();
    store.put_sealed("sealed", &1_u64).unwrap();
    store.sync().unwrap();
    store.put("late", &1_u64).unwrap();
    let reader = attach(folder.path());
    let session = reader.session().unwrap();
    let view = session.atomic::<Counter>("key").unwrap().unwrap();
    drop(store);
    let store = open_with(options().trust_page_cache(false), folder.path()).unwrap();
    assert_eq!((store.recovery().found, store.contains("late").unwrap()), (Found::MachineDied, false));
    assert!(matches!(view.load(), Err(Error::SessionOver { .. })));
}

#[test]
fn without_a_file_of_locks_nobody_refers_to_anything() {
    let folder = folder();
    let store = open(folder.path());
    store.put_sealed("key", &1_u64).unwrap();
    store.put_sealed("large", &vec![1_u64; LARGE as usize][..]).unwrap();
    store.close().unwrap();
    std::fs::remove_file(folder.path().join("LOCK")).unwrap();
    let reader = attach(folder.path());
    assert!(matches!(reader.get::<u64>("key"), Err(Error::SharedStore { .. })));
    assert!(matches!(reader.get::<[u64]>("large"), Err(Error::SharedStore { .. })));
    assert_eq!(reader.load("key").unwrap(), Some(1_u64));
}

#[test]
fn a_sealed_object_whose_version_is_odd_stays_sealed_whoever_comes() {
    use std::os::unix::fs::FileExt;
    for (shared, large) in [(false, false), (false, true), (true, false), (true, true)] {
        let folder = folder();
        let path = folder.path().join("store");
        let open = || open_with(options().shared_mutation(shared), &path).unwrap();
        let store = open();
        let words = vec![7_u64; if large { LARGE as usize } else { 1 }];
        store.put_sealed("key", &words[..]).unwrap();
        let (chunk, bytes) = store.entry("key").unwrap().unwrap().place();
        drop(store);
        let file = path.join(format!("chunks/{chunk:08x}.chunk"));
        let file = std::fs::File::options().read(true).write(true).open(file).unwrap();
        let mut version = [0];
        file.read_exact_at(&mut version, bytes.start + 24).unwrap();
        file.write_all_at(&[version[0] | 1], bytes.start + 24).unwrap();
        let reader = attach(&path);
        assert_eq!(reader.load::<[u64; 1]>("key").is_ok(), !large);
        assert!(matches!(reader.get::<[u64]>("key"), Err(Error::Corrupt { .. })), "no reference to it");
        // A recovery, which ends what the dead have begun; a copy; a scan; a move.
        let store = open();
        assert_eq!((store.recovery().found, store.recovery().torn.len()), (Found::ProcessDied, 0));
        assert_eq!(reader.copy_to(folder.path().join("beside")).unwrap().torn.len(), 0);
        assert_eq!(store.copy_to(folder.path().join("copy")).unwrap().torn.len(), 0);
        assert_eq!(store.entry("key").unwrap().unwrap().bytes(8).unwrap(), 7_u64.to_le_bytes());
        assert!(store.rename("key", "other").unwrap() && store.rename("other", "key").unwrap());
        assert!(is_sealed(store.update("key", |_: &mut [u64; 1]| panic!("it is sealed"))) || large);
        assert!(is_sealed(store.raw().update(b"key")));
        assert_eq!(store.get::<[u64]>("key").unwrap().unwrap()[..], words);
        let odd = "the object is sealed, and its version is odd";
        assert!(findings(&store).iter().any(|finding| finding.contains(odd)), "{:?}", findings(&store));
        store.close().unwrap();
        for name in ["store", "beside", "copy"] {
            let store = open_with(options(), folder.path().join(name)).unwrap();
            assert_eq!(store.is_sealed("key").unwrap(), Some(true), "{name}");
            assert_eq!(store.get::<[u64]>("key").unwrap().unwrap()[..], words, "{name}");
        }
    }
}

#[test]
fn a_rebuild_without_the_file_that_tells_of_seals_does_not_take_one_back_that_somebody_refers_to() {
    use std::os::unix::fs::FileExt;
    for damaged in [true, false] {
        let folder = folder();
        let store = open(folder.path());
        // The chunk's header says what there was when it was made: nothing sealed.
        store.put("key", &vec![1_u64; LARGE as usize][..]).unwrap();
        store.seal("key").unwrap();
        let (chunk, bytes) = store.entry("key").unwrap().unwrap().place();
        // (A damaged record at the end would be the end.)
        store.put("last", &1_u64).unwrap();
        let reader = attach(folder.path());
        let reference = reader.get::<[u64]>("key").unwrap().unwrap();
        drop(store);
        std::fs::remove_file(folder.path().join("STORE")).unwrap();
        if damaged {
            let file = folder.path().join(format!("chunks/{chunk:08x}.chunk"));
            let file = std::fs::File::options().write(true).open(file).unwrap();
            file.write_all_at(&[0x5a; 8], bytes.start + 8).unwrap();
        }
        let rebuild = || {
            #[expect(unsafe_code, reason = "opens a store")]
            // SAFETY: nobody else knows the folder, but for the reader.
            unsafe {
                options().rebuild(folder.path())
            }
        };
        if damaged {
            let refused = rebuild();
            assert!(matches!(refused, Err(Error::Locked { .. })), "{refused:?}");
            drop(reference);
            rebuild().unwrap();
        } else {
            // The seal stays: nobody has to wait.
            rebuild().unwrap();
            assert_eq!(reference[..], [1; LARGE as usize]);
        }
        let store = open(folder.path());
        assert_eq!(store.is_sealed("key").unwrap(), Some(!damaged));
    }
}
