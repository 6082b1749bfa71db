//! Objects whose types are known at run time only: the same as typed ones, and references that nobody can follow.
#![expect(unsafe_code, reason = "what is held is read and written through pointers")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use structchunk::raw::{Described, FileId, Hold, Place, When};
use structchunk::testing::{Call, Fault, Faults};
use structchunk::{Error, Found, LeftReason, Object, Space, Store};

use crate::common::{Point, Sample, Wide, folder, open, open_with, options};

fn one<T: Object>() -> Described {
    Described::one(T::ELEMENT.into())
}

fn array<T: Object>(shape: &[u64]) -> Described {
    Described::array(T::ELEMENT.into(), shape.to_vec())
}

/// Where an object lies, and what keeps it there.
fn hold(store: &Store, key: &str) -> (Place, Hold) {
    let raw = store.raw();
    let before = raw.locate(key.as_bytes()).unwrap().unwrap();
    let hold = raw.hold(key.as_bytes(), before.file).unwrap();
    let place = raw.locate(key.as_bytes()).unwrap().unwrap();
    assert_eq!(place.file, before.file);
    (place, hold)
}

fn at<T>(hold: &Hold, place: &Place) -> *mut T {
    assert!(place.bytes as usize >= size_of::<T>() && place.offset + place.bytes <= hold.len());
    hold.as_ptr().wrapping_add(place.offset as usize).cast()
}

fn wide(number: u64) -> Wide {
    Wide { words: [number; 128] }
}

const POINT: [u8; 16] = [0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0, 0, 0, 0, 0, 0, 0, 0x40];

#[test]
fn what_is_put_as_bytes_is_loaded_as_a_struct_and_the_other_way_round() {
    let store = Store::in_memory().unwrap();
    let raw = store.raw();
    assert!(raw.put(b"p", &one::<Point>(), &POINT, When::Always).unwrap());
    assert_eq!(store.load::<Point>("p").unwrap(), Some(Point { x: 1.0, y: 2.0 }));
    store.put("q", &Point { x: 1.0, y: 2.0 }).unwrap();
    let copy = raw.load(b"q").unwrap().unwrap();
    assert_eq!((&copy.bytes[..], copy.layout.name(), copy.shape), (&POINT[..], "Point", None));
    assert_eq!(store.types().unwrap().len(), 1, "the same type, not an equal one");
    let numbers = [1_u16, 2, 3, 4, 5, 6];
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    raw.put(b"n", &array::<u16>(&[2, 3]), &bytes, When::Always).unwrap();
    assert_eq!(store.load::<[[u16; 3]; 2]>("n").unwrap(), Some([[1, 2, 3], [4, 5, 6]]));
    assert_eq!(raw.load(b"n").unwrap().unwrap().shape.as_deref(), Some(&[2, 3][..]));
    let large = vec![7_u8; 40 << 20];
    raw.put(b"large", &array::<u8>(&[40 << 20]), &large, When::Always).unwrap();
    assert_eq!(store.get::<[u8]>("large").unwrap().unwrap().len(), large.len());
    assert_eq!(raw.take(b"large").unwrap().unwrap().bytes, large);
    assert!(raw.take(b"large").unwrap().is_none() && !store.contains("large").unwrap());
}

#[test]
fn conditions_hold_or_nothing_happens() {
    let store = Store::in_memory().unwrap();
    let raw = store.raw();
    let put = |when| raw.put(b"p", &one::<Point>(), &POINT, when).unwrap();
    assert!(!put(When::Sequence(1)) && put(When::Absent) && !put(When::Absent));
    let sequence = store.sequence("p").unwrap().unwrap();
    assert!(!put(When::Sequence(sequence + 1)) && put(When::Sequence(sequence)));
}

#[test]
fn bytes_that_are_no_such_object_are_refused_before_anything_happens() {
    let store = Store::in_memory().unwrap();
    let raw = store.raw();
    let put = |key: &[u8], what: &Described, bytes: &[u8]| raw.put(key, what, bytes, When::Always);
    assert!(matches!(put(b"p", &one::<Point>(), &POINT[1..]), Err(Error::LayoutMismatch { .. })));
    assert!(matches!(put(b"p", &array::<u8>(&[0]), &[]), Err(Error::Empty { .. })));
    assert!(matches!(put(b"p", &array::<u8>(&[u64::MAX, 2]), &[]), Err(Error::TooLarge { .. })));
    assert!(matches!(put(b"p", &array::<u8>(&[1; 14]), &[1]), Err(Error::Dimensions { .. })));
    assert!(matches!(put(b"", &one::<u8>(), &[1]), Err(Error::KeyLength { .. })));
    let mut batch = store.batch();
    assert!(matches!(batch.put_raw("p", &one::<Point>(), &[]), Err(Error::LayoutMismatch { .. })));
    assert!(store.is_empty() && batch.is_empty());
    store.put("p", &Point { x: 1.0, y: 2.0 }).unwrap();
    let copy = raw.load(b"p").unwrap().unwrap();
    let error = one::<Sample>().check(b"p", &copy.layout, None, 16).unwrap_err().to_string();
    assert!(error.contains("field x is x: f8 at 0 in the store, at: u8 at 0 in the program"), "{error}");
    let error = array::<Point>(&[2]).check(b"p", &copy.layout, None, 16).unwrap_err().to_string();
    assert!(error.contains("no array in the store, an array [2] in the program"), "{error}");
    one::<Point>().check(b"p", &copy.layout, None, 16).unwrap();
}

