//! Large and sparse objects: files of their own, and what becomes of them.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use structchunk::testing::{Call, Fault, Faults};
use structchunk::{Error, Found, Space, Store};

use crate::common::{LARGEST_INLINE, copy_folder, folder, open, open_with, options};

const TIB: u64 = 1 << 40;

/// Names and allocated bytes of everything in `chunks/` that is no chunk.
fn bodies(store: &Path) -> Vec<(String, u64)> {
    let mut all: Vec<_> = std::fs::read_dir(store.join("chunks"))
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().blocks() * 512)
        })
        .filter(|(name, _)| Path::new(name).extension().is_none_or(|end| end != "chunk"))
        .collect();
    all.sort();
    all
}

fn names(store: &Path) -> Vec<String> {
    bodies(store).into_iter().map(|(name, _)| name).collect()
}

fn put_large(store: &Store, key: &str, byte: u8) {
    store.put(key, &vec![byte; LARGEST_INLINE as usize + 1][..]).unwrap();
}

fn first_byte(store: &Store, key: &str) -> Option<u8> {
    store.get::<[u8]>(key).unwrap().map(|bytes| {
        assert!(bytes.len() as u64 == LARGEST_INLINE + 1 && bytes.iter().all(|&byte| byte == bytes[0]));
        bytes[0]
    })
}

#[test]
fn objects_above_an_eighth_of_the_capacity_have_a_body_and_others_have_none() {
    let folder = folder();
    let store = open(folder.path());
    store.put("inline", &vec![1_u8; LARGEST_INLINE as usize][..]).unwrap();
    assert_eq!(bodies(folder.path()), []);
    put_large(&store, "large", 2);
    store.loan_with::<u64>("sparse", Space::Sparse).unwrap().publish().unwrap();
    let names = names(folder.path());
    assert_eq!(names, ["0000000000000000.body", "0000000000000001.body"]);
    assert_eq!(store.stats().unwrap().bodies, 2);
    store.update("sparse", |n: &mut u64| *n = 7).unwrap();
    store.close().unwrap();
    let store = open(folder.path());
    assert_eq!((first_byte(&store, "large"), store.load::<u64>("sparse").unwrap()), (Some(2), Some(7)));
    assert_eq!(store.get::<[u8]>("inline").unwrap().unwrap().len() as u64, LARGEST_INLINE);
}

#[test]
fn a_sparse_tebibyte_takes_the_blocks_that_are_touched_and_gives_them_back_at_the_sync_after_the_next() {
    let folder = folder();
    let store = open(folder.path());
    let mut loan = store.loan_slice::<u64>("huge", TIB / 8).unwrap();
    assert!(bodies(folder.path())[0].1 <= 8192, "{:?}", bodies(folder.path()));
    loan[0] = 1;
    loan[TIB as usize / 16] = 2;
    loan[TIB as usize / 8 - 1] = 3;
    loan.publish().unwrap();
    let (name, allocated) = bodies(folder.path()).remove(0);
    assert!((3 * 4096..=256 << 10).contains(&allocated), "three pages take {allocated} bytes");
    let path = folder.path().join("chunks").join(&name);
    assert_eq!(std::fs::metadata(&path).unwrap().len(), TIB + 4096);
    assert!(store.stats().unwrap().bytes_apparent > TIB && store.stats().unwrap().bytes_allocated < 4 << 20);
    store.close().unwrap();

    let store = open(folder.path());
    let seen = store.get::<[u64]>("huge").unwrap().unwrap();
    assert_eq!((seen.len() as u64, seen[0], seen[1], seen[TIB as usize / 8 - 1]), (TIB / 8, 1, 0, 3));
    drop(seen);
    store.get_mut::<[u64]>("huge").unwrap().unwrap()[1 << 20] = 4;
    assert!(store.remove("huge").unwrap());
    assert!(path.exists(), "removed, not yet given back");
    store.sync().unwrap();
    assert!(path.exists(), "the checkpoint before still needs it");
    store.sync().unwrap();
    assert!(!path.exists(), "given back");
    assert!(store.stats().unwrap().bytes_allocated < 4 << 20);
}

#[test]
fn a_body_that_was_replaced_goes_with_the_sync_after_the_next_and_the_new_one_stays() {
    let folder = folder();
    let store = open(folder.path());
    put_large(&store, "k", 1);
    store.sync().unwrap();
    put_large(&store, "k", 2);
    assert_eq!(names(folder.path()).len(), 2);
    store.sync().unwrap();
    assert_eq!(names(folder.path()), ["0000000000000000.body", "0000000000000001.body"]);
    store.sync().unwrap();
    assert_eq!(
        (names(folder.path()), first_byte(&store, "k")),
        (vec!["0000000000000001.body".into()], Some(2))
    );
    // By something small as well, and by a batch.
    store.put("k", &1_u8).unwrap();
    put_large(&store, "l", 3);
    let mut batch = store.batch();
    batch.put("l", &vec![4_u8; LARGEST_INLINE as usize + 1][..]).unwrap();
    batch.commit().unwrap();
    store.sync().unwrap();
    store.sync().unwrap();
    assert_eq!((names(folder.path()).len(), first_byte(&store, "l")), (1, Some(4)));
    store.close().unwrap();
    assert_eq!(first_byte(&open(folder.path()), "l"), Some(4));
}

