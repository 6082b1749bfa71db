//! Edges of chunks, records, bodies and the live map that mutation testing has found without a test of their own.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tempfile::TempDir;

use super::*;
use crate::disk::{Access, Call, Faults, Folder};
use crate::error::Error;
use crate::format::{
    BodyNumber, ChunkId, Features, FileName, Flags, Geometry, Kind, PAGE_BYTES, RecordHeader, RecordSeed,
    Seal,
};
use crate::map::Residents;

const STORE: [u8; 16] = [1; 16];
const FIRST: ChunkId = ChunkId(0);

fn seed() -> RecordSeed {
    RecordSeed::new(STORE)
}

fn geometry() -> Geometry {
    Geometry::new(18).unwrap()
}

/// A real folder: one in memory has neither holes nor blocks.
fn folder(faults: &Faults) -> (TempDir, Folder) {
    let parent = tempfile::tempdir().unwrap();
    let folder = Folder::create(parent.path().join("chunks"), faults.clone()).unwrap();
    (parent, folder)
}

fn chunk(folder: &Folder, features: Features, reserve: u64) -> Chunk {
    Chunk::create(folder, STORE, geometry(), features, FIRST, reserve).unwrap()
}

fn set(folder: &Folder, features: Features) -> ChunkSet {
    ChunkSet::new(folder.clone(), STORE, geometry(), features, Access::Write, Arc::new(Residents::new(None)))
}

/// Appends a record; where it ends.
fn write(
    chunk: &Chunk,
    offset: u64,
    kind: Kind,
    key: &[u8],
    payload: &[u8],
    sequence: u64,
    version: u64,
) -> u64 {
    let header = RecordHeader {
        kind,
        flags: Flags::default(),
        align_log2: 4,
        extension_units: 0,
        key_length: key.len() as u16,
        payload_length: payload.len() as u64,
        type_number: 1,
        sequence,
    };
    let place = header.place(offset);
    chunk.map.copy_in(place.key, key).unwrap();
    chunk.map.copy_in(place.payload, payload).unwrap();
    let words = header.encode(seed(), geometry().location(FIRST, offset), &[], key);
    write_header(&ChunkRef::new(chunk), offset, words, version).unwrap();
    place.end
}

#[test]
fn a_record_is_of_its_whole_key_and_of_no_other() {
    let chunk = chunk(&Folder::in_memory(Faults::none()), Features::default(), geometry().capacity());
    let next = write(&chunk, PAGE_BYTES, Kind::Object, b"abc", &[0; 16], 1, 0);
    write(&chunk, next, Kind::Type, b"abc", &[0; 16], 2, 0);
    let chunk = &ChunkRef::new(&chunk);
    let object = Record::read(chunk, PAGE_BYTES).unwrap();
    let kind = Record::read(chunk, next).unwrap();
    assert!(object.is_object_under(b"abc") && object.key_is(b"abc"));
    assert!(Record::read_about(chunk, PAGE_BYTES, b"abc").is_some());
    for other in [&b"ab"[..], b"abd", b"abcd", b""] {
        assert!(!object.is_object_under(other) && !object.key_is(other));
        assert!(Record::read_about(chunk, PAGE_BYTES, other).is_none());
    }
    assert!(kind.key_is(b"abc") && !kind.is_object_under(b"abc"));
    assert!(Record::read_about(chunk, next, b"abc").is_none(), "a type is no object");
    assert_eq!(object.bytes(), next - PAGE_BYTES);
}

#[test]
fn a_change_ends_with_a_higher_version_that_never_says_sealed() {
    let chunk = chunk(&Folder::in_memory(Faults::none()), Features::default(), geometry().capacity());
    let next = write(&chunk, PAGE_BYTES, Kind::Object, b"k", &[0; 16], 1, 0);
    write(&chunk, next, Kind::Type, b"t", &[7; 16], 2, 0);
    let chunk = &ChunkRef::new(&chunk);
    let object = Record::read(chunk, PAGE_BYTES).unwrap();
    for (version, settled) in [(1, 2), (4, 6), (7, 8), (0x7fff_fffc, 0x7fff_fffe), (0x7fff_ffff, 0)] {
        object.settle_version(version, seed());
        assert_eq!(object.version_word(Ordering::Relaxed), settled, "after {version:#x}");
    }
    let kind = Record::read(chunk, next).unwrap();
    assert!(!kind.payload_checksum_holds(seed()), "it has none yet");
    kind.settle_version(3, seed());
    assert!(kind.payload_checksum_holds(seed()));
    assert_eq!(kind.version_word(Ordering::Relaxed) as u32, 4);
    kind.version_to_change().unwrap().begin_change();
    assert!(kind.payload_checksum_holds(seed()), "while somebody changes it there is none to hold");
}

