use std::sync::atomic::AtomicU64;

use structchunk::{Mutator, Reader, Store};

fn main() {}

fn change(store: &Store, mutator: &Mutator, reader: &Reader) {
    let _ = mutator.update("k", |_: &mut AtomicU64| {});
    let _ = mutator.try_update("k", |_: &mut [AtomicU64]| {});
    let _ = mutator.mend("k", |_: &mut AtomicU64| {});
    let _ = store.put_sealed("k", &AtomicU64::new(1));
    let _ = store.mend("k", |_: &mut AtomicU64| {});
    let _ = mutator.get::<AtomicU64>("k");
    let _ = reader.get::<AtomicU64>("k");
}
