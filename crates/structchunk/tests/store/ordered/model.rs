//! Random scans while the store changes, against a model.

use std::collections::{BTreeMap, BTreeSet};

use structchunk::{Keys, Store};

use super::*;
use crate::script::{Op, Tracked, key};

/// A scan under way, and what may and must be said of it.
struct Watched<'a> {
    keys: Keys<'a>,
    /// In the store since the scan began: they must be met.
    steady: BTreeSet<Vec<u8>>,
    /// In the store at some time since: nothing else may be met.
    ever: BTreeSet<Vec<u8>>,
    front: Vec<Vec<u8>>,
    back: Vec<Vec<u8>>,
}

impl<'a> Watched<'a> {
    fn begin(store: &'a Store, model: &Model, random: &mut Random) -> Self {
        let (mut steady, keys) = if random.one_in(2) {
            (model.keys().cloned().collect::<BTreeSet<_>>(), store.keys())
        } else {
            let (low, high) = (key(random), key(random));
            let inside = model.keys().filter(|key| **key >= low && **key < high);
            (inside.cloned().collect(), store.range(low.clone()..high.clone()).map(structchunk::Range::keys))
        };
        let ever = steady.clone();
        if model.is_empty() {
            steady.clear();
        }
        Self { keys: keys.expect("a scan"), steady, ever, front: Vec::new(), back: Vec::new() }
    }

    fn note(&mut self, model: &Model) {
        self.steady.retain(|key| model.contains_key(key));
        self.ever.extend(model.keys().cloned());
    }

    fn step(&mut self, backward: bool) -> bool {
        let next = if backward { self.keys.next_back() } else { self.keys.next() };
        let Some(next) = next else { return false };
        let seen = if backward { &mut self.back } else { &mut self.front };
        seen.push(next.expect("a key").into_key());
        true
    }

    fn end(mut self, random: &mut Random) {
        while self.step(random.one_in(2)) {}
        assert!(!self.step(false) && !self.step(true), "it has ended");
        self.back.reverse();
        self.front.append(&mut self.back);
        assert!(self.front.is_sorted_by(|a, b| a < b), "in order, each once: {:?}", self.front);
        let seen: BTreeSet<_> = self.front.into_iter().collect();
        let missed: Vec<_> = self.steady.difference(&seen).collect();
        assert!(missed.is_empty(), "there all the time, and not met: {missed:?}");
        let invented: Vec<_> = seen.difference(&self.ever).collect();
        assert!(invented.is_empty(), "met, and never there: {invented:?}");
    }
}

fn session(store: &Store, now: &mut Tracked, random: &mut Random) {
    let mut scans: Vec<Watched<'_>> = Vec::new();
    for _ in 0..60 {
        match random.below(8) {
            0 if scans.len() < 4 => scans.push(Watched::begin(store, &now.model, random)),
            1 if !scans.is_empty() => {
                scans.swap_remove(random.below(scans.len() as u64) as usize).end(random);
            }
            2 if random.one_in(3) => store.sync_index().unwrap(),
            _ => {
                let op = Op::any(random);
                now.run(store, &op).unwrap_or_else(|error| panic!("{op:?}: {error}"));
            }
        }
        for scan in &mut scans {
            scan.note(&now.model);
            for _ in 0..random.below(3) {
                scan.step(random.one_in(2));
            }
        }
    }
    for scan in scans {
        scan.end(random);
    }
    assert!(keys(store).iter().eq(now.model.keys()), "what is there in the end");
}

#[test]
fn a_scan_of_a_store_that_changes_meets_what_stays_exactly_once() {
    let seed = seed();
    println!("STRUCTCHUNK_SEED={seed}");
    for case in 0..cases(24) {
        let mut random = Random::new(seed + case);
        let folder = folder();
        let source = SOURCES[(case % 3) as usize];
        let mut now = Tracked::default();
        for end in 0..4 {
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let store = source.open(folder.path());
                session(&store, &mut now, &mut random);
                // Closed, or as if the process had been killed.
                if end % 2 == 0 {
                    store.close().unwrap();
                }
            }));
            assert!(outcome.is_ok(), "STRUCTCHUNK_SEED={}, {source:?}, session {end}", seed + case);
        }
    }
}

#[test]
fn objects_of_a_scan_are_those_of_the_model() {
    for source in SOURCES {
        let folder = folder();
        let store = source.open(folder.path());
        let mut now = Tracked::default();
        for op in Op::script(&mut Random::new(11), 300) {
            now.run(&store, &op).unwrap();
        }
        let seen: BTreeMap<_, _> = store
            .ordered()
            .unwrap()
            .map(|entry| entry.map(|entry| (entry.key().to_vec(), entry.bytes(u64::MAX).unwrap())))
            .collect::<structchunk::Result<_>>()
            .unwrap();
        let expected: BTreeMap<_, _> =
            now.model.iter().map(|(key, value)| (key.clone(), value.bytes())).collect();
        assert!(seen == expected);
    }
}
