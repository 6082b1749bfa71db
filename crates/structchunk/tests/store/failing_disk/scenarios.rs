//! What a store does on a disk that fails at one of its syncs, and until it is healed.
#![expect(unsafe_code, reason = "attaching to a store is unsafe: others could change its files")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use structchunk::testing::{Call, Faults};
use structchunk::{Error, Found, Reader, Store};

use crate::common::{Seen, contents, open, open_with, options, seen};
use crate::mount::Failing;

/// Options of ext4: one whose errors change nothing but the answer, so that it can be used on with what is cached.
pub const WITHOUT_JOURNAL: &[&str] = &["-O", "^has_journal"];
/// And the usual one, which a failing disk makes read-only.
pub const WITH_JOURNAL: &[&str] = &[];

type Contents = BTreeMap<Vec<u8>, Seen>;

/// What there was at the last good sync, and at the one that met the failing disk; whether that could be what is on the disk, as it was
/// over but for what follows its checkpoint.
struct Failed {
    good: Contents,
    late: Contents,
    may_be_late: bool,
}

/// Works on a store until the disk fails at a sync, every time another one; `None` where it did not come to that.
fn fail(disk: &Failing, run: u64, with_bodies: bool) -> Option<Failed> {
    let faults = Faults::recorded();
    let store = open_with(options().index(false).faults(faults.clone()), path(disk)).expect("open");
    for n in 0..20_u64 {
        store.put(format!("old {n}"), &[n; 100]).expect("put");
    }
    store.sync().expect("sync");
    let good = contents(&store);
    let (countdown, checkpointed) = (Arc::new(AtomicU64::new(1 + run / 2)), Arc::new(AtomicBool::new(false)));
    let (breaker, checkpoint) = (disk.breaker(), checkpointed.clone());
    faults.watch(move |event| {
        if !matches!(event.call, Call::Sync | Call::SyncFolder) || countdown.load(Ordering::SeqCst) == 0 {
            return;
        }
        if countdown.fetch_sub(1, Ordering::SeqCst) == 1 {
            breaker.fail();
        } else if event.file == "STORE" {
            checkpoint.store(true, Ordering::SeqCst);
        }
    });
    for n in 0..10_u64 {
        store.put(format!("new {n}"), &n).expect("put");
        store.remove(format!("old {}", n + 10)).expect("remove");
    }
    if with_bodies {
        store.put("large", &vec![9_u8; 1 << 20][..]).expect("put");
    }
    let late = contents(&store);
    let outcome = if run.is_multiple_of(2) { store.sync() } else { store.clone().close() };
    let Err(error) = outcome else {
        disk.heal();
        assert_eq!(contents(&open_after(store, disk)), late, "what was synced");
        return None;
    };
    // (A file system with a journal is read-only when that cannot be written.)
    let is_refused = |errno| errno == Some(libc::EIO) || errno == Some(libc::EROFS);
    assert!(matches!(&error, Error::Io { source, .. } if is_refused(source.raw_os_error())), "{error}");
    if run.is_multiple_of(2) {
        // From now on, also when the disk is well again.
        for _ in 0..2 {
            assert!(matches!(store.put("more", &1_u64), Err(Error::Poisoned { .. })));
            assert!(matches!(store.sync(), Err(Error::Poisoned { .. })));
            assert_eq!(contents(&store), late, "reading goes on");
            disk.heal();
        }
    }
    drop(store);
    disk.heal();
    Some(Failed { good, late, may_be_late: checkpointed.load(Ordering::SeqCst) })
}

fn open_after(store: Store, disk: &Failing) -> Store {
    drop(store);
    open(path(disk))
}

fn path(disk: &Failing) -> PathBuf {
    disk.path().join("store")
}

impl Failed {
    /// Panics unless the store holds what it may, goes on, and still holds it when nothing is cached.
    fn check(&self, disk: &mut Failing, is_cached: bool) {
        let store = open(path(disk));
        let (found, report) = (contents(&store), store.recovery());
        assert!(!is_cached || report.found == Found::MachineDied, "{report:?}");
        assert!(
            found == self.good || self.may_be_late && found == self.late,
            "{report:?}: {:?}",
            found.keys()
        );
        assert_eq!(store.check_deep().expect("a check").next(), None);
        store.put("after", &1_u64).expect("put");
        store.sync().expect("sync");
        let expected = contents(&store);
        // As if the process died: the disk has all that counts.
        drop(store);
        disk.mount_again();
        assert_eq!(contents(&open(path(disk))), expected, "it is on the disk");
    }
}

