use structchunk::Store;

fn main() {
    let store = Store::in_memory().unwrap();
    let _ = store.get_atomic::<u64>("k");
}
