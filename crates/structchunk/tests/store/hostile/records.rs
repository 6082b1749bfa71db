//! Logs whose records lie, with right checksums.

use std::path::Path;

use structchunk::{Error, Layout, Object, RecoveryReport, Store};
use tempfile::TempDir;

use super::{Watchdog, read_everything, survive, wary};
use crate::common::{CHUNK_BYTES, Point, Wide, copy_folder, folder, open, open_with};
use crate::craft::{self, ARRAY, EXTERN, Log, OBJECT, Record, TOMBSTONE, TYPE, edit_checkpoints};

/// The number that `u64` has in [`base`].
const U64: u32 = 1;
/// The body of `body`.
const BODY: u64 = 0;

/// A closed store of a number, a point and a body; the log goes on behind them.
fn base() -> TempDir {
    let folder = folder();
    let store = open(folder.path());
    store.put("k", &7_u64).unwrap();
    store.put("point", &Point { x: 1.0, y: 2.0 }).unwrap();
    store.put("body", &[7_u64; 5000]).unwrap();
    store.close().unwrap();
    folder
}

/// Opens a store with records behind those of [`base`], for whatever; and everything else with a copy of it.
fn with_records(records: &[Record], look: impl FnOnce(&Store, &RecoveryReport)) {
    let _watchdog = Watchdog::new("forged records");
    let folder = base();
    let mut log = Log::of(folder.path());
    for record in records {
        log.append(record);
    }
    log.write();
    let copy = folder.path().join("copy");
    copy_folder_but_copies(folder.path(), &copy);
    survive(&copy, &[b"k", b"body", b"forged", b"point"]);
    let store = open_with(wary(), folder.path()).unwrap();
    read_everything(&store, &[b"forged"]);
    assert_eq!(
        store.load::<Point>("point").unwrap(),
        Some(Point { x: 1.0, y: 2.0 }),
        "others are as they were"
    );
    look(&store, store.recovery());
}

fn copy_folder_but_copies(from: &Path, to: &Path) {
    let place = folder();
    copy_folder(from, &place.path().join("s"));
    std::fs::rename(place.path().join("s"), to).unwrap();
}

fn number(key: &[u8], value: u64) -> Record {
    Record::new(OBJECT, key, U64, &value.to_le_bytes())
}

fn extern_record(key: &[u8], body: u64, bytes: u64) -> Record {
    let mut record = Record::new(EXTERN, key, U64, &[body.to_le_bytes(), bytes.to_le_bytes()].concat());
    record.flags = ARRAY;
    record.with_entry(1, bytes / 8)
}

#[test]
fn a_record_that_is_right_is_believed() {
    // Shows that the forger can write: the tests below mean something.
    with_records(
        &[number(b"forged", 5), number(b"k", 8), Record::new(TOMBSTONE, b"body", 0, &[])],
        |store, report| {
            assert_eq!((store.load("forged").unwrap(), store.load("k").unwrap()), (Some(5_u64), Some(8_u64)));
            assert!(!store.contains("body").unwrap() && store.len() == 3 && report.dropped.is_empty());
        },
    );
}

#[test]
fn lengths_and_offsets_that_overflow_are_no_records() {
    for length in [u64::MAX, (1 << 48) - 1, (1 << 48) - 32, CHUNK_BYTES, CHUNK_BYTES - 8192, 4096] {
        let mut record = number(b"forged", 5);
        record.payload_length = length;
        with_records(&[record, number(b"k", 8)], |store, report| {
            assert!(!store.contains("forged").unwrap());
            assert_eq!((store.load("k").unwrap(), report.dropped.len()), (Some(8_u64), 1), "{length}");
        });
    }
    for align_log2 in [0, 3, 13, 15] {
        let mut record = number(b"forged", 5);
        record.align_log2 = align_log2;
        with_records(&[record], |store, report| assert!(store.len() == 3 && report.dropped.len() == 1));
    }
    let mut record = number(b"forged", 5);
    record.extension = vec![0xff; 15 * 16];
    with_records(&[record], |store, report| assert!(store.len() == 3 && report.dropped.len() == 1));
}

#[test]
fn a_key_longer_than_the_chunk_is_no_record() {
    let folder = base();
    let mut log = Log::of(folder.path());
    // 48 bytes before the end of the chunk.
    log.head = CHUNK_BYTES as usize - 48;
    log.append(&number(b"", 0).clone());
    let at = CHUNK_BYTES as usize - 48;
    log.bytes[at + 4..at + 6].fill(0xff);
    log.head = CHUNK_BYTES as usize;
    log.write();
    survive(folder.path(), &[b"k"]);
    assert_eq!(open(folder.path()).load::<u64>("k").unwrap(), None, "survive() has removed it");
}

