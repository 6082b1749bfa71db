//! Power cuts inside a rebuild, with or without `STORE`, and inside the making of a copy.
#![expect(unsafe_code, reason = "a rebuild is unsafe as opening is")]

use std::fs;
use std::path::Path;

use structchunk::testing::Faults;
use structchunk::{CopyReport, Error, Reader, Result, Store};

use crate::common::*;
use crate::power::{Disk, Image, lay_out};
use crate::script::{Op, Tracked};

fn rebuild(path: &Path, faults: Faults) -> Result<structchunk::RebuildReport> {
    // SAFETY: the store is closed, and its files are this test's own.
    unsafe { options().trust_page_cache(false).faults(faults).rebuild(path) }
}

/// What a copy is made of.
enum Source {
    Own(Store),
    Others(Reader),
}

impl Source {
    fn copy_to(&self, path: &Path) -> Result<CopyReport> {
        match self {
            Self::Own(store) => store.copy_to(path),
            Self::Others(reader) => reader.copy_to(path),
        }
    }
}

/// A store that was killed in the middle of its work.
fn killed(path: &Path, random: &mut Random) -> Tracked {
    let store = open_with(options().auto_compact(random.one_in(2)), path).expect("open");
    let mut now = Tracked::default();
    for op in Op::script(&mut Random::new(random.next()), 90) {
        now.run(&store, &op).expect("an operation");
    }
    now
}

/// Rebuilds an image of a rebuild that was cut, and cuts that too.
fn rebuild_again(
    image: &Image,
    folder: &Path,
    expected: &[std::collections::BTreeMap<Vec<u8>, Seen>],
    random: &mut Random,
    depth: u32,
) -> u64 {
    let path = folder.join("image");
    lay_out(image, &path);
    let disk = Disk::new(&path, random.clone(), 80, Vec::new());
    random.next();
    let faults = if depth > 0 { disk.faults() } else { Faults::none() };
    let at = &image.at;
    let report = rebuild(&path, faults).unwrap_or_else(|error| panic!("rebuild cut before {at}: {error}"));
    let store = open(&path);
    let there = contents(&store);
    assert!(expected.contains(&there), "rebuild cut before {at}: {report:#?}");
    let mut now = Tracked::of(&store);
    for op in Op::script(&mut Random::new(random.next()), 6) {
        now.run(&store, &op).expect("an operation");
    }
    drop(store);
    assert_same(&open(&path), &now.model);
    let mut images = 1;
    for image in disk.take_images() {
        images += rebuild_again(&image, folder, std::slice::from_ref(&there), random, depth - 1);
    }
    images
}

#[test]
fn a_rebuild_that_a_power_cut_ends_is_made_again_and_finds_the_same() {
    let seed = seed();
    println!("STRUCTCHUNK_SEED={seed}");
    let mut random = Random::new(seed);
    let mut images = 0;
    for round in 0..cases(2) {
        let folder = folder();
        let path = folder.path().join("store");
        killed(&path, &mut random);
        if round % 2 == 0 {
            fs::remove_file(path.join("STORE")).expect("removed");
        }
        let reference = folder.path().join("reference");
        copy_folder(&path, &reference);
        rebuild(&reference, Faults::none()).expect("rebuild");
        let expected = contents(&open(&reference));
        let disk = Disk::new(&path, Random::new(random.next()), 14, Vec::new());
        rebuild(&path, disk.faults()).expect("rebuild");
        disk.cut_now("what came after a rebuild");
        for image in disk.take_images() {
            images += rebuild_again(&image, folder.path(), std::slice::from_ref(&expected), &mut random, 1);
        }
    }
    println!("{images} images");
    assert!(images > 10, "{images} images");
}

#[test]
fn a_copy_that_a_power_cut_ends_is_whole_or_no_store_and_can_be_made_again() {
    cut_copies(false);
}

#[test]
fn a_copy_beside_a_writer_that_a_power_cut_ends_is_whole_or_no_store_and_can_be_made_again() {
    cut_copies(true);
}

/// Cuts copies that the store makes itself, or a reader of a store that another process writes.
fn cut_copies(beside: bool) {
    let seed = seed();
    println!("STRUCTCHUNK_SEED={seed}");
    let mut random = Random::new(seed);
    let (mut images, mut whole) = (0, 0);
    for _ in 0..cases(4) {
        let folder = folder();
        let (path, target) = (folder.path().join("store"), folder.path().join("copy"));
        killed(&path, &mut random);
        fs::create_dir(&target).expect("a folder");
        let disk = Disk::new(&target, Random::new(random.next()), 4, Vec::new());
        let store = open_with(options().faults(disk.faults()), &path).expect("open");
        let expected = contents(&store);
        // The second opening is of a store that was closed, by somebody who then writes.
        let (source, _writer) = if beside {
            store.close().expect("close");
            let mut child = crate::readers::writer(&path);
            assert_eq!(child.tell("put_point late"), "ok");
            assert_eq!(child.tell("remove late"), "true");
            let reader = crate::readers::attach_with(options().faults(disk.faults()), &path).expect("attach");
            (Source::Others(reader), Some(child))
        } else {
            (Source::Own(store), None)
        };
        drop(disk.take_images());
        source.copy_to(&target).expect("a copy");
        disk.cut_now("what came after a copy");
        let left = disk.take_images();
        let last = left.len() - 1;
        for (number, image) in left.iter().enumerate() {
            let (path, at) = (folder.path().join("image"), &image.at);
            lay_out(image, &path);
            images += 1;
            match open_with(options().create(false).trust_page_cache(false), &path) {
                Ok(copy) => {
                    assert!(contents(&copy) == expected, "cut before {at}: {:?}", copy.recovery());
                    assert_eq!(copy.check().expect("a check").count(), 0);
                    whole += 1;
                    continue;
                }
                Err(Error::NotAStore { .. }) if number < last => {}
                Err(error) => panic!("cut before {at}: {error}"),
            }
            source.copy_to(&path).unwrap_or_else(|error| panic!("cut before {at}: {error}"));
            assert!(contents(&open(&path)) == expected, "cut before {at}");
        }
    }
    println!("{images} images, {whole} of them whole");
    assert!(images > 20 && whole > 3, "{images} images, {whole} of them whole");
}
