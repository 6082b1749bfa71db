use structchunk::Object;

#[derive(Object)]
#[repr(C)]
struct Guard {
    x: u32,
}

impl Drop for Guard {
    fn drop(&mut self) {}
}

fn main() {}
