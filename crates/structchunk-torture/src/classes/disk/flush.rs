//! A disk that fails to make things durable, from one moment on and until it is healed: poisoned at the first error, and what comes up
//! afterwards is the last good sync, not the page cache.

use std::path::Path;

use structchunk::testing::{Call, Event, Fault, Faults};
use structchunk::{Error, Found};

use crate::common::{Random, assert_same, contents, open, open_with, options};
use crate::script::{Op, Tracked};

pub fn fails(_: &str, place: &Path, seed: u64) {
    let mut random = Random::new(seed);
    let path = place.join("store");
    let faults = Faults::recorded();
    let store = open_with(options().index(false).faults(faults.clone()), &path).expect("open");
    let (mut tracked, mut synced) = (Tracked::default(), Tracked::default());
    let call = if random.one_in(4) { Call::SyncFolder } else { Call::Sync };
    let failing = Fault::nth(1 + random.below(25), libc::EIO).of(call).from_then_on();
    faults.plan(failing);
    let mut first = None;
    // Also what was to be durable when it failed may be, if only the checkpoint's own sync did.
    let mut at_failure = None;
    for op in Op::script(&mut random, 120) {
        let before = tracked.clone();
        match tracked.run(&store, &op) {
            Ok(()) if op.is_sync() => synced = tracked.clone(),
            Ok(()) => {}
            Err(Error::Poisoned { .. }) => assert!(first.is_some(), "poisoned without a cause"),
            Err(error) => {
                assert!(matches!(error, Error::Io { .. }), "{op:?}: {error}");
                assert!(first.is_none(), "{op:?}: {error} after {first:?}");
                at_failure = Some(before);
                first = Some(error);
            }
        }
    }
    assert!(first.is_none() || matches!(store.sync(), Err(Error::Poisoned { .. })), "it says OK now");
    // Reading goes on.
    assert_same(&store, &tracked.model);
    let last = last_sync(&faults);
    let Some(at_failure) = at_failure else {
        drop(store);
        faults.heal();
        return assert_same(&open(&path), &tracked.model);
    };
    drop(store);
    // While it fails, nothing is believed; then it is healed.
    if random.one_in(2) {
        let still = Faults::recorded();
        still.plan(Fault::nth(1, libc::EIO).of(Call::Sync).from_then_on());
        assert!(open_with(options().faults(still), &path).is_err(), "a recovery that cannot be made durable");
    }
    let store = open(&path);
    assert_eq!(store.recovery().found, Found::MachineDied, "{:?}", store.recovery());
    let found = contents(&store);
    let committed = last.is_some_and(|event| event.file == "STORE") && at_failure.explains(&found, &tracked);
    assert!(synced.explains(&found, &tracked) || committed, "this is not the last good sync");
    let now = Tracked::of(&store);
    store.close().expect("close");
    assert_same(&open(&path), &now.model);
}

/// The sync that failed: the last one that was tried, as a poisoned store tries no more.
fn last_sync(faults: &Faults) -> Option<Event> {
    faults.trace().into_iter().rfind(|event| matches!(event.call, Call::Sync | Call::SyncFolder))
}
