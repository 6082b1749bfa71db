//! Nothing is lost, however many processes are at work.

use super::{attach, mutator, shared};
use crate::common::*;
use crate::process::Told;

const PROCESSES: usize = 8;

fn all(children: &mut [Told], order: impl Fn(usize) -> String) {
    for (index, child) in children.iter_mut().enumerate() {
        child.order(&order(index));
    }
    for child in children {
        assert_eq!(child.answer(), "ok");
    }
}

#[test]
fn eight_processes_of_a_million_atomic_adds_come_to_the_exact_total() {
    const ADDS: u64 = 1_000_000;
    let folder = folder();
    let store = shared(folder.path());
    store.put("counter", &Counter::default()).unwrap();
    let mut children: Vec<_> = (0..PROCESSES).map(|_| mutator(folder.path())).collect();
    all(&mut children, |_| format!("hits counter {ADDS}"));
    let counter = store.load::<Counter>("counter").unwrap().unwrap();
    let total = PROCESSES as u64 * ADDS;
    assert_eq!((counter.hits.into_inner(), counter.sum.into_inner()), (total, 2 * total));
}

#[test]
fn updates_of_one_object_by_eight_processes_and_the_writer_come_to_the_exact_total() {
    let adds = cases(3000);
    let folder = folder();
    let store = shared(folder.path());
    store.put("key", &0_u64).unwrap();
    let mut children: Vec<_> = (0..PROCESSES).map(|_| mutator(folder.path())).collect();
    for child in &mut children {
        child.order(&format!("add key {adds}"));
    }
    for _ in 0..adds {
        while store.update("key", |value: &mut u64| *value += 1).is_err() {}
    }
    for child in &mut children {
        assert_eq!(child.answer(), "ok");
    }
    assert_eq!(store.load("key").unwrap(), Some((PROCESSES as u64 + 1) * adds));
}

#[test]
fn nothing_is_lost_while_the_writer_moves_renames_and_replaces_what_others_change() {
    let folder = folder();
    let store = open_with(
        options().shared_mutation(true).busy_timeout(std::time::Duration::from_secs(20)),
        folder.path(),
    )
    .unwrap();
    for key in ["a", "b", "c"] {
        store.put(key, &0_u64).unwrap();
    }
    let adds = cases(3000);
    let mut children: Vec<_> = ["a", "b", "c"].map(|key| (key, mutator(folder.path()))).into();
    for (key, child) in &mut children {
        child.order(&format!("add {key} {adds}"));
    }
    let mut taken = 0;
    for round in 0..20_u64 {
        for index in 0..1500_u64 {
            store.put(format!("waste/{index}"), &round).unwrap();
        }
        // Takes what is there out of one of them, by another object in its place.
        taken += store.replace("c", &0_u64).unwrap().unwrap();
        let mut batch = store.batch();
        batch.put("other", &round).unwrap();
        batch.remove("waste/0").unwrap();
        batch.commit().unwrap();
        store.compact_with(structchunk::Compaction::new().fill_ratio(1.0)).unwrap();
        store.sync().unwrap();
    }
    for (_, child) in &mut children {
        assert_eq!(child.answer(), "ok");
    }
    let (a, b, c) = (store.load::<u64>("a"), store.load::<u64>("b"), store.load::<u64>("c"));
    assert_eq!((a.unwrap(), b.unwrap(), c.unwrap().unwrap() + taken), (Some(adds), Some(adds), adds));
    assert_eq!(store.check_deep().unwrap().count(), 0);
}

#[test]
fn no_copy_is_torn_whoever_changes_a_large_object_meanwhile() {
    let folder = folder();
    let path = folder.path().join("store");
    let store = shared(&path);
    store.put("wide", &Wide { words: [0; 128] }).unwrap();
    let mut children: Vec<_> = (0..2).map(|_| mutator(&path)).collect();
    for (salt, child) in children.iter_mut().enumerate() {
        child.order(&format!("churn_beside wide {} {salt}", cases(5000)));
    }
    let (reader, beside) = (crate::readers::attach(&path), attach(&path).unwrap());
    let mut copies = 0;
    for _ in 0..cases(1000) {
        for copy in [store.load::<Wide>("wide"), reader.load("wide"), beside.load("wide")] {
            let Ok(Some(wide)) = copy else { continue };
            assert!(wide.words.iter().all(|word| *word == wide.words[0]));
            copies += 1;
        }
    }
    let copy = folder.path().join("copy");
    store.copy_to(&copy).unwrap();
    assert!(copies > 100, "{copies} copies");
    for child in &mut children {
        assert_eq!(child.answer(), "ok");
    }
    let wide = open(&copy).load::<Wide>("wide").unwrap().unwrap();
    assert!(wide.words.iter().all(|word| *word == wide.words[0]));
}
