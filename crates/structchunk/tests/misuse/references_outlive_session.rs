use std::sync::atomic::AtomicU64;

use structchunk::{Mutator, Reader};

fn sealed(reader: &Reader) {
    let guard = {
        let session = reader.session().unwrap();
        session.get::<u64>("k").unwrap().unwrap()
    };
    println!("{}", *guard);
}

fn counter(mutator: &Mutator) {
    let counter = {
        let session = mutator.session().unwrap();
        session.get_atomic::<AtomicU64>("k").unwrap().unwrap()
    };
    println!("{counter:?}");
}

fn reference(reader: &Reader) {
    let reference: &u64 = {
        let guard = reader.get::<u64>("k").unwrap().unwrap();
        &*guard
    };
    println!("{reference}");
}

fn main() {}
