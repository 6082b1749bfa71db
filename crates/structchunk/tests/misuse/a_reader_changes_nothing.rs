use structchunk::Reader;

fn main() {}

fn change(reader: &Reader) {
    let guard = reader.get::<u64>("k").unwrap().unwrap();
    *guard = 2;
}
