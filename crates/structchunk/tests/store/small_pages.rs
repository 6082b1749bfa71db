//! Pages of the page cache that would lie over holes, or be written for the sake of a few bytes: on a real file system, in processes of their
//! own, because what goes wrong there is a signal.
//!
//! Mounting needs root; without it these tests say that they were skipped.
#![expect(unsafe_code, reason = "attaching to a store is unsafe: others could change its files")]

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use structchunk::testing::{Call, Faults};
use structchunk::{Options, Reader, Store};

use crate::common::*;
use crate::full_disk::scenarios::fill;
use crate::mount::Mount;

const TASK: &str = "STRUCTCHUNK_TEST_PAGES";
const LARGE_PAGE: u64 = 2 << 20;
/// Of an object that leaves a hole.
const FRAME_BYTES: usize = 100 << 10;

fn large() -> Options {
    // Large enough for large pages.
    Store::options().create(true).index(false).chunk_capacity(64 << 20)
}

fn allocated(store: &Store) -> u64 {
    store.path().join("chunks/00000000.chunk").metadata().expect("a chunk").blocks() * 512
}

/// Lets children do one after the other of these tasks on an ext4 of its own.
fn children_do(tasks: &[&str]) {
    let Some(mount) = Mount::of("ext4", 192 << 20, "large pages and holes") else { return };
    for task in tasks {
        let output = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "small_pages::what_a_child_does"])
            .env(TASK, format!("{task}\t{}", mount.path().display()))
            .output()
            .expect("a child");
        let said = [output.stdout, output.stderr].concat();
        mount.mount_anew();
        assert!(output.status.success(), "{task}: {}: {}", output.status, String::from_utf8_lossy(&said));
    }
}

/// No test of its own: the others start this program again, with a task.
#[test]
fn what_a_child_does() {
    let Ok(task) = std::env::var(TASK) else { return };
    let (task, place) = task.split_once('\t').expect("a task and a place");
    let place = Path::new(place);
    match task {
        "dirty once" => dirty_beside_holes(place, 2),
        "dirty always" => dirty_beside_holes(place, 1),
        "make holes" => make_holes(place),
        "read cold" => read_cold(place, false),
        "scan cold" => read_cold(place, true),
        "put at the end of a page" => put_durably_in_a_large_page(place, 16 << 10),
        "put in the middle of a page" => put_durably_in_a_large_page(place, LARGE_PAGE / 2),
        "put beside a reader" => put_durably_beside_a_reader(place),
        other => panic!("no task {other}"),
    }
}

#[test]
fn holes_beside_what_others_store_to_are_holes_and_no_signal_comes_of_them_on_a_full_disk() {
    children_do(&["dirty once"]);
    children_do(&["dirty always"]);
}

