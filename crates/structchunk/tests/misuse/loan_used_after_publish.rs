use structchunk::Store;

fn main() {
    let store = Store::in_memory().unwrap();
    let mut loan = store.loan::<u64>("k").unwrap();
    loan.publish().unwrap();
    *loan = 2;
}