#[test]
fn a_walk_believes_no_sequence_twice_and_none_that_goes_back() {
    for (sequence, is_believed) in [(6, true), (5, false), (4, false)] {
        let chunk = chunk(&Folder::in_memory(Faults::none()), Features::default(), geometry().capacity());
        let next = write(&chunk, PAGE_BYTES, Kind::Object, b"k", &[0; 16], 5, 0);
        let end = write(&chunk, next, Kind::Object, b"l", &[0; 16], sequence, 0);
        let chunk = &ChunkRef::new(&chunk);
        let met: Vec<_> = Walk::new(chunk, seed(), end, 4)
            .map(|step| match step {
                Step::Record(record) => record.header().sequence,
                Step::Damage { from, to } => {
                    assert_eq!((from, to), (next, end));
                    0
                }
            })
            .collect();
        assert_eq!(met, [5, if is_believed { 6 } else { 0 }]);
        assert_eq!(
            Walk::new(chunk, seed(), end, 5).filter(|step| matches!(step, Step::Record(_))).count(),
            usize::from(is_believed)
        );
    }
}

#[test]
fn a_header_is_mended_durably_and_only_where_there_is_room_for_one() {
    let faults = Faults::recorded();
    let (_kept, folder) = folder(&faults);
    let made = chunk(&folder, Features::default(), PAGE_BYTES);
    assert!(!made.seal_is_damaged(), "no seal is no damage");
    made.map.copy_in(512, &[9]).unwrap();
    assert!(made.seal_is_damaged());
    made.map.zero(0, 512).unwrap();
    let open = || Chunk::open(&folder, STORE, geometry(), FIRST, Access::Write);
    assert!(open().is_err());
    faults.forget();
    made.mend_header(STORE, Features::default(), 1).unwrap();
    let calls: Vec<_> = faults.trace().iter().map(|event| event.call).collect();
    assert_eq!(calls, [Call::Write, Call::Sync]);
    assert!(open().is_ok());

    let name = FileName::of_chunk(ChunkId(1));
    folder.create_file(&name).unwrap().set_len(100).unwrap();
    let short = Chunk::open_unverified(&folder, STORE, geometry(), true, ChunkId(1)).unwrap();
    assert!(matches!(short.mend_header(STORE, Features::stepwise(), 1), Err(Error::Corrupt { .. })));
    assert_eq!(folder.open_file(&name, Access::Read).unwrap().len().unwrap(), 100);
}

#[test]
fn what_is_reserved_has_blocks() {
    let (_kept, folder) = folder(&Faults::none());
    let chunk = chunk(&folder, Features::default(), 64 << 10);
    assert!((64 << 10..128 << 10).contains(&chunk.allocated_bytes().unwrap()));
    chunk.reserve(64 << 10, 192 << 10).unwrap();
    assert!(chunk.allocated_bytes().unwrap() >= 192 << 10);
}

#[test]
fn a_value_that_does_not_fit_makes_no_file_longer() {
    let (_kept, folder) = folder(&Faults::none());
    let chunk = chunk(&folder, Features::default(), geometry().capacity());
    let large = vec![5_u64; 16 << 10];
    let last = geometry().capacity() - (128 << 10);
    assert!(chunk.write_object(last + 16, &large[..]).is_none());
    assert_eq!(chunk.file.len().unwrap(), geometry().capacity());
    assert!(chunk.write_object(last, &large[..]).is_some());
    assert_eq!(chunk.map.load_u64(geometry().capacity() - 8, Ordering::Relaxed), Some(5));
}

#[test]
fn a_wipe_begins_at_the_very_byte_and_leaves_what_is_before() {
    for features in [Features::default(), Features::stepwise()] {
        let (_kept, folder) = folder(&Faults::none());
        let chunk = chunk(&folder, features, 128 << 10);
        chunk.map.copy_in(PAGE_BYTES, &vec![7; 100 << 10]).unwrap();
        let head = PAGE_BYTES + 48;
        chunk.wipe_from(head).unwrap();
        let mut bytes = vec![1; 100 << 10];
        chunk.map.copy_out(PAGE_BYTES, &mut bytes).unwrap();
        assert!(bytes[..48].iter().all(|&byte| byte == 7) && bytes[48..].iter().all(|&byte| byte == 0));
        assert_eq!(chunk.written_end(PAGE_BYTES).unwrap(), head);
    }
}

