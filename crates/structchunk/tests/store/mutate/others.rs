//! What is held where it is, and what the writer may do meanwhile.

use structchunk::{Compaction, Error, LeftReason};

use super::{attach, mutator, shared};
use crate::common::*;

/// Large enough for a body.
type Counters = [std::sync::atomic::AtomicU64; 9000];

fn compact(store: &structchunk::Store) -> Vec<(u32, LeftReason)> {
    store.compact_with(Compaction::new().fill_ratio(0.9)).unwrap().left_chunks
}

fn fill(store: &structchunk::Store) {
    for index in 0..9000_u64 {
        store.put(format!("k{index:05}"), &index).unwrap();
    }
    for index in 0..8990_u64 {
        store.remove(format!("k{index:05}")).unwrap();
    }
}

#[test]
fn a_reference_to_atomics_keeps_its_object_in_its_place_also_of_a_stopped_process() {
    let folder = folder();
    let store = shared(folder.path());
    store.put("counter", &Counter::default()).unwrap();
    fill(&store);
    let mut child = mutator(folder.path());
    assert_eq!(child.tell("hold_counter counter"), "ok");
    child.signal(rustix::process::Signal::STOP);
    assert_eq!(compact(&store), [(0, LeftReason::Held)]);
    child.signal(rustix::process::Signal::CONT);
    assert_eq!(child.tell("hit_held 3"), "ok");
    assert_eq!(store.load::<Counter>("counter").unwrap().unwrap().hits.into_inner(), 3);
    assert_eq!(child.tell("end_counter"), "ok");
    assert_eq!(compact(&store), []);
    assert_eq!(child.tell("hits counter 4"), "ok");
    assert_eq!(store.load::<Counter>("counter").unwrap().unwrap().hits.into_inner(), 7);
}

#[test]
fn an_update_needs_no_hold_and_is_in_no_compactions_way() {
    let folder = folder();
    let store = shared(folder.path());
    store.put("key", &1_u64).unwrap();
    store.put("large", &vec![1_u64; 9000][..]).unwrap();
    fill(&store);
    let beside = attach(folder.path()).unwrap();
    assert!(beside.update("key", |value: &mut u64| *value += 1).unwrap());
    assert!(beside.update("large", |large: &mut [u64]| large[0] = 2).unwrap());
    assert_eq!(compact(&store), []);
    assert!(beside.update("key", |value: &mut u64| *value += 1).unwrap());
    assert!(beside.update("large", |large: &mut [u64]| large[1] = 3).unwrap());
    assert_eq!(store.load("key").unwrap(), Some(3_u64));
    store.rename("large", "big").unwrap();
    assert!(beside.update("big", |large: &mut [u64]| large[2] = 4).unwrap());
    let bytes = store.entry("big").unwrap().unwrap().bytes(32).unwrap();
    assert_eq!(bytes.chunks(8).map(|word| word[0]).collect::<Vec<_>>(), [2, 3, 4, 1]);
    assert_eq!(store.check_deep().unwrap().count(), 0);
}

#[test]
fn a_body_is_neither_sealed_nor_renamed_under_a_reference_to_its_atomics() {
    let folder = folder();
    let store = shared(folder.path());
    store.put("counters", &[1_u64; 9000]).unwrap();
    let beside = attach(folder.path()).unwrap();
    let session = beside.session().unwrap();
    let counters = session.get_atomic::<Counters>("counters").unwrap().unwrap();
    assert!(matches!(store.seal("counters"), Err(Error::Busy { .. })));
    assert!(matches!(store.rename("counters", "renamed"), Err(Error::Busy { .. })));
    counters[0].store(7, std::sync::atomic::Ordering::Relaxed);
    drop(counters);
    assert!(store.rename("counters", "renamed").unwrap());
    assert!(store.seal("renamed").unwrap());
    assert!(matches!(session.get_atomic::<Counters>("renamed"), Err(Error::Sealed { .. })));
    assert_eq!(session.get::<[u64]>("renamed").unwrap().unwrap()[..2], [7, 1]);
    assert_eq!(store.check_deep().unwrap().count(), 0);
}

#[test]
fn of_a_dropped_chunk_the_live_map_keeps_the_page_where_a_mutator_may_leave_its_last_mark() {
    use rustix::fs::{SeekFrom, seek};
    for is_shared in [false, true] {
        let folder = folder();
        let options = options().shared_mutation(is_shared).chunk_capacity(1 << 20);
        let mut store = open_with(options, folder.path()).unwrap();
        fill(&store);
        fill(&store);
        assert_eq!(compact(&store), []);
        for key in ["one", "two", "three"] {
            store.put(key, &1_u64).unwrap();
            store.sync().unwrap();
        }
        assert!(!folder.path().join("chunks/00000000.chunk").exists());
        assert!(store.release_dropped());
        // Behind the header there are the words of chunk 0, a page for its counters and first bits.
        let live = std::fs::File::open(folder.path().join("live")).unwrap();
        let data = seek(&live, SeekFrom::Data(4096)).unwrap();
        if is_shared {
            assert_eq!((data, seek(&live, SeekFrom::Hole(4096)).unwrap()), (4096, 8192));
        } else {
            assert!(data > 8192, "{data}");
        }
    }
}