#[test]
fn records_that_repeat_a_sequence_or_go_back_are_not_believed() {
    for sequence in [1, 2, 3, 0] {
        let repeated = Record { sequence: Some(sequence), ..number(b"k", 666) };
        with_records(&[repeated.clone(), repeated, number(b"forged", 5)], |store, report| {
            assert_eq!((store.load("k").unwrap(), store.load("forged").unwrap()), (Some(7_u64), Some(5_u64)));
            assert_eq!((store.len(), report.dropped.len()), (4, 1));
        });
    }
}

#[test]
fn a_record_that_was_copied_from_elsewhere_is_not_believed() {
    let folder = base();
    let mut log = Log::of(folder.path());
    let first = craft::walk(&log.bytes, log.head)[1].at;
    let copied = log.bytes[first..first + 64].to_vec();
    log.bytes[log.head..log.head + 64].copy_from_slice(&copied);
    log.head += 64;
    log.write();
    let store = open_with(wary(), folder.path()).unwrap();
    assert_eq!((store.len(), store.recovery().dropped.len()), (3, 1), "{:?}", store.recovery());
}

#[test]
fn a_record_inside_the_payload_of_another_does_not_exist() {
    let folder = base();
    let mut log = Log::of(folder.path());
    // The payload begins 48 bytes behind the header; the record in it has the checksum of just that place.
    let inner = number(b"k", 666).bytes(&log.uuid, (log.head + 48) as u64 / 16, log.sequence + 2);
    let mut outer = Record::new(OBJECT, b"outer", U64, &inner);
    outer.flags = ARRAY;
    log.append(&outer.with_entry(1, inner.len() as u64 / 8));
    log.write();
    let store = open_with(wary(), folder.path()).unwrap();
    read_everything(&store, &[b"outer"]);
    assert_eq!((store.load("k").unwrap(), store.len(), store.check().unwrap().count()), (Some(7_u64), 4, 0));
}

#[test]
fn unknown_kinds_are_stepped_over_only_where_they_say_so() {
    with_records(&[Record::new(9, b"new", 0, b"whatever"), number(b"k", 8)], |store, report| {
        assert_eq!((store.load("k").unwrap(), report.dropped.len(), store.len()), (Some(8_u64), 0, 3));
    });
    for kind in [0, 5, 6, 7] {
        with_records(&[Record::new(kind, b"new", 0, b"whatever"), number(b"k", 8)], |store, report| {
            assert_eq!((store.load("k").unwrap(), report.dropped.len(), store.len()), (Some(8_u64), 1, 3));
        });
    }
}

#[test]
fn an_object_of_another_length_than_its_type_is_a_mismatch() {
    for bytes in [1, 4, 7, 9, 12, 16, 100] {
        with_records(&[Record::new(OBJECT, b"forged", U64, &vec![1; bytes])], |store, _| {
            let error = store.load::<u64>("forged").unwrap_err();
            assert!(matches!(error, Error::LayoutMismatch { .. }), "{error}");
            assert!(error.to_string().contains(&format!("{bytes} bytes in the store")), "{error}");
            assert!(store.get::<u64>("forged").is_err() && store.get_mut::<u64>("forged").is_err());
        });
    }
    // Without any: the shape may say what it likes.
    let mut empty = Record::new(OBJECT, b"forged", U64, &[]).with_entry(1, u64::MAX).with_entry(1, u64::MAX);
    empty.flags = ARRAY;
    with_records(&[empty], |store, _| assert!(store.get::<[u64]>("forged").is_err()));
}

#[test]
fn an_array_whose_shape_lies_is_as_long_as_its_bytes() {
    for shape in [&[][..], &[0], &[1], &[u64::MAX], &[u64::MAX, u64::MAX, 2], &[1 << 40, 3]] {
        let mut record = Record::new(OBJECT, b"forged", U64, &[1; 24]);
        record.flags = ARRAY;
        let record = shape.iter().fold(record, |record, &length| record.with_entry(1, length));
        with_records(&[record], |store, _| {
            assert!(store.get::<[u64]>("forged").map_or(true, |words| words.unwrap().len() == 3));
        });
    }
}

