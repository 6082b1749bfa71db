//! The same for objects whose types are known at run time only.
#![expect(clippy::cast_ptr_alignment, reason = "what is cast is aligned for its type")]

use std::sync::atomic::{AtomicU64, Ordering};

use structchunk::raw::{Atomics, Update};
use structchunk::{Error, Found};

use super::{attach, mutator, shared};
use crate::common::*;

fn word_of(update: &Update) -> u64 {
    assert!(update.len() >= 8);
    // SAFETY: the copy has so many bytes, and nobody else looks at it.
    unsafe { update.as_ptr().cast::<u64>().read() }
}

fn set(update: &Update, value: u64) {
    assert!(update.len() >= 8);
    // SAFETY: as above.
    unsafe { update.as_ptr().cast::<u64>().write(value) };
}

fn cell(atomics: &Atomics) -> &AtomicU64 {
    assert!(atomics.len() >= 8 && (atomics.as_ptr() as usize).is_multiple_of(8));
    // SAFETY: mapped and aligned, and changed by atomics only.
    unsafe { AtomicU64::from_ptr(atomics.as_ptr().cast()) }
}

#[test]
fn a_change_beside_the_writer_is_made_by_its_commit_and_keeps_others_out_until_then() {
    let folder = folder();
    let store = shared(folder.path());
    store.put("key", &1_u64).unwrap();
    store.put("large", &vec![1_u64; 9000][..]).unwrap();
    let (mutator, other) = (attach(folder.path()).unwrap(), attach(folder.path()).unwrap());
    let begin = |key: &str| mutator.raw().try_update(key.as_bytes()).unwrap().unwrap();
    let mut update = begin("key");
    assert_eq!((word_of(&update), update.layout().name(), update.shape()), (1, "u8", None));
    set(&update, 7);
    let is_busy = |outcome: structchunk::Result<Option<Update>>| matches!(outcome, Err(Error::Busy { .. }));
    assert!(is_busy(mutator.raw().try_update(b"key")) && is_busy(other.raw().try_update(b"key")));
    assert!(is_busy(store.raw().try_update(b"key")) && is_busy(other.raw().try_mend(b"key")));
    assert!(matches!(store.try_put("key", &2_u64), Err(Error::Busy { .. })));
    update.commit().unwrap();
    assert_eq!((store.load("key").unwrap(), other.load("key").unwrap()), (Some(7_u64), Some(7_u64)));
    // Dropped, it changes nothing.
    set(&begin("key"), 9);
    let mut update = begin("key");
    assert_eq!(word_of(&update), 7);
    update.cancel();
    let mut large = begin("large");
    assert_eq!((large.len(), large.shape()), (72_000, Some(&[9000][..])));
    set(&large, 5);
    large.commit().unwrap();
    let bytes = store.entry("large").unwrap().unwrap().bytes(u64::MAX).unwrap();
    assert_eq!(
        (&bytes[..8], bytes[8..].iter().map(|&byte| u64::from(byte)).sum()),
        (&5_u64.to_le_bytes()[..], 8999)
    );
    assert!(mutator.raw().try_update(b"nothing").unwrap().is_none());
    assert!(store.seal("key").unwrap());
    assert!(matches!(mutator.raw().try_update(b"key"), Err(Error::Sealed { .. })));
    assert!(matches!(mutator.raw().try_atomics(b"key"), Err(Error::Sealed { .. })));
}

#[test]
fn atomics_of_the_writer_and_of_mutators_are_one_number() {
    let folder = folder();
    let store = shared(folder.path());
    store.put("key", &0_u64).unwrap();
    let mutator = attach(folder.path()).unwrap();
    let ours = store.raw().try_atomics(b"key").unwrap().unwrap();
    let theirs = mutator.raw().try_atomics(b"key").unwrap().unwrap();
    assert_ne!(ours.as_ptr(), theirs.as_ptr(), "they are two mappings");
    assert_eq!((theirs.layout().name(), theirs.shape(), theirs.is_empty()), ("u8", None, false));
    std::thread::scope(|scope| {
        for atomics in [cell(&ours), cell(&theirs)] {
            scope.spawn(|| {
                for _ in 0..10_000 {
                    atomics.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(store.load("key").unwrap(), Some(20_000_u64));
    // As long as the writer has its own, it does not change the object otherwise, and nobody moves it.
    assert!(matches!(store.raw().try_update(b"key"), Err(Error::Busy { .. })));
    drop(ours);
    store.raw().try_update(b"key").unwrap().unwrap().commit().unwrap();
    drop((mutator, store));
    // It has the store for itself.
    assert_eq!(cell(&theirs).fetch_add(1, Ordering::Relaxed), 20_000);
}

#[test]
fn what_is_torn_is_looked_at_and_mended_by_everybody() {
    let folder = folder();
    let store = shared(folder.path());
    let (reader, beside) = (crate::readers::attach(folder.path()), attach(folder.path()).unwrap());
    for by_writer in [true, false] {
        store.put("key", &7_u64).unwrap();
        let mut child = mutator(folder.path());
        assert_eq!(child.tell("dwell key"), "dwelling");
        child.kill();
        let is_torn = || {
            [store.raw().load(b"key"), reader.raw().load(b"key")]
                .into_iter()
                .all(|copy| matches!(copy, Err(Error::Torn { .. })))
        };
        assert!(is_torn() && matches!(beside.raw().try_update(b"key"), Err(Error::Torn { .. })));
        for copy in [store.raw().load_torn(b"key"), reader.raw().load_torn(b"key")] {
            assert_eq!(copy.unwrap().unwrap().bytes, 7_u64.to_le_bytes());
        }
        let mend = || if by_writer { store.raw().try_mend(b"key") } else { beside.raw().try_mend(b"key") };
        // Who drops it leaves it torn.
        set(&mend().unwrap().unwrap(), 1);
        assert!(is_torn());
        let mut update = mend().unwrap().unwrap();
        assert_eq!(word_of(&update), 7);
        set(&update, 8);
        update.commit().unwrap();
        assert!(mend().unwrap().is_none(), "it is whole");
        assert_eq!((store.load("key").unwrap(), reader.load("key").unwrap()), (Some(8_u64), Some(8_u64)));
    }
    assert!(store.raw().try_mend(b"nothing").unwrap().is_none());
    assert!(store.raw().load_torn(b"nothing").unwrap().is_none());
}

#[test]
fn what_is_kept_of_a_change_that_ended_keeps_nothing_of_the_store() {
    let folder = folder();
    let store = shared(folder.path());
    store.put("key", &1_u64).unwrap();
    let mutator = attach(folder.path()).unwrap();
    let mut ended = mutator.raw().try_update(b"key").unwrap().unwrap();
    let mut own = store.raw().try_update(b"other").unwrap();
    assert!(own.is_none());
    ended.commit().unwrap();
    drop(mutator);
    own = store.raw().try_update(b"key").unwrap();
    own.as_mut().unwrap().cancel();
    assert_eq!(store.raw().is_shared().ok(), Some(true));
    store.close().unwrap();
    assert_eq!(open(folder.path()).recovery().found, Found::Clean);
    assert_eq!((word_of(&ended), word_of(&own.unwrap())), (1, 1));
}
