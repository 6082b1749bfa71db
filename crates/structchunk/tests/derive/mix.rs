use std::sync::atomic::AtomicU32;
use structchunk::Object;

#[derive(Object)]
#[repr(C)]
struct PlainWithAtomic {
    id: u32,
    hits: AtomicU32,
}

#[derive(Object)]
#[object(atomic)]
#[repr(C)]
struct AtomicWithPlain {
    id: u32,
    hits: AtomicU32,
}

fn main() {}