#[test]
fn an_object_of_a_type_that_is_not_there_is_an_error() {
    for number in [0, 99, u32::MAX] {
        with_records(&[Record::new(OBJECT, b"forged", number, &[1; 8])], |store, _| {
            let error = store.load::<u64>("forged").unwrap_err();
            assert!(
                error.is_corrupt() && error.to_string().contains(&format!("type number {number}")),
                "{error}"
            );
            assert!(store.check().unwrap().count() > 0);
            store.put("new type", &Wide { words: [1; 128] }).unwrap();
            assert!(store.remove("forged").unwrap());
        });
    }
}

#[test]
fn pointers_to_bodies_that_are_not_there_or_have_another_length_are_errors() {
    for (body, bytes) in
        [(1, 8), (u64::MAX, 8), (1 << 63, 8), (BODY, 8), (BODY, u64::MAX), (BODY, 40_008), (BODY, 0)]
    {
        with_records(&[extern_record(b"forged", body, bytes)], |store, _| {
            assert!(store.get::<[u64]>("forged").is_err(), "body {body} of {bytes} bytes");
            assert!(store.check().unwrap().count() > 0);
            assert_eq!(store.get::<[u64]>("body").unwrap().unwrap().len(), 5000);
        });
    }
    let mut damaged = extern_record(b"forged", BODY, 40_000);
    damaged.version_word = 2;
    damaged.payload.push(0);
    damaged.payload_length += 1;
    with_records(&[damaged], |store, _| assert!(store.get::<[u64]>("forged").unwrap_err().is_corrupt()));
}

#[test]
fn two_records_that_point_to_one_body_are_one_object_to_guards() {
    with_records(&[extern_record(b"forged", BODY, 40_000)], |store, _| {
        let first = store.get_mut::<[u64]>("body").unwrap().unwrap();
        assert!(matches!(store.get_mut::<[u64]>("forged"), Err(Error::Busy { .. })));
        assert!(matches!(store.get::<[u64]>("forged"), Err(Error::Busy { .. })));
        drop(first);
        assert_eq!(store.get::<[u64]>("forged").unwrap().unwrap()[0], 7);
        let found: Vec<_> = store.check().unwrap().map(|finding| finding.what).collect();
        assert!(found.len() == 1 && found[0].contains("has the same bytes as object"), "{found:?}");
        // What becomes of one when the other goes is nobody's promise, but an error.
        store.remove("body").unwrap();
        (0..3).for_each(|_| store.sync().unwrap());
        let _ = store.get::<[u64]>("forged").map(|found| found.map(|words| words.len()));
    });
}

/// A struct whose description has something of everything.
#[derive(Object, Clone, Copy, Debug)]
#[repr(C)]
struct Rich {
    xx: [[u16; 2]; 3],
    #[object(text)]
    yy: [u8; 4],
    inner: [Point; 2],
    #[object(title = "a title")]
    zz: u64,
}

