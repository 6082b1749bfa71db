//! Copies while a compaction moves objects and drops chunks.

use std::collections::BTreeMap;

use structchunk::Compaction;

use super::*;

fn everything() -> Compaction<'static> {
    Compaction::new().fill_ratio(1.0)
}

/// The names of the chunks of a store.
fn chunk_files(store: &Path) -> Vec<String> {
    let names = fs::read_dir(store.join("chunks")).expect("a folder");
    let names = names.map(|entry| entry.expect("a name").file_name().into_string().expect("a name of ours"));
    names.filter(|name| Path::new(name).extension().is_some_and(|end| end == "chunk")).collect()
}

/// A store of several chunks with little in each of them, and something large.
fn thinned(path: &Path, faults: &Faults) -> (Store, Model) {
    let store = open_with(options().faults(faults.clone()), path).expect("open");
    let mut model = Model::new();
    for number in 0..900_u64 {
        let value = if number % 100 == 50 {
            Value::Numbers(vec![number; if number % 200 == 50 { 4000 } else { 9000 }])
        } else {
            Value::Wide(Box::new(Wide { words: [number; 128] }))
        };
        let key = format!("key {number}").into_bytes();
        value.put(&store, &key).expect("put");
        model.insert(key, value);
    }
    for number in (0..900).filter(|number| number % 10 != 0) {
        let key = format!("key {number}").into_bytes();
        assert!(store.remove(&key).expect("remove") && model.remove(&key).is_some());
    }
    store.sync().expect("sync");
    (store, model)
}

#[test]
fn what_a_compaction_drops_while_a_copy_is_made_is_kept_until_it_is_made() {
    let folder = folder();
    let (path, place) = (folder.path().join("store"), folder.path().join("copy"));
    let (store, model) = thinned(&path, &Faults::none());
    let before = chunk_files(&path);
    let mut report = None;
    store
        .copy_to_with(&place, |_| {
            if report.is_none() {
                let done = store.compact_with(everything()).expect("compact");
                for number in (0..900).step_by(20) {
                    store.remove(format!("key {number}")).expect("remove");
                }
                for number in 0..3_u64 {
                    store.put("later", &number).expect("put");
                    store.sync().expect("sync");
                }
                let kept = chunk_files(&path);
                assert!(before.iter().all(|chunk| kept.contains(chunk)), "{before:?}, then {kept:?}");
                report = Some(done);
            }
        })
        .expect("a copy");
    let report = report.expect("it was told");
    assert!(report.dropped_chunks.len() > 2, "{report:?}");
    assert_eq!(report.waiting_chunks, report.dropped_chunks);
    assert_copy(&place, &model);
    // With the next sync, which is the second one that needs none of them.
    store.put("later", &9_u64).expect("put");
    store.sync().expect("sync");
    let left = chunk_files(&path);
    assert!(
        !report.dropped_chunks.iter().any(|chunk| left.contains(&format!("{chunk:08x}.chunk"))),
        "{left:?}"
    );
    store.close().expect("close");
    assert_eq!(open(&path).recovery().found, Found::Clean);
}

#[test]
fn chunks_that_have_left_the_log_but_not_the_disk_are_not_part_of_a_copy() {
    let folder = folder();
    let (path, place) = (folder.path().join("store"), folder.path().join("copy"));
    let faults = Faults::recorded();
    let (store, model) = thinned(&path, &faults);
    faults.plan(Fault::nth(1, libc::EIO).of(Call::Remove).on("00000001.chunk").from_then_on());
    let report = store.compact_with(everything()).expect("compact");
    assert!(report.waiting_chunks.contains(&1), "{report:?}");
    store.copy_to(&place).expect("a copy");
    let copied = chunk_files(&place);
    assert_eq!(copied.len(), store.stats().expect("stats").chunks.len());
    assert!(report.waiting_chunks.iter().all(|chunk| !copied.contains(&format!("{chunk:08x}.chunk"))));
    assert_copy(&place, &model);
}

#[test]
fn a_body_that_changes_after_its_record_was_moved_or_renamed_is_never_torn_in_a_copy() {
    for rename in [false, true] {
        let folder = folder();
        let (store, place) = (in_pieces(&folder.path().join("store")), folder.path().join("copy"));
        for number in 0..300_u64 {
            store.put("garbage", &Wide { words: [number; 128] }).expect("put");
        }
        store.put("body", &vec![1_u64; 400_000][..]).expect("put");
        let mut changed = false;
        let told = store.copy_to_with(&place, |progress| {
            // A part of the body has been copied.
            if progress.bytes > 3 << 19 && !std::mem::replace(&mut changed, true) {
                let key = if rename { "renamed" } else { "body" };
                if rename {
                    assert!(store.rename("body", "renamed").expect("rename"));
                } else {
                    assert!(store.compact_with(everything()).expect("compact").moved_objects > 0);
                }
                let mut body = store.get_mut::<[u64]>(key).expect("get").expect("there");
                body.fill(2);
                body.commit().expect("commit");
            }
        });
        told.expect("a copy");
        assert!(changed);
        let copy = open_with(options(), &place).expect("open");
        let body = copy.get::<[u64]>("body").expect("get").expect("it was copied");
        assert!(body.iter().all(|word| *word == body[0]), "rename: {rename}");
    }
}

