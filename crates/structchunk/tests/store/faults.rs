//! Every call that the store makes of the system fails once, in every way: an error value or a correct retry, never a panic, never
//! a silent success, and afterwards the store opens with everything that was acknowledged.
//!
//! `STRUCTCHUNK_TEST_SCALE=4` lets each call fail in each way, larger numbers with more scripts.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use structchunk::testing::{Call, Event, Fault, Faults};
use structchunk::{Error, Found, Result, Store};

use crate::common::*;
use crate::session::{Saboteur, Start, session};

const ERRORS: [(i32, &str); 4] =
    [(libc::ENOSPC, "ENOSPC"), (libc::EIO, "EIO"), (libc::ENOMEM, "ENOMEM"), (libc::EINTR, "EINTR")];

/// The disk's own faults: the `n`-th call.
struct Seam {
    failed: Arc<Mutex<Option<(Event, bool)>>>,
    opened: Arc<AtomicBool>,
    looking: Arc<AtomicBool>,
}

impl Saboteur for Seam {
    fn opened(&self) {
        self.opened.store(true, Ordering::SeqCst);
    }

    fn looks(&self, now: bool) {
        self.looking.store(now, Ordering::SeqCst);
    }

    fn gives_up(&self) {
        let (failed, _) = self.failed.lock().expect("a lock").clone().expect("a reason");
        assert!(failed.call == Call::Sync, "{failed} is no reason to give anything up");
    }
}

/// What became of a session.
struct Outcome {
    /// What the failing call was, and whether the store was being opened; `None` when the session made fewer calls.
    failed: Option<(Event, bool)>,
    /// Something answered with an error.
    errors: Vec<Error>,
}

/// Runs a session whose `n`-th call fails.
fn fail(path: &Path, start: Start, seed: u64, n: u64, errno: i32) -> Outcome {
    let (calls, faults) = (AtomicU64::new(0), Faults::recorded());
    let seam = Seam { failed: Arc::default(), opened: Arc::default(), looking: Arc::default() };
    let (note, plan) = (seam.failed.clone(), faults.clone());
    let (opened, pause) = (seam.opened.clone(), seam.looking.clone());
    faults.watch(move |event| {
        // (What happens in memory cannot fail.)
        let counts = event.call != Call::Memory && !pause.load(Ordering::SeqCst);
        if counts && calls.fetch_add(1, Ordering::SeqCst) + 1 == n {
            *note.lock().expect("a lock") = Some((event.clone(), !opened.load(Ordering::SeqCst)));
            plan.plan(Fault::nth(1, errno));
        }
    });
    // The index has tests of its own: what fails there is no error.
    let errors = session(path, start, seed, options().index(false).faults(faults), &seam);
    let failed = seam.failed.lock().expect("a lock").take();
    Outcome { failed, errors }
}

/// Calls whose failure the store may pass over: it gives space back, and tries again or leaves that to a recovery; or it only asks.
/// While it is opened a full disk may also leave no space to be kept back, or the views in memory.
/// A recovery, which making a store is too, may do without the old directory, which only tells how large the new one had better be.
fn may_be_passed_over(event: &Event, start: Start, opening: bool, errno: i32) -> bool {
    let is_hint = start != Start::Clean && opening && event.file == "directory";
    let is_view = ["directory", "live"].contains(&event.file.as_str());
    matches!(event.call, Call::Remove | Call::Lock | Call::Inspect | Call::List | Call::Forget | Call::Cache)
        || event.call == Call::Punch && !opening
        || is_hint && matches!(event.call, Call::Open | Call::Map)
        || opening
            && errno == libc::ENOSPC
            && (is_view || event.call == Call::Allocate && event.file.contains("chunk"))
}