#[test]
fn many_objects_are_put_up_to_one_that_somebody_changes() {
    let folder = folder();
    for (large, name) in [(false, "small"), (true, "large")] {
        let store = open_with(options(), folder.path().join(name)).unwrap();
        let length = if large { 40_000 } else { 1_000 };
        let what = array::<u8>(&[length as u64]);
        let keys: Vec<_> = (0..40).map(|n| format!("k{n}")).collect();
        let objects: Vec<_> = (0..40_u8).flat_map(|n| vec![n; length]).collect();
        let raw = store.raw();
        assert_eq!(raw.try_put_many(&keys, &what, &objects).unwrap(), 40);
        for (n, key) in (0..40_u8).zip(&keys) {
            assert_eq!(raw.load(key.as_bytes()).unwrap().unwrap().bytes, vec![n; length]);
        }
        let changed = store.get_mut::<[u8]>("k25").unwrap().unwrap();
        assert_eq!(raw.try_put_many(&keys, &what, &vec![7; 40 * length]).unwrap(), 25);
        drop(changed);
        assert_eq!(raw.try_put_many(&keys[25..], &what, &vec![7; 15 * length]).unwrap(), 15);
        assert!(keys.iter().all(|key| store.get::<[u8]>(key).unwrap().unwrap()[0] == 7));
        assert_eq!(raw.try_put_many::<&str>(&[], &what, &[]).unwrap(), 0);
        let wrong = [(2, length), (1, length + 1), (1, 2 * length), (0, 1), (0, length)];
        for (keys, bytes) in wrong.map(|(count, bytes)| (&keys[..count], bytes)) {
            let refused = raw.try_put_many(keys, &what, &vec![9; bytes]);
            let differ = matches!(refused, Err(Error::Lengths { keys, values }) if keys != values);
            assert!(differ, "{refused:?}");
        }
        assert_eq!(store.get::<[u8]>("k0").unwrap().unwrap()[0], 7);
    }
}

#[test]
fn what_is_written_where_an_object_lies_is_the_object() {
    let folder = folder();
    let store = open(folder.path());
    store.put("p", &Point { x: 1.0, y: 2.0 }).unwrap();
    store.put("big", &[0_u8; 300_000][..]).unwrap();
    let (place, held) = hold(&store, "p");
    assert!(held.is_writable() && held.is_current(place.file, place.offset));
    assert!(!held.is_current(place.file, place.offset + 8));
    // SAFETY: found while it was held, and no guard refers to it.
    unsafe { (*at::<Point>(&held, &place)).x = 5.0 };
    assert_eq!(store.load::<Point>("p").unwrap().unwrap().x, 5.0);
    let (big, held_big) = hold(&store, "big");
    assert!(matches!(big.file, FileId::Body(_)) && big.is_array);
    assert_eq!(store.raw().shape(&big).unwrap(), [300_000]);
    // SAFETY: as above.
    unsafe { at::<u8>(&held_big, &big).wrapping_add(299_999).write(9) };
    drop((held, held_big));
    store.close().unwrap();
    let store = open(folder.path());
    assert_eq!(store.recovery().found, Found::Clean);
    assert_eq!(store.load::<Point>("p").unwrap().unwrap().x, 5.0);
    assert_eq!(store.get::<[u8]>("big").unwrap().unwrap()[299_999], 9);
}

#[test]
fn what_is_held_stays_where_it_is_when_it_is_superseded_and_when_chunks_are_emptied() {
    let folder = folder();
    let store = open(folder.path());
    for number in 0..1500 {
        store.put(format!("wide {number}"), &wide(number)).unwrap();
    }
    let (place, held) = hold(&store, "wide 7");
    for number in 0..1500 {
        if number % 10 != 0 {
            store.remove(format!("wide {number}")).unwrap();
        }
    }
    for _ in 0..3 {
        store.sync().unwrap();
    }
    let report = store.compact().unwrap();
    let FileId::Chunk(number) = place.file else { panic!("{place:?}") };
    assert!(report.left_chunks.contains(&(number, LeftReason::Held)), "{report:?}");
    assert!(!report.dropped_chunks.is_empty(), "{report:?}");
    // SAFETY: found while it was held, and no guard refers to it.
    assert_eq!(unsafe { *at::<Wide>(&held, &place) }, wide(7));
    assert!(!held.is_current(place.file, place.offset));
    drop(held);
    assert!(store.compact().unwrap().dropped_chunks.contains(&number));
}