#[test]
fn a_description_of_a_type_with_any_byte_changed_is_an_error_or_another_type() {
    let _watchdog = Watchdog::new("hostile layouts");
    let encoding = Layout::from(Rich::ELEMENT).encode().unwrap();
    let number = 9_u32;
    for value in [0xff, 0x01, 0x80] {
        let folder = base();
        let mut log = Log::of(folder.path());
        for at in 0..encoding.len() as u32 {
            let mut bytes = encoding.clone();
            bytes[at as usize] ^= value;
            log.append(&Record::new(TYPE, &(number + at).to_le_bytes(), number + at, &bytes));
            log.append(&Record::new(OBJECT, &at.to_le_bytes(), number + at, &[1; size_of::<Rich>()]));
        }
        log.write();
        let store = open_with(wary(), folder.path()).unwrap();
        let mut wrong = 0;
        for at in 0..encoding.len() as u32 {
            match store.load::<Rich>(at.to_le_bytes()) {
                // Names and hints are no physical facts, and padding in the description says nothing.
                Ok(found) => assert!(found.is_some()),
                Err(Error::LayoutMismatch { .. } | Error::Corrupt { .. }) => wrong += 1,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(wrong > encoding.len() / 3, "{wrong} of {}", encoding.len());
        read_everything(&store, &[b"k"]);
        store
            .put("rich", &Rich { xx: [[1; 2]; 3], yy: *b"text", inner: [Point { x: 0.0, y: 0.0 }; 2], zz: 1 })
            .unwrap();
        store.close().unwrap();
    }
}

#[test]
fn names_in_a_description_are_shown_escaped() {
    let encoding = Layout::from(Rich::ELEMENT).encode().unwrap();
    let at = encoding.windows(2).position(|two| two == b"xx").unwrap();
    for name in [b"\x1b[", b"\n\r", b"a ", b"__", b"\0\0", b"yy", b"_p"] {
        let mut bytes = encoding.clone();
        bytes[at..at + 2].copy_from_slice(name);
        let records = [
            Record::new(TYPE, &9_u32.to_le_bytes(), 9, &bytes),
            Record::new(OBJECT, b"forged", 9, &[1; size_of::<Rich>()]),
        ];
        with_records(&records, |store, _| {
            let error = store.load::<Rich>("forged").unwrap_err().to_string();
            assert!(error.chars().all(|c| !c.is_control()), "{error:?}");
            for entry in store.iter().unwrap().map(Result::unwrap) {
                let Ok(layout) = entry.layout() else { continue };
                let bytes = entry.bytes(1000).unwrap();
                let value = layout.read(&bytes, entry.shape().as_deref(), 100);
                let shown = format!("{layout} {}", value.map_or(String::new(), |value| value.to_string()));
                assert!(shown.chars().all(|c| !c.is_control() || c == '\n'), "{shown:?}");
            }
        });
    }
}

#[test]
fn type_numbers_as_high_as_can_be_cost_no_time() {
    let encoding = Layout::from(Rich::ELEMENT).encode().unwrap();
    for number in [u32::MAX, u32::MAX - 1, 1 << 31] {
        with_records(&[Record::new(TYPE, &number.to_le_bytes(), number, &encoding)], |store, _| {
            store.put("point", &Point { x: 1.0, y: 2.0 }).unwrap();
            store.types().unwrap();
        });
    }
    let folder = base();
    edit_checkpoints(folder.path(), |checkpoint| checkpoint.set_u32(84, u32::MAX));
    let begin = std::time::Instant::now();
    survive(folder.path(), &[b"k"]);
    assert!(begin.elapsed().as_secs() < 60);
}

#[test]
fn sequences_and_numbers_at_their_end_are_an_error_and_reading_goes_on() {
    let last = Record { sequence: Some((1 << 48) - 1), ..number(b"forged", 5) };
    with_records(&[last], |store, _| {
        assert_eq!(store.load("forged").unwrap(), Some(5_u64));
        let error = store.put("k", &8_u64).unwrap_err();
        assert!(matches!(error, Error::Exhausted { .. }), "{error}");
        assert_eq!((store.load("k").unwrap(), store.load("forged").unwrap()), (Some(7_u64), Some(5_u64)));
    });
    let folder = base();
    edit_checkpoints(folder.path(), |checkpoint| {
        checkpoint.set_u32(80, u32::MAX);
        checkpoint.set_u64(72, u64::MAX);
    });
    let store = open_with(wary(), folder.path()).unwrap();
    let error = store.put("large", &vec![1_u8; 100_000][..]).unwrap_err();
    assert_eq!(error.to_string(), "no body numbers left");
    let error = (0..20).find_map(|n| store.put(format!("{n}"), &vec![1_u8; 30_000][..]).err()).unwrap();
    assert_eq!(error.to_string(), "no chunk numbers left");
    assert_eq!(store.load("k").unwrap(), Some(7_u64));
}

#[test]
fn checkpoints_that_cannot_be_are_refused_or_survived() {
    type Change = fn(&mut craft::Sector<'_>);
    let changes: [Change; 12] = [
        |checkpoint| checkpoint.set_u64(64, 0),
        |checkpoint| checkpoint.set_u64(64, 4095),
        |checkpoint| checkpoint.set_u64(64, u64::MAX),
        |checkpoint| checkpoint.set_u64(64, CHUNK_BYTES),
        |checkpoint| checkpoint.set_u64(64, CHUNK_BYTES + 16),
        |checkpoint| checkpoint.set_u64(64, 4096 + 16),
        |checkpoint| checkpoint.set_u32(60, u32::MAX),
        |checkpoint| checkpoint.set_u32(60, 1),
        |checkpoint| checkpoint.set_u64(16, u64::MAX),
        |checkpoint| checkpoint.set_u64(16, 0),
        |checkpoint| checkpoint.set_u64(24, u64::MAX),
        |checkpoint| checkpoint.set_u64(8, u64::MAX),
    ];
    for change in changes {
        for views in [true, false] {
            for clean in [1, 0] {
                let folder = base();
                edit_checkpoints(folder.path(), |checkpoint| {
                    change(checkpoint);
                    checkpoint.set_u32(56, clean);
                });
                if !views {
                    std::fs::remove_file(folder.path().join("directory")).unwrap();
                }
                survive(folder.path(), &[b"k", b"body", b"point"]);
            }
        }
    }
}
