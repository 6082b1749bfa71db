//! What proves that only the process died: each piece of the evidence, changed on its own.

use std::fs;
use std::path::Path;

use structchunk::testing::Faults;
use structchunk::{Found, Options, Store};

use crate::common::*;
use crate::craft::{PAGE, Sector, edit_checkpoints, edit_sector};

/// A store whose process died: "kept" was synced, "late" was not.
fn killed(path: &Path, options: Options) {
    let store = open_with(options, path).expect("open");
    store.put("kept", &1_u64).expect("put");
    store.sync().expect("sync");
    store.put("late", &2_u64).expect("put");
}

/// Panics unless the store is as of its last sync, and says so for a reason with `words` in it.
fn is_as_of_the_last_sync(options: Options, path: &Path, words: &str) {
    let before = Store::stats(&open_read_only(path, options.clone())).expect("stats").epoch;
    let store = open_with(options, path).expect("open");
    let report = store.recovery();
    assert_eq!(report.found, Found::MachineDied, "{report:?}");
    assert!(report.evidence.contains(words), "{:?} does not say {words:?}", report.evidence);
    assert_eq!(store.load::<u64>("kept").expect("load"), Some(1));
    assert_eq!(store.load::<u64>("late").expect("load"), None);
    assert_eq!(store.stats().expect("stats").epoch, before + 1, "nothing derived survives");
    assert_eq!(store.check().expect("a check").count(), 0);
}

/// Looks without touching.
fn open_read_only(path: &Path, options: Options) -> Store {
    open_with(options.create(false).read_only(true), path).expect("open")
}

fn pretending(boot: Option<[u8; 16]>) -> Options {
    let faults = Faults::recorded();
    faults.pretend_boot(boot);
    options().faults(faults)
}

#[test]
fn with_all_the_evidence_nothing_is_lost() {
    let folder = folder();
    let path = folder.path().join("store");
    killed(&path, options());
    let store = open(&path);
    assert_eq!(store.recovery().found, Found::ProcessDied);
    assert_eq!(store.load::<u64>("late").expect("load"), Some(2));
}

#[test]
fn another_boot_id_means_that_the_machine_died() {
    let folder = folder();
    let path = folder.path().join("store");
    killed(&path, pretending(Some([1; 16])));
    is_as_of_the_last_sync(pretending(Some([2; 16])), &path, "boot id");
}

#[test]
fn a_boot_id_that_cannot_be_read_equals_none_not_even_itself() {
    for (then, now) in [(None, Some([1; 16])), (Some([1; 16]), None), (None, None), (None, Some([0; 16]))] {
        let folder = folder();
        let path = folder.path().join("store");
        killed(&path, pretending(then));
        is_as_of_the_last_sync(pretending(now), &path, "boot id");
    }
}

#[test]
fn a_copied_store_is_as_of_its_last_sync_and_the_original_as_of_its_end() {
    let folder = folder();
    let (path, copy) = (folder.path().join("store"), folder.path().join("copy"));
    killed(&path, options());
    copy_folder(&path, &copy);
    is_as_of_the_last_sync(options(), &copy, "another file");
    let store = open(&path);
    assert_eq!(store.recovery().found, Found::ProcessDied);
    assert_eq!(store.load::<u64>("late").expect("load"), Some(2));
}

#[test]
fn a_store_that_was_moved_is_the_same_store() {
    let folder = folder();
    let (path, moved) = (folder.path().join("store"), folder.path().join("moved"));
    killed(&path, options());
    fs::rename(&path, &moved).expect("a new name");
    assert_eq!(open(&moved).recovery().found, Found::ProcessDied);
}

#[test]
fn a_missing_empty_or_noisy_shared_page_proves_nothing() {
    for damage in ["missing", "empty", "short", "zero", "noise"] {
        let folder = folder();
        let path = folder.path().join("store");
        killed(&path, options());
        let shared = path.join("shared");
        let bytes = fs::read(&shared).expect("bytes");
        match damage {
            "missing" => fs::remove_file(&shared).expect("removed"),
            "empty" => fs::write(&shared, []).expect("written"),
            "short" => fs::write(&shared, &bytes[..1000]).expect("written"),
            "zero" => fs::write(&shared, vec![0; bytes.len()]).expect("written"),
            _ => fs::write(&shared, Random::new(1).bytes(bytes.len() as u64)).expect("written"),
        }
        is_as_of_the_last_sync(options(), &path, "shared");
    }
}

#[test]
fn every_word_of_the_shared_page_that_proves_something_is_looked_at() {
    // Magic, uuid, boot id, epoch and session; a flipped bit of any of them.
    for word in 0..7 {
        let folder = folder();
        let path = folder.path().join("store");
        killed(&path, options());
        let shared = path.join("shared");
        let mut bytes = fs::read(&shared).expect("bytes");
        bytes[word * 8] ^= 1;
        fs::write(&shared, bytes).expect("written");
        is_as_of_the_last_sync(options(), &path, "shared");
    }
}

