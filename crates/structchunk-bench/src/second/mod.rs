//! Each kind of access from a second process, beside the same by the writer of the store.
//!
//! The second process is this program once more (`child.rs`). Both sides do the same (`access.rs`), each through the handles that it has (`side.rs`).

mod access;
mod child;
mod side;

use std::path::Path;
use std::sync::atomic::AtomicU64;

use structchunk::Store;

use crate::data::{Key, Particle, key};
use crate::engine::Outcome;

pub use access::{ADDING, ALL, all_of};
pub use child::{ARGUMENT, Task, ask};

/// How many objects are sealed, at most.
const MOST_SEALED: u64 = 100_000;
/// How many counters there are to be added to.
const COUNTERS: u64 = 64;
/// What numbers of sealed particles and of counters begin with: others do not have them.
const SEALED: u64 = 1 << 33;
const COUNTER: u64 = 1 << 34;

/// How many particles are sealed ones, beside so many that are not.
fn sealed_beside(objects: u64) -> u64 {
    objects.min(MOST_SEALED)
}

fn sealed_key(number: u64) -> Key {
    key(SEALED + number)
}

fn counter_key(number: u64) -> Key {
    key(COUNTER + number)
}

/// A store that other processes may change, with all that is accessed.
pub fn create(folder: &Path, objects: u64) -> Outcome<Store> {
    let store = side::create(folder)?;
    for number in 0..objects {
        store.put(key(number), &Particle::new(number))?;
    }
    for number in 0..sealed_beside(objects) {
        store.put_sealed(sealed_key(number), &Particle::new(SEALED + number))?;
    }
    for number in 0..COUNTERS {
        store.put(counter_key(number), &AtomicU64::new(0))?;
    }
    Ok(store)
}

/// What was added so far by `change`, and by the accesses to counters.
pub fn totals(store: &Store, objects: u64) -> Outcome<[u64; 2]> {
    let (mut changes, mut adds) = (0, 0);
    for number in 0..objects {
        changes += store.load::<Particle>(key(number))?.ok_or("a particle is missing")?.counter;
    }
    for number in 0..COUNTERS {
        adds += store.load::<AtomicU64>(counter_key(number))?.ok_or("a counter is missing")?.into_inner();
    }
    Ok([changes, adds])
}
