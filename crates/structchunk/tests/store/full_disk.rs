//! Full disks, real ones: an error value and never a signal, and the store goes on.
//!
//! Mounting needs root; without it these tests say that they were skipped.
#![expect(unsafe_code, reason = "a limit is set in a child process only, by one system call")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use structchunk::testing::{Call, Fault, Faults};
use structchunk::{Error, Found, Options, Result, Space, Store};
use tempfile::TempDir;

use crate::common::*;
use crate::script::Tracked;

const TASK: &str = "STRUCTCHUNK_TEST_LIMIT";

/// A small file system of its own, unmounted when it goes.
struct Mount {
    place: PathBuf,
    _folder: TempDir,
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Also while somebody still has a file open there: it goes with the last of them.
        let _ = run("umount", &["--lazy", self.place.as_os_str().to_str().expect("a path")]);
    }
}

fn run(program: &str, arguments: &[&str]) -> std::result::Result<(), String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) => Err(format!("{program}: {error}")),
    }
}

/// 24 MiB of tmpfs and 64 MiB of ext4, as far as they can be had here.
fn mounts(test: &str) -> Vec<(&'static str, Mount)> {
    let mut mounts = Vec::new();
    for kind in ["tmpfs", "ext4"] {
        let folder = TempDir::new().expect("a folder");
        let place = folder.path().join("mounted");
        fs::create_dir(&place).expect("a folder");
        let place_text = place.to_str().expect("a path");
        let made = if kind == "tmpfs" {
            run("mount", &["-t", "tmpfs", "-o", "size=24m", "none", place_text])
        } else {
            let image = folder.path().join("image");
            fs::File::create(&image).and_then(|file| file.set_len(64 << 20)).expect("an image");
            let image = image.to_str().expect("a path");
            run("mkfs.ext4", &["-q", image]).and_then(|()| run("mount", &["-o", "loop", image, place_text]))
        };
        match made {
            Ok(()) => mounts.push((kind, Mount { place, _folder: folder })),
            Err(reason) => eprintln!("SKIPPED: {test} on {kind}, which cannot be mounted here ({reason})"),
        }
    }
    mounts
}

#[expect(clippy::needless_pass_by_value, reason = "outcomes are looked at where they arise")]
fn no_space<T>(outcome: Result<T>) -> bool {
    matches!(outcome, Err(Error::NoSpace { .. }))
}

/// What else is on the disk: all of it but `left` bytes.
fn fill(place: &Path, left: u64) {
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

fn free(place: &Path) {
    fs::remove_file(place.join("others")).expect("removed");
}

/// Puts objects of one kind until there is no room for the next; how many there were room for.
fn put_until_full(store: &Store, tracked: &mut Tracked, name: &str, value: &Value) -> u64 {
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

#[test]
fn a_full_disk_is_an_error_value_for_every_call_and_the_store_goes_on_when_there_is_room() {
    for (kind, mount) in mounts("a full disk is an error value") {
        let path = mount.place.join("store");
        let mut tracked = Tracked::default();
        let store = open(&path);
        fill(&mount.place, 3 << 20);
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
        free(&mount.place);
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
}

#[test]
fn large_objects_that_are_removed_give_their_room_back_on_a_full_disk() {
    for (kind, mount) in mounts("large objects give their room back") {
        let store = open(mount.place.join("store"));
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
}

#[test]
fn a_store_cannot_be_created_on_a_full_disk_and_can_when_there_is_room() {
    for (kind, mount) in mounts("creation on a full disk") {
        let path = mount.place.join("store");
        for left in [0, 4 << 10, 12 << 10, 40 << 10, 300 << 10, 600 << 10] {
            fill(&mount.place, left);
            match open_with(options(), &path) {
                Ok(store) => assert_eq!(store.len(), 0),
                Err(Error::NoSpace { .. }) => {}
                Err(Error::Io { source, .. }) if source.raw_os_error() == Some(libc::ENOSPC) => {}
                Err(error) => panic!("{kind}, {left} bytes left: {error}"),
            }
            free(&mount.place);
        }
        let store = open(&path);
        store.put("key", &1_u64).expect("put");
        assert_eq!(store.load::<u64>("key").expect("load"), Some(1));
    }
}

#[test]
fn a_poisoned_store_on_a_full_disk_recovers_without_touching_a_hole() {
    for (kind, mount) in mounts("a poisoned store on a full disk") {
        let path = mount.place.join("store");
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
        fill(&mount.place, 1 << 20);
        let store = open_with(large(), &path).unwrap_or_else(|error| panic!("{kind}: {error}"));
        assert_eq!(store.recovery().found, Found::MachineDied);
        assert_same(&store, &tracked.model);
    }
}

fn put_until(store: &Store, tracked: &mut Tracked, count: u64) {
    for number in 0..count {
        let (key, value) = (number.to_le_bytes(), Value::from_seed(number));
        value.put(store, &key).expect("put");
        tracked.set(&key, value);
    }
}

#[test]
fn a_limit_on_the_size_of_files_is_an_error_value_and_no_signal() {
    let folder = folder();
    let path = folder.path().join("store");
    open(&path).close().expect("close");
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "full_disk::what_a_child_does_below_a_limit"])
        .env(TASK, &path)
        .output()
        .expect("a child");
    assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stdout));
    let store = open(&path);
    assert_eq!(store.recovery().found, Found::ProcessDied);
    assert!(store.load::<u64>("key").expect("load") == Some(1) && store.len() > 50);
    assert_eq!(store.check().expect("a check").count(), 0);
}

