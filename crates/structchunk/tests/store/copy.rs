//! Copies of stores, in use or not: they hold exactly what existed at one moment, open and check clean, take no more space, and
//! whatever goes wrong leaves the source as it was and no store where the copy was to be.
#![expect(unsafe_code, reason = "a rebuild is unsafe as opening is")]

mod at_work;
mod beside;
mod compaction;
mod trouble;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use structchunk::testing::{Call, Fault, Faults};
use structchunk::{Error, Found, Space, Store};

pub use self::at_work::Work;
use crate::common::*;
use crate::mount::Mount;
use crate::script::{Op, Tracked};

/// Disk space of a folder with everything in it, in bytes.
fn allocated(path: &Path) -> u64 {
    let of = |path: &Path| fs::symlink_metadata(path).expect("metadata").blocks() * 512;
    let below: u64 = fs::read_dir(path)
        .expect("a folder")
        .map(|entry| entry.expect("a name").path())
        .map(|path| if path.is_dir() { allocated(&path) } else { of(&path) })
        .sum();
    below
}

/// Opens a copy, which must have been closed as it were, and holds it against the model.
fn assert_copy(path: &Path, model: &Model) {
    let copy = open_with(options().create(false), path).expect("open");
    assert_eq!(copy.recovery().found, Found::Clean, "{:?}", copy.recovery());
    assert_same(&copy, model);
    // It is a store like any other.
    let mut now = Tracked::of(&copy);
    for op in Op::script(&mut Random::new(77), 20) {
        now.run(&copy, &op).unwrap_or_else(|error| panic!("{op:?}: {error}"));
    }
    copy.close().expect("close");
    assert_same(&open(path), &now.model);
}

#[test]
fn a_copy_holds_what_the_store_held_and_takes_no_more_space() {
    let seed = seed();
    println!("STRUCTCHUNK_SEED={seed}");
    let mut random = Random::new(seed);
    for case in 0..cases(20) {
        let folder = folder();
        let path = folder.path().join("store");
        let on_disk = case % 4 != 3;
        let mut store = if on_disk { open(&path) } else { Store::in_memory().expect("memory") };
        let mut now = Tracked::default();
        for op in Op::script(&mut Random::new(random.next()), 30 + random.clone().below(90)) {
            now.run(&store, &op).unwrap_or_else(|error| panic!("{op:?}: {error}"));
        }
        match case % 4 {
            // Killed, and looked at without a recovery.
            1 => {
                drop(store);
                store = open_with(options().create(false).read_only(true), &path).expect("open");
            }
            2 => {
                store.close().expect("close");
                store = open_with(options().create(false).read_only(true), &path).expect("open");
            }
            _ => {}
        }
        let place = folder.path().join("copy");
        let mut told = Vec::new();
        let report = store.copy_to_with(&place, |progress| told.push(*progress)).expect("a copy");
        assert_eq!((report.objects, report.findings.len()), (now.model.len() as u64, 0), "{report:?}");
        assert!(told.is_sorted_by_key(|progress| progress.bytes) && !told.is_empty());
        assert!(told.iter().all(|progress| progress.bytes <= progress.of_bytes), "{told:?}");
        assert_eq!(told.last().map(|progress| progress.bytes), Some(report.bytes));
        if on_disk {
            let sizes = (allocated(&place), allocated(&path));
            assert!(sizes.0 <= sizes.1, "seed {seed}, case {case}: the copy takes {sizes:?}");
        }
        assert_same(&store, &now.model);
        assert_copy(&place, &now.model);
        // The source goes on, and knows nothing of it.
        if case % 4 == 0 {
            for op in Op::script(&mut Random::new(random.next()), 20) {
                now.run(&store, &op).unwrap_or_else(|error| panic!("{op:?}: {error}"));
            }
            store.close().expect("close");
            assert_same(&open(&path), &now.model);
        }
    }
}