/// `one_in`: how often somebody stores to what lies beside a hole just before it is made.
fn dirty_beside_holes(place: &Path, one_in: u64) {
    let faults = Faults::recorded();
    let store = open_with(large().faults(faults.clone()), place.join("store")).expect("open");
    let store: &'static Store = Box::leak(Box::new(store));
    for n in 0..60_u64 {
        for k in 0..100_u64 {
            store.put(format!("small {n} {k}"), &Wide { words: [n; 128] }).expect("put");
            if k == 50 {
                store.put(format!("counter {n}"), &Counter::default()).expect("put");
            }
        }
        store.put(format!("frame {n}"), &vec![1_u8; FRAME_BYTES][..]).expect("put");
    }
    store.sync().expect("sync");
    let counter = |n| store.get_atomic::<Counter>(format!("counter {n}")).expect("get").expect("a counter");
    let counters: Vec<_> = (20..40).map(counter).collect();
    let (beside, holes) = (counters.len() as u64, AtomicU64::new(0));
    faults.watch(move |event| {
        if event.call == Call::Punch && holes.fetch_add(1, Ordering::Relaxed).is_multiple_of(one_in) {
            for counter in &counters {
                counter.hits.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let before = allocated(store);
    for n in 20..40 {
        store.remove(format!("frame {n}")).expect("remove");
    }
    for _ in 0..5 {
        store.sync().expect("sync");
    }
    let given_back = before - allocated(store);
    if one_in == 1 {
        assert!(given_back < beside * 4096, "a hole that is none is not counted: {given_back}");
    } else {
        assert!(given_back > beside * FRAME_BYTES as u64 * 9 / 10, "{given_back}");
    }
    fill(place, 0);
    for n in 0..60 {
        let hits = store.get_atomic::<Counter>(format!("counter {n}")).expect("get").expect("a counter");
        hits.hits.fetch_add(1, Ordering::Relaxed);
        store.update(format!("small {n} 7"), |wide: &mut Wide| wide.words[0] = 1).expect("update");
    }
    store.sync().expect("sync");
    assert!(allocated(store) <= before - given_back, "what was given back is not taken again");
    assert_eq!(store.check().expect("a check").count(), 0);
}

#[test]
fn what_is_read_from_a_cold_disk_beside_holes_can_be_changed_on_a_full_one() {
    children_do(&["make holes", "read cold"]);
    children_do(&["make holes", "scan cold"]);
}

fn frame(n: u64) -> Vec<u64> {
    vec![n; if n.is_multiple_of(2) { 300 } else { 900 } * 1024 / 8]
}

fn make_holes(place: &Path) {
    let store = open_with(large(), place.join("store")).expect("open");
    for n in 0..40_u64 {
        store.put(format!("small {n}"), &Wide { words: [n; 128] }).expect("put");
        store.put(format!("frame {n}"), &frame(n)[..]).expect("put");
    }
    store.sync().expect("sync");
    let before = allocated(&store);
    for n in (0..40_u64).step_by(2) {
        store.remove(format!("frame {n}")).expect("remove");
    }
    for _ in 0..4 {
        store.sync().expect("sync");
    }
    assert!(before - allocated(&store) > 20 * 290 * 1024);
    store.close().expect("close");
}

fn read_cold(place: &Path, by_reader: bool) {
    let path = place.join("store");
    let store = open_with(large(), &path).expect("open");
    if by_reader {
        // SAFETY: only structchunk changes the files.
        let reader = unsafe { Reader::attach(&path) }.expect("attach");
        assert_eq!(reader.session().expect("a session").iter().expect("a scan").count(), 60);
        let place = place.join("copy");
        reader.copy_to(&place).expect("a copy");
        std::fs::remove_dir_all(place).expect("removed");
    }
    for n in (1..40_u64).step_by(2) {
        let frame = store.get::<[u64]>(format!("frame {n}")).expect("get").expect("a frame");
        assert!(frame.iter().all(|&word| word == n));
    }
    store.put("first", &1_u64).expect("put");
    store.sync().expect("sync");
    let before = allocated(&store);
    fill(place, 0);
    for n in 0..40 {
        store.update(format!("small {n}"), |wide: &mut Wide| wide.words[0] = 7).expect("update");
    }
    store.sync().expect("sync");
    assert!(allocated(&store) <= before, "what was given back is not taken again");
}

#[test]
fn a_durable_put_after_a_load_writes_a_few_pages_wherever_the_load_has_ended() {
    children_do(&["put in the middle of a page"]);
    children_do(&["put at the end of a page"]);
}

#[test]
fn a_durable_put_beside_a_reader_of_the_newest_objects_writes_a_few_pages() {
    children_do(&["put beside a reader"]);
}

/// Bytes that this process has caused to be written.
fn written() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").expect("what the kernel counts");
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.expect("a line").parse().expect("a number")
}

/// Bytes written for each of some durable puts.
fn put_durably(store: &Store, keys: std::ops::Range<u64>, each: impl Fn(u64)) -> u64 {
    let (before, count) = (written(), keys.end - keys.start);
    for key in keys {
        store.put(key.to_be_bytes(), &[key; 8]).expect("put");
        store.sync().expect("sync");
        each(key);
    }
    (written() - before) / count
}

/// `left`: of the large page in which the load ends.
fn put_durably_in_a_large_page(place: &Path, left: u64) {
    let store = open_with(large(), place.join("store")).expect("open");
    let head = || store.stats().expect("stats").chunks[0].head;
    let mut key = 0_u64;
    while key < 80_000 || !(left - (8 << 10)..left).contains(&(LARGE_PAGE - head() % LARGE_PAGE)) {
        for _ in 0..50 {
            store.put(key.to_be_bytes(), &[key; 8]).expect("put");
            key += 1;
        }
    }
    store.sync().expect("sync");
    put_durably(&store, key..key + 5, |_| {});
    let before = head();
    let bytes = put_durably(&store, key + 5..key + 300, |_| {});
    assert_eq!(head() / LARGE_PAGE > before / LARGE_PAGE, left < LARGE_PAGE / 2);
    assert!(bytes <= 16 << 10, "{bytes} bytes a put");
}

fn put_durably_beside_a_reader(place: &Path) {
    let path = place.join("store");
    let store = open_with(large(), &path).expect("open");
    for key in 0..100_000_u64 {
        store.put(key.to_be_bytes(), &[key; 8]).expect("put");
    }
    store.sync().expect("sync");
    // SAFETY: only structchunk changes the files.
    let reader = unsafe { Reader::attach(&path) }.expect("attach");
    let see = |key: u64| assert_eq!(reader.load(key.to_be_bytes()).expect("load"), Some([key; 8]));
    (99_000..100_000).for_each(see);
    put_durably(&store, 100_000..100_005, see);
    let bytes = put_durably(&store, 100_005..100_055, see);
    assert!(bytes <= 16 << 10, "{bytes} bytes a put");
}
