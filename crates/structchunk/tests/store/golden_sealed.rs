//! A store with sealed objects, as the first version that knew them left it. See `tests/golden/v1-sealed/README.md`.

use std::fs;
use std::path::{Path, PathBuf};

use structchunk::{Error, Found, Space, Store};

use crate::common::{Sample, folder, open, open_with, options};
use crate::golden::{pack, unpack};

const SAMPLE: Sample = Sample { at: 1, value: 2, kind: 3, flags: 4, pair: [5, 6] };
/// Length of the body, in words.
const BODY: u64 = 6000;

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1-sealed/store.txt")
}

fn make(path: &Path) {
    let store = open_with(options().create(false).create_new(true), path).unwrap();
    store.put_sealed("sample", &SAMPLE).unwrap();
    store.put("array", &[1_u16, 2, 3][..]).unwrap();
    assert!(store.seal("array").unwrap());
    let mut body = store.loan_array::<u64>("body", &[BODY / 2, 2], Space::Sparse).unwrap();
    body[BODY as usize - 1] = 2;
    body.publish().unwrap();
    assert!(store.seal("body").unwrap());
    store.put("open", &1_u64).unwrap();
    store.close().unwrap();
}

fn assert_golden(store: &Store) {
    assert_eq!(store.load("sample").unwrap(), Some(SAMPLE));
    assert_eq!(store.get::<[u16]>("array").unwrap().unwrap()[..], [1, 2, 3]);
    let body = store.get::<[[u64; 2]]>("body").unwrap().unwrap();
    assert_eq!((body.len() as u64 * 2, body[0], body[body.len() - 1]), (BODY, [0, 0], [0, 2]));
    for (key, sealed) in [("sample", true), ("array", true), ("body", true), ("open", false)] {
        assert_eq!(store.is_sealed(key).unwrap(), Some(sealed), "{key}");
    }
    assert_eq!(store.check_deep().unwrap().map(|it| it.to_string()).collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn made_anew_when_that_is_asked_for_the_golden_store_with_sealed_objects_packs_and_unpacks() {
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
fn the_golden_store_with_sealed_objects_opens_as_it_was_closed_and_without_its_views() {
    for view in ["", "directory"] {
        let folder = folder();
        unpack(&fs::read_to_string(path()).expect("tests/golden/v1-sealed/store.txt"), folder.path());
        if !view.is_empty() {
            fs::remove_file(folder.path().join(view)).unwrap();
        }
        let store = open(folder.path());
        let expected = if view.is_empty() { Found::Clean } else { Found::ViewsLost };
        assert_eq!(store.recovery().found, expected);
        assert_golden(&store);
        assert!(matches!(store.update("sample", |_: &mut Sample| {}), Err(Error::Sealed { .. })));
    }
}