#[test]
fn the_cache_of_a_chunk_and_of_a_body_is_let_go_of() {
    let faults = Faults::recorded();
    let (_kept, folder) = folder(&faults);
    let chunk = chunk(&folder, Features::default(), PAGE_BYTES);
    let body = Body::create(&folder, STORE, BodyNumber(1), 100, true, &mut |_| {}).unwrap();
    faults.forget();
    chunk.forget_cache().unwrap();
    body.forget_cache().unwrap();
    let calls: Vec<_> = faults.trace().iter().map(|event| event.call).collect();
    assert_eq!(calls, [Call::Forget, Call::Forget]);
}

#[test]
fn a_full_chunk_whose_file_is_shorter_than_its_seal_says_is_refused() {
    let (_kept, folder) = folder(&Faults::none());
    let made = chunk(&folder, Features::stepwise(), 64 << 10);
    for (head, is_whole) in [(64 << 10, true), ((64 << 10) + 16, false)] {
        made.seal(&Seal { epoch: 1, head, first_sequence: 1, last_sequence: 0 }).unwrap();
        let chunks = set(&folder, Features::stepwise());
        assert!(chunks.get(FIRST).is_ok(), "seals do not count yet");
        let chunks = set(&folder, Features::stepwise());
        chunks.expect_seals_before(ChunkId(1));
        assert_eq!(chunks.get(FIRST).is_ok(), is_whole, "a seal at {head}");
    }
}

#[test]
fn what_was_written_where_a_file_had_not_been_so_long_is_found() {
    let (_kept, folder) = folder(&Faults::none());
    for (features, bytes) in [(Features::stepwise(), 128 << 10), (Features::default(), geometry().capacity())]
    {
        let writer = set(&folder, features);
        let chunk = writer.create(FIRST, 64 << 10).unwrap();
        let reader = set(&folder, features);
        let seen = reader.get(FIRST).unwrap();
        chunk.reserve(64 << 10, 128 << 10).unwrap();
        chunk.map.copy_in(100 << 10, b"written").unwrap();
        assert!(seen.map.eq_bytes(100 << 10, b"written"));
        assert_eq!(seen.map.limit(), bytes);
        chunk.reserve(128 << 10, geometry().capacity()).unwrap();
        assert_eq!(seen.map.limit(), bytes, "asked for when it is needed");
        writer.remove(FIRST).unwrap();
    }
}

#[test]
fn a_copy_has_the_blocks_and_the_whole_pages_of_what_it_is_a_copy_of() {
    let (_kept, folder) = folder(&Faults::none());
    let reserved = chunk(&folder, Features::default(), geometry().capacity());
    let end = PAGE_BYTES + 5 * 4096 + 48;
    let target = folder.create_file("reserved").unwrap();
    reserved.copy_into(&target, 0..end, Features::default(), &mut |_| Ok(())).unwrap();
    assert!(target.allocated_bytes().unwrap() >= end, "what was touched nowhere is backed all the same");
    let target = folder.create_file("in steps").unwrap();
    reserved.copy_into(&target, 0..end, Features::stepwise(), &mut |_| Ok(())).unwrap();
    assert_eq!(target.len().unwrap(), PAGE_BYTES + 6 * 4096);
}

#[test]
fn a_body_of_another_store_or_number_is_refused() {
    let (_kept, folder) = folder(&Faults::none());
    let bodies = |store| BodySet::new(folder.clone(), store, Access::Write, Arc::new(Residents::new(None)));
    let ours = bodies(STORE);
    ours.publish(&ours.create(BodyNumber(1), 100, true).unwrap()).unwrap();
    assert!(bodies(STORE).get(BodyNumber(1)).is_ok());
    assert!(bodies([2; 16]).get(BodyNumber(1)).is_err_and(|error| error.is_corrupt()));
    folder.rename(&FileName::of_body(BodyNumber(1)), &FileName::of_body(BodyNumber(2))).unwrap();
    assert!(bodies(STORE).get(BodyNumber(2)).is_err_and(|error| error.is_corrupt()));
}

#[test]
fn of_many_open_bodies_those_in_use_stay_the_same() {
    let (_kept, folder) = folder(&Faults::none());
    let bodies = BodySet::new(folder, STORE, Access::Write, Arc::new(Residents::new(None)));
    let make = |number| {
        let body = bodies.create(BodyNumber(number), 16, false).unwrap();
        bodies.publish(&body).unwrap();
        body.shared()
    };
    let used = make(0);
    let unused = Arc::downgrade(&make(1));
    for number in 2..300 {
        make(number);
    }
    assert!(Arc::ptr_eq(&used, &bodies.get(BodyNumber(0)).unwrap().shared()));
    assert!(unused.upgrade().is_none(), "so many files are not kept open for nobody");
}
