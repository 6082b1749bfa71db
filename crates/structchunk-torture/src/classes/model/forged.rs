//! What looks like a record of another store is none, wherever it lies.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use structchunk::testing::{Faults, Sabotage};
use structchunk::{Options, Store};

use crate::common::{Point, Random, open_with, options};

/// An object holds a record of another store, at the very place where that one had it. Then the object's own header is damaged, and
/// recovery looks for where the records go on.
pub fn look(folder: &Path, random: &mut Random, sabotage: Option<Sabotage>) {
    let options = || {
        let faults = Faults::recorded();
        if let Some(rule) = sabotage {
            faults.sabotage(rule);
        }
        options().index(false).faults(faults)
    };
    let (donor, target) = (folder.join("donor"), folder.join("target"));
    let filler = 1000 + random.below(9000);
    let store = open(options(), &donor);
    store.put("filler", &random.bytes(filler)[..]).expect("put");
    store.put("forged", &Point { x: 1.0, y: 2.0 }).expect("put");
    let (_, place) = store.entry("forged").expect("a look-up").expect("it was put").place();
    drop(store);
    let (from, to) = (place.start as usize, place.end as usize);
    let record = fs::read(chunk(&donor)).expect("a chunk")[from..to].to_vec();

    let store = open(options(), &target);
    let pattern = random.bytes(20_000);
    store.put("target", &pattern[..]).expect("put");
    let (_, place) = store.entry("target").expect("a look-up").expect("it was put").place();
    let bytes = fs::read(chunk(&target)).expect("a chunk");
    let payload = bytes.windows(64).position(|window| window == &pattern[..64]).expect("the payload");
    let mut object = store.get_mut::<[u8]>("target").expect("a guard").expect("it was put");
    object[from - payload..to - payload].copy_from_slice(&record);
    object.commit().expect("commit");
    for number in 0..8_u64 {
        store.put(format!("later {number}"), &number).expect("put");
    }
    store.sync().expect("sync");
    drop(store);
    let file = OpenOptions::new().write(true).open(chunk(&target)).expect("a chunk");
    file.write_all_at(&[0xff; 8], place.start).expect("written");
    drop(file);

    let store = open(options(), &target);
    assert!(!store.contains("forged").expect("a look-up"), "a record of another store is believed");
    assert!(!store.contains("target").expect("a look-up"), "what is damaged is believed");
    assert_eq!(store.len(), 8, "what comes after the damage");
    drop(store);
    for store in [donor, target] {
        fs::remove_dir_all(store).expect("removed");
    }
}

fn open(options: Options, path: &Path) -> Store {
    open_with(options, path).expect("open")
}

fn chunk(store: &Path) -> std::path::PathBuf {
    store.join("chunks/00000000.chunk")
}
