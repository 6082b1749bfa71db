//! Names that a power cut takes back: the directory of an earlier session may be there again after a clean close.

use std::fs;

use structchunk::testing::{Call, Fault, Faults};
use structchunk::{Found, Store};

use crate::common::*;

const KEYS: u64 = 170;

fn all_are_found(store: &Store) {
    for key in 0..KEYS {
        let found = store.load::<u64>(key.to_le_bytes()).expect("load");
        assert_eq!(found, Some(key), "{:?}", store.recovery());
    }
}

#[test]
fn the_directory_of_an_earlier_session_is_not_believed_after_a_power_cut() {
    let folder = folder();
    let path = folder.path().join("store");
    let directory = path.join("directory");
    let store = open(&path);
    for key in 0..KEYS {
        store.put(key.to_le_bytes(), &key).expect("put");
    }
    store.close().expect("close");
    let durable = fs::read(&directory).expect("a file");
    // A batch that is refused when its directory slots are there already; then the process dies.
    let faults = Faults::recorded();
    let store = open_with(options().faults(faults.clone()), &path).expect("open");
    let mut batch = store.batch();
    for key in KEYS..10 * KEYS {
        batch.put(key.to_le_bytes(), &key).expect("put");
    }
    batch.put("body", &vec![1_u64; 10_000][..]).expect("put");
    faults.plan(Fault::nth(1, libc::EIO).of(Call::Rename).on("0000000000000000.body"));
    batch.commit().expect_err("a body without a name");
    drop(store);
    let changed = fs::read(&directory).expect("a file");
    assert_ne!(durable, changed);
    // The next session has a new directory, and ends well. It is only asked for what it made durable.
    let seen = Faults::recorded();
    let store = open_with(options().faults(seen.clone()), &path).expect("open");
    assert_eq!(store.recovery().found, Found::ProcessDied);
    all_are_found(&store);
    store.close().expect("close");
    let trace = seen.trace();
    let made = trace.iter().rposition(|event| event.call == Call::Create && event.file == "live");
    let durable_name =
        trace.iter().rposition(|event| event.call == Call::SyncFolder && event.file == "store");
    let clean = trace.iter().rposition(|event| event.call == Call::Sync && event.file == "STORE");
    let name_is_durable = made < durable_name && durable_name < clean;
    let mut random = Random::new(seed());
    for _ in 0..20 {
        if !name_is_durable {
            // The name of the old file comes back, with any of its sectors.
            let mut bytes = durable.clone();
            bytes.resize(changed.len(), 0);
            for (old, new) in bytes.chunks_mut(512).zip(changed.chunks(512)) {
                if random.one_in(2) {
                    old.copy_from_slice(new);
                }
            }
            fs::write(&directory, bytes).expect("written");
        }
        let place = folder.path().join("cut");
        copy_folder(&path, &place);
        all_are_found(&open_with(options().trust_page_cache(false), &place).expect("open"));
        fs::remove_dir_all(&place).expect("removed");
    }
    assert!(name_is_durable, "{trace:?}");
}