fn fail_every_call(start: Start) {
    // Usually each call fails in one of the ways, in turn; with a larger scale in all of them.
    let rounds = cases(1);
    for round in 0..if rounds == 1 { 1 } else { rounds.max(4) } {
        let seed = 7 + 10 * (round / 4);
        let mut n = 0;
        loop {
            n += 1;
            let (errno, name) = ERRORS[((n + round) % 4) as usize];
            let folder = folder();
            let path = folder.path().join("store");
            let outcome = std::panic::catch_unwind(|| fail(&path, start, seed, n, errno));
            let Ok(Outcome { failed, errors }) = outcome else {
                panic!("{start:?}, seed {seed}: call {n} fails with {name}");
            };
            let Some((failed, opening)) = failed else { break };
            if errno == libc::EINTR {
                assert!(errors.is_empty(), "call {n}, {failed}: {name} means once more, not {errors:?}");
            } else if !may_be_passed_over(&failed, start, opening, errno) {
                assert!(!errors.is_empty(), "call {n}, {failed}: {name} was passed over in silence");
            }
        }
        assert!(n > 50, "a session makes more than {n} calls");
    }
}

#[test]
fn every_call_of_a_first_session_may_fail() {
    fail_every_call(Start::Absent);
}

#[test]
fn every_call_of_a_session_after_a_clean_close_may_fail() {
    fail_every_call(Start::Clean);
}

#[test]
fn every_call_of_a_recovery_and_the_session_after_it_may_fail() {
    fail_every_call(Start::Killed);
}

#[test]
fn every_call_of_a_first_session_may_fail_where_files_grow_in_steps() {
    without_sparse_files(|| fail_every_call(Start::Absent));
}

#[test]
fn every_call_of_a_recovery_may_fail_where_files_grow_in_steps() {
    without_sparse_files(|| fail_every_call(Start::Killed));
}

#[test]
fn every_call_of_a_session_after_a_kill_may_fail_once_when_nothing_stays_mapped() {
    with_nothing_kept_mapped(|| fail_every_call(Start::Killed));
}

#[expect(clippy::needless_pass_by_value, reason = "outcomes are looked at where they arise")]
fn poisoned(outcome: Result<()>) -> bool {
    matches!(outcome, Err(Error::Poisoned { .. }))
}

#[test]
fn a_failed_sync_poisons_the_writer_and_reopening_takes_the_store_back_to_the_last_good_one() {
    for file in ["00000000.chunk", "STORE", "0000000000000000.body.tmp", "chunks"] {
        let folder = folder();
        let path = folder.path().join("store");
        let faults = Faults::recorded();
        let store = open_with(options().faults(faults.clone()), &path).expect("open");
        store.put("kept", &1_u64).expect("put");
        store.sync().expect("sync");
        store.put("lost", &2_u64).expect("put");
        store.put("body", &vec![3_u64; 10_000][..]).expect("put");
        let call = if file == "chunks" { Call::SyncFolder } else { Call::Sync };
        faults.plan(Fault::nth(1, libc::EIO).of(call).on(file));
        let error = store.sync().expect_err("a failing sync");
        assert!(matches!(error, Error::Io { .. }), "{file}: {error}");
        // It does not say OK the second time.
        assert!(poisoned(store.sync()), "{file}: sync");
        assert!(poisoned(store.put("more", &1_u64)), "{file}: put");
        assert!(poisoned(store.remove("kept").map(drop)), "{file}: remove");
        assert!(poisoned(store.update("kept", |number: &mut u64| *number = 9).map(drop)), "{file}: update");
        let mut batch = store.batch();
        batch.put("more", &1_u64).expect("a batch");
        assert!(poisoned(batch.commit()), "{file}: batch");
        assert!(poisoned(store.loan::<u64>("more").map(drop)), "{file}: loan");
        // Reading goes on.
        assert_eq!(store.load::<u64>("lost").expect("load"), Some(2));
        assert!(poisoned(store.close()), "{file}: close");
        let store = open(&path);
        assert_eq!(store.recovery().found, Found::MachineDied, "{file}: {:?}", store.recovery());
        assert_eq!(store.load::<u64>("kept").expect("load"), Some(1));
        if file != "STORE" {
            assert!(!store.contains("lost").expect("a look-up"), "{file}");
            assert!(!store.contains("body").expect("a look-up"), "{file}");
        }
        // The mark is gone with the recovery's own sync.
        store.put("kept", &4_u64).expect("put");
        drop(store);
        let store = open(&path);
        assert_eq!(store.recovery().found, Found::ProcessDied, "{:?}", store.recovery());
        assert_eq!(store.load::<u64>("kept").expect("load"), Some(4));
    }
}

