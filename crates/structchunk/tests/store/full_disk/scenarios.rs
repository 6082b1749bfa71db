//! What happens on a small disk that fills up. Each gets the kind of file system, and the place where it is mounted, with nothing on it.

use std::fs;
use std::path::Path;

use structchunk::testing::{Call, Fault, Faults};
use structchunk::{Error, Found, Options, Result, Space, Store};

use crate::common::*;
use crate::script::Tracked;

#[expect(clippy::needless_pass_by_value, reason = "outcomes are looked at where they arise")]
pub fn no_space<T>(outcome: Result<T>) -> bool {
    matches!(outcome, Err(Error::NoSpace { .. }))
}

/// What else is on the disk: all of it but `left` bytes.
pub fn fill(place: &Path, left: u64) {
    let path = place.join("others");
    let mut bytes = vec![1_u8; 64 << 10];
    let mut file = fs::File::create(&path).expect("a file");
    // What was removed before may become free only with a sync.
    for size in [64 << 10, 64 << 10, 100] {
        bytes.truncate(size);
        while std::io::Write::write_all(&mut file, &bytes).is_ok() {}
        file.sync_all().expect("sync");
    }
    let length = file.metadata().expect("a length").len();
    file.set_len(length - left).expect("a shorter file");
    file.sync_all().expect("sync");
}

pub fn free(place: &Path) {
    fs::remove_file(place.join("others")).expect("removed");
}

/// Puts objects of one kind until there is no room for the next; how many there were room for.
pub fn put_until_full(store: &Store, tracked: &mut Tracked, name: &str, value: &Value) -> u64 {
    for number in 0.. {
        let key = format!("{name} {number}").into_bytes();
        match value.put(store, &key) {
            Ok(()) => tracked.set(&key, value.clone()),
            Err(Error::NoSpace { .. }) => return number,
            Err(error) => panic!("{name} {number}: {error}"),
        }
    }
    unreachable!("no disk is endless")
}

pub fn every_call(kind: &str, place: &Path) {
    let path = place.join("store");
    let mut tracked = Tracked::default();
    let store = open(&path);
    fill(place, 3 << 20);
    let wide = Value::Wide(Box::new(Wide { words: [7; 128] }));
    let fitted = put_until_full(&store, &mut tracked, "wide", &wide);
    assert!(fitted > 500, "{kind}: {fitted} objects of 1 KiB in 3 MiB");
    put_until_full(&store, &mut tracked, "small", &Value::Point(Point { x: 1.0, y: 2.0 }));
    let body = Value::Numbers(vec![3; 50_000]);
    put_until_full(&store, &mut tracked, "body", &body);
    // Everything that needs room is refused as a whole.
    let mut batch = store.batch();
    for number in 0..200_u64 {
        batch.put(format!("batch {number}"), &[number; 1000]).expect("a batch");
    }
    assert!(no_space(batch.commit()), "{kind}: batch");
    assert!(no_space(store.loan_slice::<u64>("loan", 1 << 20)), "{kind}: loan");
    let small_loan = store.loan_slice::<u64>("loan", 4000).and_then(structchunk::Loan::publish);
    assert!(no_space(small_loan), "{kind}: publish");
    let sparse = store.loan_array::<u64>("sparse", &[1 << 30], Space::Sparse).map(drop);
    assert!(sparse.is_ok() || no_space(sparse), "{kind}: sparse");
    assert_same(&store, &tracked.model);
    // Durable all the same, and in-place changes need no room.
    store.sync().unwrap_or_else(|error| panic!("{kind}: sync on a full disk: {error}"));
    assert!(store.update("wide 0", |wide: &mut Wide| wide.words[0] = 7).expect("update"));
    // Removing needs none either, beyond what is kept back for it.
    for number in 0..400 {
        let key = format!("wide {number}");
        assert!(store.remove(&key).unwrap_or_else(|error| panic!("{kind}: remove {number}: {error}")));
        tracked.remove(key.as_bytes());
    }
    assert_same(&store, &tracked.model);
    // Killed on the full disk, it is found whole there (ext4 may keep back for itself what the removal of the old directory gave
    // back; then the new one is made in memory), and can still be emptied.
    drop(store);
    let store = open(&path);
    assert_eq!(store.recovery().found, Found::ProcessDied);
    assert_same(&store, &tracked.model);
    // With room again, it goes on.
    free(place);
    assert_same(&store, &tracked.model);
    wide.put(&store, b"later").expect("put");
    tracked.set(b"later", wide);
    body.put(&store, b"later body").expect("put");
    tracked.set(b"later body", body);
    store.sync().expect("sync");
    assert_same(&store, &tracked.model);
    store.close().expect("close");
    assert_same(&open(&path), &tracked.model);
}

