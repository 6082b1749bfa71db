use structchunk::Store;

fn main() {
    let store = Store::in_memory().unwrap();
    let mut guard = store.get::<u64>("k").unwrap().unwrap();
    *guard = 2;
}
