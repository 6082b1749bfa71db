//! A store whose objects other processes may change, as the first version that knew such left it. See `tests/golden/v1-shared/README.md`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;

use structchunk::{Error, Found, Store};

use crate::common::{Counter, Wide, folder, open, open_with, options};
use crate::golden::{pack, unpack};
use crate::mutate::attach;

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1-shared/store.txt")
}

fn make(path: &Path) {
    let store = open_with(options().create(false).create_new(true).shared_mutation(true), path).unwrap();
    store.put("wide", &Wide { words: [1; 128] }).unwrap();
    store.put("counter", &Counter::default()).unwrap();
    let mutator = attach(path).unwrap();
    assert!(mutator.update("wide", |wide: &mut Wide| wide.words[127] = 2).unwrap());
    let session = mutator.session().unwrap();
    session.get_atomic::<Counter>("counter").unwrap().unwrap().hits.fetch_add(7, Relaxed);
    drop((session, mutator));
    store.close().unwrap();
}

fn assert_golden(store: &Store) {
    assert_eq!(store.load::<Wide>("wide").unwrap().unwrap().words[126..], [1, 2]);
    assert_eq!(store.load::<Counter>("counter").unwrap().unwrap().hits.into_inner(), 7);
    assert!(matches!(store.get::<Wide>("wide"), Err(Error::SharedStore { .. })));
    assert_eq!(store.check_deep().unwrap().map(|it| it.to_string()).collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn made_anew_when_that_is_asked_for_the_golden_store_that_is_shared_packs_and_unpacks() {
    let folder = folder();
    let (made, copy) = (folder.path().join("made"), folder.path().join("copy"));
    make(&made);
    let text = pack(&made);
    assert!(text.len() < 50_000, "{} bytes of text", text.len());
    unpack(&text, &copy);
    assert_golden(&open(&copy));
    if std::env::var_os("STRUCTCHUNK_WRITE_GOLDEN").is_some() {
        fs::create_dir_all(path().parent().unwrap()).unwrap();
        fs::write(path(), text).unwrap();
    }
}

#[test]
#[expect(unsafe_code, reason = "opens a store")]
fn the_golden_store_that_is_shared_opens_as_it_was_closed_and_is_so_without_store_too() {
    for lost in [false, true] {
        let folder = folder();
        unpack(&fs::read_to_string(path()).expect("tests/golden/v1-shared/store.txt"), folder.path());
        if lost {
            fs::remove_file(folder.path().join("STORE")).unwrap();
            // SAFETY: nobody else knows the folder.
            unsafe { Store::rebuild(folder.path()) }.unwrap();
        }
        let store = open(folder.path());
        assert_eq!(store.recovery().found, Found::Clean);
        assert_golden(&store);
        assert!(attach(folder.path()).unwrap().update("wide", |_: &mut Wide| {}).unwrap());
    }
}
