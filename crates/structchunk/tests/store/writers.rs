//! Several threads write while others sync, and the power goes in the middle of that: what comes up is a moment of the log.
//!
//! Nobody can say beforehand which operations a sync catches. But whatever had returned before a sync was called that has returned is
//! there, and with every operation that is there is all that had returned before it began; of a batch there is all or nothing.
//! The threads go as they like: a seed repeats what they do, not when.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use structchunk::{Found, Store};

use crate::common::*;
use crate::power::{Disk, Image, lay_out};

const WRITERS: usize = 3;
/// Operations of each.
const OPERATIONS: u64 = 120;
/// Syncs of each of those who sync.
const SYNCS: u64 = 6;
/// The power goes before one of so many effects.
const ONE_IN: u64 = 4;

/// Objects of one writer after an operation, and when that was.
struct Done {
    began: u64,
    returned: u64,
    objects: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// Lets them write in a new store below `folder`, and opens what power cuts left of it; how many images that were.
pub fn round(folder: &Path, random: &mut Random) -> u64 {
    let path = folder.join("store");
    let disk = Disk::new(&path, Random::new(random.next()), u64::MAX, Vec::new());
    let faults = disk.faults();
    let store =
        open_with(options().auto_compact(random.one_in(2)).faults(faults.clone()), &path).expect("open");
    // Each operation begins and returns at a time of its own; `synced` is when the last sync was called that has returned.
    let (clock, synced) = (AtomicU64::new(1), Arc::new(AtomicU64::new(0)));
    faults.watch({
        let (disk, synced) = (disk.clone(), synced.clone());
        move |event| {
            if disk.one_in(ONE_IN) {
                disk.cut_now(&synced.load(Ordering::SeqCst).to_string());
            }
            disk.before(event);
        }
    });
    let is_over = AtomicBool::new(false);
    let done: Vec<Vec<Done>> = thread::scope(|scope| {
        let (store, clock, synced, is_over) = (&store, &clock, &synced, &is_over);
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let random = Random::new(random.next());
                scope.spawn(move || write(store, writer, random, clock))
            })
            .collect();
        for _ in 0..2 {
            scope.spawn(move || {
                for number in 0.. {
                    if number >= SYNCS && is_over.load(Ordering::SeqCst) {
                        break;
                    }
                    let called = clock.fetch_add(1, Ordering::SeqCst);
                    store.sync().expect("sync");
                    synced.fetch_max(called, Ordering::SeqCst);
                }
            });
        }
        let done = writers.into_iter().map(|writer| writer.join().expect("a writer")).collect();
        is_over.store(true, Ordering::SeqCst);
        done
    });
    faults.watch(|_| {});
    drop(store);
    let images = disk.take_images();
    assert!(images.len() > 10, "only {} images", images.len());
    let every = images.len().div_ceil(16);
    images.into_iter().step_by(every).map(|image| look_at(&image, folder, &done)).sum()
}

/// Changes the objects of one writer. Every state of them is another one.
fn write(store: &Store, writer: usize, mut random: Random, clock: &AtomicU64) -> Vec<Done> {
    let mut objects = BTreeMap::new();
    let mut all = vec![Done { began: 0, returned: 0, objects: objects.clone() }];
    for number in 1..=OPERATIONS {
        let key = |random: &mut Random| format!("{writer} {}", random.below(8)).into_bytes();
        let value = |random: &mut Random| {
            let count = 8 + random.below(1200);
            Value::Numbers(random.words(count))
        };
        let count = if random.one_in(3) { 2 + random.below(4) } else { 0 };
        let mut changes: Vec<_> =
            (0..count).map(|_| (key(&mut random), (!random.one_in(3)).then(|| value(&mut random)))).collect();
        changes.push((format!("{writer} count").into_bytes(), Some(Value::Numbers(vec![number]))));
        if count == 0 {
            // A put alone; a body now and then. Its words are no other's.
            let value =
                if random.one_in(20) { Value::Numbers(random.words(5000)) } else { value(&mut random) };
            changes = vec![(key(&mut random), Some(value))];
        }
        let began = clock.fetch_add(1, Ordering::SeqCst);
        if let [(key, Some(value))] = &changes[..] {
            value.put(store, key).expect("put");
        } else {
            let mut batch = store.batch();
            for (key, change) in &changes {
                match change {
                    Some(Value::Numbers(words)) => batch.put(key, &words[..]).expect("put"),
                    _ => batch.remove(key).expect("remove"),
                }
            }
            batch.commit().expect("commit");
        }
        let returned = clock.fetch_add(1, Ordering::SeqCst);
        for (key, change) in changes {
            match change {
                Some(value) => objects.insert(key, value.bytes()),
                None => objects.remove(&key),
            };
        }
        all.push(Done { began, returned, objects: objects.clone() });
    }
    all
}

/// Opens an image as a machine does that has booted again, and looks for the moment that it shows.
fn look_at(image: &Image, folder: &Path, done: &[Vec<Done>]) -> u64 {
    let synced: u64 = image.at.parse().expect("a time");
    let path = folder.join("image");
    lay_out(image, &path);
    let store = open_with(options().trust_page_cache(false), &path).expect("open");
    assert_ne!(store.recovery().found, Found::ProcessDied);
    let findings: Vec<_> = store.check().expect("a check").collect();
    assert!(findings.is_empty(), "{findings:?}");
    let there = contents(&store);
    let reached: Vec<&Done> = (0..)
        .zip(done)
        .map(|(writer, done): (usize, _)| {
            let mine = format!("{writer} ").into_bytes();
            let there: BTreeMap<_, _> = there
                .iter()
                .filter(|(key, _)| key.starts_with(&mine))
                .map(|(key, (_, _, bytes))| (key.clone(), bytes.clone()))
                .collect();
            done.iter()
                .find(|done| done.objects == there)
                .unwrap_or_else(|| panic!("writer {writer}: this was never so; {:?}", store.recovery()))
        })
        .collect();
    let latest = reached.iter().map(|done| done.began).max().unwrap_or(0);
    for (writer, (reached, done)) in reached.iter().zip(done).enumerate() {
        let least =
            done.iter().rev().find(|done| done.returned <= synced.max(latest)).expect("the first state");
        assert!(
            reached.returned >= least.returned,
            "writer {writer}: what had returned at {} is not there, but what began at {latest} is, or a sync was called at {synced}",
            least.returned
        );
    }
    // It works on.
    store.put("more", &1_u64).expect("put");
    store.close().expect("close");
    1
}