#[test]
fn holes_stay_holes_and_what_was_reserved_stays_reserved() {
    let folder = folder();
    let path = folder.path().join("store");
    let store = open(&path);
    let mut grid = store.loan_array::<u64>("grid", &[1 << 30], Space::Sparse).expect("a loan");
    (grid[5], grid[1 << 29]) = (1, 2);
    grid.publish().expect("publish");
    let reserved = store.loan_array::<u64>("reserved", &[1 << 17], Space::Reserved).expect("a loan");
    reserved.publish().expect("publish");
    let place = folder.path().join("copy");
    let report = store.copy_to(&place).expect("a copy");
    assert!(report.bytes < 4 << 20, "{report:?}");
    assert!(allocated(&place) <= allocated(&path), "{} {}", allocated(&place), allocated(&path));
    let body = |number: u64| fs::metadata(place.join(format!("chunks/{number:016x}.body"))).expect("a body");
    assert!(body(0).len() > 8 << 30 && body(0).blocks() * 512 < 1 << 20);
    assert!(body(1).blocks() * 512 >= 1 << 20, "{}", body(1).blocks());
    let copy = open(&place);
    let grid = copy.get::<[u64]>("grid").expect("get").expect("it was copied");
    assert_eq!((grid[5], grid[6], grid[1 << 29], grid.len()), (1, 0, 2, 1 << 30));
}

/// What a writer does in rounds: everything it writes in one batch has the round's number.
fn write_rounds(store: &Store, stop: &AtomicBool, round: &AtomicU64) {
    let mut random = Random::new(3);
    while !stop.load(Ordering::SeqCst) {
        let number = round.load(Ordering::SeqCst) + 1;
        let mut batch = store.batch();
        for key in 0..6 {
            batch.put(format!("batch {key}"), &vec![number; 40 + key * 900][..]).expect("put");
        }
        batch.put("large", &vec![number; 9000][..]).expect("put");
        batch.commit().expect("commit");
        store.put(format!("log {number}"), &number).expect("put");
        if number > 50 {
            store.remove(format!("log {}", number - 50)).expect("remove");
        }
        round.store(number, Ordering::SeqCst);
        // Nothing is compacted here: the log must not outrun who copies it.
        std::thread::sleep(Duration::from_millis(3));
        if random.one_in(3) {
            store.sync().expect("sync");
        }
    }
}

#[test]
fn a_copy_of_a_store_in_use_is_of_one_moment_and_no_object_in_it_is_torn() {
    let folder = folder();
    let path = folder.path().join("store");
    let store = open_with(options().busy_timeout(Duration::from_secs(20)), &path).expect("open");
    store.put("small", &[0_u64; 60]).expect("put");
    store.put("wide", &Wide { words: [0; 128] }).expect("put");
    store.put("body", &vec![0_u64; 50_000][..]).expect("put");
    for number in 0..200_u64 {
        store.put(format!("still {number}"), &vec![number; 500][..]).expect("put");
    }
    let (stop, round) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|threads| {
        threads.spawn(|| write_rounds(&store, &stop, &round));
        threads.spawn(|| {
            let mut number = 0;
            while !stop.load(Ordering::SeqCst) {
                number += 1;
                assert!(store.update("small", |it: &mut [u64; 60]| it.fill(number)).expect("update"));
                assert!(store.update("wide", |it: &mut Wide| it.words.fill(number)).expect("update"));
                let mut body = store.get_mut::<[u64]>("body").expect("get").expect("there");
                body.fill(number);
                body.commit().expect("commit");
                std::thread::sleep(Duration::from_micros(50));
            }
        });
        while round.load(Ordering::SeqCst) < 3 {
            std::thread::yield_now();
        }
        for number in 0..cases(6) {
            let place = folder.path().join(format!("copy {number}"));
            let before = round.load(Ordering::SeqCst);
            let report = store.copy_to(&place).expect("a copy");
            let after = round.load(Ordering::SeqCst) + 1;
            assert!(report.findings.is_empty() && report.torn.is_empty(), "{report:?}");
            look_at(&place, before, after);
            fs::remove_dir_all(place).expect("removed");
        }
        stop.store(true, Ordering::SeqCst);
    });
    // What copies kept from being given back comes back.
    store.close().expect("close");
    let bodies = fs::read_dir(path.join("chunks")).expect("a folder");
    let bodies =
        bodies.filter(|it| it.as_ref().expect("a name").path().extension().is_some_and(|it| it == "body"));
    assert_eq!(bodies.count(), 3, "those of `body`, `large` and `batch 5`");
}

