//! Readers between two steps of a change: its record exists, and the views do not have it yet.
#![expect(unsafe_code, reason = "opening a store is unsafe: others could change its files")]

use crate::directory::SlotRef;
use crate::format::{Flags, Kind, Location};
use crate::store::log::{Draft, FRESH_VERSION, Room};
use crate::{Reader, Session, Store};

/// A put that has come as far as that, and the record that it supersedes.
struct Halfway {
    slot: SlotRef,
    new: (Location, u64),
    old: Option<(Location, u64)>,
}

fn begin(store: &Store, key: &str, value: u64) -> Halfway {
    let inner = &*store.inner;
    let hash = inner.views.hashes.of_key(key.as_bytes());
    let writer = &mut *inner.begin_change().unwrap();
    let draft = Draft {
        kind: Kind::Object,
        flags: Flags::default(),
        align_log2: 4,
        type_number: inner.number_at_hand::<u64>(writer).unwrap(),
        extension: &[],
        key: key.as_bytes(),
        payload_length: 8,
        version_word: FRESH_VERSION,
    };
    inner.make_room(writer, [&draft], Room::Ordinary).unwrap();
    inner.views.make_slots(&inner.chunks, &mut [hash]).unwrap();
    let record = inner.append(writer, &draft, |chunk, at| chunk.write_object(at, &value)).unwrap();
    let (slot, old) = inner.slot_of(key.as_bytes(), hash).unwrap();
    inner.publish_end(writer);
    let new = (record.location(), record.bytes());
    Halfway { slot, new, old: old.map(|old| (old.location(), old.bytes())) }
}

fn end(store: &Store, put: &Halfway) {
    let views = &store.inner.views;
    views.directory.store(&put.slot, put.new.0);
    views.live.set(put.new.0, put.new.1);
    match put.old {
        Some((location, bytes)) => views.live.clear(location, bytes),
        None => views.directory.change_len(1),
    }
}

fn keys(session: &Session) -> Vec<Vec<u8>> {
    session.keys().unwrap().map(|key| key.unwrap().into_key()).collect()
}

/// A store with "a" and "b", and a reader of it.
fn beside(test: impl FnOnce(&Store, &Session)) {
    let folder = tempfile::tempdir().unwrap();
    // SAFETY: nobody else knows the folder.
    let store = unsafe { Store::options().create(true).index(false).open(folder.path()) }.unwrap();
    store.put("a", &1_u64).unwrap();
    store.put("b", &2_u64).unwrap();
    // SAFETY: as above.
    let reader = unsafe { Reader::attach(folder.path()) }.unwrap();
    test(&store, &reader.session().unwrap());
}

#[test]
fn a_key_that_was_sorted_before_it_had_a_slot_is_met_as_soon_as_it_has_one() {
    beside(|store, session| {
        let put = begin(store, "c", 3);
        assert_eq!(keys(session), [b"a", b"b"]);
        assert_eq!(session.load::<u64>("c").unwrap(), None);
        end(store, &put);
        assert_eq!(keys(session), [b"a", b"b", b"c"]);
        assert_eq!(session.load::<u64>("c").unwrap(), Some(3));
    });
}

#[test]
fn a_key_whose_removal_is_on_its_way_stays_as_long_as_its_slot_does() {
    beside(|store, session| {
        assert_eq!(keys(session), [b"a", b"b"]);
        let inner = &*store.inner;
        {
            let writer = &mut *inner.begin_change().unwrap();
            let draft = Draft::tombstone(b"a");
            inner.make_room(writer, [&draft], Room::Ordinary).unwrap();
            inner.append(writer, &draft, |_, _| Some(())).unwrap();
            inner.publish_end(writer);
        }
        // As it would be for ever, had the writer died here.
        assert_eq!(session.load::<u64>("a").unwrap(), Some(1));
        assert_eq!(keys(session), [b"a", b"b"]);
    });
}

#[test]
fn an_object_that_is_being_replaced_when_a_scan_begins_is_met_once() {
    for ends_after in 0..=3 {
        beside(|store, session| {
            let put = begin(store, "a", 10);
            let mut met = Vec::new();
            let mut scan = session.iter().unwrap();
            for step in 0.. {
                if step == ends_after {
                    end(store, &put);
                }
                let Some(entry) = scan.next() else { break };
                met.push(entry.unwrap().key().to_vec());
            }
            met.sort_unstable();
            assert_eq!(met, [b"a", b"b"], "the slot came after {ends_after} entries");
        });
    }
}
