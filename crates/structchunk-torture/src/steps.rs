//! What a child does with a store, step by step, saying of each that it returned.

use std::path::{Path, PathBuf};

use structchunk::{Options, Sparse};

use crate::child::say;
use crate::common::{Random, Value, open_with, options};
use crate::script::{Op, Tracked};

/// A step returned.
const RETURNED: u8 = b'.';

/// One thing that a child does.
#[derive(Clone, Debug)]
pub enum Step {
    Open,
    Op(Op),
    /// Brings the index up to date.
    CatchUp,
    /// Scans in key order.
    Scan,
    Copy,
    Close,
    /// Lets go of the store, as if the process had died.
    Drop,
}

/// What a child does: the part that is not disturbed, and the phase.
pub struct Script {
    pub before: Vec<Step>,
    pub phase: Vec<Step>,
    /// What it is made from.
    pub seed: u64,
}

/// The operations of a script, and how many of them returned.
pub struct Returned {
    pub ops: Vec<Op>,
    pub returned: usize,
}

impl Script {
    /// How the store is opened.
    pub fn options(&self) -> Options {
        let sparse = if self.seed % 8 == 7 { Sparse::Never } else { Sparse::Auto };
        options().auto_compact(self.seed % 2 == 1).sparse(sparse)
    }

    /// All of it.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.before.iter().chain(&self.phase)
    }

    /// Whether such a step is among them.
    pub fn has(&self, step: &Step) -> bool {
        self.steps().any(|it| std::mem::discriminant(it) == std::mem::discriminant(step))
    }

    /// What the first steps are as operations: those up to the one that was under way.
    pub fn look_up(&self, steps: usize) -> Returned {
        let op = |step: &Step| if let Step::Op(op) = step { Some(op.clone()) } else { None };
        let mut ops: Vec<_> = self.steps().take(steps).filter_map(op).collect();
        let returned = ops.len();
        ops.extend(self.steps().nth(steps).and_then(op));
        Returned { ops, returned }
    }

    /// Does it, with the store at `path`. Before the phase, calls `begin`.
    pub fn perform(&self, path: &Path, begin: impl Fn()) {
        let (mut store, mut tracked) = (None, Tracked::default());
        for (number, step) in self.steps().enumerate() {
            if number == self.before.len() {
                begin();
            }
            match step {
                Step::Open => {
                    let opened = open_with(self.options(), path).expect("open");
                    if tracked.model.is_empty() {
                        tracked = Tracked::of(&opened);
                    }
                    store = Some(opened);
                }
                Step::Drop => store = None,
                Step::Close => store.take().expect("a store").close().expect("close"),
                Step::Op(op) => {
                    let store = store.as_ref().expect("a store");
                    tracked.run(store, op).unwrap_or_else(|error| panic!("{op:?}: {error}"));
                }
                Step::CatchUp => store.as_ref().expect("a store").sync_index().expect("an index"),
                Step::Scan => {
                    let keys = store.as_ref().expect("a store").keys().expect("a scan");
                    let keys = keys.map(|key| key.expect("a key").into_key());
                    assert!(keys.eq(tracked.model.keys().cloned()), "the keys in order");
                }
                Step::Copy => {
                    store.as_ref().expect("a store").copy_to(copy_of(path)).expect("a copy");
                }
            }
            say(RETURNED);
        }
    }
}

/// Where the copy of a store goes.
pub fn copy_of(store: &Path) -> PathBuf {
    store.with_extension("copy")
}

pub fn put(key: Vec<u8>, value: Value) -> Step {
    Step::Op(Op::Put(key, value))
}

/// Chunks of which little is current, but for the first: what is removed from that has its tombstones in the others, which must not
/// be lost with them.
pub fn hollow(random: &mut Random) -> Vec<Step> {
    let filler = |number: u64| Value::Bytes(vec![number as u8; 8000]);
    let old = |number: u64| format!("old {number}").into_bytes();
    let mut steps: Vec<_> = (0..30).map(|number| put(old(number), filler(number))).collect();
    for number in 0..90 {
        let key = format!("new {number}").into_bytes();
        steps.push(put(key.clone(), filler(number)));
        if !random.one_in(8) {
            steps.push(Step::Op(Op::Remove(key)));
        }
        if random.one_in(10) {
            steps.push(Step::Op(Op::Remove(old(random.below(30)))));
        }
    }
    steps
}