fn look_at(place: &Path, before: u64, after: u64) {
    let copy = open_with(options().create(false), place).expect("open");
    assert_eq!(copy.recovery().found, Found::Clean);
    assert_eq!(copy.check().expect("a check").map(|it| it.to_string()).collect::<Vec<_>>(), [""; 0]);
    let all = |key: &str| {
        let object = copy.get::<[u64]>(key).expect("get").unwrap_or_else(|| panic!("{key} is missing"));
        assert!(object.iter().all(|number| *number == object[0]), "{key} is torn");
        object[0]
    };
    let round = all("batch 0");
    assert!((before..=after).contains(&round), "{round} is not of {before}..={after}");
    for key in ["batch 1", "batch 2", "batch 3", "batch 4", "batch 5", "large"] {
        assert_eq!(all(key), round, "{key} is half a batch");
    }
    // The next call of the writer came before the cut, or it did not.
    let last = (1..=after).rev().find(|number| copy.contains(format!("log {number}")).expect("a look-up"));
    assert!(last == Some(round) || last == Some(round - 1), "{last:?} after {round}");
    let small = copy.load::<[u64; 60]>("small").expect("load").expect("there");
    assert!(small.iter().all(|number| *number == small[0]), "small is torn");
    let wide = copy.load::<Wide>("wide").expect("load").expect("there");
    assert!(wide.words.iter().all(|number| *number == wide.words[0]), "wide is torn");
    all("body");
    for number in 0..200_u64 {
        assert_eq!(all(&format!("still {number}")), number);
    }
    // Its chunks alone say the same: nothing of what came later is in them, no seal either.
    let objects = copy.len();
    copy.close().expect("close");
    fs::remove_file(place.join("STORE")).expect("removed");
    // SAFETY: the copy is closed, and this test's own.
    let report = unsafe { Store::rebuild(place) }.expect("rebuild");
    assert_eq!((report.objects, report.findings.len()), (objects, 0), "{report:#?}");
}

#[test]
fn an_object_that_does_not_stand_still_is_named_and_nothing_is_left_of_the_copy() {
    let folder = folder();
    let store = open(folder.path().join("store"));
    store.put("wide", &Wide { words: [0; 128] }).expect("put");
    let place = folder.path().join("copy");
    let held = store.get_mut::<Wide>("wide").expect("get").expect("there");
    let error = store.copy_to(&place).expect_err("a guard that stays");
    assert!(matches!(&error, Error::Busy { key } if key == b"wide"), "{error}");
    assert!(!place.exists());
    drop(held);
    store.copy_to(&place).expect("a copy");
}

#[test]
fn places_that_cannot_become_a_copy_are_refused_and_left_alone() {
    let folder = folder();
    let path = folder.path().join("store");
    let store = open(&path);
    store.put("key", &1_u64).expect("put");
    let place = folder.path().join("place");
    fs::create_dir(&place).expect("a folder");
    fs::write(place.join("letter"), "dear").expect("written");
    assert!(matches!(store.copy_to(&place), Err(Error::AlreadyExists { .. })));
    assert_eq!(fs::read_dir(&place).expect("a folder").count(), 1);
    assert!(matches!(store.copy_to(place.join("letter")), Err(Error::AlreadyExists { .. })));
    for inside in [path.clone(), path.join("copy"), path.join("chunks/copy"), path.join("../store/chunks")] {
        let error = store.copy_to(&inside).expect_err("inside");
        let text = format!("cannot copy to {}: a copy of a store cannot lie inside of it", inside.display());
        assert_eq!(error.to_string(), text);
    }
    assert!(!path.join("copy").exists() && !path.join("chunks/copy").exists());
    assert!(store.copy_to(folder.path().join("no/such/parent")).is_err());
    // An empty one will do; what is a store will not.
    fs::remove_file(place.join("letter")).expect("removed");
    store.copy_to(&place).expect("a copy");
    assert!(matches!(store.copy_to(&place), Err(Error::AlreadyExists { .. })));
    assert_eq!(open(&place).load::<u64>("key").expect("load"), Some(1));
    store.clone().close().expect("close");
    assert!(matches!(store.copy_to(folder.path().join("late")), Err(Error::Closed)));
}

