use structchunk::Store;

fn main() {
    let store = Store::in_memory().unwrap();
    let reference: &u64 = {
        let guard = store.get::<u64>("k").unwrap().unwrap();
        &*guard
    };
    println!("{reference}");
}
