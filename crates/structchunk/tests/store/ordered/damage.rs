//! An index whose files are damaged: the scan is right all the same, and the index whole again.

use std::fs;
use std::path::PathBuf;

use super::*;

fn index_files(store: &Path) -> Vec<PathBuf> {
    // Without the feature there is none.
    let files = fs::read_dir(store.join("index")).into_iter().flatten();
    let mut files: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// A closed store with an index of several tables and a log of its own.
fn prepared(path: &Path) -> Vec<Vec<u8>> {
    let store = Source::Index.open(path);
    fill(&store, 400);
    store.sync_index().unwrap();
    store.put("after", &1_u8).unwrap();
    let expected = sorted(&store);
    store.close().unwrap();
    expected
}

/// Opens the damaged store twice: scans are right, and the index serves again.
fn check(path: &Path, expected: &[Vec<u8>], what: &str) {
    let store = Source::Index.open(path);
    assert_eq!(keys(&store), expected, "{what}");
    store.sync_index().unwrap_or_else(|error| panic!("{what}: {error}"));
    store.put("and", &1_u8).unwrap();
    assert_eq!(keys(&store).len(), expected.len() + 1, "{what}");
    store.remove("and").unwrap();
    store.close().unwrap();
    let store = Source::Index.open(path);
    assert_eq!(keys(&store), expected, "{what}, once more");
    assert_eq!(store.index_sequence().is_some(), cfg!(feature = "leveldb"), "{what}");
}

#[test]
fn a_byte_changed_anywhere_in_the_index_changes_no_scan() {
    let seed = seed();
    println!("STRUCTCHUNK_SEED={seed}");
    let mut random = Random::new(seed);
    let (folder, work) = (folder(), folder());
    let whole = folder.path().join("store");
    let expected = prepared(&whole);
    let count = index_files(&whole).len() as u64;
    assert!(count > 4 || cfg!(not(feature = "leveldb")));
    for round in 0..if count == 0 { 0 } else { cases(60) } {
        let path = work.path().join("store");
        copy_folder(&whole, &path);
        let file = &index_files(&path)[(round % count) as usize];
        let mut bytes = fs::read(file).unwrap();
        if !bytes.is_empty() {
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] ^= 1 << random.below(8);
            fs::write(file, &bytes).unwrap();
            check(&path, &expected, &format!("{} with byte {at} changed", file.display()));
        }
        fs::remove_dir_all(&path).unwrap();
    }
}

#[test]
fn a_file_of_the_index_cut_short_lost_or_overwritten_changes_no_scan() {
    let mut random = Random::new(5);
    let (folder, work) = (folder(), folder());
    let whole = folder.path().join("store");
    let expected = prepared(&whole);
    for number in 0..index_files(&whole).len() {
        for damage in ["lost", "empty", "half", "noise", "zeroes", "twice"] {
            let path = work.path().join("store");
            copy_folder(&whole, &path);
            let file = &index_files(&path)[number];
            let bytes = fs::read(file).unwrap();
            match damage {
                "lost" => fs::remove_file(file).unwrap(),
                "empty" => fs::write(file, []).unwrap(),
                "half" => fs::write(file, &bytes[..bytes.len() / 2]).unwrap(),
                "noise" => fs::write(file, random.bytes(bytes.len() as u64)).unwrap(),
                "zeroes" => fs::write(file, vec![0; bytes.len()]).unwrap(),
                _ => fs::write(file, [&bytes[..], &bytes[..]].concat()).unwrap(),
            }
            check(&path, &expected, &format!("{}: {damage}", file.display()));
            fs::remove_dir_all(&path).unwrap();
        }
    }
}

#[test]
fn things_that_are_no_files_in_the_index_are_never_followed() {
    let folder = folder();
    let path = folder.path().join("store");
    let expected = prepared(&path);
    if cfg!(not(feature = "leveldb")) {
        return;
    }
    let outside = folder.path().join("outside");
    for name in ["CURRENT", "LOG", "000001.dbtmp", "000009.log", "LOCK", "x\u{1b}"] {
        fs::write(&outside, "precious").unwrap();
        let place = path.join("index").join(name);
        let _ = fs::remove_file(&place);
        std::os::unix::fs::symlink(&outside, &place).unwrap();
        check(&path, &expected, name);
        assert_eq!(fs::read(&outside).unwrap(), b"precious", "{name}");
        let _ = fs::remove_file(&place);
        fs::hard_link(&outside, &place).unwrap();
        check(&path, &expected, name);
        assert_eq!(fs::read(&outside).unwrap(), b"precious", "{name}");
    }
    fs::create_dir(path.join("index/sub")).unwrap();
    let store = Source::Index.open(&path);
    assert_eq!(keys(&store), expected, "sorted in memory");
    let error = store.sync_index().unwrap_err().to_string();
    assert!(error.contains("index/sub"), "{error}");
}

#[test]
fn a_log_that_is_damaged_is_told_of_by_every_scan_which_goes_on() {
    use std::os::unix::fs::FileExt;
    for source in SOURCES {
        let folder = folder();
        let store = source.open(folder.path());
        for n in 0..100_u8 {
            store.put([n], &[n; 64]).unwrap();
        }
        let at = store.keys().unwrap().nth(50).unwrap().unwrap().location();
        store.close().unwrap();
        let _ = fs::remove_dir_all(folder.path().join("index"));
        let chunk = folder.path().join("chunks/00000000.chunk");
        let chunk = fs::OpenOptions::new().write(true).open(chunk).unwrap();
        chunk.write_at(&[0xff; 8], at * 16).unwrap();
        let store = source.open(folder.path());
        for _ in 0..2 {
            let mut scan = store.ordered().unwrap();
            let error = scan.next().unwrap().unwrap_err();
            assert!(
                error.is_corrupt() && error.to_string().contains(&format!("byte {}", at * 16)),
                "{error}"
            );
            let rest: Vec<_> = scan.map(|entry| entry.unwrap().key()[0]).collect();
            assert_eq!(rest, (0..100).filter(|n| *n != 50).collect::<Vec<_>>(), "{source:?}");
        }
        if source == Source::Index && cfg!(feature = "leveldb") {
            assert!(store.sync_index().unwrap_err().is_corrupt());
        }
        store.close().unwrap();
    }
}

#[test]
fn damage_behind_the_mark_is_a_gap_that_no_index_passes_over() {
    use std::os::unix::fs::FileExt;
    let folder = folder();
    let store = Source::Index.open(folder.path());
    (0..50_u8).for_each(|n| store.put([n], &[n; 64]).unwrap());
    store.close().unwrap();
    let store = Source::Sorted.open(folder.path());
    (50..100_u8).for_each(|n| store.put([n], &[n; 64]).unwrap());
    let at = store.keys().unwrap().nth(70).unwrap().unwrap().location();
    store.close().unwrap();
    let chunk = folder.path().join("chunks/00000000.chunk");
    let chunk = fs::OpenOptions::new().write(true).open(chunk).unwrap();
    chunk.write_at(&[0xff; 8], at * 16).unwrap();
    let store = Source::Index.open(folder.path());
    let (damage, rest): (Vec<_>, Vec<_>) = store.ordered().unwrap().partition(Result::is_err);
    assert_eq!((damage.len(), rest.len()), (1, 99));
    if cfg!(feature = "leveldb") {
        assert!(store.sync_index().unwrap_err().to_string().contains(&format!("byte {}", at * 16)));
    }
}
