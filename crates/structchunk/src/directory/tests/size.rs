use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{audit, directory, fill, find, hash, key_of, location, reserve};
use crate::directory::segment::{UNIT_WORDS, home_line};
use crate::directory::{Directory, slot};

fn bytes_per_key(directory: &Directory, keys: u64) -> f64 {
    (directory.used_words() * 8) as f64 / keys as f64
}

/// Share of home lines without an empty slot: searches for what is absent go on from there.
fn full_lines(directory: &Directory) -> f64 {
    let absent = (0..10_000_u64).map(|i| hash(i | 1 << 60));
    let full = absent.filter(|&hash| {
        let target = directory.target(hash).expect("in range");
        let line = directory.line(target.segment, home_line(hash)).expect("in range");
        !line.iter().any(|slot| slot.load(Ordering::Relaxed) == slot::EMPTY)
    });
    full.count() as f64 / 10_000.0
}

/// Smallest and largest size per key while the directory grows from `first` to `last` keys.
fn extremes(first: u64, last: u64) -> (f64, f64) {
    let directory = directory(last * 4);
    let mut keys = first;
    fill(&directory, 0..first);
    let (mut smallest, mut largest) = (f64::MAX, 0.0_f64);
    while keys < last {
        let size = bytes_per_key(&directory, keys);
        smallest = smallest.min(size);
        largest = largest.max(size);
        let next = (keys + keys / 50).min(last);
        fill(&directory, keys..next);
        keys = next;
    }
    audit(&directory, hash);
    println!(
        "{last} keys: {smallest:.1} to {largest:.1} bytes per key, full lines {:.3}",
        full_lines(&directory)
    );
    (smallest, largest)
}

#[test]
fn a_key_costs_between_11_and_24_bytes_at_every_size() {
    let last = if cfg!(debug_assertions) { 400_000 } else { 10_000_000 };
    let (smallest, largest) = extremes(100_000, last);
    assert!(smallest > 10.7 && largest < 24.0, "{smallest:.1} to {largest:.1} bytes per key");
}

#[test]
fn absent_keys_nearly_always_cost_one_line() {
    let directory = directory(1 << 21);
    let mut worst = 0.0_f64;
    for part in 0..20 {
        fill(&directory, part * 10_000..(part + 1) * 10_000);
        worst = worst.max(full_lines(&directory));
    }
    assert!(worst < 0.2, "{:.0} % of the lines are full", worst * 100.0);
}

#[test]
fn coming_and_going_for_long_keeps_size_and_lines_in_bounds() {
    let directory = directory(1 << 23);
    let live = 20_000;
    fill(&directory, 0..live);
    let full_at_first = directory.used_words();
    for key in live..live * 30 {
        assert!(directory.remove(hash(key - live), location(key - live, 0)));
        fill(&directory, key..key + 1);
    }
    audit(&directory, hash);
    let growth = directory.used_words() as f64 / full_at_first as f64;
    println!("after 30 turnovers: {growth:.2} x, full lines {:.3}", full_lines(&directory));
    assert!(growth < 3.0, "grew {growth:.2} x");
    assert!(full_lines(&directory) < 0.2);
}

#[test]
fn coming_and_going_within_a_segment_rarely_takes_a_new_one() {
    for live in [60, 120, 150] {
        let directory = directory(1 << 20);
        fill(&directory, 0..live);
        for key in live..live + 20_000 {
            assert!(directory.remove(hash(key - live), location(key - live, 0)));
            fill(&directory, key..key + 1);
        }
        audit(&directory, hash);
        let units = directory.used_words() / UNIT_WORDS as u64;
        println!("{live} live: {units} units, full lines {:.3}", full_lines(&directory));
        assert!(units < 40, "{units} units for {live} entries");
    }
}

#[test]
fn a_batch_is_reserved_at_once() {
    let directory = directory(1 << 20);
    let mut hashes: Vec<_> = (0..100_000).map(hash).collect();
    reserve(&directory, &mut hashes, &hash).unwrap();
    let used = directory.used_words();
    for key in 0..100_000 {
        directory.insert(hash(key), location(key, 0), |found| key_of(found) == key).unwrap();
    }
    assert_eq!(directory.used_words(), used);
    assert!(bytes_per_key(&directory, 100_000) < 24.0);
    audit(&directory, hash);
}

#[test]
fn one_made_for_its_keys_is_hardly_split_and_no_larger_than_one_that_grew() {
    for keys in [50_000, 100_000, 150_000, 175_000] {
        let (wide, grown) = (directory(1 << 20), directory(1 << 20));
        wide.widen(keys, &mut |_| Ok(())).unwrap();
        let made = wide.used_words();
        fill(&wide, 0..keys);
        fill(&grown, 0..keys);
        audit(&wide, hash);
        assert!((0..keys).all(|key| find(&wide, hash(key), key).is_some()));
        assert!(wide.used_words() * 20 <= grown.used_words() * 21, "{keys} keys");
        assert!(bytes_per_key(&wide, keys) < 24.0);
        assert!(wide.used_words() == made || keys > 100_000, "{keys} keys");
    }
}