/// The disk is healed, and the store opened with what the kernel still has in memory.
pub fn healed_while_mounted(disk: &mut Failing, run: u64) -> bool {
    let failed = fail(disk, run, false);
    failed.is_some_and(|failed| {
        failed.check(disk, true);
        true
    })
}

/// The disk is healed, and everything that was in memory is gone.
pub fn healed_and_mounted_again(disk: &mut Failing, run: u64) -> bool {
    let failed = fail(disk, run, true);
    disk.mount_again();
    failed.is_some_and(|failed| {
        failed.check(disk, false);
        true
    })
}

/// The disk is healed, and the store opened while a reader has its files mapped, so that the kernel keeps pages which it counts as clean
/// and the disk never got. What was changed in place may be there or not; but once it was seen and synced, it stays.
pub fn healed_while_others_have_it_mapped(disk: &mut Failing, run: u64) -> bool {
    let store = open_with(options().index(false), path(disk)).expect("open");
    for n in 0..60_u64 {
        store.put(format!("old {n}"), &[n; 100]).expect("put");
    }
    store.put("large", &[7_u64; 20_000]).expect("put");
    store.sync().expect("sync");
    let good = contents(&store);
    for n in (run % 3..40).step_by(3) {
        store.update(format!("old {n}"), |old: &mut [u64; 100]| *old = [n + 1000; 100]).expect("update");
    }
    store.update("large", |large: &mut [u64; 20_000]| large.fill(8)).expect("update");
    let changed = contents(&store);
    // It touches every page.
    let session = attach(disk).session().expect("a session");
    let scanned = session.iter().expect("a scan").map(|entry| entry.expect("an entry"));
    assert_eq!(scanned.map(|entry| (entry.key().to_vec(), seen(&entry))).collect::<Contents>(), changed);
    let mut failed = false;
    let store = if run.is_multiple_of(2) {
        disk.breaker().fail();
        // The kernel writes by itself what nobody has asked for yet, as it does after some seconds.
        let body = std::fs::File::open(path(disk).join("chunks/0000000000000000.body")).expect("a body");
        assert!(body.sync_data().is_err(), "the disk fails");
        failed |= store.sync().is_err();
        drop((store, body));
        disk.heal();
        open(path(disk))
    } else {
        // The process dies, and the first sync of the recovery is the one that fails.
        drop(store);
        let (faults, breaker, syncs) = (Faults::recorded(), disk.breaker(), AtomicU64::new(0));
        faults.watch(move |event| {
            let is_sync = event.call == Call::Sync;
            match (is_sync, syncs.load(Ordering::SeqCst)) {
                (true, 0) => breaker.fail(),
                (_, 1) => breaker.heal(),
                _ => return,
            }
            syncs.fetch_add(1, Ordering::SeqCst);
        });
        let store = open_with(options().faults(faults), path(disk)).expect("open");
        failed |= store.recovery().evidence.contains("cannot be made durable");
        store
    };
    let found = contents(&store);
    if failed {
        assert_eq!(store.recovery().found, Found::MachineDied, "{:?}", store.recovery());
    }
    for (key, object) in &found {
        let known = good.get(key) == Some(object) || changed.get(key) == Some(object);
        assert!(known, "{} is neither old nor new", String::from_utf8_lossy(key));
    }
    assert_eq!(found.len(), good.len());
    store.put("after", &1_u64).expect("put");
    store.sync().expect("sync");
    let expected = contents(&store);
    drop((store, session));
    disk.mount_again();
    let (store, mut differ) = (open(path(disk)), Vec::new());
    let now = contents(&store);
    for (key, object) in &expected {
        if now.get(key) != Some(object) {
            differ.push(String::from_utf8_lossy(key).into_owned());
        }
    }
    assert!(
        differ.is_empty() && now.len() == expected.len(),
        "seen, synced, and not on the disk: {differ:?}"
    );
    failed
}

fn attach(disk: &Failing) -> Reader {
    // SAFETY: the disk is the test's own, and what fails on it are writes.
    unsafe { options().attach(path(disk)) }.expect("a reader")
}
