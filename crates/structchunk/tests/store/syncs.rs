//! Syncs of many threads at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use structchunk::Store;
use structchunk::testing::{Call, Faults};

use crate::common::*;

const THREADS: usize = 8;

#[test]
fn threads_that_sync_while_a_sync_is_at_work_share_the_next_one() {
    let folder = folder();
    let faults = Faults::recorded();
    let store =
        open_with(options().create(true).faults(faults.clone()), folder.path().join("s")).expect("open");
    let syncs = syncs_beside_one_at_work(&store, &faults);
    assert_eq!(syncs, 2, "the one at work, and one for all others");
    assert_eq!(store.len(), THREADS as u64 + 2);
}

#[test]
fn they_share_it_although_somebody_may_be_changing_objects_all_the_time() {
    let folder = folder();
    let faults = Faults::recorded();
    let store =
        open_with(options().create(true).faults(faults.clone()), folder.path().join("s")).expect("open");
    store.put("counter", &Counter::default()).expect("put");
    // As long as it is there, each sync has something to do.
    let _counter = store.get_atomic::<Counter>("counter").expect("get").expect("a counter");
    let syncs = syncs_beside_one_at_work(&store, &faults);
    // Who comes too late to share it makes one of its own.
    assert!((2..=THREADS).contains(&syncs), "{syncs} syncs, as if each were alone");
}

/// Checkpoints that are made durable for a sync and those of more threads which come while it is at work.
fn syncs_beside_one_at_work(store: &Store, faults: &Faults) -> usize {
    store.put("first", &0_u64).expect("put");
    // What comes with the beginning of a session is done.
    (0..3).for_each(|_| store.sync().expect("sync"));

    let (is_at_work, at_work) = channel();
    let (go_on, may_go_on) = channel::<()>();
    let first = Mutex::new(Some((is_at_work, may_go_on)));
    faults.watch(move |event| {
        if event.call == Call::Sync && event.file == "STORE" {
            let Some((is_at_work, may_go_on)) = first.lock().expect("a lock").take() else { return };
            is_at_work.send(()).expect("somebody waits");
            may_go_on.recv_timeout(Duration::from_mins(1)).expect("it goes on");
        }
    });
    let ready = Arc::new(AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            store.put("second", &1_u64).expect("put");
            store.sync().expect("sync");
        });
        at_work.recv_timeout(Duration::from_mins(1)).expect("a sync is at work");
        for thread in 0..THREADS {
            let ready = ready.clone();
            scope.spawn(move || {
                store.put(format!("of {thread}"), &1_u64).expect("put");
                ready.fetch_add(1, Ordering::SeqCst);
                store.sync().expect("sync");
            });
        }
        while ready.load(Ordering::SeqCst) < THREADS {
            std::thread::yield_now();
        }
        // Now all of them wait for the first one; who comes later than this finds nothing left to do, which is as good.
        std::thread::sleep(Duration::from_millis(50));
        faults.forget();
        go_on.send(()).expect("it waits");
    });
    let syncs = faults.trace();
    syncs.iter().filter(|event| event.call == Call::Sync && event.file == "STORE").count()
}