#[test]
fn one_that_cannot_be_made_wide_is_as_it_was() {
    let directory = directory(1 << 16);
    fill(&directory, 0..1000);
    let used = directory.used_words();
    assert!(directory.widen(1 << 40, &mut |_| Ok(())).is_err(), "longer than the file may be");
    assert_eq!(directory.used_words(), used);
    fill(&directory, 1000..2000);
    assert!((0..2000).all(|key| find(&directory, hash(key), key).is_some()));
    audit(&directory, hash);
}

#[test]
fn compaction_is_asked_for_when_most_is_gone() {
    let directory = directory(1 << 20);
    assert!(!directory.needs_compaction(), "an empty one is small");
    fill(&directory, 0..50_000);
    directory.change_len(50_000);
    assert!(!directory.needs_compaction());
    directory.change_len(-45_000);
    assert!(directory.needs_compaction());
    directory.change_len(45_000);
    directory.count_dead(directory.used_words() / UNIT_WORDS as u64 / 2 + 1);
    assert!(directory.needs_compaction());
}

/// Rates, for people: `cargo test --release -p structchunk --lib directory_rates -- --ignored --nocapture`.
#[test]
#[ignore = "prints figures; takes a while"]
fn directory_rates() {
    for keys in [1_000_000_u64, 10_000_000] {
        let directory = directory(keys * 4);
        let (mut longest, mut second) = (Duration::ZERO, Duration::ZERO);
        let start = Instant::now();
        for key in 0..keys {
            let hash = hash(key);
            let slot = directory.find_slot(hash, |found| key_of(found) == key).unwrap();
            if directory.has_room(&slot) {
                directory.store(&slot, location(key, 0));
                continue;
            }
            let before = Instant::now();
            reserve(&directory, &mut [hash], &super::hash).unwrap();
            let took = before.elapsed();
            second = second.max(took.min(longest));
            longest = longest.max(took);
            directory.insert(hash, location(key, 0), |found| key_of(found) == key).unwrap();
        }
        let per = |elapsed: Duration| elapsed.as_nanos() as f64 / keys as f64;
        println!(
            "{keys}: put {:.0} ns, longest reserve {longest:?}, second {second:?}, {:.1} bytes per key",
            per(start.elapsed()),
            bytes_per_key(&directory, keys),
        );
        let random = |i: u64| hash(i ^ 0x5555) % keys;
        let present =
            |key| directory.find(hash(key), |found| (key_of(found) == key).then_some(1_u64)).unwrap_or(0);

        let start = Instant::now();
        let sum: u64 = (0..keys).map(|i| present(random(i))).sum();
        println!("{keys}: find {:.0} ns", per(start.elapsed()));
        assert_eq!(sum, keys);

        let start = Instant::now();
        let last = (0..keys).fold(0, |key, i| random(i + key + present(key)));
        println!("{keys}: find, each after the other, {:.0} ns", per(start.elapsed()));
        assert!(last < keys);

        let start = Instant::now();
        let found: u64 = (0..keys).map(|i| present(random(i) + keys)).sum();
        println!("{keys}: absent {:.0} ns", per(start.elapsed()));
        assert_eq!(found, 0);

        let start = Instant::now();
        let mut sum = 0;
        for batch in 0..keys / 16 {
            let wanted: [u64; 16] = std::array::from_fn(|i| random(batch * 16 + i as u64));
            for key in wanted {
                directory.prefetch_entry(hash(key));
            }
            for key in wanted {
                directory.prefetch_line(hash(key));
            }
            sum += wanted.iter().map(|&key| present(key)).sum::<u64>();
        }
        println!("{keys}: find in batches of 16 {:.0} ns", per(start.elapsed()));
        assert!(sum > 0);

        let rebuilt = super::directory(keys * 4);
        let start = Instant::now();
        let ahead = 16;
        let mut hashes = Vec::with_capacity(4096);
        for first in (0..keys).step_by(4096) {
            let keys = first..keys.min(first + 4096);
            hashes.clear();
            hashes.extend(keys.clone().map(hash));
            reserve(&rebuilt, &mut hashes.clone(), &super::hash).unwrap();
            for (i, key) in keys.enumerate() {
                if let Some(&later) = hashes.get(i + ahead) {
                    rebuilt.prefetch_line(later);
                }
                rebuilt.insert(hashes[i], location(key, 0), |found| key_of(found) == key).unwrap();
            }
        }
        println!(
            "{keys}: rebuild {:.1} M/s, {:.1} bytes per key",
            1e3 / per(start.elapsed()),
            bytes_per_key(&rebuilt, keys)
        );
    }
}
