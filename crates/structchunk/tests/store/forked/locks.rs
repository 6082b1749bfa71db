//! Forks while another thread has any lock there is: the child goes on all the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use structchunk::testing::{Call, Faults};
use structchunk::{Error, Object, Reader, Store};

use crate::common::*;
use crate::process::ran_apart;

/// With a file of its own.
type Large = [u64; 4200];

#[derive(Object, Clone, Copy)]
#[object(extends = Sample)]
#[repr(C)]
struct Wider {
    at: u64,
    value: u64,
    kind: u32,
    flags: u16,
    pair: [u8; 2],
    more: [u64; 2],
}

/// Forks `times` while a thread does its work over and over, and has each child do its own. A child that hangs is ended, and counts as one
/// that has failed, as does one whose work fails.
fn forks_beside(times: usize, work: impl Fn() + Sync, mut child: impl FnMut() -> bool) {
    let (over, rounds) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut status = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                work();
                rounds.fetch_add(1, Ordering::Relaxed);
            }
        });
        for _ in 0..times {
            // SAFETY: that the child does with threads of its parent about what the test is about, and nothing that takes a lock otherwise.
            let forked = unsafe { libc::fork() };
            if forked == 0 {
                // SAFETY: ends the process if it hangs.
                unsafe { libc::alarm(10) };
                let well = child();
                // SAFETY: ends the process without running anything else.
                unsafe { libc::_exit(i32::from(!well)) };
            }
            // SAFETY: waits for the child above, and writes its status.
            unsafe { libc::waitpid(forked, &raw mut status, 0) };
            if status != 0 {
                break;
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    let hung = libc::WIFSIGNALED(status);
    assert_eq!(status, 0, "a child {}", if hung { "hung" } else { "failed" });
    assert!(rounds.into_inner() > 1, "nothing was done beside it");
}

#[test]
fn a_child_reads_atomics_that_its_parent_has_borrowed() {
    if ran_apart(a_child_reads_atomics_that_its_parent_has_borrowed) {
        return;
    }
    let folder = folder();
    let store = open(folder.path());
    store.put("counter", &Counter::default()).unwrap();
    let read = || store.load::<Counter>("counter").is_ok_and(|counter| counter.is_some());
    forks_beside(300, || assert!(read()), read);
    // And numbers where they are, whoever has them.
    store.put("number", &1_u64).unwrap();
    let counter = store.get_atomic::<Counter>("counter").unwrap();
    let number = store.get::<u64>("number").unwrap();
    let both = || read() && store.load::<u64>("number").is_ok_and(|number| number == Some(1));
    forks_beside(20, || assert!(both()), both);
    drop((counter, number));
}

#[test]
fn a_child_opens_large_objects_while_its_parent_does() {
    if ran_apart(a_child_opens_large_objects_while_its_parent_does) {
        return;
    }
    let folder = folder();
    let store = open(folder.path());
    for key in ["first", "second"] {
        store.put(key, &[1_u64; 4200]).unwrap();
    }
    store.close().unwrap();
    let store = open(folder.path());
    let read = |key: &str| store.entry(key).unwrap().unwrap().bytes(8).is_ok();
    forks_beside(
        300,
        || assert!(read("first")),
        || store.load::<Large>("second").is_ok_and(|it| it.is_some()),
    );
    forks_beside(
        100,
        || store.put("first", &[2_u64; 4200]).unwrap(),
        || store.load::<Large>("second").is_ok_and(|it| it.is_some()) && read("second"),
    );
}

#[test]
fn a_child_drops_what_it_has_inherited_while_its_parent_takes_more() {
    if ran_apart(a_child_drops_what_it_has_inherited_while_its_parent_takes_more) {
        return;
    }
    let folder = folder();
    let store = open(folder.path());
    store.put("number", &1_u64).unwrap();
    store.put("counter", &Counter::default()).unwrap();
    let mut owned = None;
    let take = || {
        drop(store.get::<u64>("number").unwrap());
        drop(store.get_atomic::<Counter>("counter").unwrap());
    };
    let mut kept =
        Some((store.get_owned::<u64>("number").unwrap(), store.get_atomic::<Counter>("counter").unwrap()));
    forks_beside(300, take, || {
        drop(owned.take());
        drop(kept.take());
        true
    });
    owned = store.get_owned::<u64>("number").unwrap();
    assert!(kept.is_some() && owned.is_some());
    // The handle itself, and all that belongs to it.
    let mut clone = Some(store.clone());
    forks_beside(
        100,
        || drop(store.compact().unwrap()),
        || {
            drop(owned.take());
            drop(clone.take());
            store.clone().close().is_ok()
        },
    );
}

#[test]
fn a_child_scans_a_store_that_its_parent_writes_or_only_reads() {
    if ran_apart(a_child_scans_a_store_that_its_parent_writes_or_only_reads) {
        return;
    }
    let folder = folder();
    let store = open(folder.path());
    for key in ["one", "two"] {
        store.put(key, &1_u64).unwrap();
    }
    let scan = |store: &Store| {
        let all = store.iter().is_ok_and(|mut all| all.all(|entry| entry.is_ok()));
        all && store.keys().is_ok_and(|keys| keys.count() == 2) && store.types().is_ok_and(|it| it.len() == 1)
    };
    let refused = |store: &Store| {
        matches!(store.check().err(), Some(Error::Forked))
            && matches!(store.stats().err(), Some(Error::Forked))
    };
    let rounds = AtomicUsize::new(0);
    let change = || {
        assert!(store.update("two", |number: &mut u64| *number += 1).unwrap());
        // Now and then: scans take longer and longer.
        if rounds.fetch_add(1, Ordering::Relaxed).is_multiple_of(500) {
            store.put("two", &2_u64).unwrap();
        }
    };
    forks_beside(200, change, || scan(&store) && refused(&store));
    store.close().unwrap();
    // Nobody has changed anything with it yet.
    let store = open(folder.path());
    let look = || assert!(scan(&store) && store.stats().is_ok());
    forks_beside(200, look, || scan(&store) && refused(&store));
    drop(store);
    let store = open_with(options().create(false).read_only(true), folder.path()).unwrap();
    let look = || assert!(scan(&store) && store.stats().is_ok());
    forks_beside(200, look, || scan(&store) && store.stats().is_ok() && store.get::<u64>("one").is_ok());
}

#[test]
fn a_child_reads_older_objects_as_newer_ones_while_its_parent_does() {
    if ran_apart(a_child_reads_older_objects_as_newer_ones_while_its_parent_does) {
        return;
    }
    let folder = folder();
    let store = open(folder.path());
    let sample = Sample { at: 1, value: 2, kind: 3, flags: 4, pair: [5; 2] };
    store.put("older", &sample).unwrap();
    store.put_sealed("sealed", &sample).unwrap();
    let grown = |key: &str| store.load_as::<Grown>(key);
    let wider = || matches!(store.load_as::<Wider>("older").err(), Some(Error::Forked));
    let read = || assert_eq!(grown("older").unwrap(), Some(sample.grown()));
    forks_beside(300, read, || matches!(grown("older").err(), Some(Error::Forked)) && wider());
}

#[test]
fn a_child_reads_what_is_mapped_only_while_it_is_used() {
    if ran_apart(a_child_reads_what_is_mapped_only_while_it_is_used) {
        return;
    }
    with_nothing_kept_mapped(|| {
        let folder = folder();
        let store = open(folder.path());
        for key in ["first", "second"] {
            store.put(key, &[1_u64; 4200]).unwrap();
        }
        store.put("small", &1_u64).unwrap();
        // SAFETY: nobody but this test has the files.
        let reader = unsafe { options().attach(folder.path()) }.unwrap();
        let read = |key: &str| store.load::<Large>(key).is_ok_and(|it| it.is_some());
        let small = |reader: &Reader| reader.load::<u64>("small").is_ok_and(|it| it == Some(1));
        let look = || assert!(read("first") && read("second") && small(&reader));
        forks_beside(300, look, || {
            read("second")
                && read("first")
                && store.load::<u64>("small").is_ok_and(|it| it.is_some())
                && small(&reader)
        });
    });
}

#[test]
fn a_child_asks_a_session_of_its_parent_in_vain_and_attaches_for_itself() {
    if ran_apart(a_child_asks_a_session_of_its_parent_in_vain_and_attaches_for_itself) {
        return;
    }
    let folder = folder();
    let store = open(folder.path());
    store.put("counter", &Counter::default()).unwrap();
    store.put("large", &[1_u64; 4200]).unwrap();
    // SAFETY: nobody but this test has the files.
    let reader = unsafe { options().attach(folder.path()) }.unwrap();
    let session = reader.session().unwrap();
    let read = || {
        drop(session.atomic::<Counter>("counter").unwrap());
        assert!(session.load::<Large>("large").unwrap().is_some() && session.keys().unwrap().count() == 2);
    };
    let over = |error: Option<Error>| matches!(error, Some(Error::SessionOver { .. }));
    forks_beside(300, read, || {
        let refused = [
            over(session.atomic::<Counter>("counter").err()),
            over(session.load::<Large>("large").err()),
            over(session.keys().and_then(|mut keys| keys.next().transpose()).err()),
            over(session.iter().err()),
            over(session.types().err()),
        ];
        let fresh = reader.session().is_ok_and(|session| {
            session.atomic::<Counter>("counter").is_ok() && session.load::<Large>("large").is_ok()
        });
        refused == [true; 5] && fresh && reader.load::<Large>("large").is_ok()
    });
}

#[test]
fn a_child_never_keeps_the_lock_of_its_parent_whenever_it_was_made() {
    if ran_apart(a_child_never_keeps_the_lock_of_its_parent_whenever_it_was_made) {
        return;
    }
    let folder = folder();
    let (path, faults) = (folder.path().join("store"), Faults::recorded());
    let opening = Arc::new(AtomicBool::new(false));
    // How many forks have begun, and ended.
    let forks = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    let (tell, told) = std::sync::mpsc::channel();
    let too_early = std::thread::spawn({
        let (opening, forks) = (opening.clone(), forks.clone());
        move || {
            let mut too_early = 0;
            while let Ok(()) = told.recv() {
                forks[0].fetch_add(1, Ordering::SeqCst);
                // SAFETY: the child looks at an atomic.
                let child = unsafe { libc::fork() };
                if child == 0 {
                    let well = !opening.load(Ordering::SeqCst);
                    // SAFETY: ends the process without running anything else.
                    unsafe { libc::_exit(i32::from(!well)) };
                }
                let mut status = 0;
                // SAFETY: waits for the child above, and writes its status.
                unsafe { libc::waitpid(child, &raw mut status, 0) };
                too_early += i32::from(status != 0);
                forks[1].fetch_add(1, Ordering::SeqCst);
            }
            too_early
        }
    });
    faults.watch({
        let forks = forks.clone();
        move |event| {
            let begun = forks[0].load(Ordering::SeqCst);
            // One at a time: a fork that waits for what is under way here begins no other.
            let idle = forks[1].load(Ordering::SeqCst) == begun;
            if idle && event.call == Call::Open && event.file == "LOCK" {
                opening.store(true, Ordering::SeqCst);
                tell.send(()).unwrap();
                while forks[0].load(Ordering::SeqCst) == begun {
                    std::thread::yield_now();
                }
                std::thread::sleep(std::time::Duration::from_millis(50));
                opening.store(false, Ordering::SeqCst);
            }
        }
    });
    let settle = |least: usize| {
        while forks[0].load(Ordering::SeqCst) != forks[1].load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        let forks = forks[1].load(Ordering::SeqCst);
        assert!(forks >= least, "only {forks} forks");
    };
    let with_faults = || options().faults(faults.clone());
    drop(open_with(with_faults(), &path).unwrap());
    settle(1);
    let store = open_with(with_faults(), &path).unwrap();
    settle(2);
    // SAFETY: nobody but this test has the files.
    drop(unsafe { with_faults().attach(&path) }.unwrap());
    settle(3);
    drop(store);
    settle(3);
    faults.watch(|_| {});
    let too_early = too_early.join().unwrap();
    assert_eq!(too_early, 0, "so many children were made while the lock file was being opened");
}
