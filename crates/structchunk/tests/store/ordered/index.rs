//! When the index is believed, and when it is made anew.
#![cfg(feature = "leveldb")]

use std::fs;

use super::*;

fn move_index(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to.join("index"));
    copy_folder(&from.join("index"), &to.join("index"));
}

#[test]
fn close_brings_the_index_up_to_date_and_the_next_scan_finds_it_so() {
    let folder = folder();
    let store = Source::Index.open(folder.path());
    assert_eq!(store.index_sequence(), None);
    fill(&store, 200);
    let expected = sorted(&store);
    let last = store.sequence("large").unwrap().unwrap();
    store.close().unwrap();
    let store = Source::Index.open(folder.path());
    assert_eq!(store.index_sequence(), None, "nothing of it is needed to open a store");
    assert_eq!(keys(&store), expected);
    assert_eq!(store.index_sequence(), Some(last));
    store.put("more", &1_u8).unwrap();
    store.sync_index().unwrap();
    assert!(store.index_sequence() > Some(last));
}

#[test]
fn a_scan_of_everything_reads_no_index_where_keys_may_be_sorted_in_memory() {
    let folder = folder();
    let store = Source::Preferred.open(folder.path());
    fill(&store, 100);
    assert_eq!(keys(&store), sorted(&store));
    assert_eq!(
        store.prefix("key").unwrap().count(),
        sorted(&store).iter().filter(|key| key[0] == b'k').count()
    );
    assert_eq!(store.index_sequence(), None, "what was sorted serves ranges, too");
    let store = Source::Index.open(&folder.path().join("other"));
    fill(&store, 100);
    assert_eq!(keys(&store), sorted(&store));
    assert!(store.index_sequence().is_some());
}

#[test]
fn an_index_of_another_store_is_thrown_away() {
    let (one, two) = (folder(), folder());
    for (folder, name) in [(&one, "one"), (&two, "two")] {
        let store = Source::Index.open(folder.path());
        (0..50).for_each(|n| store.put(format!("{name} {n}"), &n).unwrap());
        store.close().unwrap();
    }
    move_index(one.path(), two.path());
    let store = Source::Index.open(two.path());
    let found = keys(&store);
    assert_eq!((found.len(), found), (50, sorted(&store)));
}

#[test]
fn an_index_from_the_future_is_thrown_away() {
    let (now, later) = (folder(), folder());
    let store = Source::Index.open(now.path());
    fill(&store, 50);
    store.close().unwrap();
    let path = later.path().join("store");
    copy_folder(now.path(), &path);
    let store = Source::Index.open(&path);
    (0..50).for_each(|n| store.put(format!("future {n}"), &n).unwrap());
    store.close().unwrap();
    move_index(&path, now.path());
    let store = Source::Index.open(now.path());
    // Fewer than the index believes to know, under other keys.
    (0..10).for_each(|n| store.put(format!("present {n}"), &n).unwrap());
    assert_eq!(keys(&store), sorted(&store));
    assert_eq!(store.prefix("present").unwrap().count(), 10);
}

#[test]
fn an_index_of_an_epoch_that_a_power_cut_ended_is_thrown_away() {
    let folder = folder();
    let store = Source::Index.open(folder.path());
    (0..20).for_each(|n| store.put(format!("kept {n}"), &n).unwrap());
    store.sync().unwrap();
    (0..20).for_each(|n| store.put(format!("lost {n}"), &n).unwrap());
    store.sync_index().unwrap();
    let mark = store.index_sequence();
    drop(store);
    let store = open_with(Source::Index.options().trust_page_cache(false), folder.path()).unwrap();
    // They take the sequences of those that are lost, to the last one: the mark says that nothing is missing.
    let next: Vec<_> = (0..).map(|n| format!("next {n}")).take(20).collect();
    let put = next.iter().take_while(|key| {
        store.put(key, &1_u8).unwrap();
        store.sequence(key).unwrap() < mark
    });
    let count = put.count() + 1;
    assert_eq!(store.sequence(&next[count - 1]).unwrap(), mark);
    assert_eq!(keys(&store), sorted(&store));
    assert_eq!(store.prefix("next").unwrap().count(), count);
}

