//! The `structchunk` command.
fn main() {}
