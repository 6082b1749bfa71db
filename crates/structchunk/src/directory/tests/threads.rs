use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::{directory, fill, find, hash, key_of, location};

#[test]
fn searches_beside_a_writer_never_miss_what_stays() {
    const STAYING: u64 = 2_000;
    let rounds = if cfg!(debug_assertions) { 20_000 } else { 200_000 };
    let directory = directory(1 << 22);
    fill(&directory, 0..STAYING);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut searches = 0_u64;
                    while !done.load(Ordering::Relaxed) {
                        let key = hash(searches) % STAYING;
                        assert!(find(&directory, hash(key), key).is_some(), "key {key} was missed");
                        searches += 1;
                    }
                    searches
                })
            })
            .collect();
        for key in STAYING..STAYING + rounds {
            fill(&directory, key..key + 1);
            let renewed = hash(key) % STAYING;
            let version = (key % 251) as u8;
            let old =
                directory.insert(hash(renewed), location(renewed, version), |found| key_of(found) == renewed);
            assert!(old.unwrap().is_some());
            if key % 3 != 0 {
                assert!(directory.remove(hash(key), location(key, 0)));
            }
        }
        done.store(true, Ordering::Relaxed);
        let searches: u64 = readers.into_iter().map(|reader| reader.join().expect("no miss")).sum();
        assert!(searches > 0);
    });
}