#[test]
fn a_poisoned_store_is_not_believed_when_only_one_of_its_two_marks_is_there() {
    for mark_in_shared_only in [true, false] {
        let folder = folder();
        let path = folder.path().join("store");
        let faults = Faults::recorded();
        let store = open_with(options().faults(faults.clone()), &path).expect("open");
        store.put("kept", &1_u64).expect("put");
        store.sync().expect("sync");
        store.put("lost", &2_u64).expect("put");
        faults.plan(Fault::nth(1, libc::EIO).of(Call::Sync).on("00000000.chunk"));
        if mark_in_shared_only {
            faults.plan(Fault::nth(1, libc::EIO).of(Call::Write).on("STORE"));
        }
        store.sync().expect_err("a failing sync");
        drop(store);
        if !mark_in_shared_only {
            std::fs::remove_file(path.join("shared")).expect("removed");
        }
        let seen = Faults::recorded();
        let store = open_with(options().faults(seen.clone()), &path).expect("open");
        assert_eq!(store.recovery().found, Found::MachineDied);
        assert!(!store.contains("lost").expect("a look-up"));
        // The cached pages of the chunk were dropped before they were read.
        let trace = seen.trace();
        let mapped = |event: &Event| event.call == Call::Map && event.file == "00000000.chunk";
        let asked = |event: &Event| event.call == Call::Forget && event.file == "00000000.chunk";
        let (mapped, last_asked) = (trace.iter().position(mapped), trace.iter().rposition(asked));
        assert!(mapped < last_asked, "{trace:?}");
    }
}

#[test]
fn a_recovery_whose_sync_failed_is_not_believed_by_the_next_one_either() {
    let folder = folder();
    let path = folder.path().join("store");
    let store = open(&path);
    store.put("kept", &1_u64).expect("put");
    store.sync().expect("sync");
    store.put("lost", &2_u64).expect("put");
    drop(store);
    let faults = Faults::recorded();
    // What the dead process wrote cannot be made durable; then the recovery itself fails.
    faults.plan(Fault::nth(1, libc::EIO).of(Call::Sync).on("00000000.chunk"));
    faults.plan(Fault::nth(1, libc::EIO).of(Call::Write).on("STORE"));
    open_with(options().faults(faults), &path).expect_err("a failing recovery");
    // The kernel reports such an error once: the same calls succeed now.
    let store = open(&path);
    assert_eq!(store.recovery().found, Found::MachineDied, "{:?}", store.recovery());
    assert_eq!(store.load::<u64>("kept").expect("load"), Some(1));
    assert!(!store.contains("lost").expect("a look-up"));
}

/// Where in a trace an event comes first, from `start` on.
fn first(trace: &[Event], start: usize, call: Call, file: &str) -> usize {
    let found = trace[start..].iter().position(|event| event.call == call && event.file == file);
    start + found.unwrap_or_else(|| panic!("no {call:?} {file} in {:?}", &trace[start..]))
}

#[test]
fn chunks_bodies_and_names_are_durable_before_the_checkpoint_is_written() {
    let folder = folder();
    let path = folder.path().join("store");
    let faults = Faults::recorded();
    let store = open_with(options().faults(faults.clone()), &path).expect("open");
    store.put("body", &vec![1_u64; 10_000][..]).expect("put");
    store.put("small", &1_u64).expect("put");
    faults.forget();
    store.sync().expect("sync");
    let trace = faults.trace();
    let written = first(&trace, 0, Call::Write, "STORE");
    let durable = first(&trace, written, Call::Sync, "STORE");
    for (call, file) in [
        (Call::Sync, "00000000.chunk"),
        (Call::Sync, "0000000000000000.body.tmp"),
        (Call::SyncFolder, "chunks"),
    ] {
        assert!(first(&trace, 0, call, file) < written, "{file}: {trace:?}");
    }
    assert_eq!(durable, trace.len() - 1, "the checkpoint is the last thing: {trace:?}");
}

