use structchunk::Store;

fn main() {
    let store = Store::in_memory().unwrap();
    let guard = store.get::<u64>("k").unwrap();
    store.close().unwrap();
    drop(guard);
}