/// No test of its own: the one above starts this program again.
#[test]
fn what_a_child_does_below_a_limit() {
    let Some(path) = std::env::var_os(TASK) else { return };
    let limit = libc::rlimit { rlim_cur: 300 << 10, rlim_max: 300 << 10 };
    let store = open(PathBuf::from(path));
    store.put("key", &1_u64).expect("put");
    // SAFETY: reads one `rlimit`, which `limit` is.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) }, 0);
    assert!(no_space(store.put("body", &vec![1_u64; 100_000][..])), "a body above the limit");
    assert!(no_space(store.loan_slice::<u64>("body", 100_000)), "a loan above the limit");
    // Chunks are below the limit; sooner or later the live map or the directory meets it.
    for number in 0..200_u64 {
        match store.put(number.to_le_bytes(), &vec![number; 4000][..]) {
            Ok(()) => {}
            Err(Error::NoSpace { .. }) => break,
            Err(error) => panic!("put {number}: {error}"),
        }
    }
    store.remove(7_u64.to_le_bytes()).expect("remove");
    store.sync().expect("sync");
    assert_eq!(store.load::<u64>("key").expect("load"), Some(1));
}

#[test]
fn a_disk_that_is_too_full_for_the_index_costs_no_object_and_no_scan() {
    for (kind, mount) in mounts("a disk too full for the index") {
        let path = mount.place.join("store");
        let store = open(&path);
        for n in 0..20_000_u32 {
            store.put(n.to_be_bytes(), &n).unwrap();
        }
        let keys =
            |store: &Store| store.keys().unwrap().map(|key| key.unwrap().into_key()).collect::<Vec<_>>();
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
            fill(&mount.place, left << 10);
            match store.sync_index() {
                Err(Error::NoSpace { path, .. }) => {
                    assert!(path.starts_with(&mount.place), "{kind}: {}", path.display());
                }
                Err(error) => panic!("{kind}, {left} KiB: {error}"),
                Ok(()) => {
                    assert!(left >= 300 || cfg!(not(feature = "leveldb")), "{kind}, {left} KiB: it fitted");
                }
            }
            check(&store, "on a full disk");
            free(&mount.place);
        }
        fill(&mount.place, 0);
        store.close().unwrap_or_else(|error| panic!("{kind}: close on a full disk: {error}"));
        let store = open(&path);
        check(&store, "opened again");
        free(&mount.place);
        store.sync_index().unwrap_or_else(|error| panic!("{kind}: with room: {error}"));
        check(&store, "with room");
        store.close().unwrap();
    }
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

#[test]
fn a_full_store_is_emptied_compacted_and_filled_again() {
    for (kind, mount) in mounts("a full store is emptied") {
        let path = mount.place.join("store");
        let mut tracked = Tracked::default();
        let mut store = open(&path);
        let wide = Value::Wide(Box::new(Wide { words: [7; 128] }));
        fill(&mount.place, 12 << 20);
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
}

#[test]
fn a_full_store_that_is_thinned_out_at_random_goes_on_when_there_is_a_little_room() {
    for (kind, mount) in mounts("a full store is thinned out") {
        let path = mount.place.join("store");
        let mut tracked = Tracked::default();
        let mut store = open(&path);
        let wide = Value::Wide(Box::new(Wide { words: [7; 128] }));
        fill(&mount.place, 8 << 20);
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
        let others = fs::OpenOptions::new().write(true).open(mount.place.join("others")).expect("a file");
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
}
