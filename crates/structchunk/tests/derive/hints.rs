use structchunk::Object;

#[derive(Object)]
#[repr(C)]
struct Text {
    #[object(text)]
    name: [u16; 4],
}

#[derive(Object)]
#[repr(C)]
struct Complex {
    #[object(complex)]
    z: [f32; 3],
}

#[derive(Object)]
#[repr(C)]
struct Time {
    #[object(instant = "ns")]
    when: u64,
}

#[derive(Object)]
#[repr(C)]
struct Nested {
    #[object(text)]
    inner: Inner,
}

#[derive(Object)]
#[repr(C)]
struct Inner {
    x: u8,
}

fn main() {}
