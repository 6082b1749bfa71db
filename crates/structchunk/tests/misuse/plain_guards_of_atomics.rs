use std::sync::atomic::AtomicU64;

use structchunk::Store;

fn main() {
    let store = Store::in_memory().unwrap();
    let _ = store.get::<AtomicU64>("k");
    let _ = store.get_mut::<AtomicU64>("k");
    let _ = store.update("k", |_: &mut AtomicU64| {});
    let _ = store.loan::<AtomicU64>("k");
    let _ = store.get::<[AtomicU64]>("k");
}
