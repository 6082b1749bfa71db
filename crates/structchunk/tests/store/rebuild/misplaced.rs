//! Rebuilds where whole files are missing, cut, under other names, or of other stores.

use super::*;

#[test]
fn a_missing_chunk_is_told_and_what_the_others_hold_comes_back_with_all_bodies_kept() {
    for (store_lost, middle) in [(true, false), (true, true), (false, true)] {
        let folder = folder();
        let path = folder.path().join("store");
        let (model, places) = several_chunks(&path);
        // The chunk of the body's record: the body then looks like nobody's.
        let (number, _) = places[b"body".as_slice()];
        let missing = if middle { 1 } else { number };
        fs::remove_file(chunk(&path, missing)).expect("removed");
        if store_lost {
            fs::remove_file(path.join("STORE")).expect("removed");
        }
        let report = rebuild(&path).expect("rebuild");
        let told = report.findings.iter().map(ToString::to_string).chain(report.notes.clone());
        let told: Vec<_> = told.collect();
        let last = *places.values().map(|(number, _)| number).max().expect("chunks");
        if store_lost && missing == last {
            // Nothing says that there was another one; but nothing is thrown away.
            let kept = fs::read_dir(path.join("chunks"))
                .expect("a folder")
                .map(|name| name.expect("a name").file_name());
            assert!(kept.into_iter().any(|name| name == "0000000000000000.body.aside"), "{told:?}");
        } else if store_lost {
            assert!(told.iter().any(|told| told.contains("not there: dropped, or lost")), "{told:?}");
        } else {
            assert!(told.iter().any(|told| told.contains("STORE") && told.contains("chunks")), "{told:?}");
        }
        let store = open(&path);
        let left: Vec<_> = model.keys().filter(|key| places[*key].0 != missing).cloned().collect();
        assert_eq!(contents(&store).into_keys().collect::<Vec<_>>(), left);
        assert_eq!(store.check().expect("a check").count(), 0);
    }
}

#[test]
fn a_chunk_with_another_ones_name_gets_its_own_back_and_a_second_copy_is_put_aside() {
    let folder = folder();
    let path = folder.path().join("store");
    let (model, _) = several_chunks(&path);
    fs::copy(chunk(&path, 1), chunk(&path, 0x40)).expect("a copy");
    fs::rename(chunk(&path, 2), chunk(&path, 0x50)).expect("renamed");
    fs::remove_file(path.join("STORE")).expect("removed");
    let report = rebuild(&path).expect("rebuild");
    assert_eq!(report.findings.len(), 2, "{report:#?}");
    assert!(path.join("chunks/00000040.chunk.aside").exists() && chunk(&path, 2).exists());
    assert_same(&open(&path), &model);
}

#[test]
fn a_chunk_that_was_cut_loses_only_what_lay_behind_the_cut() {
    let folder = folder();
    let path = folder.path().join("store");
    let (model, places) = several_chunks(&path);
    let cut = 100_001;
    OpenOptions::new().write(true).open(chunk(&path, 1)).expect("a chunk").set_len(cut).expect("cut");
    let report = rebuild(&path).expect("rebuild");
    assert!(report.findings.iter().any(|it| it.offset == cut && it.path == chunk(&path, 1)), "{report:#?}");
    let store = open(&path);
    for (key, value) in &model {
        if places[key].0 != 1 || places[key].1.end < cut {
            let entry = store.entry(key).expect("a look-up").expect("it is there");
            assert!(entry.bytes(u64::MAX).expect("bytes") == value.bytes());
        }
    }
}

#[test]
fn chunks_of_several_stores_are_told_apart_by_store_or_refused_without_a_change() {
    let folder = folder();
    let path = folder.path().join("store");
    let (model, _) = several_chunks(&path);
    let other = folder.path().join("other");
    let store = open(&other);
    store.put("other", &1_u64).expect("put");
    store.close().expect("close");
    fs::copy(chunk(&other, 0), chunk(&path, 0x60)).expect("a copy");
    let with_store = folder.path().join("with");
    copy_folder(&path, &with_store);
    let report = rebuild(&with_store).expect("rebuild");
    assert!(report.findings[0].what.contains("another store"), "{report:#?}");
    assert!(with_store.join("chunks/00000060.chunk.aside").exists());
    assert_same(&open(&with_store), &model);
    fs::remove_file(path.join("STORE")).expect("removed");
    let before = files(&path);
    let error = rebuild(&path).expect_err("two stores");
    assert!(error.is_corrupt() && error.to_string().contains("chunks of 2 stores"), "{error}");
    assert_eq!(files(&path), before, "nothing changed");
    // A STORE that is another store's is none.
    fs::remove_file(chunk(&path, 0x60)).expect("removed");
    fs::copy(other.join("STORE"), path.join("STORE")).expect("a copy");
    let report = rebuild_well(&path);
    assert!(report.made_store && path.join("STORE.aside").exists(), "{report:#?}");
    assert_same(&open(&path), &model);
}
