use structchunk::Object;

#[derive(Object)]
#[repr(C)]
struct Inside {
    charge: f32,
    position: [f64; 3],
}

#[derive(Object)]
#[repr(C)]
struct AtTheEnd {
    id: u64,
    charge: f32,
}

fn main() {}
