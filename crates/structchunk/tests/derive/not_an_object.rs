use structchunk::Object;

#[derive(Object)]
#[repr(C)]
struct Person {
    name: String,
    age: Option<u32>,
}

#[derive(Clone, Copy)]
#[repr(C)]
struct NotDerived {
    x: f64,
}

#[derive(Object)]
#[repr(C)]
struct Outer {
    inner: [NotDerived; 2],
}

fn main() {}