pub fn large_objects(kind: &str, place: &Path) {
    let store = open(place.join("store"));
    let mut tracked = Tracked::default();
    let body = Value::Bytes(vec![5; 1 << 20]);
    let fitted = put_until_full(&store, &mut tracked, "body", &body);
    assert!(fitted > 10, "{kind}: {fitted}");
    for round in 0..3 {
        store.remove(format!("body {round}")).expect("remove");
        for _ in 0..2 {
            store.sync().expect("sync");
        }
        body.put(&store, format!("body {round}").as_bytes())
            .unwrap_or_else(|error| panic!("{kind}: round {round}: {error}"));
    }
    assert_same(&store, &tracked.model);
}

pub fn creation(kind: &str, place: &Path) {
    let path = place.join("store");
    for left in [0, 4 << 10, 12 << 10, 40 << 10, 300 << 10, 600 << 10] {
        fill(place, left);
        match open_with(options(), &path) {
            Ok(store) => assert_eq!(store.len(), 0),
            Err(Error::NoSpace { .. }) => {}
            Err(Error::Io { source, .. }) if source.raw_os_error() == Some(libc::ENOSPC) => {}
            Err(error) => panic!("{kind}, {left} bytes left: {error}"),
        }
        free(place);
    }
    let store = open(&path);
    store.put("key", &1_u64).expect("put");
    assert_eq!(store.load::<u64>("key").expect("load"), Some(1));
}

pub fn recovery(kind: &str, place: &Path) {
    let path = place.join("store");
    let mut tracked = Tracked::default();
    let faults = Faults::recorded();
    // Few bytes of a large chunk are backed.
    let large: fn() -> Options = || Store::options().create(true).chunk_capacity(128 << 20);
    let store = open_with(large().faults(faults.clone()), &path).expect("open");
    // There are holes also where there are records.
    store.put("large", &vec![1_u8; 4 << 20][..]).expect("put");
    put_until(&store, &mut tracked, 200);
    store.remove("large").expect("remove");
    for number in 0..2_u64 {
        store.put("number", &number).expect("put");
        store.remove("number").expect("remove");
        store.sync().expect("sync");
    }
    assert!(faults.count(Call::Punch) > 0, "{kind}");
    store.put("lost", &1_u64).expect("put");
    faults.plan(Fault::nth(1, libc::EIO).of(Call::Sync).on("00000000.chunk"));
    store.sync().expect_err("a failing sync");
    drop(store);
    fill(place, 1 << 20);
    let store = open_with(large(), &path).unwrap_or_else(|error| panic!("{kind}: {error}"));
    assert_eq!(store.recovery().found, Found::MachineDied);
    assert_same(&store, &tracked.model);
}

fn put_until(store: &Store, tracked: &mut Tracked, count: u64) {
    for number in 0..count {
        let (key, value) = (number.to_le_bytes(), Value::from_seed(number));
        value.put(store, &key).expect("put");
        tracked.set(&key, value);
    }
}

pub fn index(kind: &str, place: &Path) {
    let path = place.join("store");
    let store = open(&path);
    for n in 0..20_000_u32 {
        store.put(n.to_be_bytes(), &n).unwrap();
    }
    let keys = |store: &Store| store.keys().unwrap().map(|key| key.unwrap().into_key()).collect::<Vec<_>>();
    let check = |store: &Store, what: &str| {
        assert!(
            keys(store)
                .iter()
                .eq((0..20_000_u32).map(|n| n.to_be_bytes().to_vec()).collect::<Vec<_>>().iter()),
            "{kind}: {what}"
        );
    };
    // From nothing at all to almost enough: each refusal comes somewhere else.
    for left in [0, 4, 8, 16, 64, 100, 200, 300, 400, 500] {
        fill(place, left << 10);
        match store.sync_index() {
            Err(Error::NoSpace { path, .. }) => {
                assert!(path.starts_with(place), "{kind}: {}", path.display());
            }
            Err(error) => panic!("{kind}, {left} KiB: {error}"),
            Ok(()) => {
                assert!(left >= 300 || cfg!(not(feature = "leveldb")), "{kind}, {left} KiB: it fitted");
            }
        }
        check(&store, "on a full disk");
        free(place);
    }
    fill(place, 0);
    store.close().unwrap_or_else(|error| panic!("{kind}: close on a full disk: {error}"));
    let store = open(&path);
    check(&store, "opened again");
    free(place);
    store.sync_index().unwrap_or_else(|error| panic!("{kind}: with room: {error}"));
    check(&store, "with room");
    store.close().unwrap();
}

