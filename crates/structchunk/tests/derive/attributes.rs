use structchunk::Object;

#[derive(Object)]
#[object(inherits = "0123456789abcdef")]
#[repr(C)]
struct OnStruct {
    x: u32,
}

#[derive(Object)]
#[repr(C)]
struct OnField {
    #[object(rename = "y")]
    x: u32,
    #[object(text, complex)]
    z: [u8; 4],
    #[object(instant = "fortnight")]
    when: i64,
    #[object(title = "")]
    untitled: u8,
}

#[derive(Object)]
#[object(name = "A", name = "B")]
#[repr(C)]
struct Twice {
    x: u32,
}

fn main() {}
