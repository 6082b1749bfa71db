use structchunk::Object;

#[derive(Object)]
struct Missing {
    x: u32,
}

#[derive(Object)]
#[repr(C, packed)]
struct Packed {
    x: u32,
}

#[derive(Object)]
#[repr(transparent)]
struct Transparent {
    x: u32,
}

#[derive(Object)]
#[repr(C, align(8192))]
struct FarApart {
    x: [u8; 8192],
}

#[derive(Object)]
#[repr(align(8))]
struct AlignedOnly {
    x: u64,
}

fn main() {}
