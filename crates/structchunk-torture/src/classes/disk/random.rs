//! Anything at all where there is little room, and it comes and goes.

use std::path::Path;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use structchunk::{Error, Found, Store};

use super::REFUSED;
use crate::child::say;
use crate::common::{Random, assert_same, open, open_with, options};
use crate::scenarios::{fill, free};
use crate::script::{Op, Tracked};

/// Runs operations; each is done, or refused as a whole because there is no room, which is said.
fn run(store: &Store, tracked: &mut Tracked, ops: &[Op]) {
    for op in ops {
        match tracked.run(store, op) {
            Ok(()) => {}
            Err(Error::NoSpace { .. }) => say(REFUSED),
            Err(error) => panic!("{op:?}: {error}"),
        }
    }
}

/// With room again everything is done; then the store is closed or left, and found as it was.
fn afterwards(store: Store, path: &Path, tracked: &mut Tracked, random: &mut Random) {
    for op in Op::script(random, 20) {
        tracked.run(&store, &op).unwrap_or_else(|error| panic!("with room, {op:?}: {error}"));
    }
    let closed = random.one_in(2);
    if closed {
        store.close().expect("close");
    } else {
        drop(store);
    }
    let store = open(path);
    assert_eq!(store.recovery().found, if closed { Found::Clean } else { Found::ProcessDied });
    assert_same(&store, &tracked.model);
}

/// Others fill the disk, and remove what they have there.
pub fn on_full_disk(_: &str, place: &Path, seed: u64) {
    let mut random = Random::new(seed);
    let path = place.join("store");
    let mut tracked = Tracked::default();
    let again = |random: &mut Random| {
        open_with(options().auto_compact(random.one_in(2)), &path)
            .unwrap_or_else(|error| panic!("open on a full disk: {error}"))
    };
    let mut store = again(&mut random);
    for _ in 0..8 {
        fill(place, random.below(3 << 19));
        let count = random.below(200);
        run(&store, &mut tracked, &Op::script(&mut random, count));
        assert_same(&store, &tracked.model);
        if random.one_in(3) {
            // Killed on the full disk.
            drop(store);
            store = again(&mut random);
            assert_same(&store, &tracked.model);
        }
        free(place);
        run(&store, &mut tracked, &Op::script(&mut random, 5));
    }
    afterwards(store, &path, &mut tracked, &mut random);
}

/// Below that a sync cannot write its checkpoint, fails, and poisons.
const STORE_BYTES: u64 = 16 << 10;

/// Files may not be longer than so much; the limit comes and goes.
pub fn below_limit(_: &str, place: &Path, seed: u64) {
    let mut random = Random::new(seed);
    let path = place.join("store");
    let mut tracked = Tracked::default();
    let store = open_with(options().auto_compact(random.one_in(2)), &path).expect("open");
    let before = getrlimit(Resource::Fsize);
    for _ in 0..4 {
        let limit = Rlimit { current: Some(STORE_BYTES + random.below(600 << 10)), ..before };
        setrlimit(Resource::Fsize, limit).expect("a limit");
        let count = random.below(120);
        run(&store, &mut tracked, &Op::script(&mut random, count));
        // Its own files in memory, which a check makes, may not be longer either.
        setrlimit(Resource::Fsize, before).expect("no limit");
        assert_same(&store, &tracked.model);
    }
    afterwards(store, &path, &mut tracked, &mut random);
}
