//! Copies that another process makes of a store in which much is going on at once.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use structchunk::{Compaction, Error, Store};

use super::{look_at, write_rounds};
use crate::common::*;
use crate::process::Told;
use crate::readers::{attach_with, process};

/// What a process does in threads of its own, until it is told to end.
pub struct Work {
    stop: Arc<AtomicBool>,
    round: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Work {
    /// Begins with some kinds of work.
    pub fn begin(store: &Store, kinds: &[&str]) -> Self {
        let mut work = Self { stop: Arc::default(), round: Arc::default(), threads: Vec::new() };
        store.put("small", &[0_u64; 60]).expect("put");
        store.put("wide", &Wide { words: [0; 128] }).expect("put");
        store.put("body", &vec![0_u64; 50_000][..]).expect("put");
        store.put("changed before", &0_u64).expect("put");
        store.put("never still", &[0_u64; 3000][..]).expect("put");
        store.put("replaced", &vec![0_u64; 9000][..]).expect("put");
        for number in 0..200_u64 {
            store.put(format!("still {number}"), &vec![number; 500][..]).expect("put");
        }
        for kind in kinds {
            let (store, stop, round) = (store.clone(), work.stop.clone(), work.round.clone());
            let turn: fn(&Store, u64) = match *kind {
                "rounds" => {
                    work.threads.push(std::thread::spawn(move || write_rounds(&store, &stop, &round)));
                    continue;
                }
                "in_place" => change_in_place,
                "churn" => churn,
                "replace" => replace,
                "compact" => compact,
                other => panic!("{other}?"),
            };
            work.threads.push(std::thread::spawn(move || {
                let mut number = 0;
                while !stop.load(Ordering::SeqCst) {
                    number += 1;
                    turn(&store, number);
                }
            }));
        }
        work
    }

    /// The last round that is there for sure.
    pub fn round(&self) -> u64 {
        self.round.load(Ordering::SeqCst)
    }

    /// Ends it.
    pub fn end(self) {
        self.stop.store(true, Ordering::SeqCst);
        self.threads.into_iter().for_each(|thread| thread.join().expect("work that was done"));
    }
}

/// Changes objects where they lie, and then says so with another one.
fn change_in_place(store: &Store, number: u64) {
    assert!(store.update("small", |it: &mut [u64; 60]| it.fill(number)).expect("update"));
    assert!(store.update("wide", |it: &mut Wide| it.words.fill(number)).expect("update"));
    let mut body = store.get_mut::<[u64]>("body").expect("get").expect("there");
    body.fill(number);
    body.commit().expect("commit");
    store.put("changed before", &number).expect("put");
    std::thread::sleep(Duration::from_micros(300));
}

/// Hardly ever leaves an object alone.
fn churn(store: &Store, number: u64) {
    let mut object = store.get_mut::<[u64]>("never still").expect("get").expect("there");
    object.fill(number);
    object.commit().expect("commit");
}

/// Replaces a large object, and lets the file of the one before go as soon as that may be.
fn replace(store: &Store, number: u64) {
    store.put("replaced", &vec![number; 9000][..]).expect("put");
    store.sync().expect("sync");
    std::thread::sleep(Duration::from_millis(1));
}

/// Keeps what is current moving.
fn compact(store: &Store, number: u64) {
    (0..1000).for_each(|index| store.put(format!("waste {index}"), &number).expect("put"));
    match store.compact_with(Compaction::new().fill_ratio(0.9)) {
        Ok(_) | Err(Error::Busy { .. }) => {}
        Err(error) => panic!("{error}"),
    }
    std::thread::sleep(Duration::from_millis(2));
}

fn worker(path: &Path, kinds: &str) -> Told {
    let mut child = process(path);
    assert_eq!(child.tell("open"), "ok");
    assert_eq!(child.tell(&format!("begin {kinds}")), "ok");
    while child.tell("round").parse::<u64>().expect("a number") < 3 {}
    child
}

/// What changed in place was changed before it was said so.
fn look_at_the_order(place: &Path) {
    let copy = open_with(options().create(false).read_only(true), place).expect("open");
    let said = copy.load::<u64>("changed before").expect("load").expect("there");
    let small = copy.load::<[u64; 60]>("small").expect("load").expect("there")[0];
    let wide = copy.load::<Wide>("wide").expect("load").expect("there").words[0];
    let body = copy.get::<[u64]>("body").expect("get").expect("there")[0];
    assert!(small >= said && wide >= said && body >= said, "{small} {wide} {body}, and {said} was said");
    for key in ["replaced", "never still"] {
        let object = copy.get::<[u64]>(key).expect("get").expect("there");
        assert!(object.iter().all(|number| *number == object[0]), "{key} is torn");
    }
    let findings: Vec<_> = copy.check_deep().expect("a check").map(|it| it.to_string()).collect();
    assert_eq!(findings, [""; 0]);
}

fn copies_while(kinds: &str) {
    let folder = folder();
    let path = folder.path().join("store");
    let mut child = worker(&path, kinds);
    let reader = attach_with(options().busy_timeout(Duration::from_secs(20)), &path).expect("attach");
    for number in 0..cases(4) {
        let place = folder.path().join(format!("copy {number}"));
        let before = child.tell("round").parse().expect("a number");
        let report = reader.copy_to(&place).unwrap_or_else(|error| panic!("beside {kinds}: {error}"));
        let after = child.tell("round").parse::<u64>().expect("a number") + 1;
        assert!(report.findings.is_empty() && report.torn.is_empty(), "{report:?}");
        look_at_the_order(&place);
        look_at(&place, before, after);
        fs::remove_dir_all(place).expect("removed");
    }
    assert_eq!(child.tell("end"), "ok");
    assert_eq!(child.tell("close"), "ok");
    // What was held is given back.
    let store = open(&path);
    assert_eq!(store.check().expect("a check").count(), 0);
    assert_eq!(store.stats().expect("stats").bodies, 4);
}

#[test]
fn a_copy_beside_a_writer_is_of_one_moment_while_objects_change_in_place() {
    copies_while("rounds in_place churn");
}

#[test]
fn a_copy_beside_a_writer_is_of_one_moment_while_bodies_are_replaced_all_the_time() {
    copies_while("rounds replace");
}

#[test]
fn a_copy_beside_a_writer_is_of_one_moment_while_it_compacts_and_does_everything_else() {
    copies_while("rounds in_place replace compact");
}

#[test]
fn a_copy_beside_a_writer_is_of_one_moment_where_nothing_stays_mapped() {
    with_nothing_kept_mapped(|| copies_while("rounds in_place replace"));
}
