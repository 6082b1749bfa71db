//! Copies in which a call fails, which are killed, or for which there is no room.

use std::collections::BTreeMap;

use super::*;
use crate::process::ran_apart;
use crate::readers::{attach_with, process};

#[test]
fn every_call_of_a_copy_may_fail_and_then_there_is_no_copy_and_the_source_is_as_it_was() {
    let folder = folder();
    let path = folder.path().join("store");
    let faults = Faults::recorded();
    let store = open_with(options().faults(faults.clone()), &path).expect("open");
    let mut now = Tracked::default();
    for op in Op::script(&mut Random::new(11), 60) {
        now.run(&store, &op).expect("an operation");
    }
    Value::Numbers(vec![1; 9000]).put(&store, b"body").expect("put");
    now.set(b"body", Value::Numbers(vec![1; 9000]));
    let place = folder.path().join("copy");
    let mut n = 0;
    loop {
        n += 1;
        let errno = [libc::ENOSPC, libc::EIO, libc::ENOMEM, libc::EINTR][n % 4];
        faults.forget();
        faults.plan(Fault::nth(n as u64, errno));
        let outcome = store.copy_to(&place);
        faults.heal();
        let trace = faults.trace();
        let struck = trace.len() >= n;
        let event = trace.get(n - 1).map(ToString::to_string).unwrap_or_default();
        if let Err(error) = &outcome {
            assert_ne!(errno, libc::EINTR, "call {n}, {event}: {error}");
            // Where the failing call was one of those that clear up, what is left is no store.
            assert!(!place.join("STORE").exists() || event.contains("STORE"), "call {n}, {event}");
        } else if struck && errno != libc::EINTR {
            let asks = ["Inspect", "Forget", "Cache", "Lock", "Copy", "List", "Remove"]
                .iter()
                .any(|call| event.starts_with(call));
            assert!(asks || event.starts_with("Allocate"), "call {n}, {event}: passed over in silence");
        }
        if place.join("STORE").exists() {
            assert_same(&open(&place), &now.model);
            fs::remove_dir_all(&place).expect("removed");
        } else {
            // Whatever is left, it can be made again there.
            store.copy_to(&place).unwrap_or_else(|error| panic!("call {n}, {event}: {error}"));
            assert_same(&open(&place), &now.model);
            fs::remove_dir_all(&place).expect("removed");
        }
        if !struck {
            break;
        }
    }
    assert!(n > 60, "a copy makes more than {n} calls");
    assert_same(&store, &now.model);
    store.put("on", &1_u64).expect("the source is not poisoned");
    store.close().expect("close");
}

/// Every file of a store, with its bytes.
fn files(store: &Path) -> BTreeMap<std::path::PathBuf, Vec<u8>> {
    let read = |folder: &Path| {
        let entries = fs::read_dir(folder).expect("a folder").map(|it| it.expect("a name").path());
        entries
            .filter(|it| it.is_file())
            .map(|it| (it.clone(), fs::read(it).expect("a file")))
            .collect::<Vec<_>>()
    };
    read(store).into_iter().chain(read(&store.join("chunks"))).collect()
}