/// Removes an object of a full store; makes room for its tombstone by compaction where there is none.
fn remove_somehow(store: &mut Store, key: &str, compactions: &mut u64) {
    for _ in 0..3 {
        match store.remove(key) {
            Ok(there) => return assert!(there, "{key}"),
            Err(Error::NoSpace { .. }) => {}
            Err(error) => panic!("{key}: {error}"),
        }
        *compactions += 1;
        let report = store.compact().unwrap_or_else(|error| panic!("{key}: {error}"));
        assert!(!report.dropped_chunks.is_empty(), "{key}: {report:?}");
        assert!(store.release_dropped(), "nobody else has the store");
    }
    panic!("{key}: no room although chunks were dropped");
}

pub fn emptied(kind: &str, place: &Path) {
    let path = place.join("store");
    let mut tracked = Tracked::default();
    let mut store = open(&path);
    let wide = Value::Wide(Box::new(Wide { words: [7; 128] }));
    fill(place, 12 << 20);
    let fitted = put_until_full(&store, &mut tracked, "wide", &wide);
    assert!(fitted > 8_000, "{kind}: {fitted}");
    let mut compactions = 0;
    for number in 0..fitted * 9 / 10 {
        let key = format!("wide {number}");
        remove_somehow(&mut store, &key, &mut compactions);
        tracked.remove(key.as_bytes());
    }
    assert!(compactions > 0, "{kind}: the step kept back was never used up");
    store.compact().unwrap_or_else(|error| panic!("{kind}: {error}"));
    assert!(store.release_dropped());
    assert_same(&store, &tracked.model);
    let again = put_until_full(&store, &mut tracked, "again", &wide);
    assert!(again > fitted * 8 / 10, "{kind}: {fitted} objects fitted, then {again}");
    assert_same(&store, &tracked.model);
    drop(store);
    let store = open(&path);
    assert_same(&store, &tracked.model);
    store.close().expect("close");
    assert_same(&open(&path), &tracked.model);
}

pub fn thinned_out(kind: &str, place: &Path) {
    let path = place.join("store");
    let mut tracked = Tracked::default();
    let mut store = open(&path);
    let wide = Value::Wide(Box::new(Wide { words: [7; 128] }));
    fill(place, 8 << 20);
    let fitted = put_until_full(&store, &mut tracked, "wide", &wide);
    let mut random = Random::new(seed());
    // What is kept back is used up while all chunks are nearly full: nothing can be moved.
    let mut removed = 0;
    let stuck = loop {
        let key = format!("wide {}", random.below(fitted));
        match store.remove(&key) {
            Ok(there) => removed += u64::from(there),
            Err(error) => break error,
        }
        tracked.remove(key.as_bytes());
    };
    assert!(no_space::<()>(Err(stuck)) && removed > 500, "{kind}: {removed}");
    assert!(no_space(store.compact_with(structchunk::Compaction::new().fill_ratio(1.0))), "{kind}");
    assert_same(&store, &tracked.model);
    // A mebibyte of room is enough for all that follows.
    let others = fs::OpenOptions::new().write(true).open(place.join("others")).expect("a file");
    let length = others.metadata().expect("a length").len();
    others.set_len(length - (1 << 20)).and_then(|()| others.sync_all()).expect("a shorter file");
    while tracked.model.len() as u64 > fitted / 10 {
        let key = format!("wide {}", random.below(fitted));
        match store.remove(&key) {
            Ok(_) => tracked.remove(key.as_bytes()),
            Err(Error::NoSpace { .. }) => {
                let everything = structchunk::Compaction::new().fill_ratio(1.0);
                store.compact_with(everything).unwrap_or_else(|error| panic!("{kind}: {error}"));
                assert!(store.release_dropped());
            }
            Err(error) => panic!("{kind}: {key}: {error}"),
        }
    }
    store.compact().unwrap_or_else(|error| panic!("{kind}: {error}"));
    assert!(store.release_dropped());
    assert_same(&store, &tracked.model);
    let again = put_until_full(&store, &mut tracked, "again", &wide);
    assert!(again > fitted * 8 / 10, "{kind}: {fitted} objects fitted, then {again}");
    store.close().expect("close");
    assert_same(&open(&path), &tracked.model);
}
