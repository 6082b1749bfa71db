//! A session: what it does step by step, and what may be found if it ends there.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::sync_channel;

use structchunk::{AtomicRef, Store};

use super::disk::Disk;
use super::image::{Crash, Expected, Stage};
use super::steps::{COUNTER, Step, steps, uniform_steps};
use super::world::World;
use crate::common::Counter;
use crate::script::{Op, Tracked};

/// A store that is open, and what is known of it.
pub(super) struct Session<'s, 'w> {
    pub(super) world: &'s mut World<'w>,
    pub(super) disk: &'s Disk,
    pub(super) store: &'s Store,
    pub(super) now: Tracked,
    pub(super) synced: Arc<Tracked>,
    /// What was changed in place in the whole session.
    pub(super) long: Tracked,
    pub(super) hits: u64,
    pub(super) hits_synced: u64,
    pub(super) hits_least: u64,
    pub(super) at: &'s str,
}

impl Session<'_, '_> {
    /// Says what may be found from here on; `syncs`: a checkpoint may be written.
    fn stage(&self, syncs: bool) -> Arc<Tracked> {
        let before = Arc::new(self.now.clone());
        let mut slots = self.disk.stage_now();
        if slots.opening {
            slots.slots.states = vec![before.clone(), before.clone()];
        }
        let mut power = vec![self.synced.clone()];
        power.extend(syncs.then(|| before.clone()));
        self.disk.stage(Stage {
            kill: Expected {
                states: vec![before.clone()],
                later: Arc::default(),
                hits: (self.hits, self.hits),
            },
            power: Expected { states: power, later: before.clone(), hits: (self.hits_synced, self.hits) },
            slots: Expected {
                states: slots.slots.states,
                later: Arc::new(self.long.clone()),
                hits: (self.hits_least, self.hits),
            },
            cut: before.clone(),
            ..Stage::default()
        });
        before
    }

    /// Says what has come of a step to the images made meanwhile.
    fn done(&self, passed: &[Arc<Tracked>], before: &Arc<Tracked>, syncs: bool) {
        let after = Arc::new(self.now.clone());
        let later = if syncs { before.clone() } else { after.clone() };
        self.disk.done(|image| {
            image.stage.kill.states.extend(passed.iter().cloned().chain([after.clone()]));
            image.stage.power.later = later.clone();
            image.at = format!("{} of a session after {}", image.at, self.at);
        });
    }

    /// What is durable now is what was there before.
    fn synced(&mut self, before: &Arc<Tracked>) {
        for (object, versions) in &before.history {
            self.long.history.entry(*object).or_default().extend(versions.iter().cloned());
        }
        self.now.synced();
        self.synced = before.clone();
    }

    /// Does some steps; whether the store may still be written to.
    pub(super) fn work(&mut self, count: u64) -> bool {
        let store = self.store;
        let held = self.world.random.one_in(2).then(|| counter(store));
        let steps = if self.world.uniform {
            uniform_steps(&mut self.world.random, count, self.world.index)
        } else {
            steps(&mut self.world.random, count, self.world.index, self.world.many)
        };
        for step in steps {
            if !self.step(&step, held.as_ref()) {
                return false;
            }
            self.stage(false);
            if self.world.random.one_in(8) {
                self.disk.crash_now(
                    Crash::any(&mut self.world.random),
                    &format!("what came after {}", step.name()),
                );
                self.disk.done(|image| image.at = format!("{} in a session after {}", image.at, self.at));
            }
            let chance = if self.world.broken.rebuild { 1 } else { 10 };
            let all_is_synced = matches!(step, Step::Op(Op::Sync | Op::Compact(_)));
            if all_is_synced && self.world.random.one_in(chance) {
                self.disk.crash_now(Crash::CheckpointsLost, &format!("what came after {}", step.name()));
                self.disk.done(|image| image.at = format!("{} in a session after {}", image.at, self.at));
            }
        }
        drop(held);
        self.stage(true);
        true
    }

    fn step(&mut self, step: &Step, held: Option<&AtomicRef<'_, Counter>>) -> bool {
        let before = self.stage(step.is_sync());
        let (store, at) = (self.store, self.at);
        let fail = |error: structchunk::Error| -> ! { panic!("{step:?} in a session after {at}: {error}") };
        let (hits, mut passed) = (self.hits, Vec::new());
        match step {
            Step::Op(op) => {
                self.now.run(store, op).unwrap_or_else(|error| fail(error));
            }
            Step::Bump => {
                self.hits += 1;
                let bump = |it: &Counter| {
                    it.hits.store(self.hits, Ordering::Relaxed);
                    it.sum.store(self.hits, Ordering::Relaxed);
                };
                match held {
                    Some(held) => bump(held),
                    None => bump(&counter(store)),
                }
            }
            Step::SyncIndex => store.sync_index().unwrap_or_else(|error| fail(error)),
            Step::Scan => {
                let keys = store.keys().expect("a scan").map(|key| key.expect("a key").into_key());
                let keys: Vec<_> = keys.filter(|key| key != COUNTER).collect();
                assert!(keys.iter().eq(self.now.model.keys()), "{at}: the keys in order, in a session");
            }
            Step::SyncMeanwhile(ops) => passed = self.sync_meanwhile(ops),
            Step::FailingSync(n) => {
                self.disk.fail_sync(*n);
                let failed = store.sync().is_err();
                self.disk.fail_sync(0);
                if failed {
                    self.done(&[], &before, true);
                    return false;
                }
                self.now.synced();
            }
        }
        self.done(&passed, &before, step.is_sync());
        if step.is_sync() {
            self.synced(&before);
            self.hits_synced = hits;
        }
        true
    }

    /// A sync, while somebody else goes on: what came after its cut is not part of it.
    fn sync_meanwhile(&mut self, ops: &[Op]) -> Vec<Arc<Tracked>> {
        let (go, asked) = sync_channel(0);
        let (finish, finished) = sync_channel(1);
        let (store, now) = (self.store, &mut self.now);
        let mut passed = Vec::new();
        std::thread::scope(|scope| {
            let (now, passed) = (&mut *now, &mut passed);
            let worker = scope.spawn(move || {
                if asked.recv().is_ok() {
                    for op in ops {
                        now.run(store, op).unwrap_or_else(|error| panic!("{op:?} beside a sync: {error}"));
                        passed.push(Arc::new(now.clone()));
                    }
                    let _ = finish.send(());
                }
            });
            self.disk.meanwhile(Some((go, finished)));
            let outcome = store.sync();
            self.disk.meanwhile(None);
            assert!(worker.join().is_ok(), "beside a sync");
            outcome.unwrap_or_else(|error| panic!("sync: {error}"));
        });
        passed
    }
}

fn counter(store: &Store) -> AtomicRef<'_, Counter> {
    store.get_atomic(COUNTER).expect("a counter").expect("a counter that is there")
}