#[test]
fn a_hold_waits_for_whoever_empties_the_chunk_and_what_it_finds_then_is_current() {
    let folder = folder();
    let store = open_with(options().busy_timeout(Duration::from_mins(1)), folder.path()).unwrap();
    for number in 0..300 {
        store.put(format!("wide {number}"), &wide(number)).unwrap();
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                for number in 0..300 {
                    store.put(format!("wide {number}"), &wide(number)).unwrap();
                }
                store.compact().unwrap();
                store.sync().unwrap();
            }
        });
        for number in (0..300).cycle().take(3000) {
            let key = format!("wide {number}");
            let raw = store.raw();
            let first = raw.locate(key.as_bytes()).unwrap().unwrap();
            let held = match raw.hold(key.as_bytes(), first.file) {
                Ok(held) => held,
                Err(error) => panic!("{error}"),
            };
            let place = raw.locate(key.as_bytes()).unwrap().unwrap();
            if place.file == first.file {
                // SAFETY: found while it was held; the other thread uses no guards, and changes nothing in place.
                assert_eq!(unsafe { *at::<Wide>(&held, &place) }, wide(number));
            }
        }
        done.store(true, Ordering::SeqCst);
    });
}

#[test]
fn a_closed_store_stays_locked_and_readable_until_the_last_hold_goes() {
    let folder = folder();
    let store = open(folder.path());
    store.put("p", &Point { x: 1.0, y: 2.0 }).unwrap();
    let (place, held) = hold(&store, "p");
    store.clone().close().unwrap();
    assert!(matches!(store.raw().locate(b"p"), Err(Error::Closed)));
    assert!(matches!(store.raw().hold(b"p", place.file), Err(Error::Closed)));
    drop(store);
    // SAFETY: found while it was held, and no guard refers to it.
    unsafe { (*at::<Point>(&held, &place)).y = 6.0 };
    // SAFETY: nobody changes the files.
    let refused = unsafe { Store::options().open(folder.path()) };
    assert!(matches!(refused, Err(Error::Locked { .. })), "{refused:?}");
    drop(held);
    assert_eq!(open(folder.path()).load::<Point>("p").unwrap(), Some(Point { x: 1.0, y: 6.0 }));
}

#[test]
fn a_read_only_store_lends_nothing_to_write() {
    let folder = folder();
    let store = open(folder.path());
    store.put("p", &Point { x: 1.0, y: 2.0 }).unwrap();
    store.close().unwrap();
    let store = open_with(options().create(false).read_only(true), folder.path()).unwrap();
    let (place, held) = hold(&store, "p");
    assert!(!held.is_writable());
    // SAFETY: found while it was held.
    assert_eq!(unsafe { *at::<Point>(&held, &place) }, Point { x: 1.0, y: 2.0 });
    assert!(matches!(store.raw().update(b"p"), Err(Error::ReadOnly { .. })));
    let refused = store.raw().put(b"p", &one::<Point>(), &POINT, When::Always);
    assert!(matches!(refused, Err(Error::ReadOnly { .. })));
}

#[test]
fn a_loan_is_published_or_forgotten_and_its_memory_stays_until_it_is_dropped() {
    let store = Store::in_memory().unwrap();
    let raw = store.raw();
    for (key, length, space) in
        [("small", 10, Space::Auto), ("sparse", 10, Space::Sparse), ("large", 40 << 20, Space::Auto)]
    {
        drop(raw.loan(key.as_bytes(), &array::<u8>(&[length]), space).unwrap());
        assert!(!store.contains(key).unwrap(), "{key}");
        let mut loan = raw.loan(key.as_bytes(), &array::<u8>(&[length]), space).unwrap();
        assert_eq!(loan.len(), length);
        // SAFETY: in bounds of the loan.
        unsafe { loan.as_ptr().wrapping_add(9).write(3) };
        assert!(loan.publish(When::Absent).unwrap());
        let again = loan.publish(When::Always);
        assert!(matches!(again, Err(Error::KeyExists { .. })), "{key}: it is published once");
        assert_eq!(store.get::<[u8]>(key).unwrap().unwrap()[9], 3);
        let mut second = raw.loan(key.as_bytes(), &array::<u8>(&[length]), space).unwrap();
        assert!(!second.publish(When::Absent).unwrap());
        // SAFETY: in bounds of the loan, which lives.
        unsafe { second.as_ptr().wrapping_add(9).write(4) };
        assert_eq!(store.get::<[u8]>(key).unwrap().unwrap()[9], 3);
    }
    let mut late = raw.loan(b"late", &one::<Point>(), Space::Auto).unwrap();
    store.clone().close().unwrap();
    assert!(matches!(late.publish(When::Always), Err(Error::Closed)));
}

