//! Words that no process of ours has written.

use std::fs;
use std::os::unix::fs::FileExt;

use structchunk::{Error, Store};

use super::{attach, shared};
use crate::common::*;

/// Puts a word at 24 of the record of an object, which is open.
fn forge(store: &Store, path: &std::path::Path, word: u64) {
    let (chunk, bytes) = store.entry("key").unwrap().unwrap().place();
    let file = fs::File::options().write(true).open(path.join(format!("chunks/{chunk:08x}.chunk"))).unwrap();
    file.write_all_at(&word.to_le_bytes(), bytes.start + 24).unwrap();
}

fn mark(slot: u64, generation: u64) -> u64 {
    (slot | generation << 15) << 32
}

#[test]
fn odd_words_of_nobody_are_torn_and_none_hangs_or_panics() {
    let folder = folder();
    let store = shared(folder.path());
    store.put("key", &7_u64).unwrap();
    let (reader, beside) = (crate::readers::attach(folder.path()), attach(folder.path()).unwrap());
    let nobody = [
        mark(0, 1),
        mark(0, 0x1ffff),
        mark(1, 0),
        mark(2, 9),
        mark(494, 0),
        mark(495, 1),
        mark(0x7fff, 0x1ffff),
    ];
    for (index, owner) in nobody.into_iter().enumerate() {
        forge(&store, folder.path(), owner | 0x7fff_ffff);
        for outcome in [store.load::<u64>("key"), reader.load("key"), beside.load("key")] {
            assert!(matches!(outcome, Err(Error::Torn { .. })), "{index}: {outcome:?}");
        }
        assert!(matches!(beside.update("key", |_: &mut u64| {}), Err(Error::Torn { .. })));
        assert!(beside.mend("key", |value: &mut u64| *value += 1).unwrap());
        assert_eq!(store.load("key").unwrap(), Some(8 + index as u64), "the version begins anew");
    }
}

#[test]
fn a_word_that_names_the_living_is_busy_until_the_time_is_up_and_can_be_replaced_by_none() {
    let folder = folder();
    let store = shared(folder.path());
    store.put("key", &7_u64).unwrap();
    let beside = attach(folder.path()).unwrap();
    let page = fs::read(folder.path().join("shared")).unwrap();
    let generation = u64::from_le_bytes(page[144..152].try_into().unwrap());
    for living in [mark(0, 0), mark(1, generation)] {
        forge(&store, folder.path(), living | 3);
        assert!(matches!(beside.load::<u64>("key"), Err(Error::Busy { .. })));
        assert!(matches!(beside.update("key", |_: &mut u64| {}), Err(Error::Busy { .. })));
        assert_eq!(store.check().unwrap().count(), 0);
        store.sync().unwrap();
    }
    assert!(matches!(store.load::<u64>("key"), Err(Error::Busy { .. })));
    assert!(matches!(store.put("key", &1_u64), Err(Error::Busy { .. })));
    drop(beside);
    assert!(matches!(store.load::<u64>("key"), Err(Error::Torn { .. })));
}

#[test]
fn the_writer_knows_that_it_is_not_at_work_itself() {
    let folder = folder();
    let store = shared(folder.path());
    store.put("key", &7_u64).unwrap();
    forge(&store, folder.path(), mark(0, 0) | 3);
    assert!(matches!(store.load::<u64>("key"), Err(Error::Torn { .. })));
    store.close().unwrap();
    let store = shared(folder.path());
    assert_eq!(store.recovery().found, structchunk::Found::Clean);
    assert!(matches!(store.load::<u64>("key"), Err(Error::Torn { .. })));
    assert!(store.mend("key", |value: &mut u64| *value += 1).unwrap());
    assert_eq!(store.load("key").unwrap(), Some(8_u64));
    forge(&store, folder.path(), mark(0, 0) | 3);
    store.put("key", &9_u64).unwrap();
    assert_eq!(store.load("key").unwrap(), Some(9_u64));
}

#[test]
fn what_a_writer_was_only_superseding_is_whole_for_all_and_is_not_reported() {
    let folder = folder();
    let store = shared(folder.path());
    store.put("key", &7_u64).unwrap();
    let (reader, beside) = (crate::readers::attach(folder.path()), attach(folder.path()).unwrap());
    forge(&store, folder.path(), mark(0, 2) | 3);
    for outcome in [store.load::<u64>("key"), reader.load("key"), beside.load("key")] {
        assert_eq!(outcome.unwrap(), Some(7));
    }
    // It may still be about to be replaced.
    assert!(matches!(beside.update("key", |_: &mut u64| {}), Err(Error::Busy { .. })));
    drop(store);
    // Nor does the death of who was at it say that nothing has replaced it: only the next recovery knows.
    assert!(matches!(beside.update("key", |_: &mut u64| {}), Err(Error::Busy { .. })));
    drop(beside);
    let store = shared(folder.path());
    assert!(store.update("key", |value: &mut u64| *value += 1).unwrap());
    forge(&store, folder.path(), mark(0, 2) | 3);
    drop(store);
    let store = shared(folder.path());
    assert_eq!((store.recovery().found, store.recovery().torn.len()), (structchunk::Found::ProcessDied, 0));
    assert!(store.update("key", |value: &mut u64| *value += 1).unwrap());
    assert_eq!(store.load("key").unwrap(), Some(9_u64));
}

#[test]
fn generations_of_any_value_serve() {
    let folder = folder();
    let store = shared(folder.path());
    store.put("key", &0_u64).unwrap();
    let page = fs::File::options().write(true).open(folder.path().join("shared")).unwrap();
    for (round, generation) in [0, 1, 0x1fffe, 0x1ffff, 0x20000, u64::MAX].into_iter().enumerate() {
        page.write_all_at(&generation.to_le_bytes(), 144).unwrap();
        let beside = attach(folder.path()).unwrap();
        let change = |value: &mut u64| {
            let meanwhile = store.try_update("key", |_: &mut u64| {});
            assert!(matches!(meanwhile, Err(Error::Busy { .. })), "{generation:x}: {meanwhile:?}");
            *value += 1;
        };
        assert!(beside.update("key", change).unwrap());
        assert_eq!(store.load("key").unwrap(), Some(round as u64 + 1));
    }
}

#[test]
fn what_is_torn_is_not_sealed_whatever_its_size() {
    let folder = folder();
    let store = shared(folder.path());
    for bytes in [8_usize, 1 << 20] {
        store.put("key", &vec![7_u8; bytes][..]).unwrap();
        forge(&store, folder.path(), mark(0, 1) | 0x7fff_ffff);
        let sealed = store.seal("key");
        assert!(matches!(sealed, Err(Error::Torn { .. })), "{bytes}: {sealed:?}");
        assert_eq!(store.is_sealed("key").unwrap(), Some(false));
    }
}
