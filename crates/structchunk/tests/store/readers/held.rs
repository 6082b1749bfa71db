//! What a reader looks at again and again stays where it is.
#![expect(unsafe_code, reason = "what is held is read through pointers")]

use rustix::process::Signal;
use structchunk::{Compaction, Error, LeftReason, Store};

use super::{attach, process, writer};
use crate::common::*;

/// A store with a counter in a chunk of which little else is current.
fn store_with_counter(path: &std::path::Path) -> Store {
    let store = open(path);
    store.put("counter", &Counter::default()).unwrap();
    for index in 0..9000_u64 {
        store.put(format!("k{index:05}"), &index).unwrap();
    }
    for index in 0..8990_u64 {
        store.remove(format!("k{index:05}")).unwrap();
    }
    store
}

fn compact(store: &Store) -> Vec<(u32, LeftReason)> {
    store.compact_with(Compaction::new().fill_ratio(0.9)).unwrap().left_chunks
}

fn count(store: &Store) {
    let counter = store.get_atomic::<Counter>("counter").unwrap().unwrap();
    counter.hits.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
}

#[test]
fn what_a_stopped_process_looks_at_stays_there_and_is_still_changed_by_the_writer() {
    let folder = folder();
    let store = store_with_counter(folder.path());
    let place = || store.entry("counter").unwrap().unwrap().place();
    let before = place();
    let mut reader = process(folder.path());
    assert_eq!(reader.tell("attach"), "ok");
    assert_eq!(reader.tell("view counter"), "ok");
    assert_eq!(reader.tell("look"), "0 current");
    reader.signal(Signal::STOP);
    assert_eq!(compact(&store), [(0, LeftReason::Held)], "all others were dropped");
    assert_eq!(place(), before);
    count(&store);
    reader.signal(Signal::CONT);
    assert_eq!(reader.tell("look"), "1 current");
    assert_eq!(reader.tell("end_view"), "ok");
    assert_eq!(compact(&store), []);
    assert_ne!(place(), before, "it was moved");
    count(&store);
    assert_eq!(reader.tell("view counter"), "ok");
    assert_eq!(reader.tell("look"), "2 current");
}

#[test]
fn a_hold_goes_with_the_process_that_has_it() {
    let folder = folder();
    let store = store_with_counter(folder.path());
    let mut reader = process(folder.path());
    assert_eq!(reader.tell("attach"), "ok");
    assert_eq!(reader.tell("view counter"), "ok");
    assert_eq!(compact(&store), [(0, LeftReason::Held)]);
    reader.kill();
    assert_eq!(compact(&store), []);
}

#[test]
fn several_views_of_one_process_hold_until_the_last_one_goes() {
    let folder = folder();
    let store = store_with_counter(folder.path());
    let session = attach(folder.path()).session().unwrap();
    let views: Vec<_> = (0..3).map(|_| session.atomic::<Counter>("counter").unwrap().unwrap()).collect();
    for view in views {
        assert_eq!(compact(&store), [(0, LeftReason::Held)]);
        drop(view);
    }
    assert_eq!(compact(&store), []);
    assert!(session.atomic::<Counter>("nothing").unwrap().is_none());
    assert!(matches!(session.atomic::<Counter>("k08999"), Err(Error::LayoutMismatch { .. })));
}

#[test]
fn a_view_shows_the_object_from_before_a_put_and_nothing_after_its_session() {
    let folder = folder();
    let mut first = writer(folder.path());
    first.tell("put_counter counter");
    first.tell("count counter 5");
    let reader = attach(folder.path());
    let session = reader.session().unwrap();
    let view = session.atomic::<Counter>("counter").unwrap().unwrap();
    let hits = || view.load().map(|counter| counter.hits.into_inner());
    assert_eq!(hits().unwrap(), 5);
    first.tell("count counter 5");
    assert_eq!(hits().unwrap(), 10);
    first.tell("put_counter counter");
    first.tell("count counter 1");
    assert_eq!(hits().unwrap(), 10);
    assert!(!view.is_current().unwrap());
    first.kill();
    assert_eq!(hits().unwrap(), 10);
    let _second = writer(folder.path());
    assert!(matches!(view.load(), Err(Error::SessionOver { .. })));
    assert_eq!(reader.load::<Counter>("counter").unwrap().unwrap().hits.into_inner(), 1);
}

