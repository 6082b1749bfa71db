//! The store of an earlier version, which every later one opens. See `tests/golden/v1/README.md`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use structchunk::{Bool, F16, Found, Object, Space, Store};
use tempfile::TempDir;

use crate::common::{CHUNK_BYTES, Counter, Point, Sample, folder, open, open_with, options};
use crate::craft::edit_checkpoints;

/// Bytes of a line of `store.txt`.
const LINE: usize = 32;

#[derive(Object, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
struct Rich {
    corners: [[i16; 2]; 3],
    flag: Bool,
    _pad: u8,
    half: F16,
    #[object(text)]
    name: [u8; 16],
    at: Point,
    big: zerocopy::big_endian::U32,
    plain: u32,
    #[object(duration = "ms")]
    took: i64,
}

/// An array of few bytes other than zero: 28,000 of them, so that a chunk is soon full and the text stays short.
type Field = [u64; 3500];
const FIELDS: u64 = 11;

fn field(number: u64) -> Field {
    let mut field = [0; 3500];
    field[number as usize] = number;
    field[3499] = !number;
    field
}

fn rich() -> Rich {
    Rich {
        corners: [[1, -2], [3, -4], [5, -6]],
        flag: Bool::TRUE,
        _pad: 0,
        half: F16::from_f32(0.5),
        name: *b"golden\0\0\0\0\0\0\0\0\0\0",
        at: Point { x: 1.5, y: -2.5 },
        big: 0x0102_0304.into(),
        plain: 0x0506_0708,
        took: -1500,
    }
}

const SAMPLE: Sample = Sample { at: 1, value: 2, kind: 3, flags: 4, pair: [5, 6] };
/// Length of the body, in words.
const BODY: u64 = 6000;

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1/store.txt")
}

/// Makes the store.
fn make(path: &Path) {
    let store = open_with(options().create(false).create_new(true), path).unwrap();
    store.put("rich", &rich()).unwrap();
    store.put("number", &1_u64).unwrap();
    store.put("number", &2_u64).unwrap();
    store.put("removed", &SAMPLE).unwrap();
    store.put("renamed", &SAMPLE).unwrap();
    store.rename("renamed", "sample").unwrap();
    store.put("nested", &[[1_u16, 2, 3], [4, 5, 6]]).unwrap();
    store.put("counter", &Counter { hits: AtomicU64::new(7), sum: AtomicU64::new(70) }).unwrap();
    store.put(b"\0\xff any bytes".as_slice(), &3_u8).unwrap();
    let mut body = store.loan_array::<u64>("body", &[BODY / 2, 2], Space::Sparse).unwrap();
    body[0] = 1;
    body[BODY as usize - 1] = 2;
    body.publish().unwrap();
    store.sync().unwrap();
    for number in 0..FIELDS {
        store.put(format!("field/{number}"), &field(number)).unwrap();
    }
    store.remove("removed").unwrap();
    let mut batch = store.batch();
    batch.put("batched", &Point { x: 3.0, y: 4.0 }).unwrap();
    batch.put("number", &3_u64).unwrap();
    batch.remove("field/10").unwrap();
    batch.commit().unwrap();
    store.update("rich", |rich: &mut Rich| rich.took += 1).unwrap();
    assert_eq!(store.stats().unwrap().chunks.len(), 2);
    store.close().unwrap();
}

/// The files of a store as text.
pub fn pack(store: &Path) -> String {
    let mut text = String::new();
    let folders = [store.to_owned(), store.join("chunks")];
    let files: BTreeSet<_> = folders
        .iter()
        .flat_map(|folder| fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().path())
        .collect();
    for path in files.into_iter().filter(|path| path.is_file()) {
        let bytes = fs::read(&path).unwrap();
        writeln!(text, "file {} {}", path.strip_prefix(store).unwrap().display(), bytes.len()).unwrap();
        for (line, bytes) in bytes.chunks(LINE).enumerate() {
            if bytes.iter().any(|&byte| byte != 0) {
                write!(text, "{:x}: ", line * LINE).unwrap();
                for byte in bytes {
                    write!(text, "{byte:02x}").unwrap();
                }
                text.push('\n');
            }
        }
    }
    text
}

pub fn unpack(text: &str, store: &Path) {
    fs::create_dir_all(store.join("chunks")).unwrap();
    let mut file = None;
    for line in text.lines() {
        if let Some((name, length)) = line.strip_prefix("file ").and_then(|rest| rest.rsplit_once(' ')) {
            let made = fs::File::create_new(store.join(name)).unwrap();
            made.set_len(length.parse().unwrap()).unwrap();
            file = Some(made);
        } else {
            let (offset, hex) = line.split_once(": ").unwrap();
            let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
            let bytes: Vec<_> = (0..hex.len()).step_by(2).map(byte).collect();
            let offset = u64::from_str_radix(offset, 16).unwrap();
            file.as_ref().unwrap().write_all_at(&bytes, offset).unwrap();
        }
    }
}

