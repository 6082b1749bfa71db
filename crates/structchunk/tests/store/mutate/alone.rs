//! Sessions that follow no writer, beside mutators that go on.

use std::path::{Path, PathBuf};

use structchunk::testing::{Call, Fault, Faults};
use structchunk::{Error, Options, Reader, Store};
use tempfile::TempDir;

use super::mutator;
use crate::common::*;
use crate::process::Told;
use crate::readers::attach_with;

const LARGE: usize = 3 * LARGEST_INLINE as usize / 8;

/// A store, and two living processes that are each changing an object of it.
struct BesideOthers {
    folder: TempDir,
    store: Store,
    others: [Told; 2],
}

impl BesideOthers {
    fn begin(options: Options) -> Self {
        let folder = folder();
        let path = folder.path().join("store");
        let store = open_with(options.shared_mutation(true), &path).unwrap();
        store.put("key", &7_u64).unwrap();
        store.put("wide", &vec![1_u64; LARGE][..]).unwrap();
        store.sync().unwrap();
        let mut others = [mutator(&path), mutator(&path)];
        assert_eq!(others[0].tell("dwell key"), "dwelling");
        assert_eq!(others[1].tell("dwell_words wide"), "dwelling");
        Self { folder, store, others }
    }

    /// The writer dies.
    fn without_writer(self) -> Alone {
        let path = self.folder.path().join("store");
        Alone { path, folder: self.folder, others: self.others }
    }
}

/// The two processes go on.
struct Alone {
    folder: TempDir,
    path: PathBuf,
    others: [Told; 2],
}

impl Alone {
    /// A reader that follows no writer says that the objects are being changed; and that they are torn, once those processes have died.
    fn are_busy_and_then_torn(self, options: Options) {
        let copy = self.folder.path().join("copy");
        let reader = attach_with(options, &self.path).unwrap();
        says_busy(&reader, &copy);
        self.others.into_iter().for_each(Told::kill);
        says_torn(&reader, &copy);
    }
}

/// What a reader says of objects that a living process is changing.
fn says_busy(reader: &Reader, copy: &Path) {
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
fn says_torn(reader: &Reader, copy: &Path) {
    let session = reader.session().unwrap();
    assert!(matches!(session.load::<u64>("key"), Err(Error::Torn { .. })));
    assert_eq!(session.load_torn::<u64>("key").unwrap(), Some(7));
    let mut torn = reader.copy_to(copy).unwrap().torn;
    torn.sort_unstable();
    assert_eq!(torn, [&b"key"[..], b"wide"]);
}

#[test]
fn what_a_living_process_changes_is_busy_and_not_torn_for_a_session_that_follows_no_writer() {
    let alone = BesideOthers::begin(options()).without_writer();
    alone.are_busy_and_then_torn(options().trust_page_cache(false));
}

#[test]
fn so_it_is_where_a_sync_has_failed() {
    let faults = Faults::recorded();
    let beside = BesideOthers::begin(options().faults(faults.clone()));
    faults.plan(Fault::nth(1, libc::EIO).of(Call::Sync));
    beside.store.put("other", &1_u64).unwrap();
    assert!(beside.store.sync().is_err());
    beside.without_writer().are_busy_and_then_torn(options());
}

#[test]
fn so_it_is_where_a_writer_has_died_in_its_recovery() {
    let alone = BesideOthers::begin(options()).without_writer();
    let faults = Faults::recorded();
    faults.plan(Fault::nth(1, libc::EIO).of(Call::Write).from_then_on());
    assert!(open_with(options().faults(faults), &alone.path).is_err());
    alone.are_busy_and_then_torn(options());
}
