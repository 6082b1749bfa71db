//! `STORE` after a failed `fdatasync`: on Linux its pages then count as clean, although the disk has their old content, and that is
//! what is read once they have been evicted. Whoever writes over the one checkpoint that the disk has loses what it promised.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use structchunk::Options;
use structchunk::testing::{Call, Event, Fault, Faults};

use crate::common::*;

const PAGE: usize = 4096;
const SECTOR: usize = 512;

/// What the kernel does with `STORE`.
struct Kernel {
    store: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What the disk has.
    durable: Vec<u8>,
    /// What the file held at the last call.
    seen: Vec<u8>,
    /// Pages that were written to since they were last synced, well or not.
    dirty: [bool; 4],
    /// The call that fails, counted from now.
    failing: Option<u32>,
    /// What a power cut may leave in the middle of what is being written.
    torn: Vec<Vec<u8>>,
}

impl Kernel {
    /// Everything in the file is on the disk.
    fn new(store: &Path) -> Arc<Self> {
        let bytes = fs::read(store.join("STORE")).expect("a file");
        let state = State { durable: bytes.clone(), seen: bytes, ..State::default() };
        Arc::new(Self { store: store.to_owned(), state: Mutex::new(state) })
    }

    fn options(self: &Arc<Self>) -> Options {
        let (faults, kernel) = (Faults::recorded(), self.clone());
        if let Some(number) = self.state.lock().expect("a lock").failing.filter(|number| *number > 0) {
            faults.plan(Fault::nth(number.into(), libc::EIO).of(Call::Sync).on("STORE"));
        }
        faults.watch(move |event| kernel.before(event));
        options().faults(faults)
    }

    /// The `number`-th time that `STORE` is made durable fails.
    fn fail(&self, number: u32) {
        self.state.lock().expect("a lock").failing = Some(number);
    }

    fn before(&self, event: &Event) {
        if event.file != "STORE" || !matches!(event.call, Call::Sync | Call::Inspect | Call::Forget) {
            return;
        }
        let state = &mut *self.state.lock().expect("a lock");
        let file =
            fs::OpenOptions::new().read(true).write(true).open(self.store.join("STORE")).expect("a file");
        let bytes = fs::read(self.store.join("STORE")).expect("a file");
        for (page, dirty) in state.dirty.iter_mut().enumerate() {
            let range = page * PAGE..(page + 1) * PAGE;
            *dirty |= bytes[range.clone()] != state.seen[range];
        }
        let ranges =
            state.dirty.iter().enumerate().map(|(page, dirty)| (page * PAGE..(page + 1) * PAGE, *dirty));
        let (dirty, clean): (Vec<_>, Vec<_>) = ranges.partition(|(_, dirty)| *dirty);
        state.seen.clone_from(&bytes);
        if event.call != Call::Sync {
            // As good a moment to evict what is clean as any other; and this may be the call that asks for it.
            for (range, _) in clean {
                file.write_all_at(&state.durable[range.clone()], range.start as u64).expect("written");
                state.seen[range.clone()].copy_from_slice(&state.durable[range]);
            }
            return;
        }
        for (range, _) in &dirty {
            let mut torn = state.durable.clone();
            torn[range.start..][..SECTOR / 2].copy_from_slice(&bytes[range.start..][..SECTOR / 2]);
            state.torn.push(torn);
        }
        let fails = state.failing == Some(1);
        state.failing = state.failing.map(|number| number.saturating_sub(1));
        if !fails {
            for (range, _) in dirty {
                state.durable[range.clone()].copy_from_slice(&bytes[range]);
            }
        }
        state.dirty = [false; 4];
    }

    /// Panics unless what was synced is there after a power cut at any of the moments seen so far.
    fn check(&self, place: &Path, what: &str) {
        let torn = std::mem::take(&mut self.state.lock().expect("a lock").torn);
        assert!(!torn.is_empty(), "{what}: something was written");
        for (number, bytes) in torn.into_iter().enumerate() {
            let path = place.join(format!("{what} {number}"));
            copy_folder(&self.store, &path);
            fs::write(path.join("STORE"), bytes).expect("written");
            let store = open_with(options().trust_page_cache(false), &path).expect("open");
            for (key, value) in [("first", 1), ("second", 2)] {
                let found = store.load::<u64>(key).expect("load");
                assert_eq!(
                    found,
                    Some(value),
                    "{what}, cut {number}: {key} was synced; {:?}",
                    store.recovery()
                );
            }
        }
    }
}

#[test]
fn a_checkpoint_that_may_not_be_on_the_disk_is_not_the_one_that_the_next_leaves_alone() {
    for what in ["sync", "close", "recovery"] {
        let folder = folder();
        let path = folder.path().join("store");
        open(&path).close().expect("close");
        let kernel = Kernel::new(&path);
        if what != "recovery" {
            // The session's first checkpoint, those of two syncs, and then this one.
            kernel.fail(4);
        }
        let store = open_with(kernel.options(), &path).expect("open");
        for (key, value) in [("first", 1_u64), ("second", 2)] {
            store.put(key, &value).expect("put");
            store.sync().expect("sync");
        }
        match what {
            "sync" => {
                store.put("third", &3_u64).expect("put");
                store.sync().expect_err("a failing sync");
                drop(store);
            }
            "close" => drop(store.close().expect_err("a failing close")),
            _ => {
                drop(store);
                kernel.fail(1);
                open_with(kernel.options(), &path).expect_err("a failing recovery");
            }
        }
        kernel.state.lock().expect("a lock").torn.clear();
        // In the same boot, with what is cached.
        let store = open_with(kernel.options(), &path).expect("open");
        store.put("third", &6_u64).expect("put");
        kernel.check(folder.path(), what);
    }
}