#[test]
fn a_session_clears_the_clean_mark_durably_before_it_stores_anything() {
    let folder = folder();
    let path = folder.path().join("store");
    let store = open(&path);
    store.put("old", &1_u64).expect("put");
    store.close().expect("close");
    let faults = Faults::recorded();
    let store = open_with(options().faults(faults.clone()), &path).expect("open");
    assert_eq!(store.load::<u64>("old").expect("load"), Some(1));
    assert_eq!(faults.count(Call::Sync), 0, "reading is no session: {:?}", faults.trace());
    let clean = std::fs::read(path.join("chunks/00000000.chunk")).expect("bytes");
    // At every call until the mark is cleared, the chunk is as it was.
    let (chunk, cleared) = (path.join("chunks/00000000.chunk"), AtomicU64::new(0));
    let seen = Arc::new(AtomicU64::new(0));
    let count = seen.clone();
    faults.forget();
    faults.watch(move |event| {
        if cleared.load(Ordering::SeqCst) == 0 {
            count.fetch_add(1, Ordering::SeqCst);
            assert!(std::fs::read(&chunk).expect("bytes") == clean, "the chunk was changed before {event}");
        }
        if event.call == Call::Sync && event.file == "STORE" {
            cleared.store(1, Ordering::SeqCst);
        }
    });
    store.put("new", &2_u64).expect("put");
    let trace = faults.trace();
    let written = first(&trace, 0, Call::Write, "STORE");
    let durable = first(&trace, written, Call::Sync, "STORE");
    assert!(trace[..durable].iter().all(|event| event.call != Call::Allocate), "{trace:?}");
    assert!(seen.load(Ordering::SeqCst) >= 2);
}

#[test]
fn space_is_given_back_only_by_the_sync_after_the_next() {
    let folder = folder();
    let path = folder.path().join("store");
    let body = path.join("chunks/0000000000000000.body");
    let store = open(&path);
    store.put("body", &vec![1_u64; 10_000][..]).expect("put");
    store.sync().expect("sync");
    store.remove("body").expect("remove");
    assert!(body.exists(), "before any sync");
    store.sync().expect("sync");
    assert!(body.exists(), "the other checkpoint still needs it");
    store.sync().expect("sync");
    assert!(!body.exists(), "given back");
}

#[test]
fn a_large_value_is_stored_through_the_mapping_where_the_kernel_will_not_take_it() {
    let folder = folder();
    let faults = Faults::recorded();
    // With the default chunk capacity, so that a mebibyte has its place in the log.
    let store = open_with(Store::options().create(true).faults(faults.clone()), folder.path().join("store"));
    let store = store.expect("open");
    let words: Vec<u64> = (0..1 << 17).collect();
    store.put("small", &1_u64).expect("put");
    faults.forget();
    store.put("taken", &*words).expect("put");
    assert_eq!(faults.count(Call::Write), 1);
    faults.plan(Fault::nth(1, libc::EIO).of(Call::Write).on("chunk").from_then_on());
    store.put("refused", &*words).expect("put");
    for key in ["taken", "refused"] {
        let stored = store.get::<[u64]>(key).expect("get").expect("it was put");
        assert!(*stored == *words, "{key}");
    }
}

#[test]
fn after_a_failed_sync_nobody_gets_in_while_a_handle_is_left_through_which_keys_are_read() {
    const KEY: &str = "what was not synced will be wiped by the next open";
    let folder = folder();
    let faults = Faults::recorded();
    let store = open_with(options().faults(faults.clone()), folder.path()).expect("open");
    store.sync().expect("sync");
    store.put(KEY, &1_u64).expect("put");
    let entry = store.entry(KEY).expect("entry").expect("there");
    let key = entry.key();
    faults.plan(Fault::nth(1, libc::EIO));
    assert!(store.sync().is_err() && store.clone().close().is_err());
    let next = open_with(options(), folder.path());
    assert_eq!(key, KEY.as_bytes(), "a borrowed key does not change");
    assert!(next.is_err_and(|error| matches!(error, Error::Locked { .. })));
    drop(entry);
    drop(store);
    assert!(!open(folder.path()).contains(KEY).expect("contains"));
}
