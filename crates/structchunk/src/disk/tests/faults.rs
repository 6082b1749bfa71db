//! The faulty disk itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{on_both_with, real};
use crate::disk::{Access, Call, Fault, Faults, Folder};
use crate::error::Error;
use crate::map::Mapping;

fn errno_of<T: std::fmt::Debug>(outcome: Result<T, Error>) -> i32 {
    match outcome {
        Err(Error::Io { source, .. }) => source.raw_os_error().unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_nth_call_fails_once_and_every_other_succeeds() {
    let faults = Faults::recorded();
    on_both_with(&faults, |folder| {
        let file = folder.create_file("file").unwrap();
        faults.plan(Fault::nth(3, libc::EIO).of(Call::Sync));
        let outcomes: Vec<bool> = (0..5).map(|_| file.sync_data().is_ok()).collect();
        assert_eq!(outcomes, [true, true, false, true, true]);
        faults.plan(Fault::nth(2, libc::EIO));
        file.write_at(0, b"x").unwrap();
        assert_eq!(errno_of(folder.sync()), libc::EIO);
        folder.sync().unwrap();
    });
}

#[test]
fn from_the_nth_call_on_everything_fails_until_healed() {
    let faults = Faults::recorded();
    on_both_with(&faults, |folder| {
        let file = folder.create_file("file").unwrap();
        let other = folder.create_file("other").unwrap();
        faults.plan(Fault::nth(2, libc::EIO).on("file").from_then_on());
        file.write_at(0, b"x").unwrap();
        assert_eq!(errno_of(file.write_at(0, b"x")), libc::EIO);
        assert_eq!(errno_of(file.sync_data()), libc::EIO);
        other.sync_data().unwrap();
        faults.heal();
        file.sync_data().unwrap();
    });
}

#[test]
fn a_signal_in_between_means_once_more() {
    let faults = Faults::recorded();
    on_both_with(&faults, |folder| {
        let file = folder.create_file("file").unwrap();
        for call in [Call::Write, Call::Read, Call::Sync, Call::Allocate, Call::Punch, Call::Truncate] {
            faults.plan(Fault::nth(1, libc::EINTR).of(call));
        }
        file.write_at(0, b"x").unwrap();
        file.read_exact_at(0, &mut [0]).unwrap();
        file.reserve(0, 4096).unwrap();
        file.punch(0, 4096).unwrap();
        file.set_len(0).unwrap();
        faults.forget();
        file.sync_data().unwrap();
        assert_eq!(faults.count(Call::Sync), 2);
    });
}

#[test]
fn every_effect_is_recorded_and_can_be_made_to_fail() {
    let faults = Faults::recorded();
    on_both_with(&faults, |folder| {
        let script = |folder: &Folder| -> Result<(), Error> {
            let chunks = folder.subfolder("chunks", true)?;
            let mut file = chunks.create_file("a.tmp")?;
            file.set_len(4096)?;
            file.reserve(0, 8192)?;
            file.punch(0, 4096)?;
            file.write_at(0, b"x")?;
            file.read_exact_at(0, &mut [0])?;
            file.try_lock(0, super::super::Lock::Shared)?;
            file.unlock(0)?;
            Mapping::new(&file, 8192, Access::Write)?;
            file.sync_data()?;
            chunks.rename_file(&mut file, "a.chunk")?;
            chunks.sync()?;
            chunks.open_file("a.chunk", Access::Read)?;
            chunks.list()?;
            chunks.remove("a.chunk")
        };
        faults.forget();
        script(folder).unwrap();
        let trace = faults.trace();
        let wanted = [
            "CreateFolder chunks",
            "Open chunks",
            "Create a.tmp",
            "Truncate a.tmp",
            "Allocate a.tmp",
            "Punch a.tmp",
            "Write a.tmp",
            "Read a.tmp",
            "Lock a.tmp",
            "Lock a.tmp",
            "Map a.tmp",
            "Sync a.tmp",
            "Rename a.chunk",
            "SyncFolder chunks",
            "Open a.chunk",
            "List chunks",
            "Remove a.chunk",
        ];
        let seen: Vec<String> =
            trace.iter().filter(|event| event.call != Call::Inspect).map(ToString::to_string).collect();
        assert_eq!(seen, wanted);

        for n in 1..=trace.len() as u64 {
            faults.plan(Fault::nth(n, libc::EIO));
            let outcome = script(folder);
            // What a first attempt left behind must not be in the way of the next.
            faults.heal();
            let chunks = folder.subfolder("chunks", true).unwrap();
            for name in chunks.list().unwrap() {
                chunks.remove(&name).unwrap();
            }
            assert_eq!(errno_of(outcome), libc::EIO, "{:?}", trace[n as usize - 1]);
        }
    });
}

#[test]
fn a_watcher_sees_every_call_before_it_happens() {
    let faults = Faults::recorded();
    let (_kept, folder) = real(&faults);
    let file = folder.create_file("file").unwrap();
    let lengths = Arc::new(AtomicUsize::new(0));
    let (seen, path) = (Arc::clone(&lengths), file.path().to_owned());
    faults.watch(move |event| {
        if event.call == Call::Write {
            seen.fetch_add(1 + std::fs::metadata(&path).unwrap().len() as usize, Ordering::Relaxed);
        }
    });
    file.write_at(0, b"xyz").unwrap();
    assert_eq!(lengths.load(Ordering::Relaxed), 1, "the file was still empty");
}

#[test]
fn another_boot_can_be_pretended() {
    let faults = Faults::recorded();
    on_both_with(&faults, |folder| {
        faults.pretend_boot(Some([7; 16]));
        assert_eq!(folder.boot_id(), Some([7; 16]));
        faults.pretend_boot(None);
        assert_eq!(folder.boot_id(), None);
    });
    let real = Folder::in_memory(Faults::none()).boot_id();
    assert!(real.is_some_and(|id| id != [7; 16]));
}

#[test]
fn without_a_plan_nothing_is_recorded_and_nothing_fails() {
    let faults = Faults::none();
    faults.plan(Fault::nth(1, libc::EIO).from_then_on());
    on_both_with(&faults, |folder| {
        folder.create_file("file").unwrap().sync_data().unwrap();
    });
    assert!(faults.trace().is_empty());
}
