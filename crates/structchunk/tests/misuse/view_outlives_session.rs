use std::sync::atomic::AtomicU64;

use structchunk::Reader;

fn look(reader: &Reader) {
    let view = {
        let session = reader.session().unwrap();
        session.atomic::<AtomicU64>("k").unwrap().unwrap()
    };
    println!("{:?}", view.load());
}

fn main() {}
