//! The index as others see it: read by another LevelDB client, with a program that was written from FORMAT.md alone.
//!
//! The client is plyvel, from the Python package index; `./run-tests` installs it, and says so in `STRUCTCHUNK_TEST_PYTHON`.
#![cfg(feature = "leveldb")]
#![expect(unsafe_code, reason = "opening a store is unsafe: others could change its files")]

use std::path::Path;
use std::process::Command;

use structchunk::Store;

fn open(path: &Path) -> Store {
    let options = Store::options().create(true).chunk_capacity(256 << 10).reserve_step(64 << 10);
    // SAFETY: nobody else has it open, and its files are read while it is closed only.
    unsafe { options.open(path) }.unwrap()
}

/// Key, location, sequence.
type Entry = (Vec<u8>, u64, u64);

/// What the index must hold: what the store itself says of its objects.
fn entries(store: &Store) -> Vec<Entry> {
    let keys = store.keys().unwrap().map(|key| key.unwrap());
    keys.map(|key| {
        let sequence = store.sequence(key.key()).unwrap().unwrap();
        (key.key().to_vec(), key.location(), sequence)
    })
    .collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// What plyvel reads: the words of the mark, and the entries.
fn read(python: &str, store: &Path) -> (Vec<String>, Vec<Entry>) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/index/read_with_plyvel.py");
    let output = Command::new(python).arg(script).arg(store).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines = text.lines().map(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>());
    let mark = lines.next().unwrap();
    let entry = |words: Vec<String>| (bytes(&words[0]), words[1].parse().unwrap(), words[2].parse().unwrap());
    (mark, lines.map(entry).collect())
}

#[test]
fn another_leveldb_client_finds_every_key_in_order_and_the_mark() {
    let Ok(python) = std::env::var("STRUCTCHUNK_TEST_PYTHON") else {
        assert!(std::env::var_os("CI").is_none(), "CI must have plyvel");
        return eprintln!("SKIPPED: no STRUCTCHUNK_TEST_PYTHON; ./run-tests sets it");
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let mut expected = Vec::new();
    // The second session finds an index and brings it up to date: it replaces, removes and adds.
    for session in 0..2_u32 {
        let store = open(&path);
        for n in (session * 500..session * 500 + 3000).rev() {
            store.put(n.to_be_bytes(), &[session; 16]).unwrap();
        }
        for n in (session..3000).step_by(7) {
            store.remove(n.to_be_bytes()).unwrap();
        }
        assert!(store.rename((session * 500 + 2_u32).to_be_bytes(), format!("renamed {session}")).unwrap());
        store.put(vec![255; 65_535], &session).unwrap();
        store.put("a body", &vec![1_u8; 100_000][..]).unwrap();
        let mut batch = store.batch();
        batch.put("of a batch", &1_u8).unwrap();
        batch.remove(2999_u32.to_be_bytes()).unwrap();
        batch.commit().unwrap();
        expected = entries(&store);
        store.close().unwrap();
    }
    let (mark, found) = read(&python, &path);
    assert!(expected.len() > 2500 && expected.is_sorted());
    assert!(found == expected, "every key, in order, with the location and the sequence of its record");
    // FORMAT.md: the identity has the uuid at 16, a checkpoint epoch and sequence at 24 and 16, the active chunk and the head at 60 and 64.
    let file = std::fs::read(path.join("STORE")).unwrap();
    let number = |at: usize, length: usize| {
        file[at..at + length].iter().rev().fold(0_u64, |number, &byte| number << 8 | u64::from(byte))
    };
    let newest = if number(4096 + 8, 8) > number(8192 + 8, 8) { 4096 } else { 8192 };
    let position = (number(newest + 60, 4) << (18 - 4)) + number(newest + 64, 8) / 16;
    let (sequence, epoch) = (number(newest + 16, 8), number(newest + 24, 8));
    assert_eq!((&mark[0][..], bytes(&mark[1])), ("mark", file[16..32].to_vec()));
    assert_eq!(mark[2..5], [epoch.to_string(), sequence.to_string(), position.to_string()]);
    assert_eq!(mark[5], "0".repeat(32), "it is durable");
    // And whoever wrote into it meanwhile: we still open it.
    let store = open(&path);
    assert_eq!(entries(&store).len(), found.len());
}
