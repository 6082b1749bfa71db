use structchunk::{Mutator, Reader};

fn main() {}

fn look(reader: &Reader, mutator: &Mutator) {
    let _ = reader.session().unwrap().atomic::<u64>("k");
    let _ = mutator.session().unwrap().get_atomic::<u64>("k");
}
