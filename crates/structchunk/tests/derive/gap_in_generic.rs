use structchunk::{Fingerprint, Object};

#[derive(Object)]
#[repr(C)]
struct Pair<A: Object, B: Object> {
    first: A,
    second: B,
}

const WITHOUT_GAP: Fingerprint = <Pair<u64, u64>>::FINGERPRINT;
const WITH_GAP: Fingerprint = <Pair<u64, u8>>::FINGERPRINT;

fn main() {}
