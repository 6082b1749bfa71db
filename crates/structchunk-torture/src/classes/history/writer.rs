//! The process that writes.

use std::sync::atomic::Ordering;

use structchunk::{Compaction, Error, Found, Store};

use super::board::{ADDS, BATCH, Board, FIRST};
use super::words::{self, LARGE, RENAMED, SIZES, Seen, WIDE, look, or_later, raise};
use crate::common::{Counter, Random, open_with};

pub fn run(board: &Board, mut random: Random) {
    let (killed, _) = board.doubts();
    let options = words::options().auto_compact(random.one_in(2));
    let store = open_with(options, board.store()).unwrap_or_else(|error| panic!("open: {error}"));
    assert_ne!(store.recovery().found, Found::MachineDied, "{:?}", store.recovery());
    if !store.contains("counter").expect("a look-up") {
        fill(&store);
    }
    make_whole(&store);
    board.looked_through(killed);
    let number = |key| store.load::<u64>(key).expect("a copy").expect("an object");
    let mut first = number("first").max(board.has_returned(FIRST));
    let mut batch = store.load::<[u64; 4]>(words::BATCH[0]).expect("a copy").expect("an object")[0];
    let mut sealed = 0_u64;
    while !board.is_over(2) {
        match random.below(40) {
            0..10 => {
                first += 1;
                store.put("first", &first).expect("put");
                store.put("second", &first).expect("put");
                board.returned(FIRST, first);
            }
            10..18 => {
                batch += 1;
                put_batch(&store, batch);
                board.returned(BATCH, batch);
            }
            18..22 => {
                for number in 0..random.below(120) {
                    store.put(format!("waste/{number}"), &[number; 64]).expect("put");
                }
            }
            22..28 => {
                let size = &SIZES[random.below(3) as usize];
                if or_later(raise(&store, size.key, size.words)) == Some(true) {
                    board.count(size.count, 1);
                }
            }
            28..32 => {
                if let Some(counter) = or_later(store.get_atomic::<Counter>("counter")) {
                    counter.expect("an object").hits.fetch_add(1, Ordering::Relaxed);
                    board.count(ADDS, 1);
                }
            }
            32..34 => {
                let [from, to] = RENAMED;
                for (from, to) in [(from, to), (to, from)] {
                    if or_later(store.rename(from, to)) == Some(true) {
                        break;
                    }
                }
            }
            34..36 => {
                sealed += 1;
                let words = if random.one_in(2) { WIDE } else { LARGE };
                store.put("sealed", &vec![sealed; words][..]).expect("put");
                assert!(store.seal("sealed").expect("seal"), "it is there");
            }
            36..38 => store.sync().expect("sync"),
            38 => {
                store.put("now and then", &batch).expect("put");
                assert!(store.remove("now and then").expect("remove"), "it was there");
            }
            _ => {
                let ratio = [0.5, 0.9, 1.0][random.below(3) as usize];
                store.compact_with(Compaction::new().fill_ratio(ratio)).expect("compact");
            }
        }
    }
    store.close().expect("close");
}

fn fill(store: &Store) {
    for size in &SIZES {
        store.put(size.key, &vec![0_u64; size.words][..]).expect("put");
    }
    store.put(RENAMED[0], &vec![0_u64; LARGE][..]).expect("put");
    store.put("first", &0_u64).expect("put");
    store.put("second", &0_u64).expect("put");
    store.put_sealed("sealed", &vec![0_u64; WIDE][..]).expect("put");
    put_batch(store, 0);
    store.put("counter", &Counter::default()).expect("put");
}

fn put_batch(store: &Store, number: u64) {
    let mut batch = store.batch();
    let [small @ .., large] = words::BATCH;
    for key in small {
        batch.put(key, &[number; 4]).expect("room");
    }
    batch.put(large, &vec![number; LARGE][..]).expect("room");
    batch.commit().expect("commit");
}

/// What a process that was killed has left half changed, and a recovery has taken as it was.
pub fn make_whole(store: &Store) {
    let sizes = SIZES.iter().map(|size| (size.key, size.words));
    for (key, words) in sizes.chain(RENAMED.map(|key| (key, LARGE))) {
        loop {
            let outcome = match look(store, key, words) {
                Ok(None | Some(Seen::Whole(_))) => break,
                Ok(Some(Seen::Torn { .. })) => words::complete(store, key, words),
                Err(Error::Torn { .. }) => words::mend(store, key, words),
                Err(error) => Err(error),
            };
            // Who is stopped in the middle of a change goes on some time.
            or_later(outcome);
        }
    }
}
