use structchunk::Object;

#[derive(Object)]
#[repr(C)]
struct Switch {
    on: bool,
    flags: [bool; 4],
}

fn main() {}
