//! Compaction where files have no holes.

use structchunk::Compaction;
use structchunk::testing::{Call, Faults};

use super::*;
use crate::process::ran_apart;

fn is_chunk(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|end| end == "chunk")
}

/// How often holes were made in chunks.
fn holes(faults: &Faults) -> usize {
    let trace = faults.trace();
    trace.iter().filter(|event| event.call == Call::Punch && is_chunk(&event.file)).count()
}

#[test]
fn a_store_without_holes_is_compacted_by_dropping_chunks_and_nothing_is_punched() {
    let folder = folder();
    for (name, sparse) in [("steps", Sparse::Never), ("holes", Sparse::Auto)] {
        let path = folder.path().join(name);
        let faults = Faults::recorded();
        let open_it =
            || open_with(stepwise().sparse(sparse).chunk_capacity(MIB).faults(faults.clone()), &path);
        let store = open_it().expect("open");
        let mut model = Model::new();
        for number in 0..200_u64 {
            let (key, value) = (format!("key {number}").into_bytes(), Value::Numbers(vec![number; 10_000]));
            value.put(&store, &key).expect("put");
            model.insert(key, value);
            if number % 4 != 0 {
                store.put(format!("key {number}"), &number).expect("replace");
                let key = format!("key {number}").into_bytes();
                store.remove(&key).expect("remove");
                model.remove(&key);
            }
            if number % 10 == 0 {
                store.sync().expect("sync");
            }
        }
        store.sync().expect("sync");
        store.sync().expect("sync");
        assert_eq!(holes(&faults) > 0, sparse == Sparse::Auto, "{name}");
        let before = store.stats().expect("stats").bytes_allocated;
        let report = store.compact_with(Compaction::new().fill_ratio(1.0)).expect("compact");
        assert!(report.dropped_chunks.len() >= 4 && report.waiting_chunks.is_empty(), "{report:?}");
        for chunk in &report.dropped_chunks {
            assert!(!path.join(format!("chunks/{chunk:08x}.chunk")).exists());
        }
        for chunk in store.stats().expect("stats").chunks {
            let bytes = fs::metadata(path.join(format!("chunks/{:08x}.chunk", chunk.number)));
            let bytes = bytes.expect("a chunk").len();
            assert!(
                sparse == Sparse::Auto || bytes <= (chunk.head + 2 * STEP).min(MIB),
                "{bytes}, {chunk:?}"
            );
        }
        assert!(store.stats().expect("stats").bytes_allocated < before, "{name}: {before}");
        assert_same(&store, &model);
        drop(store);
        for trust in [true, false] {
            let store = open_with(stepwise().trust_page_cache(trust), &path).expect("open");
            assert_same(&store, &model);
            store.close().expect("close");
        }
        assert_eq!(says_steps(&path), sparse == Sparse::Never);
    }
}

#[test]
fn on_exfat_a_full_store_is_emptied_compacted_and_filled_again() {
    if ran_apart(on_exfat_a_full_store_is_emptied_compacted_and_filled_again) {
        return;
    }
    let Some(mount) = Mount::of("exfat", 24 << 20, "compaction without sparse files") else { return };
    let path = mount.path().join("store");
    let mut store = open_with(stepwise().chunk_capacity(2 * MIB), &path).expect("open");
    assert!(says_steps(&path));
    let (mut counts, mut compactions) = (Vec::new(), 0);
    for round in 0..3_u64 {
        let fill = |key: &u64| store.put(format!("key {key}"), &vec![round; 1000][..]).is_ok();
        let count = (0..100_000_u64).take_while(fill).count() as u64;
        counts.push(count);
        for key in 0..count {
            let object = store.get::<[u64]>(format!("key {key}")).expect("get").expect("it was put");
            assert!(object.iter().all(|word| *word == round), "key {key} in round {round}");
        }
        for key in 0..count {
            // What is kept back for deleting is used up some time.
            while let Err(error) = store.remove(format!("key {key}")) {
                assert!(matches!(error, Error::NoSpace { .. }) && compactions < 300, "{error}");
                compactions += 1;
                let report = store.compact().expect("compact");
                assert!(!report.dropped_chunks.is_empty() && store.release_dropped(), "{report:?}");
            }
        }
        store.compact().expect("compact");
        assert!(store.is_empty() && store.release_dropped());
    }
    assert!(compactions > 0, "what is kept back for deleting was never used up");
    assert!(counts.iter().all(|count| *count > 500 && *count >= counts[0] * 3 / 4), "{counts:?}");
    store.close().expect("close");
    assert_eq!(open_with(stepwise(), &path).expect("open").recovery().found, Found::Clean);
}
