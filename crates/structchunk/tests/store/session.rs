//! A session in which a call fails: an error value or a correct retry, and afterwards the store opens with everything that was
//! acknowledged.

use std::path::Path;

use structchunk::{Error, Found, Options, Store};

use crate::common::*;
use crate::script::{Op, Tracked, seals};

/// How the store is found by the session that meets the fault.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Start {
    /// There is nothing.
    Absent,
    Clean,
    Killed,
}

/// Makes the store, and says what is in it, and what was at its last sync.
fn prepare(path: &Path, start: Start, seed: u64) -> (Tracked, Tracked) {
    let mut tracked = Tracked::default();
    let mut synced = tracked.clone();
    if start == Start::Absent {
        return (tracked, synced);
    }
    let store = open(path);
    for op in Op::script(&mut Random::new(seed), 40) {
        tracked.run(&store, &op).expect("an operation");
        if op.is_sync() {
            synced = tracked.clone();
        }
    }
    if start == Start::Clean {
        store.close().expect("close");
        synced = tracked.clone();
    }
    (tracked, synced)
}

/// Who lets a call fail.
pub trait Saboteur {
    /// From here on a call may fail.
    fn begins(&self) {}
    /// The store is open.
    fn opened(&self) {}
    /// Looking at what is there is not what is tried: nothing fails between `true` and `false`.
    fn looks(&self, now: bool);
    /// What a killed process had written is given up, as it could not be made durable: is that what failed?
    fn gives_up(&self);
    /// From here on nothing fails any more.
    fn ends(&self) {}
}

/// Runs a session in which a call fails, and looks at what is left; what it answered with.
pub fn session(
    path: &Path,
    start: Start,
    seed: u64,
    options: Options,
    saboteur: &impl Saboteur,
) -> Vec<Error> {
    let (mut tracked, last) = prepare(path, start, seed);
    let look = |store: &Store, tracked: &Tracked| {
        saboteur.looks(true);
        assert_same(store, &tracked.model);
        saboteur.looks(false);
    };
    saboteur.begins();
    let mut errors = Vec::new();
    // What a store may hold that was poisoned: as of the last good sync, or of the one that failed.
    let mut synced = vec![last, tracked.clone()];
    let mut poisoned = false;
    match open_with(options, path) {
        Err(error) => errors.push(error),
        Ok(store) => {
            saboteur.opened();
            if start == Start::Killed && store.recovery().found == Found::MachineDied {
                // As of its last sync, then.
                saboteur.gives_up();
                saboteur.looks(true);
                assert!(synced[0].explains(&contents(&store), &seals(&store), &tracked), "the last sync");
                tracked = Tracked::of(&store);
                saboteur.looks(false);
                synced = vec![tracked.clone()];
                errors.push(Error::Closed);
            }
            tracked.synced();
            for op in Op::script(&mut Random::new(seed + 1), 45) {
                if op.is_sync() {
                    synced.push(tracked.clone());
                }
                match tracked.run(&store, &op) {
                    Ok(()) if poisoned => {
                        assert!(changes_nothing(&op, &tracked), "{op:?} after a failed sync");
                    }
                    Ok(()) if op.is_sync() => synced = vec![tracked.clone()],
                    Ok(()) => {}
                    Err(Error::Poisoned { .. }) => {
                        assert!(!errors.is_empty(), "poisoned without a cause");
                        poisoned = true;
                    }
                    Err(error) => {
                        errors.push(error);
                        // Refused as a whole, and reads go on.
                        look(&store, &tracked);
                    }
                }
            }
            look(&store, &tracked);
            synced.push(tracked.clone());
            match store.close() {
                Ok(()) => assert!(!poisoned, "close() after a failed sync"),
                Err(error) => {
                    poisoned = true;
                    errors.push(error);
                }
            }
        }
    }
    saboteur.ends();
    let store = open(path);
    if (poisoned || start == Start::Killed) && store.recovery().found == Found::MachineDied {
        let later = tracked.clone();
        let (found, sealed) = (contents(&store), seals(&store));
        let kept = synced.iter().any(|synced| synced.explains(&found, &sealed, &later));
        assert!(kept, "what is there is no good sync: {:?}", store.recovery());
        assert_eq!(store.check().expect("a check").map(|f| f.to_string()).collect::<Vec<_>>(), [""; 0]);
    } else {
        assert_same(&store, &tracked.model);
    }
    // It works again, whatever happened.
    let mut now = Tracked::of(&store);
    for op in Op::script(&mut Random::new(seed + 2), 12) {
        now.run(&store, &op).unwrap_or_else(|error| panic!("{op:?}: {error}"));
    }
    store.sync().expect("sync");
    drop(store);
    let store = open(path);
    assert_same(&store, &now.model);
    store.close().expect("close");
    errors
}

/// Whether an operation needs no write: a poisoned store may say yes to it.
fn changes_nothing(op: &Op, tracked: &Tracked) -> bool {
    let there = |key: &Vec<u8>| tracked.model.contains_key(key);
    match op {
        Op::PutIf(key, ..) | Op::Update(key, _) | Op::Remove(key) | Op::Rename(key, _) => !there(key),
        // Some values are not taken at all.
        Op::Take(key) => {
            !matches!(tracked.model.get(key), Some(Value::Point(_) | Value::Sample(_) | Value::Grown(_)))
        }
        Op::Replace(..) => true,
        _ => false,
    }
}
