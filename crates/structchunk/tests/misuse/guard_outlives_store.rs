use structchunk::Store;

fn main() {
    let guard = {
        let store = Store::in_memory().unwrap();
        store.put("k", &1_u64).unwrap();
        store.get::<u64>("k").unwrap().unwrap()
    };
    println!("{}", *guard);
}
