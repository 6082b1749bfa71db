use std::sync::atomic::AtomicU64;
use structchunk::{Fingerprint, Object, SharedAtomic};

#[derive(Object)]
#[repr(C)]
struct Plain<T: Object> {
    x: T,
}

#[derive(Object)]
#[object(atomic)]
#[repr(C)]
struct Atomic<T: SharedAtomic> {
    x: T,
    y: [AtomicU64; 2],
}

const _: Fingerprint = <Atomic<AtomicU64>>::FINGERPRINT;
const _: Fingerprint = <Plain<AtomicU64>>::FINGERPRINT;
const _: Fingerprint = <Atomic<u64>>::FINGERPRINT;

fn main() {}