/// Under which keys there is what after so many steps of [`step`].
fn after(steps: u64) -> BTreeMap<u64, u64> {
    let mut all = BTreeMap::new();
    for number in 1..=steps {
        if number % 7 == 0 {
            all.remove(&key_of(number))
        } else {
            all.insert(key_of(number), number)
        };
    }
    all
}

fn key_of(number: u64) -> u64 {
    number * number % 61
}

fn step(store: &Store, number: u64) {
    let key = format!("key {:02}", key_of(number));
    if number.is_multiple_of(7) {
        store.remove(key).expect("remove");
    } else {
        store.put(key, &Wide { words: [number; 128] }).expect("put");
    }
}

/// What a copy has must be what was there after one of these steps; and nothing is torn.
fn assert_of_one_moment(place: &Path, steps: std::ops::RangeInclusive<u64>) {
    let copy = open_with(options().create(false), place).expect("open");
    assert_eq!(copy.recovery().found, Found::Clean);
    assert_eq!(copy.check().expect("a check").map(|it| it.to_string()).collect::<Vec<_>>(), [""; 0]);
    for key in ["changed in place", "changed in its body"] {
        let object = copy.get::<[u64]>(key).expect("get").expect("it was never away");
        assert!(object.iter().all(|word| *word == object[0]), "{key} is torn");
    }
    let mut found = BTreeMap::new();
    for key in 0..61_u64 {
        if let Some(wide) = copy.load::<Wide>(format!("key {key:02}")).expect("load") {
            assert!(wide.words.iter().all(|word| *word == wide.words[0]), "{key} is torn");
            found.insert(key, wide.words[0]);
        }
    }
    assert!(steps.clone().any(|steps| after(steps) == found), "{found:?} never was, in {steps:?}");
}

#[test]
fn a_copy_beside_a_compaction_is_of_one_moment_and_checks_clean() {
    let folder = folder();
    let path = folder.path().join("store");
    let store = open_with(options().busy_timeout(Duration::from_secs(20)), &path).expect("open");
    store.put("changed in place", &vec![0_u64; 3000][..]).expect("put");
    store.put("changed in its body", &vec![0_u64; 50_000][..]).expect("put");
    let (stop, steps, moved) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|threads| {
        // Others end when one panics, too.
        struct Stop<'a>(&'a AtomicBool);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let _stop = Stop(&stop);
        threads.spawn(|| {
            let _stop = Stop(&stop);
            while !stop.load(Ordering::SeqCst) {
                let number = steps.load(Ordering::SeqCst) + 1;
                step(&store, number);
                steps.store(number, Ordering::SeqCst);
                if number.is_multiple_of(100) {
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        });
        threads.spawn(|| {
            let _stop = Stop(&stop);
            for number in 1.. {
                for key in ["changed in place", "changed in its body"] {
                    let mut object = store.get_mut::<[u64]>(key).expect("get").expect("there");
                    object.fill(number);
                    object.commit().expect("commit");
                }
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                std::thread::sleep(Duration::from_micros(200));
            }
        });
        threads.spawn(|| {
            let _stop = Stop(&stop);
            while !stop.load(Ordering::SeqCst) {
                let report = store.compact_with(everything()).expect("compact");
                moved.fetch_add(report.moved_objects, Ordering::SeqCst);
            }
        });
        for number in 0..cases(8) {
            let place = folder.path().join(format!("copy {number}"));
            let wanted = (steps.load(Ordering::SeqCst) + 300, moved.load(Ordering::SeqCst) + 10);
            while !stop.load(Ordering::SeqCst)
                && (steps.load(Ordering::SeqCst) < wanted.0 || moved.load(Ordering::SeqCst) < wanted.1)
            {
                std::thread::yield_now();
            }
            let before = steps.load(Ordering::SeqCst);
            let report = store.copy_to(&place).expect("a copy");
            let after = steps.load(Ordering::SeqCst) + 1;
            assert!(report.findings.is_empty() && report.torn.is_empty(), "{report:?}");
            assert_of_one_moment(&place, before..=after);
            fs::remove_dir_all(place).expect("removed");
        }
    });
    store.close().expect("close");
    let store = open(&path);
    assert_eq!(store.recovery().found, Found::Clean, "what copies kept was given back");
    assert_eq!(chunk_files(&path).len(), store.stats().expect("stats").chunks.len());
}
