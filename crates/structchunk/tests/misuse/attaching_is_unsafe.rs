use structchunk::{Mutator, Reader, Store};

fn main() {
    let _ = Reader::attach("somewhere");
    let _ = Store::options().attach("somewhere");
    let _ = Mutator::attach("somewhere");
    let _ = Store::options().attach_mut("somewhere");
    let _ = Store::rebuild("somewhere");
    let _ = Store::options().rebuild("somewhere");
}
