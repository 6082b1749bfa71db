use structchunk::Object;

#[derive(Object)]
#[repr(C)]
struct Meters(f64);

#[derive(Object)]
#[repr(C)]
struct Unit;

#[derive(Object)]
#[repr(C)]
struct Empty {}

#[derive(Object)]
#[repr(C)]
struct EmptyArray {
    x: [u8; 0],
}

#[derive(Object)]
#[repr(C)]
struct OnlyPadding {
    _pad: [u8; 4],
}

#[derive(Object)]
#[repr(C)]
struct Borrowing<'a> {
    x: Cell<'a>,
}

fn main() {}
