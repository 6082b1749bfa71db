use structchunk::Store;

fn main() {
    let _ = Store::options().create(true).open("somewhere");
}
