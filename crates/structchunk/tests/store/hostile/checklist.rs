//! What is left of the checklist: headers of files that lie, and texts that tell nothing of what is stored.

use std::fs;
use std::os::unix::fs::FileExt;

use super::{Watchdog, rebuild, survive, wary};
use crate::common::{CHUNK_BYTES, Point, folder, open, open_with};
use crate::craft::{self, Log, edit_checkpoints, edit_sector};

const CHUNK: &str = "chunks/00000000.chunk";
const BODY: &str = "chunks/0000000000000000.body";

/// Changes the header of a file of a closed store; what is said when its object is read, by writer and reader.
fn said(file: &str, change: impl Fn(&mut craft::Sector<'_>)) -> [String; 2] {
    let _watchdog = Watchdog::new(format!("a header of {file} that lies"));
    let folder = folder();
    let store = open(folder.path());
    store.put("k", &7_u64).unwrap();
    store.put("body", &[7_u64; 5000]).unwrap();
    store.close().unwrap();
    edit_sector(&folder.path().join(file), 0, "file", &change);
    let texts = [wary(), wary().read_only(true)].map(|options| {
        let read = open_with(options, folder.path()).and_then(|store| {
            store.load::<u64>("k")?;
            store.get::<[u64]>("body").map(drop)
        });
        read.map_or_else(|error| error.to_string(), |()| "fine".to_owned())
    });
    survive(folder.path(), &[b"k", b"body"]);
    texts
}

#[test]
fn a_body_that_is_shorter_than_its_header_says_is_an_error() {
    for bytes in [40_001, 40_000 + 4096, 1 << 40, u64::MAX, u64::MAX - 4096, 0, 8, 39_999 - 16] {
        for text in said(BODY, |header| header.set_u64(40, bytes)) {
            assert!(
                text.contains(BODY) && text.contains("does not have the size that its header says"),
                "{text}"
            );
        }
    }
    // Within the padding of the file, only the record can tell.
    for text in said(BODY, |header| header.set_u64(40, 39_999)) {
        assert!(text.contains("the body has 39999 bytes, its record says 40000"), "{text}");
    }
}

#[test]
fn a_chunk_that_is_of_another_size_store_or_number_is_an_error() {
    for text in said(CHUNK, |header| header.set_u64(40, CHUNK_BYTES * 2)) {
        assert!(text.contains(CHUNK) && text.contains("another capacity than the store"), "{text}");
    }
    for text in said(CHUNK, |header| header.0[12] = 63) {
        assert!(text.contains(CHUNK) && text.contains("another capacity than the store"), "{text}");
    }
    for text in said(CHUNK, |header| header.0[16] ^= 1) {
        assert!(text.contains(CHUNK) && text.contains("belongs to another store"), "{text}");
    }
    for text in said(CHUNK, |header| header.set_u64(32, 5)) {
        assert!(text.contains(CHUNK) && text.contains("this is chunk"), "{text}");
    }
    for text in said(CHUNK, |header| header.set_u32(8, 2)) {
        assert!(text.contains(CHUNK) && text.contains("no header of a chunk"), "{text}");
    }
    for text in said(CHUNK, |header| header.set_u64(72, 1 << 40)) {
        assert!(text.contains(CHUNK) && text.contains("chunk features 0x10000000000"), "{text}");
    }
    for text in said(BODY, |header| header.set_u64(32, 5)) {
        assert!(
            text.contains(BODY) && text.contains("belongs to another store or has another number"),
            "{text}"
        );
    }
}

#[test]
fn an_identity_of_another_version_or_machine_is_unsupported_and_a_forged_capacity_no_harm() {
    let folder = folder();
    for (n, change) in [
        (|identity: &mut craft::Sector<'_>| identity.set_u32(8, 2)) as fn(&mut craft::Sector<'_>),
        |identity| identity.0[12..16].reverse(),
        |identity| identity.0[48] = 60,
        |identity| identity.0[48] = 36,
        |identity| identity.0[48] = 0,
        |identity| identity.0[16..32].fill(0),
        |identity| identity.set_u64(32, 0),
    ]
    .into_iter()
    .enumerate()
    {
        let path = folder.path().join(n.to_string());
        let store = open(&path);
        store.put("k", &7_u64).unwrap();
        store.close().unwrap();
        edit_sector(&path.join("STORE"), 0, "identity", change);
        if n < 3 {
            let error = open_with(wary(), &path).unwrap_err();
            assert!(matches!(error, structchunk::Error::Unsupported { .. }), "{n}: {error}");
        }
        survive(&path, &[b"k"]);
    }
}

#[test]
fn seals_that_lie_are_an_error_or_damage_that_is_told() {
    for (head, last) in
        [(CHUNK_BYTES * 2, 1), (0, 1), (4096, 0), (4100, 5), (u64::MAX, u64::MAX), (8192, u64::MAX)]
    {
        let _watchdog = Watchdog::new("a seal that lies");
        let folder = folder();
        let store = open(folder.path());
        for n in 0..30_u64 {
            store.put(n.to_le_bytes(), &vec![n; 2000][..]).unwrap();
        }
        store.close().unwrap();
        edit_sector(&folder.path().join(CHUNK), 512, "seal", |seal| {
            seal.set_u64(16, head);
            seal.set_u64(24, last);
            seal.set_u64(32, last);
        });
        let store = open_with(wary(), folder.path()).unwrap();
        let scanned = store.iter().unwrap().flatten().count();
        assert!(scanned == 30 || store.check().unwrap().count() > 0, "{head}: a scan meets {scanned}");
        drop(store);
        survive(folder.path(), &[&3_u64.to_le_bytes()]);
    }
}

#[test]
fn no_error_finding_or_report_tells_what_is_stored() {
    const SECRET: &[u8] = b"SECRETsecretSECRETsecretSECRETse";
    let folder = folder();
    let store = open(folder.path());
    store.put("inline", SECRET).unwrap();
    store.put("point", &Point { x: 1.0, y: 2.0 }).unwrap();
    store.put("large", &SECRET.repeat(2000)[..]).unwrap();
    store.close().unwrap();
    let log = Log::of(folder.path());
    let mut texts = String::new();
    let mut note = |text: String| {
        texts.push_str(&text);
        texts.push('\n');
    };
    let path = folder.path().join(CHUNK);
    let chunk = fs::File::options().write(true).open(&path).unwrap();
    let spoil: Vec<_> = (craft::PAGE..log.head).step_by(3).collect();
    for &at in &spoil {
        chunk.write_all_at(&[!log.bytes[at]], at as u64).unwrap();
        match open_with(wary().read_only(true), folder.path()) {
            Err(error) => note(format!("{error} {error:?}")),
            Ok(store) => {
                for key in ["inline", "large", "point"] {
                    let _ = store.get::<Point>(key).map_err(|error| note(format!("{error} {error:?}")));
                    let _ = store.load::<[u8; 5]>(key).map_err(|error| note(format!("{error} {error:?}")));
                }
                store.check().unwrap().for_each(|finding| note(format!("{finding} {finding:?}")));
                note(format!("{:?} {store:?}", store.recovery()));
                store.iter().unwrap().for_each(|entry| note(format!("{entry:?}")));
            }
        }
        chunk.write_all_at(&[log.bytes[at]], at as u64).unwrap();
    }
    // A recovery and a rebuild of what is left.
    for &at in spoil.iter().step_by(20) {
        chunk.write_all_at(&[!log.bytes[at]], at as u64).unwrap();
    }
    edit_checkpoints(folder.path(), |checkpoint| checkpoint.set_u32(56, 0));
    note(format!("{:?}", open_with(wary(), folder.path()).map(|store| store.recovery().clone())));
    fs::remove_file(folder.path().join("STORE")).unwrap();
    note(format!("{:?}", rebuild(folder.path())));
    assert!(texts.len() > 10_000, "there was much to tell");
    let hex = format!("{:x}", u128::from_be_bytes(*SECRET.first_chunk().unwrap()) >> 80);
    let numbers = format!("{:?}", &SECRET[..6]);
    for shown in ["SECRET", "secret", &hex, numbers.trim_matches(['[', ']'])] {
        assert!(!texts.contains(shown), "{shown:?} is in a text");
    }
}