#[test]
fn a_copy_goes_the_long_way_where_the_kernel_copies_nothing() {
    let folder = folder();
    let path = folder.path().join("store");
    let faults = Faults::recorded();
    let store = open_with(options().faults(faults.clone()), &path).expect("open");
    let mut now = Tracked::default();
    for op in Op::script(&mut Random::new(13), 80) {
        now.run(&store, &op).expect("an operation");
    }
    faults.plan(Fault::nth(1, libc::EXDEV).of(Call::Copy).from_then_on());
    let place = folder.path().join("copy");
    store.copy_to(&place).expect("a copy");
    assert!(faults.count(Call::Copy) > 0);
    assert!(allocated(&place) <= allocated(&path));
    assert_copy(&place, &now.model);
}

#[test]
fn a_copy_of_a_damaged_store_says_what_is_missing_and_holds_the_rest() {
    let folder = folder();
    let path = folder.path().join("store");
    let store = open(&path);
    for number in 0..30_u64 {
        store.put(format!("key {number:02}"), &vec![number; 3000][..]).expect("put");
    }
    store.put("body", &vec![1_u64; 9000][..]).expect("put");
    let (chunk, range) = store.entry("key 03").expect("a look-up").expect("there").place();
    store.close().expect("close");
    let file = fs::OpenOptions::new().write(true).open(path.join(format!("chunks/{chunk:08x}.chunk")));
    std::os::unix::fs::FileExt::write_all_at(&file.expect("a chunk"), &[0xff; 8], range.start)
        .expect("written");
    fs::remove_file(path.join("chunks/0000000000000000.body")).expect("removed");
    fs::remove_file(path.join("live")).expect("removed");
    let store = open(&path);
    let place = folder.path().join("copy");
    let report = store.copy_to(&place).expect("a copy");
    assert_eq!(report.findings.len(), 2, "{report:#?}");
    assert_eq!((report.findings[0].offset, report.findings[0].bytes), (range.start, range.end - range.start));
    assert!(report.findings[1].what.contains("body"), "{report:#?}");
    assert_eq!(report.objects, 30);
    let copy = open(&place);
    assert_eq!(copy.load_many::<u64, _>(&["nothing"]).expect("load"), [None]);
    assert!(copy.contains("key 29").expect("a look-up") && !copy.contains("key 03").expect("a look-up"));
}

/// A store of one chunk of 4 MiB whose copy is made in pieces of 1 MiB, which the progress shows.
fn in_pieces(path: &Path) -> Store {
    let faults = Faults::recorded();
    faults.plan(Fault::nth(1, libc::EXDEV).of(Call::Copy).from_then_on());
    open_with(options().chunk_capacity(4 << 20).faults(faults), path).expect("open")
}

/// Puts something so large that the next record begins a little before the first MiB ends.
fn fill_up(store: &Store) {
    const WANTED: u64 = (1 << 20) - 384;
    let put = |bytes: u64| {
        store.put("filler", &vec![1_u8; bytes as usize][..]).expect("put");
        store.entry("filler").expect("a look-up").expect("it was put").place().1.end
    };
    // Header, extension and key take 64 bytes; the type comes before the first one.
    let mut end = put(16);
    while end + 200_000 < WANTED {
        end = put(100_000);
    }
    assert_eq!(put(WANTED - end - 64), WANTED);
}

