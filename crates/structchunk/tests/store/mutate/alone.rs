//! Sessions that follow no writer, beside mutators that go on.

use structchunk::testing::{Call, Fault, Faults};
use structchunk::{Error, Reader};

use super::{mutator, shared};
use crate::common::*;
use crate::readers::attach_with;

const LARGE: usize = 3 * LARGEST_INLINE as usize / 8;

/// What a reader says of objects that a living process is changing.
fn says_busy(reader: &Reader, copy: &std::path::Path) {
    let session = reader.session().unwrap();
    assert!(!session.is_shared(), "it follows no writer");
    for key in ["key", "wide"] {
        let load = session.load::<u64>(key).map(drop);
        let load_torn = session.load_torn::<u64>(key).map(drop);
        let bytes = session.first().unwrap().unwrap().bytes(8).map(drop);
        for outcome in if key == "key" { vec![load, load_torn, bytes] } else { vec![bytes] } {
            assert!(matches!(outcome, Err(Error::Busy { .. })), "{key}: {outcome:?}");
        }
    }
    let outcome = reader.copy_to(copy);
    assert!(matches!(outcome, Err(Error::Busy { .. })), "{outcome:?}");
}

/// And once that process has died.
fn says_torn(reader: &Reader, copy: &std::path::Path) {
    let session = reader.session().unwrap();
    assert!(matches!(session.load::<u64>("key"), Err(Error::Torn { .. })));
    assert_eq!(session.load_torn::<u64>("key").unwrap(), Some(7));
    let mut torn = reader.copy_to(copy).unwrap().torn;
    torn.sort_unstable();
    assert_eq!(torn, [&b"key"[..], b"wide"]);
}

#[test]
fn what_a_living_process_changes_is_busy_and_not_torn_for_a_session_that_follows_no_writer() {
    let folder = folder();
    let (path, copy) = (folder.path().join("store"), folder.path().join("copy"));
    let store = shared(&path);
    store.put("key", &7_u64).unwrap();
    store.put("wide", &vec![1_u64; LARGE][..]).unwrap();
    store.sync().unwrap();
    let (mut child, mut other) = (mutator(&path), mutator(&path));
    drop(store);
    assert_eq!(
        (child.tell("dwell key"), other.tell("dwell_words wide")),
        ("dwelling".into(), "dwelling".into())
    );
    let reader = attach_with(options().trust_page_cache(false), &path).unwrap();
    says_busy(&reader, &copy);
    child.kill();
    other.kill();
    says_torn(&reader, &copy);
}

#[test]
fn so_it_is_where_a_sync_has_failed() {
    let folder = folder();
    let (path, copy) = (folder.path().join("store"), folder.path().join("copy"));
    let faults = Faults::recorded();
    let store = open_with(options().shared_mutation(true).faults(faults.clone()), &path).unwrap();
    store.put("key", &7_u64).unwrap();
    store.put("wide", &vec![1_u64; LARGE][..]).unwrap();
    store.sync().unwrap();
    let (mut child, mut other) = (mutator(&path), mutator(&path));
    assert_eq!(
        (child.tell("dwell key"), other.tell("dwell_words wide")),
        ("dwelling".into(), "dwelling".into())
    );
    faults.plan(Fault::nth(1, libc::EIO).of(Call::Sync));
    store.put("other", &1_u64).unwrap();
    assert!(store.sync().is_err());
    drop(store);
    let reader = attach_with(options(), &path).unwrap();
    says_busy(&reader, &copy);
    child.kill();
    other.kill();
    says_torn(&reader, &copy);
}

#[test]
fn so_it_is_where_a_writer_has_died_in_its_recovery() {
    let folder = folder();
    let (path, copy) = (folder.path().join("store"), folder.path().join("copy"));
    let store = shared(&path);
    store.put("key", &7_u64).unwrap();
    store.put("wide", &vec![1_u64; LARGE][..]).unwrap();
    let (mut child, mut other) = (mutator(&path), mutator(&path));
    drop(store);
    assert_eq!(
        (child.tell("dwell key"), other.tell("dwell_words wide")),
        ("dwelling".into(), "dwelling".into())
    );
    let faults = Faults::recorded();
    faults.plan(Fault::nth(1, libc::EIO).of(Call::Write).from_then_on());
    assert!(open_with(options().faults(faults), &path).is_err());
    let reader = attach_with(options(), &path).unwrap();
    says_busy(&reader, &copy);
    child.kill();
    other.kill();
    says_torn(&reader, &copy);
}
