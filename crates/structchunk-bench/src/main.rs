//! structchunk against its peers and against the floor.
fn main() {}