#[test]
fn renaming_copies_no_body() {
    let folder = folder();
    let store = open(folder.path());
    let mut loan = store.loan_array::<u8>("a", &[TIB], Space::Auto).unwrap();
    loan[77] = 7;
    loan.publish().unwrap();
    let before = bodies(folder.path());
    for (from, to) in [("a", "b"), ("b", "c"), ("c", "a")] {
        assert!(store.rename(from, to).unwrap());
        store.sync().unwrap();
        assert_eq!(bodies(folder.path()), before);
        assert_eq!(store.get::<[u8]>(to).unwrap().unwrap()[77], 7);
    }
    store.close().unwrap();
    let store = open(folder.path());
    assert_eq!((bodies(folder.path()), store.check().unwrap().count()), (before, 0));
    store.remove("a").unwrap();
    store.close().unwrap();
    assert_eq!(names(folder.path()), [""; 0], "a close gives back what is owed");
}

#[test]
fn loans_and_batches_that_are_dropped_leave_no_file() {
    let folder = folder();
    let store = open(folder.path());
    let loan = store.loan_slice::<u64>("k", TIB / 8).unwrap();
    assert_eq!(names(folder.path()), ["0000000000000000.body.tmp"], "no name that counts");
    drop(loan);
    let mut batch = store.batch();
    batch.put("k", &vec![1_u8; 1 << 20][..]).unwrap();
    batch.put("k", &vec![2_u8; 1 << 20][..]).unwrap();
    assert_eq!(names(folder.path()).len(), 1, "what a later put replaces in a batch is gone");
    drop(batch);
    assert!(store.insert_new("k", &1_u8).is_ok());
    assert!(matches!(store.insert_new("k", &vec![1_u8; 1 << 20][..]), Err(Error::KeyExists { .. })));
    assert!(!store.put_if("k", 999, &vec![1_u8; 1 << 20][..]).unwrap());
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn a_batch_whose_second_body_cannot_be_named_changes_nothing_and_poisons_nothing() {
    let folder = folder();
    let faults = Faults::recorded();
    let store = open_with(options().faults(faults.clone()), folder.path()).unwrap();
    put_large(&store, "a", 1);
    let mut batch = store.batch();
    for key in ["a", "b", "c"] {
        batch.put(key, &vec![2_u8; LARGEST_INLINE as usize + 1][..]).unwrap();
    }
    faults.plan(Fault::nth(2, libc::EIO).of(Call::Rename));
    assert!(matches!(batch.commit(), Err(Error::Io { .. })));
    assert_eq!((first_byte(&store, "a"), first_byte(&store, "b"), store.len()), (Some(1), None, 1));
    for _ in 0..3 {
        store.put("small", &1_u8).unwrap();
        store.sync().unwrap();
    }
    assert_eq!(names(folder.path()), ["0000000000000000.body"]);
    store.close().unwrap();
}

#[test]
fn after_a_kill_bodies_are_those_of_current_objects() {
    let folder = folder();
    let store = open(folder.path());
    for n in 0..6_u8 {
        put_large(&store, &n.to_string(), n);
    }
    store.sync().unwrap();
    store.remove("0").unwrap();
    put_large(&store, "1", 11);
    store.rename("2", "two").unwrap();
    put_large(&store, "new", 6);
    std::mem::forget(store.loan_slice::<u8>("unfinished", 1 << 20).unwrap());
    drop(store);
    std::fs::write(folder.path().join("chunks/00000000000000ff.body"), "an orphan").unwrap();
    let store = open(folder.path());
    assert_eq!(store.recovery().found, Found::ProcessDied);
    let expected = [("1", 11), ("two", 2), ("3", 3), ("4", 4), ("5", 5), ("new", 6)];
    for (key, byte) in expected {
        assert_eq!(first_byte(&store, key), Some(byte), "{key}");
    }
    assert_eq!((store.len(), names(folder.path()).len(), store.check().unwrap().count()), (6, 6, 0));
    let removed: BTreeSet<_> = store.recovery().removed_files.iter().map(String::as_str).collect();
    let gone = [
        "0000000000000000.body",
        "0000000000000001.body",
        "0000000000000008.body.tmp",
        "00000000000000ff.body",
    ];
    assert_eq!(removed, BTreeSet::from(gone));
    // Numbers that were seen are not given out again.
    put_large(&store, "later", 7);
    assert!(names(folder.path()).contains(&"0000000000000100.body".to_owned()), "{:?}", names(folder.path()));
}

#[test]
fn after_a_power_cut_bodies_are_those_of_the_last_sync() {
    let folder = folder();
    let store = open(folder.path().join("s"));
    for n in 0..4_u8 {
        put_large(&store, &n.to_string(), n);
    }
    store.sync().unwrap();
    store.remove("0").unwrap();
    put_large(&store, "1", 11);
    store.rename("2", "two").unwrap();
    put_large(&store, "new", 6);
    // A copy on another inode proves nothing: it is opened as after a power cut.
    copy_folder(&folder.path().join("s"), &folder.path().join("copy"));
    let copy = open(folder.path().join("copy"));
    assert_eq!(copy.recovery().found, Found::MachineDied);
    for n in 0..4_u8 {
        assert_eq!(first_byte(&copy, &n.to_string()), Some(n));
    }
    assert_eq!(
        (copy.len(), names(&folder.path().join("copy")).len(), copy.check().unwrap().count()),
        (4, 4, 0)
    );
}

#[test]
fn a_body_of_an_unsynced_remove_is_there_after_a_power_cut_until_the_second_sync() {
    let folder = folder();
    let store = open(folder.path().join("s"));
    put_large(&store, "k", 5);
    store.sync().unwrap();
    store.remove("k").unwrap();
    store.sync().unwrap();
    // The newest checkpoint is lost: the one before must describe a whole store.
    copy_folder(&folder.path().join("s"), &folder.path().join("copy"));
    let path = folder.path().join("copy/STORE");
    let mut bytes = std::fs::read(&path).unwrap();
    let generation = |slot: usize| u64::from_le_bytes(bytes[slot + 8..slot + 16].try_into().unwrap());
    let newest = if generation(4096) > generation(8192) { 4096 } else { 8192 };
    bytes[newest..newest + 512].fill(0xaa);
    std::fs::write(&path, bytes).unwrap();
    let copy = open(folder.path().join("copy"));
    assert_eq!((first_byte(&copy, "k"), copy.check().unwrap().count()), (Some(5), 0));
}

#[test]
fn reserve_backs_the_part_that_is_asked_for() {
    let folder = folder();
    let store = open(folder.path());
    store.loan_array::<u8>("k", &[TIB], Space::Sparse).unwrap().publish().unwrap();
    let allocated = || bodies(folder.path())[0].1;
    let before = allocated();
    assert!(store.reserve("k", TIB / 2..TIB / 2 + (1 << 20)).unwrap());
    assert!(
        (before + (1 << 20)..before + (2 << 20)).contains(&allocated()),
        "{before}, then {}",
        allocated()
    );
    assert!(store.reserve("k", 5..5).unwrap() && !store.reserve("absent", 0..1).unwrap());
    for range in [0..TIB + 1, TIB..u64::MAX, u64::MAX - 1..u64::MAX] {
        assert!(matches!(store.reserve("k", range), Err(Error::TooLarge { .. })));
    }
    #[expect(clippy::reversed_empty_ranges, reason = "a caller may ask for anything")]
    let reversed = store.reserve("k", 7..3);
    assert!(reversed.unwrap());
    store.put("small", &1_u64).unwrap();
    assert!(store.reserve("small", 0..8).unwrap());
    assert!(matches!(store.reserve("small", 0..9), Err(Error::TooLarge { .. })));
    assert_eq!(
        std::fs::metadata(folder.path().join("chunks/0000000000000000.body")).unwrap().len(),
        TIB + 4096
    );
}

#[test]
fn bodies_up_to_64_mib_are_backed_and_what_is_asked_for_is_done() {
    let folder = folder();
    let store = open(folder.path());
    let blocks = |key: &str, bytes: u64, space: Space| {
        let before: u64 = bodies(folder.path()).iter().map(|(_, allocated)| allocated).sum();
        store.loan_array::<u8>(key, &[bytes], space).unwrap().publish().unwrap();
        bodies(folder.path()).iter().map(|(_, allocated)| allocated).sum::<u64>() - before
    };
    assert!(blocks("small", 1 << 20, Space::Auto) >= 1 << 20);
    assert!(blocks("sparse", 1 << 20, Space::Sparse) <= 64 << 10);
    assert!(blocks("above", (64 << 20) + 1, Space::Auto) <= 64 << 10);
    assert!(blocks("reserved", 2 << 20, Space::Reserved) >= 2 << 20);
}

#[test]
fn sizes_that_no_file_has_are_an_error_and_leave_nothing() {
    let folder = folder();
    let store = open(folder.path());
    for bytes in [u64::MAX, i64::MAX as u64, i64::MAX as u64 - 4096, 1 << 62, 1 << 55] {
        let error = store.loan_array::<u8>("k", &[bytes], Space::Sparse).map(drop).unwrap_err();
        let fine = matches!(error, Error::TooLarge { .. } | Error::NoSpace { .. } | Error::Io { .. });
        assert!(fine, "{bytes}: {error}");
        assert_eq!(names(folder.path()), [""; 0], "{bytes}");
    }
    put_large(&store, "k", 1);
}