#[test]
fn an_update_is_written_back_as_a_whole_or_not_at_all_and_excludes_others() {
    for length in [16_u64, 5000] {
        let store = Store::in_memory().unwrap();
        store.put("n", &vec![1_u8; length as usize][..]).unwrap();
        let raw = store.raw();
        let mut update = raw.update(b"n").unwrap().unwrap();
        assert_eq!((update.len(), update.shape()), (length, Some(&[length][..])));
        assert!(matches!(raw.try_update(b"n"), Err(Error::Busy { .. })));
        assert!(matches!(raw.try_put(b"n", &one::<u8>(), &[1], When::Always), Err(Error::Busy { .. })));
        // SAFETY: in bounds of the update.
        unsafe { update.as_ptr().wrapping_add(15).write(8) };
        assert_eq!(raw.locate(b"n").unwrap().unwrap().bytes, length);
        update.cancel();
        update.commit().unwrap();
        assert_eq!(store.get::<[u8]>("n").unwrap().unwrap()[15], 1);
        let mut update = raw.update(b"n").unwrap().unwrap();
        // SAFETY: as above.
        unsafe { update.as_ptr().wrapping_add(15).write(8) };
        update.commit().unwrap();
        assert_eq!(store.get::<[u8]>("n").unwrap().unwrap()[15], 8);
        assert!(raw.update(b"absent").unwrap().is_none());
    }
}

#[test]
fn an_update_of_a_sparse_object_takes_space_for_what_it_changes_only_and_is_refused_where_there_is_none() {
    let (folder, faults) = (folder(), Faults::recorded());
    let store = open_with(options().faults(faults.clone()), folder.path()).unwrap();
    let (raw, length) = (store.raw(), (48_u64 << 20) + 100);
    raw.loan(b"n", &array::<u8>(&[length]), Space::Sparse).unwrap().publish(When::Always).unwrap();
    let allocated = || store.stats().unwrap().bytes_allocated;
    let before = allocated();
    let change = |at: &[u64], to: u8| {
        let mut update = raw.update(b"n").unwrap().unwrap();
        for &at in at {
            // SAFETY: in bounds of the update.
            unsafe { update.as_ptr().wrapping_add(at as usize).write(to) };
        }
        update.commit()
    };
    let ends = [0, 4095, 4096, 20 << 20, length - 1];
    change(&ends, 8).unwrap();
    assert!(allocated() - before < 1 << 20, "{before}, then {}", allocated());
    let seen = |at: u64| store.get::<[u8]>("n").unwrap().unwrap()[at as usize];
    assert!(ends.iter().all(|&at| seen(at) == 8));
    // Nothing where there is something already takes any room; what is made zero stays so.
    faults.plan(Fault::nth(1, libc::ENOSPC).of(Call::Allocate).from_then_on());
    change(&ends, 0).unwrap();
    change(&[5000], 9).unwrap();
    assert!(ends.iter().all(|&at| seen(at) == 0) && seen(5000) == 9);
    let refused = change(&[5000, 30 << 20], 7);
    assert!(matches!(refused, Err(Error::NoSpace { .. })), "{refused:?}");
    assert_eq!((seen(5000), seen(30 << 20)), (9, 0));
    faults.heal();
    change(&[5000, 30 << 20], 7).unwrap();
    assert_eq!((seen(5000), seen(30 << 20), seen(length - 1)), (7, 7, 0));
}

#[test]
fn a_batch_of_described_and_typed_objects_is_all_or_nothing() {
    let store = Store::in_memory().unwrap();
    let mut batch = store.batch();
    batch.put_raw("p", &one::<Point>(), &POINT).unwrap();
    batch.put("q", &Point { x: 3.0, y: 4.0 }).unwrap();
    batch.put_raw("big", &array::<u8>(&[40 << 20]), &vec![5; 40 << 20]).unwrap();
    assert_eq!(batch.load::<Point>("p").unwrap(), Some(Point { x: 1.0, y: 2.0 }));
    assert!(matches!(batch.load::<Sample>("p"), Err(Error::LayoutMismatch { .. })));
    assert!(store.is_empty());
    batch.commit().unwrap();
    assert_eq!((store.len(), store.types().unwrap().len()), (3, 2));
    assert_eq!(store.load::<Point>("p").unwrap(), Some(Point { x: 1.0, y: 2.0 }));
}
