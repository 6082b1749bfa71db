//! Random operations against a model: whatever is done, closed, killed or cut off, the store holds what the model says.
//!
//! `STRUCTCHUNK_TEST_SCALE=20` runs twenty times as many cases, `STRUCTCHUNK_SEED` other ones.

use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use structchunk::{Found, Store};

use crate::common::*;
use crate::script::{Op, Tracked};

/// How a session ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Close,
    /// Dropped without closing: as if the process had been killed.
    Kill,
    /// Killed, and the page cache is not believed: back to the last sync.
    PowerCut,
    /// Closed, and a view is deleted.
    LoseViews,
}

fn sessions() -> impl Strategy<Value = Vec<(u64, u64, End)>> {
    let end = prop_oneof![Just(End::Close), Just(End::Kill), Just(End::PowerCut), Just(End::LoseViews)];
    prop::collection::vec((any::<u64>(), 0..60_u64, end), 1..5)
}

/// Reopens as `end` says; the model is then what the store must hold.
fn reopen(store: Store, path: &Path, end: End, now: &mut Tracked, synced: &mut Tracked) -> Store {
    match end {
        End::Close => {
            store.close().expect("close");
            let store = open_with(options().auto_compact(true), path).expect("open");
            assert_eq!(store.recovery().found, Found::Clean);
            assert_same(&store, &now.model);
            store
        }
        End::LoseViews => {
            store.close().expect("close");
            for view in ["directory", "live", "shared"] {
                std::fs::remove_file(path.join(view)).expect("a view");
            }
            let store = open_with(options().auto_compact(true), path).expect("open");
            assert_eq!(store.recovery().found, Found::ViewsLost);
            assert_same(&store, &now.model);
            store
        }
        End::Kill => {
            drop(store);
            let store = open_with(options().auto_compact(true), path).expect("open");
            assert!(matches!(store.recovery().found, Found::ProcessDied | Found::Clean));
            assert!(store.recovery().dropped.is_empty(), "{:?}", store.recovery());
            assert_same(&store, &now.model);
            store
        }
        End::PowerCut => {
            drop(store);
            let store = open_with(options().auto_compact(true).trust_page_cache(false), path).expect("open");
            assert!(matches!(store.recovery().found, Found::MachineDied | Found::Clean));
            let later = now.clone();
            let mut seen = synced.model.clone();
            assert_holds(&store, &synced.model, |key, value, bytes| {
                synced.may_be_after_power_cut(&later, key, value, bytes)
            });
            // What was changed in place since may be there or not; from here on it counts as it is.
            for (key, (_, _, bytes)) in contents(&store) {
                seen.entry(key).and_modify(|value| *value = value.with_bytes(&bytes));
            }
            *now = Tracked { model: seen, ..synced.clone() };
            store
        }
    }
}

fn run(cases: &[(u64, u64, End)]) {
    let folder = folder();
    let path = folder.path().join("store");
    let mut store = open_with(options().auto_compact(true), &path).expect("open");
    let mut now = Tracked::default();
    let mut synced = now.clone();
    for &(seed, count, end) in cases {
        for op in Op::script(&mut Random::new(seed), count) {
            now.run(&store, &op).unwrap_or_else(|error| panic!("{op:?}: {error}"));
            if op.is_sync() {
                synced = now.clone();
            }
        }
        assert_same(&store, &now.model);
        store = reopen(store, &path, end, &mut now, &mut synced);
        // Whatever a reopening finds, it makes durable.
        now.synced();
        synced = now.clone();
    }
}

#[test]
fn a_store_holds_what_a_model_holds_through_closing_killing_and_power_cuts() {
    check();
}

#[test]
fn a_store_holds_what_a_model_holds_through_closing_killing_and_power_cuts_where_files_grow_in_steps() {
    without_sparse_files(check);
}

#[test]
fn a_store_holds_what_a_model_holds_through_closing_killing_and_power_cuts_when_nothing_stays_mapped() {
    with_nothing_kept_mapped(check);
}

fn check() {
    let seed = seed();
    println!("STRUCTCHUNK_SEED={seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases: cases(150) as u32,
        failure_persistence: None,
        max_shrink_iters: 200,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let outcome = runner.run(&sessions(), |cases| {
        run(&cases);
        Ok(())
    });
    if let Err(TestError::Fail(reason, cases)) = outcome {
        panic!("{reason}\nSTRUCTCHUNK_SEED={seed}, sessions (seed, operations, end): {cases:?}");
    }
    outcome.expect("cases");
}
