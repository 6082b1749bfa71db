//! Each kind of access from a second process, beside the same by the writer of the store.
//!
//! The second process is this program once more (`child.rs`). Both sides do the same (`access.rs`), each through the handles that it has (`side.rs`).

mod access;
mod alone;
mod child;
mod large;
mod order;
mod side;

use std::path::Path;
use std::sync::atomic::AtomicU64;

use structchunk::Store;

use crate::data::{Key, Particle, key};
use crate::engine::Outcome;

pub use access::{ADDING, ALL, all_of};
pub use alone::{ALONE, More};
pub use child::{ARGUMENT, Task, ask};
pub use large::changes as changes_of_large;

/// How many objects are sealed, at most.
const MOST_SEALED: u64 = 100_000;
/// How many counters there are to be added to.
const COUNTERS: u64 = 64;
/// What numbers of sealed particles and of counters begin with: others do not have them.
const SEALED: u64 = 1 << 33;
const COUNTER: u64 = 1 << 34;
const NEW: u64 = 1 << 37;

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

/// The keys of all that is there from the beginning.
fn all_keys(objects: u64) -> impl Iterator<Item = Key> + Clone {
    let sealed = (0..sealed_beside(objects)).map(sealed_key);
    let others = (0..COUNTERS).map(counter_key).chain((0..large::LARGE).map(large::large_key));
    (0..objects).map(key).chain(sealed).chain(others).chain([alone::signal_key()])
}

/// The keys of objects that the writer puts while the second process is at work: one for a hundred.
fn new_keys(objects: u64) -> impl Iterator<Item = Key> {
    (0..objects.div_ceil(100)).map(|number| key(NEW + number))
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
    large::put(&store)?;
    store.put(alone::signal_key(), &0_u64)?;
    Ok(store)
}

/// What was added so far by `change`, by the accesses to counters, and to large objects.
pub fn totals(store: &Store, objects: u64) -> Outcome<[u64; 3]> {
    let (mut changes, mut adds) = (0, 0);
    for number in 0..objects {
        changes += store.load::<Particle>(key(number))?.ok_or("a particle is missing")?.counter;
    }
    for number in 0..COUNTERS {
        adds += store.load::<AtomicU64>(counter_key(number))?.ok_or("a counter is missing")?.into_inner();
    }
    Ok([changes, adds, large::total(store)?])
}