#[test]
fn an_index_that_was_not_made_durable_counts_in_the_same_boot_only() {
    let believed = |trust: bool| {
        let folder = folder();
        let store = Source::Index.open(folder.path());
        (0..20).for_each(|n| store.put(format!("key {n}"), &n).unwrap());
        assert_eq!(keys(&store).len(), 20);
        // The scan has written the index and not synced it; a session without an index ends cleanly.
        drop(store);
        open_with(Source::Sorted.options(), folder.path()).unwrap().close().unwrap();
        let before = fs::read(folder.path().join("index/CURRENT")).unwrap();
        let store = open_with(Source::Index.options().trust_page_cache(trust), folder.path()).unwrap();
        assert_eq!(keys(&store), sorted(&store));
        let log = fs::read_to_string(folder.path().join("index/LOG")).unwrap();
        assert!(!before.is_empty());
        // An index that is kept has its former messages beside the new ones.
        (folder.path().join("index/LOG.old").exists(), log.contains("Recovering log"))
    };
    assert_eq!(believed(true), (true, true));
    assert_eq!(believed(false), (false, false));
}

#[test]
fn the_index_may_be_taken_away_between_sessions_and_in_one() {
    let folder = folder();
    let store = Source::Index.open(folder.path());
    fill(&store, 100);
    let expected = sorted(&store);
    store.close().unwrap();
    fs::remove_dir_all(folder.path().join("index")).unwrap();
    let store = Source::Index.open(folder.path());
    let mut scan = store.keys().unwrap();
    assert_eq!(scan.next().unwrap().unwrap().key(), &expected[0][..]);
    for entry in fs::read_dir(folder.path().join("index")).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let rest: Vec<_> = scan.map(|key| key.unwrap().into_key()).collect();
    assert_eq!(rest, expected[1..], "LevelDB holds what it has open");
    assert_eq!(keys(&store), expected);
    // Whatever became of the files: closing is about the store.
    store.close().unwrap();
    let store = Source::Index.open(folder.path());
    assert_eq!(keys(&store), expected);
}

#[test]
fn only_what_is_new_is_walked_again_and_removed_keys_leave_the_index() {
    let folder = folder();
    let store = Source::Index.open(folder.path());
    for round in 0..5_u32 {
        (0..30).for_each(|n| store.put(format!("{round} {n}"), &n).unwrap());
        if round > 0 {
            (0..30).for_each(|n| assert!(store.remove(format!("{} {n}", round - 1)).unwrap()));
        }
        assert_eq!(keys(&store), sorted(&store), "round {round}");
        assert_eq!(keys(&store).len(), 30);
    }
}

#[test]
fn rebuild_takes_the_index_away() {
    #![expect(unsafe_code, reason = "rebuilding opens a store")]
    let folder = folder();
    let store = Source::Index.open(folder.path());
    fill(&store, 50);
    let expected = sorted(&store);
    store.close().unwrap();
    fs::write(folder.path().join("index/stray"), "x").unwrap();
    // SAFETY: nobody else has the store open.
    unsafe { Store::rebuild(folder.path()) }.unwrap();
    assert!(!folder.path().join("index/stray").exists());
    assert_eq!(keys(&Source::Index.open(folder.path())), expected);
}

#[test]
fn a_store_without_an_index_leaves_none_and_leaves_one_alone() {
    let folder = folder();
    let store = Source::Sorted.open(folder.path());
    fill(&store, 50);
    store.close().unwrap();
    assert!(!folder.path().join("index").exists());
    let store = Source::Index.open(folder.path());
    store.sync_index().unwrap();
    store.close().unwrap();
    let store = Source::Sorted.open(folder.path());
    store.put("new", &1_u8).unwrap();
    store.close().unwrap();
    let store = Source::Index.open(folder.path());
    assert_eq!(keys(&store), sorted(&store), "the index that was left behind is caught up with");
}

#[test]
fn a_record_that_is_damaged_behind_its_index_entry_is_not_met() {
    use std::os::unix::fs::FileExt;
    let folder = folder();
    let store = Source::Index.open(folder.path());
    (0..50_u8).for_each(|n| store.put([n], &u64::from(n)).unwrap());
    let at = store.keys().unwrap().nth(20).unwrap().unwrap().location();
    store.close().unwrap();
    let chunk = folder.path().join("chunks/00000000.chunk");
    let chunk = fs::OpenOptions::new().write(true).open(chunk).unwrap();
    // Another key: the entry leads to a record of which it does not speak.
    chunk.write_at(&[99], at * 16 + 32).unwrap();
    let store = Source::Index.open(folder.path());
    let seen: Vec<_> = store.keys().unwrap().map(|key| key.unwrap().key()[0]).collect();
    assert_eq!(seen, (0..50).filter(|n| *n != 20).collect::<Vec<_>>());
}
