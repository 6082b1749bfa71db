//! Power cuts on the files of the real store: whenever the power goes, what comes up is the last sync, exactly.
//!
//! The disk below the store (`power.rs`) sees every effect before it happens, and at any of these moments it may cut the power.
//!
//! `STRUCTCHUNK_TEST_SCALE=20` opens some ten thousand images, `STRUCTCHUNK_SEED` others.

mod rebuilds;

use structchunk::Store;

use crate::common::*;
use crate::power::{Disk, Tally, look_at};
use crate::script::{Op, Tracked};
use crate::writers;

#[test]
fn a_power_cut_at_any_moment_takes_the_store_back_to_its_last_sync_exactly() {
    check();
}

#[test]
fn a_power_cut_at_any_moment_takes_the_store_back_to_its_last_sync_exactly_where_files_grow_in_steps() {
    without_sparse_files(check);
}

fn check() {
    let seed = seed();
    println!("STRUCTCHUNK_SEED={seed}");
    let mut random = Random::new(seed);
    let mut tally = Tally::default();
    for _ in 0..cases(4) {
        let folder = folder();
        let path = folder.path().join("store");
        let mut now = Tracked::default();
        let mut synced = now.clone();
        let disk = Disk::new(&path, Random::new(random.next()), 25, vec![now.clone()]);
        let faults = disk.faults();
        for _ in 0..4 {
            disk.expect(&[&synced, &now]);
            let auto = random.one_in(2);
            let store = open_with(options().auto_compact(auto).faults(faults.clone()), &path).expect("open");
            assert_same(&store, &now.model);
            disk.was(&now);
            // Whatever an opening finds, it makes durable.
            now.synced();
            synced = now.clone();
            for op in Op::script(&mut Random::new(random.next()), 45) {
                run(&disk, &store, &op, &mut now, &mut synced);
            }
            if random.one_in(2) {
                disk.expect(&[&synced, &now]);
                store.close().expect("close");
                disk.was(&now);
                synced = now.clone();
                disk.expect(&[&synced]);
                disk.cut_now("the session after a close");
                disk.was(&now);
            }
            for image in disk.take_images() {
                look_at(image, folder.path(), &mut random, 2, &mut tally);
            }
        }
    }
    let Tally { images, nested, clean } = tally;
    println!("{images} images, {nested} of them of a cut inside a recovery, {clean} closed cleanly");
    assert!(images > 100 && nested > 20 && clean > 0, "the test reaches all of them");
}

#[test]
fn a_power_cut_at_any_moment_of_a_compaction_loses_nothing_and_brings_nothing_back() {
    let seed = seed();
    println!("STRUCTCHUNK_SEED={seed}");
    let mut random = Random::new(seed);
    let mut tally = Tally::default();
    for _ in 0..cases(2) {
        let folder = folder();
        let path = folder.path().join("store");
        let mut now = Tracked::default();
        let disk = Disk::new(&path, Random::new(random.next()), 6, vec![now.clone()]);
        let faults = disk.faults();
        let store = open_with(options().faults(faults.clone()), &path).expect("open");
        drop(disk.take_images());
        for round in 0..2_u64 {
            // Chunks that are mostly dead, an old one that is not, and tombstones between them.
            for number in 0..450 {
                // Those with a 1 come first.
                let key = format!("{round} {}{number}", 2 - u64::from(number < 225)).into_bytes();
                let value = Value::Wide(Box::new(Wide { words: [random.next(); 128] }));
                now.run(&store, &Op::Put(key, value)).expect("put");
            }
            // The oldest chunk is hardly touched: the tombstones of what goes from it must go along.
            let few = 2 + random.below(9);
            for key in now.model.keys().cloned().collect::<Vec<_>>() {
                let is_old = key.starts_with(b"0 1");
                if if is_old { random.one_in(30) } else { !random.one_in(few) } {
                    now.run(&store, &Op::Remove(key)).expect("remove");
                }
            }
            disk.expect(&[&now]);
            drop(disk.take_images());
            now.run(&store, &Op::Sync).expect("sync");
            drop(disk.take_images());
            let percent = [50, 100][random.below(2) as usize];
            now.run(&store, &Op::Compact(percent)).expect("compact");
            disk.cut_now("what came after a compaction");
            store.put("more", &1_u64).expect("put");
            store.remove("more").expect("remove");
            store.sync().expect("sync");
            disk.cut_now("what came after a sync");
            disk.was(&now);
            let images = disk.take_images();
            assert!(images.len() > 2, "{} images", images.len());
            for image in images {
                look_at(image, folder.path(), &mut random, 1, &mut tally);
            }
        }
    }
    println!("{} images, {} of them of a cut inside a recovery", tally.images, tally.nested);
}

#[test]
fn a_power_cut_while_several_threads_write_takes_the_store_back_to_a_moment_that_a_sync_has_fixed() {
    let seed = seed();
    println!("STRUCTCHUNK_SEED={seed}");
    let mut random = Random::new(seed);
    let images: u64 = (0..cases(3)).map(|_| writers::round(folder().path(), &mut random)).sum();
    println!("{images} images");
    assert!(images > 30, "{images} images");
}

fn run(disk: &Disk, store: &Store, op: &Op, now: &mut Tracked, synced: &mut Tracked) {
    if op.is_sync() {
        let before = now.clone();
        disk.expect(&[synced, &before]);
        now.run(store, op).unwrap_or_else(|error| panic!("{op:?}: {error}"));
        disk.was(&before);
        synced.clone_from(now);
        if disk.one_in(4) {
            disk.expect(&[synced]);
            disk.cut_now("what came after a sync");
            disk.was(now);
        }
    } else {
        disk.expect(&[synced]);
        now.run(store, op).unwrap_or_else(|error| panic!("{op:?}: {error}"));
        if disk.one_in(8) {
            store.sync_index().expect("an index");
        }
        disk.was(now);
    }
}
