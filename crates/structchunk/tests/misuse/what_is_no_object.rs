use structchunk::Store;

fn main() {
    let store = Store::in_memory().unwrap();
    store.put("k", &String::new()).unwrap();
    store.put("k", &true).unwrap();
    store.put("k", "text").unwrap();
    let _ = store.load::<[u64]>("k");
}
