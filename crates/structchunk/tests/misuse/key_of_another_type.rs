use structchunk::Store;

fn main() {
    let store = Store::in_memory().unwrap();
    let table = store.table::<u64, f64>("rates/").unwrap();
    let _ = table.load("EUR");
    let _ = table.put(1, &1.0_f32);
    let _ = store.table::<usize, f64>("rates/");
}