#[test]
fn an_object_that_changes_between_two_pieces_of_a_copy_is_as_before_or_after_and_never_between() {
    let folder = folder();
    let store = in_pieces(&folder.path().join("small"));
    store.put("types first", &[1_u64; 64]).expect("put");
    fill_up(&store);
    store.put("small", &[1_u64; 64]).expect("put");
    let large_store = in_pieces(&folder.path().join("large"));
    large_store.put("types first", &[1_u64; 64]).expect("put");
    fill_up(&large_store);
    large_store.put("large", &vec![1_u64; 30_000][..]).expect("put");
    let body_store = in_pieces(&folder.path().join("body"));
    body_store.put("body", &vec![1_u64; 400_000][..]).expect("put");

    let mut changed = 0;
    let place = folder.path().join("copy of small");
    store
        .copy_to_with(&place, |progress| {
            if progress.bytes == 1 << 20 {
                changed += 1;
                store.update("small", |it: &mut [u64; 64]| it.fill(2)).expect("update");
            }
        })
        .expect("a copy");
    let copied = open_with(options(), &place).expect("open").load::<[u64; 64]>("small").expect("load");
    let copied = copied.expect("it was copied");
    assert!(copied.iter().all(|number| *number == copied[0]), "{copied:?}");

    for (source, key) in [(&large_store, "large"), (&body_store, "body")] {
        let place = folder.path().join(format!("copy of {key}"));
        let told = source.copy_to_with(&place, |progress| {
            if progress.bytes == 1 << 20 || key == "body" && progress.bytes > 1 << 20 {
                changed += 1;
                let mut guard = source.get_mut::<[u64]>(key).expect("get").expect("there");
                guard.fill(2);
                guard.commit().expect("commit");
            }
        });
        told.expect("a copy");
        let copy = open_with(options(), &place).expect("open");
        let copied = copy.get::<[u64]>(key).expect("get").expect("it was copied");
        assert!(copied.iter().all(|number| *number == copied[0]), "{key} is torn");
        assert_eq!(copy.check().expect("a check").count(), 0);
    }
    assert!(changed >= 3, "{changed}");
}

#[test]
fn what_is_replaced_and_given_back_while_a_copy_is_made_is_in_the_copy_all_the_same() {
    let folder = folder();
    let store = open(folder.path().join("store"));
    let mut model = Model::new();
    for number in 0..30 {
        let value = Value::Numbers(vec![number; if number % 5 == 0 { 9000 } else { 3000 }]);
        let key = format!("key {number}").into_bytes();
        value.put(&store, &key).expect("put");
        model.insert(key, value);
    }
    let place = folder.path().join("copy");
    let mut first = true;
    store
        .copy_to_with(&place, |_| {
            if std::mem::take(&mut first) {
                for number in 0..30_u64 {
                    store.remove(format!("key {number}")).expect("remove");
                    store.put(format!("later {number}"), &vec![number; 3000][..]).expect("put");
                    store.sync().expect("sync");
                }
            }
        })
        .expect("a copy");
    assert!(!first);
    let active = fs::read_dir(place.join("chunks")).expect("a folder").map(|it| it.expect("a name").path());
    let active = active.filter(|path| path.extension().is_some_and(|it| it == "chunk")).max();
    let header = fs::read(active.expect("a chunk")).expect("bytes");
    assert_eq!(header[512..1024], [0; 512], "the seal came later");
    assert_copy(&place, &model);
    assert_eq!(store.len(), 30);
    store.sync().expect("sync");
    store.sync().expect("sync");
    assert_eq!(store.stats().expect("stats").bodies, 0, "they are given back once the copy is made");
}

/// Bytes that are free on a file system.
fn free(path: &Path) -> u64 {
    let status = rustix::fs::statvfs(path).expect("a file system");
    status.f_bfree * status.f_frsize
}

#[test]
fn a_copy_shares_the_blocks_of_the_store_where_the_file_system_can() {
    let Some(mount) = Mount::of("xfs", 400 << 20, "blocks are shared") else { return };
    let path = mount.path().join("store");
    let store = open_with(options().chunk_capacity(64 << 20), &path).expect("open");
    store.put("in a chunk", &vec![1_u64; 900_000][..]).expect("put");
    store.put("in a body", &vec![2_u64; 3 << 20][..]).expect("put");
    store.sync().expect("sync");
    let before = free(mount.path());
    let place = mount.path().join("copy");
    store.copy_to(&place).expect("a copy");
    let taken = before.saturating_sub(free(mount.path()));
    assert!(taken < 4 << 20, "{taken} bytes of {}", allocated(&path));
    assert!(allocated(&place) <= allocated(&path), "{} {}", allocated(&place), allocated(&path));
    // Neither sees what happens to the other.
    store.get_mut::<[u64]>("in a body").expect("get").expect("there")[0] = 3;
    let copy = open(&place);
    assert!(copy.get::<[u64]>("in a body").expect("get").expect("there").iter().all(|number| *number == 2));
}