#[test]
fn every_call_of_a_copy_beside_a_writer_may_fail_and_then_there_is_no_copy_and_the_source_is_as_it_was() {
    let folder = folder();
    let path = folder.path().join("store");
    let store = open(&path);
    let mut now = Tracked::default();
    for op in Op::script(&mut Random::new(13), 60) {
        now.run(&store, &op).expect("an operation");
    }
    Value::Numbers(vec![1; 9000]).put(&store, b"body").expect("put");
    now.set(b"body", Value::Numbers(vec![1; 9000]));
    store.close().expect("close");
    let mut child = process(&path);
    assert_eq!(child.tell("open"), "ok");
    child.tell("put_point late");
    now.set(b"late", Value::Point(Point { x: 1.0, y: 2.0 }));
    let faults = Faults::recorded();
    let reader = attach_with(options().busy_timeout(Duration::from_secs(20)).faults(faults.clone()), &path)
        .expect("attach");
    let before = files(&path);
    let place = folder.path().join("copy");
    // Of one session, and of a reader, which makes a session first.
    for by_session in [true, false] {
        let session = reader.session().expect("a session");
        let mut n = 0;
        loop {
            n += 1;
            let errno = [libc::ENOSPC, libc::EIO, libc::ENOMEM, libc::EINTR][n % 4];
            faults.forget();
            faults.plan(Fault::nth(n as u64, errno));
            let outcome = if by_session { session.copy_to(&place) } else { reader.copy_to(&place) };
            faults.heal();
            let trace = faults.trace();
            let struck = trace.len() >= n;
            let event = trace.get(n - 1).map(ToString::to_string).unwrap_or_default();
            match &outcome {
                Err(error) => {
                    assert_ne!(errno, libc::EINTR, "call {n}, {event}: {error}");
                    // Where the failing call was one of those that clear up, what is left is no store.
                    assert!(!place.join("STORE").exists() || event.contains("STORE"), "call {n}, {event}");
                }
                Ok(report) => {
                    let kinds = ["Inspect", "Forget", "Lock", "Copy", "List", "Remove", "Allocate"];
                    let may_pass =
                        !struck || errno == libc::EINTR || kinds.iter().any(|call| event.starts_with(call));
                    assert!(may_pass, "call {n}, {event}: passed over in silence");
                    assert_eq!(
                        (&report.findings[..], &report.torn[..]),
                        (&[][..], &[][..]),
                        "call {n}, {event}"
                    );
                }
            }
            if !place.join("STORE").exists() {
                // Whatever is left, it can be made again there.
                assert!(outcome.is_err(), "call {n}, {event}: there is no copy");
                session.copy_to(&place).unwrap_or_else(|error| panic!("call {n}, {event}: {error}"));
            }
            assert_same(&open(&place), &now.model);
            fs::remove_dir_all(&place).expect("removed");
            if !struck {
                break;
            }
        }
        assert!(n > 60, "a copy makes more than {n} calls");
    }
    assert!(files(&path) == before, "something was written to the source");
    assert_eq!(child.tell("put on 1"), "ok");
    assert_eq!(child.tell("close"), "ok");
}

#[test]
fn a_copy_that_was_killed_is_no_store_and_can_be_made_again() {
    let folder = folder();
    let path = folder.path().join("store");
    let faults = Faults::recorded();
    let store = open_with(options().faults(faults.clone()), &path).expect("open");
    let mut now = Tracked::default();
    for op in Op::script(&mut Random::new(12), 60) {
        now.run(&store, &op).expect("an operation");
    }
    let place = folder.path().join("copy");
    let left = folder.path().join("left");
    faults.forget();
    store.copy_to(&place).expect("a copy");
    let calls = faults.trace().len();
    fs::remove_dir_all(&place).expect("removed");
    for n in (1..=calls).step_by(7) {
        // What is there before the n-th call is what a kill leaves.
        let seen = AtomicU64::new(0);
        let (from, to) = (place.clone(), left.clone());
        faults.watch(move |_| {
            if seen.fetch_add(1, Ordering::SeqCst) + 1 == n as u64 && from.exists() {
                copy_folder(&from, &to);
            }
        });
        store.copy_to(&place).expect("a copy");
        faults.watch(|_| {});
        fs::remove_dir_all(&place).expect("removed");
        if !left.exists() {
            continue;
        }
        if left.join("STORE").exists() {
            assert_same(&open(&left), &now.model);
        } else {
            let error = open_with(options().create(false), &left).expect_err("no store");
            assert!(matches!(error, Error::NotAStore { .. }), "call {n}: {error}");
            // SAFETY: the folder is this test's own.
            let error = unsafe { Store::rebuild(&left) }.expect_err("no store");
            assert!(matches!(error, Error::NotAStore { .. }), "call {n}: {error}");
            store.copy_to(&left).unwrap_or_else(|error| panic!("call {n}: {error}"));
            assert_same(&open(&left), &now.model);
        }
        fs::remove_dir_all(&left).expect("removed");
    }
}

#[test]
fn a_copy_onto_a_full_disk_is_refused_and_leaves_nothing() {
    if ran_apart(a_copy_onto_a_full_disk_is_refused_and_leaves_nothing) {
        return;
    }
    let Some(mount) = Mount::of("ext4", 24 << 20, "a copy onto a full disk") else { return };
    let folder = folder();
    let store = open(folder.path().join("store"));
    for number in 0..40_u64 {
        store.put(format!("key {number}"), &vec![number; 100_000][..]).expect("put");
    }
    let before = free(mount.path());
    let error = store.copy_to(mount.path().join("copy")).expect_err("no room");
    assert!(matches!(error, Error::NoSpace { .. }), "{error}");
    assert!(!mount.path().join("copy").exists());
    assert!(free(mount.path()) + (1 << 20) > before, "the space is free again");
    store.put("on", &1_u64).expect("put");
}
