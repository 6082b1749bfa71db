//! A disk that fails to make things durable, from one moment on and until it is healed, or only once, as the kernel tells each error once
//! and says that all is well from then on: poisoned at the first error, and what comes up afterwards is the last good sync, not the page
//! cache.

use std::path::Path;

use structchunk::testing::{Call, Fault, Faults};
use structchunk::{Error, Found};

use crate::common::{Random, assert_same, contents, open, open_with, options};
use crate::script::{Op, Tracked, seals};

pub fn fails(_: &str, place: &Path, seed: u64) {
    let mut random = Random::new(seed);
    let path = place.join("store");
    let faults = Faults::recorded();
    let store = open_with(options().index(false).faults(faults.clone()), &path).expect("open");
    let (mut tracked, mut synced) = (Tracked::default(), Tracked::default());
    let call = if random.one_in(4) { Call::SyncFolder } else { Call::Sync };
    let nth = random.below(25);
    let failing = Fault::nth(1 + nth, libc::EIO).of(call);
    let once = random.one_in(2);
    faults.forget();
    faults.plan(if once { failing } else { failing.from_then_on() });
    let mut first = None;
    // Also what was to be durable when it failed may be, if its checkpoint was written.
    let mut at_failure = None;
    for op in Op::script(&mut random, 120) {
        let (before, begun) = (tracked.clone(), faults.trace().len());
        match tracked.run(&store, &op) {
            Ok(()) if op.is_sync() => synced = tracked.clone(),
            Ok(()) => {}
            Err(Error::Poisoned { .. }) => assert!(first.is_some(), "poisoned without a cause"),
            Err(error) => {
                assert!(matches!(error, Error::Io { .. }), "{op:?}: {error}");
                assert!(first.is_none(), "{op:?}: {error} after {first:?}");
                at_failure = Some((before, begun));
                first = Some(error);
            }
        }
    }
    assert!(first.is_none() || matches!(store.sync(), Err(Error::Poisoned { .. })), "it says OK now");
    // Reading goes on.
    assert_same(&store, &tracked.model);
    let trace = faults.trace();
    let failed = (0..trace.len()).filter(|&at| trace[at].call == call).nth(nth as usize);
    assert_eq!(
        failed.is_some(),
        first.is_some(),
        "passed over in silence, or made up: {failed:?}, {first:?}"
    );
    let (Some((at_failure, begun)), Some(failed)) = (at_failure, failed) else {
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
    let (found, sealed) = (contents(&store), seals(&store));
    let checkpoint =
        trace[begun..=failed].iter().any(|event| event.call == Call::Sync && event.file == "STORE");
    let committed = checkpoint && at_failure.explains(&found, &sealed, &tracked);
    assert!(synced.explains(&found, &sealed, &tracked) || committed, "this is not the last good sync");
    let now = Tracked::of(&store);
    store.close().expect("close");
    assert_same(&open(&path), &now.model);
}
