use structchunk::Object;

#[derive(Object)]
#[repr(C)]
struct Record {
    letter: char,
    wide: u128,
    both: (u32, u32),
    rest: [u8],
}

#[derive(Object)]
#[object(atomic)]
#[repr(C)]
struct Flags {
    on: bool,
}

fn main() {}