#[test]
fn an_end_of_the_log_that_cannot_be_is_not_believed() {
    let folder = folder();
    let template = folder.path().join("store");
    killed(&template, options());
    let shared = template.join("shared");
    let good = fs::read(&shared).expect("bytes");
    let end = u64::from_le_bytes(good[128..136].try_into().expect("8 bytes"));
    // Before the checkpoint's, inside a chunk's header page, in a chunk that is not there, beyond all chunks.
    let chunk = CHUNK_BYTES / 16;
    for wrong in [0, 1, 256, chunk + 1, 7 * chunk + 300, u64::MAX] {
        assert_ne!(wrong, end);
        let mut bytes = good.clone();
        bytes[128..136].copy_from_slice(&wrong.to_le_bytes());
        fs::write(&shared, bytes).expect("written");
        let store = open_read_only(&template, options());
        assert_eq!(store.recovery().found, Found::MachineDied, "{wrong}: {:?}", store.recovery());
        assert_eq!(store.load::<u64>("late").expect("load"), None);
    }
    fs::write(&shared, good).expect("written");
    assert_eq!(open(&template).recovery().found, Found::ProcessDied);
}

#[test]
fn each_piece_of_evidence_in_the_checkpoint_is_looked_at() {
    for (at, words) in
        [(104, "boot id"), (112, "boot id"), (120, "another file"), (128, "another file"), (136, "shared")]
    {
        let folder = folder();
        let path = folder.path().join("store");
        killed(&path, options());
        edit_checkpoints(&path, |checkpoint| checkpoint.set_u64(at, checkpoint.u64(at) ^ 1));
        is_as_of_the_last_sync(options(), &path, words);
    }
}

#[test]
fn a_copy_of_the_store_file_among_the_originals_of_all_others_proves_nothing() {
    let folder = folder();
    let path = folder.path().join("store");
    killed(&path, options());
    fs::copy(path.join("STORE"), path.join("copy")).expect("a copy");
    fs::rename(path.join("copy"), path.join("STORE")).expect("its name");
    is_as_of_the_last_sync(options(), &path, "another file");
}

#[test]
fn either_poison_mark_alone_takes_the_store_back_to_its_last_sync() {
    for in_shared in [true, false] {
        let folder = folder();
        let path = folder.path().join("store");
        killed(&path, options());
        if in_shared {
            let mut bytes = fs::read(path.join("shared")).expect("bytes");
            bytes[64] = 1;
            fs::write(path.join("shared"), bytes).expect("written");
        } else {
            let session = session_of(&path);
            mark_poisoned(&path, session);
        }
        is_as_of_the_last_sync(options(), &path, "poison mark");
    }
}

#[test]
fn a_poison_mark_of_another_session_counts_for_nothing() {
    let folder = folder();
    let path = folder.path().join("store");
    killed(&path, options());
    let session = session_of(&path);
    mark_poisoned(&path, session ^ 1);
    let store = open(&path);
    assert_eq!(store.recovery().found, Found::ProcessDied);
    assert_eq!(store.load::<u64>("late").expect("load"), Some(2));
}

/// The session that the newest checkpoint names.
fn session_of(path: &Path) -> u64 {
    let mut bytes = fs::read(path.join("STORE")).expect("bytes");
    let slots = bytes[PAGE..3 * PAGE].chunks_mut(PAGE).map(Sector);
    slots.max_by_key(|checkpoint| checkpoint.u64(8)).expect("two slots").u64(136)
}

/// Writes the poison mark of a session into the session block of `STORE`.
fn mark_poisoned(path: &Path, session: u64) {
    edit_sector(&path.join("STORE"), 3 * PAGE, "poison", |mark| {
        mark.0[..8].copy_from_slice(b"SCPOISN\x01");
        mark.set_u64(8, session);
    });
}

#[test]
fn a_page_cache_that_is_not_trusted_is_not_believed() {
    let folder = folder();
    let path = folder.path().join("store");
    killed(&path, options());
    is_as_of_the_last_sync(options().trust_page_cache(false), &path, "trust_page_cache");
}

#[test]
fn the_shared_page_of_an_earlier_session_proves_nothing() {
    let folder = folder();
    let path = folder.path().join("store");
    killed(&path, options());
    let earlier = fs::read(path.join("shared")).expect("bytes");
    let store = open(&path);
    store.remove("late").expect("remove");
    store.sync().expect("sync");
    store.put("late", &3_u64).expect("put");
    drop(store);
    fs::write(path.join("shared"), earlier).expect("written");
    is_as_of_the_last_sync(options(), &path, "shared");
}

#[test]
fn a_clean_mark_counts_only_when_both_checkpoints_can_be_read() {
    for slot in [1, 2] {
        let folder = folder();
        let path = folder.path().join("store");
        let store = open(&path);
        store.put("kept", &1_u64).expect("put");
        store.close().expect("close");
        let mut bytes = fs::read(path.join("STORE")).expect("bytes");
        bytes[slot * 4096 + 100] ^= 1;
        fs::write(path.join("STORE"), bytes).expect("written");
        let store = open(&path);
        assert!(matches!(store.recovery().found, Found::ProcessDied | Found::MachineDied), "slot {slot}");
        assert_eq!(store.load::<u64>("kept").expect("load"), Some(1), "slot {slot}");
        assert!(store.recovery().rebuilt_views);
        store.close().expect("close");
        assert_eq!(open(&path).recovery().found, Found::Clean);
    }
}