#[test]
fn exact_totals_are_seen_of_what_other_processes_count() {
    let folder = folder();
    let mut writer = writer(folder.path());
    writer.tell("put_counter counter");
    let reader = attach(folder.path());
    let session = reader.session().unwrap();
    let view = session.atomic::<Counter>("counter").unwrap().unwrap();
    let mut last = 0;
    for _ in 0..2000 {
        writer.order("count counter 1");
    }
    while last < 2000 {
        let now = view.load().unwrap().hits.into_inner();
        assert!(now >= last);
        last = now;
    }
    for _ in 0..2000 {
        assert_eq!(writer.answer(), "ok");
    }
    assert_eq!(view.load().unwrap().hits.into_inner(), 2000);
}

#[test]
fn what_is_seen_without_a_type_shows_what_the_writer_stores_and_stays_where_it_is() {
    let folder = folder();
    let store = store_with_counter(folder.path());
    store.put("large", &vec![7_u64; 1 << 20][..]).unwrap();
    let reader = attach(folder.path());
    let raw = reader.raw();
    let (first, second) = (raw.view(b"counter").unwrap().unwrap(), raw.view(b"counter").unwrap().unwrap());
    let (file, offset) = (first.place.file, first.place.offset);
    assert_eq!((first.layout.name(), &first.shape, first.hold.is_writable()), ("Counter", &None, false));
    assert!(first.hold.is_current(file, offset) && offset + first.place.bytes <= first.hold.len());
    assert_eq!(compact(&store), [(0, LeftReason::Held)]);
    drop(second);
    assert_eq!(compact(&store), [(0, LeftReason::Held)], "one is left");
    count(&store);
    let hits = first.hold.as_ptr().wrapping_add(offset as usize);
    // SAFETY: the object that was found, which is held; the writer is this thread.
    assert_eq!(unsafe { hits.read() }, 1);
    assert_eq!(raw.load(b"counter").unwrap().unwrap().bytes[..8], 1_u64.to_le_bytes());
    store.put("counter", &Counter::default()).unwrap();
    assert!(!first.hold.is_current(file, offset));
    drop(first);
    assert_eq!(compact(&store), []);
    let large = raw.view(b"large").unwrap().unwrap();
    assert_eq!((large.place.bytes, large.shape), (8 << 20, Some(vec![1 << 20])));
    store.put("large", &[1_u64][..]).unwrap();
    assert!(!large.hold.is_current(large.place.file, large.place.offset));
    let last = large.hold.as_ptr().wrapping_add((large.place.offset + large.place.bytes - 8) as usize);
    // SAFETY: the end of the object that was found, which is held and was superseded, so that nobody writes there.
    assert_eq!(unsafe { last.read() }, 7);
    assert!(raw.view(b"nothing").unwrap().is_none() && raw.load(b"nothing").unwrap().is_none());
    store.close().unwrap();
    assert_eq!(raw.load(b"k08999").unwrap().unwrap().bytes, 8999_u64.to_le_bytes(), "in the next session");
}

#[test]
fn who_looks_for_what_is_replaced_again_and_again_is_busy_when_its_time_is_up() {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::{Duration, Instant};
    let folder = folder();
    // No chunk is ever emptied: nobody is kept waiting for that.
    let store = open_with(options().auto_compact(false), folder.path()).unwrap();
    store.put("counter", &Counter::default()).unwrap();
    store.put("point", &Point { x: 1.0, y: 2.0 }).unwrap();
    let impatient = options().busy_timeout(Duration::ZERO);
    let reader = super::attach_with(impatient, folder.path()).unwrap();
    let session = reader.session().unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                store.put("counter", &Counter::default()).unwrap();
                store.put("point", &Point { x: 1.0, y: 2.0 }).unwrap();
            }
        });
        let begun = Instant::now();
        let (mut atomic, mut raw) = (0, 0);
        while (atomic == 0 || raw == 0) && begun.elapsed() < Duration::from_secs(20) {
            match session.atomic::<Counter>("counter") {
                Err(Error::Busy { .. }) => atomic += 1,
                view => assert!(view.unwrap().is_some()),
            }
            match reader.raw().view(b"point") {
                Err(Error::Busy { .. }) => raw += 1,
                view => assert!(view.unwrap().is_some()),
            }
        }
        over.store(true, Ordering::Relaxed);
        assert!(atomic > 0 && raw > 0, "busy {atomic} and {raw} times");
    });
}
