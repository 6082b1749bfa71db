use structchunk::Object;

#[derive(Object)]
#[repr(C)]
struct Misnamed {
    #[object(padding)]
    filler: [u8; 4],
    x: f32,
}

#[derive(Object)]
#[repr(C)]
struct NotBytes {
    #[object(padding)]
    _pad: u32,
    x: f32,
}

#[derive(Object)]
#[repr(C)]
struct Titled {
    #[object(padding, title = "Nothing")]
    _pad: [u8; 4],
    x: f32,
}

fn main() {}