/// The golden store, in a folder of its own.
fn golden() -> TempDir {
    let folder = folder();
    unpack(&fs::read_to_string(path()).expect("tests/golden/v1/store.txt"), folder.path());
    folder
}

/// Every value that [`make`] has left.
fn assert_golden(store: &Store) {
    assert_eq!(store.load("rich").unwrap(), Some(Rich { took: -1499, ..rich() }));
    assert_eq!((store.load("number").unwrap(), store.load("sample").unwrap()), (Some(3_u64), Some(SAMPLE)));
    assert_eq!(store.load("nested").unwrap(), Some([[1_u16, 2, 3], [4, 5, 6]]));
    assert_eq!(store.load("batched").unwrap(), Some(Point { x: 3.0, y: 4.0 }));
    assert_eq!(store.load(b"\0\xff any bytes".as_slice()).unwrap(), Some(3_u8));
    let counter = store.load::<Counter>("counter").unwrap().unwrap();
    assert_eq!((counter.hits.load(Relaxed), counter.sum.load(Relaxed)), (7, 70));
    let body = store.get::<[[u64; 2]]>("body").unwrap().unwrap();
    assert_eq!(
        (body.len() as u64 * 2, body[0], body[1], body[body.len() - 1]),
        (BODY, [1, 0], [0, 0], [0, 2])
    );
    for number in 0..FIELDS - 1 {
        assert_eq!(
            store.load::<Field>(format!("field/{number}")).unwrap(),
            Some(field(number)),
            "field/{number}"
        );
    }
    for key in ["removed", "renamed", "field/10"] {
        assert!(!store.contains(key).unwrap(), "{key}");
    }
    assert_eq!(store.len(), 8 + FIELDS - 1);
    assert_eq!(store.iter().unwrap().map(Result::unwrap).count() as u64, store.len());
    let names: Vec<_> = store.types().unwrap().iter().map(|stored| stored.layout.name().to_owned()).collect();
    assert_eq!(names, ["Rich", "u8", "Sample", "u2", "Counter", "u1", "Point"]);
    let findings: Vec<_> = store.check().unwrap().map(|finding| finding.to_string()).collect();
    assert_eq!(findings, Vec::<String>::new());
}

#[test]
fn made_anew_when_that_is_asked_for_the_golden_store_packs_and_unpacks() {
    let folder = folder();
    let (made, copy) = (folder.path().join("made"), folder.path().join("copy"));
    make(&made);
    let text = pack(&made);
    assert!(text.len() < 100_000, "{} bytes of text", text.len());
    unpack(&text, &copy);
    assert_eq!(pack(&copy), text);
    assert_golden(&open(&copy));
    if std::env::var_os("STRUCTCHUNK_WRITE_GOLDEN").is_some() {
        fs::write(path(), text).unwrap();
    }
}

#[test]
fn the_golden_store_opens_as_it_was_closed() {
    let folder = golden();
    let store = open_with(options().create(false).read_only(true), folder.path()).unwrap();
    assert_eq!(store.recovery().found, Found::Clean);
    assert_golden(&store);
    drop(store);
    let store = open(folder.path());
    assert_eq!((store.recovery().found, store.stats().unwrap().chunk_capacity), (Found::Clean, CHUNK_BYTES));
    assert_golden(&store);
    store.put("field/10", &field(10)).unwrap();
    store.remove("body").unwrap();
    store.close().unwrap();
    let store = open(folder.path());
    assert_eq!((store.load("field/10").unwrap(), store.contains("body").unwrap()), (Some(field(10)), false));
    assert_eq!(store.check().unwrap().count(), 0);
}

#[test]
fn the_golden_store_opens_without_its_views() {
    let folder = golden();
    for view in ["directory", "live", "shared", "LOCK"] {
        fs::remove_file(folder.path().join(view)).unwrap();
    }
    let store = open(folder.path());
    assert_eq!(store.recovery().found, Found::ViewsLost);
    assert_golden(&store);
}

#[test]
fn the_golden_store_opens_as_after_a_power_cut() {
    let folder = golden();
    edit_checkpoints(folder.path(), |checkpoint| checkpoint.set_u32(56, 0));
    let store = open(folder.path());
    assert_eq!(store.recovery().found, Found::MachineDied);
    assert_golden(&store);
}

#[test]
#[expect(unsafe_code, reason = "opens a store")]
fn the_golden_store_is_rebuilt_from_its_chunks_alone() {
    let folder = golden();
    for entry in
        fs::read_dir(folder.path()).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file())
    {
        fs::remove_file(entry.path()).unwrap();
    }
    // SAFETY: nobody else knows the folder.
    let report = unsafe { Store::rebuild(folder.path()) }.unwrap();
    assert!(report.made_store && report.recovery.accepted_records > 20, "{report:?}");
    assert!(report.findings.is_empty(), "{report:?}");
    assert_golden(&open(folder.path()));
}
