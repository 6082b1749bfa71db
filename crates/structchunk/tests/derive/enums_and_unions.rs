use structchunk::Object;

#[derive(Object)]
#[repr(u8)]
enum Color {
    Red,
    Green,
}

#[derive(Object)]
#[repr(C)]
union Either {
    a: u32,
    b: f32,
}

#[derive(Clone, Copy)]
#[repr(u32)]
enum State {
    On,
    Off,
}

#[derive(Object)]
#[repr(C)]
struct Machine {
    state: State,
}

fn main() {}
