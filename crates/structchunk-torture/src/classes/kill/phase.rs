//! What a process is doing when it is killed.

use crate::common::{Point, Random, Value};
use crate::script::{Op, key};
use crate::steps::{Script, Step, hollow, put};

/// What is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The store is made.
    Create,
    /// Any operations on single objects, with loans and in-place changes among them.
    Put,
    /// Batches that reach over several chunks.
    Batch,
    /// Objects of which few fit into a chunk.
    Chunk,
    /// So many small objects that the directory grows.
    Split,
    Sync,
    /// The index is caught up and scanned.
    Index,
    Compact,
    Copy,
    /// A store is opened whose last process died.
    Recovery,
    Close,
    /// A store is opened as it is: after a kill, to kill the recovery.
    Open,
}

/// Those that a run goes through.
pub const PHASES: &[Phase] = &[
    Phase::Create,
    Phase::Put,
    Phase::Batch,
    Phase::Chunk,
    Phase::Split,
    Phase::Sync,
    Phase::Index,
    Phase::Compact,
    Phase::Copy,
    Phase::Recovery,
    Phase::Close,
];

impl Phase {
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Put => "put",
            Self::Batch => "batch",
            Self::Chunk => "new chunk",
            Self::Split => "directory split",
            Self::Sync => "sync",
            Self::Index => "index catch-up",
            Self::Compact => "compaction",
            Self::Copy => "copy",
            Self::Recovery => "recovery",
            Self::Close => "close",
            Self::Open => "open",
        }
    }

    pub fn by_name(name: &str) -> Option<Self> {
        PHASES.iter().chain(&[Self::Open]).copied().find(|phase| phase.name() == name)
    }

    /// What a child does, from its seed alone.
    pub fn script(self, seed: u64) -> Script {
        let mut random = Random::new(seed);
        let random = &mut random;
        let some = |random: &mut Random, count| Op::script(random, count).into_iter().map(Step::Op);
        let mut before = vec![Step::Open];
        let phase = match self {
            Self::Create => {
                before.clear();
                [Step::Open].into_iter().chain(some(random, 2)).collect()
            }
            Self::Put => {
                before.extend(some(random, 10));
                some(random, 40).filter(|step| !matches!(step, Step::Op(Op::Compact(_)))).collect()
            }
            Self::Batch => {
                before.extend(some(random, 10));
                (0..6).map(|_| batch(random)).collect()
            }
            Self::Chunk => {
                before.extend(some(random, 5));
                (0..40).map(|_| put(key(random), large(random))).collect()
            }
            Self::Split => {
                // The first splits come at about 200 objects, further ones quickly after.
                before.extend((0..150).map(small));
                (150..150 + 700).map(small).collect()
            }
            Self::Sync => {
                before.extend(some(random, 10));
                (0..10)
                    .flat_map(|_| some(random, 3).chain([Step::Op(Op::Sync)]).collect::<Vec<_>>())
                    .collect()
            }
            Self::Index => {
                before.extend((0..300).map(small));
                let mut phase = vec![Step::CatchUp];
                for _ in 0..3 {
                    phase.extend(some(random, 6));
                    phase.extend([Step::Scan, Step::CatchUp]);
                }
                phase
            }
            Self::Compact => {
                before.extend(hollow(random));
                let compact = |percent| Step::Op(Op::Compact(percent));
                [compact(50)].into_iter().chain(some(random, 2)).chain([compact(100), compact(100)]).collect()
            }
            Self::Copy => {
                before.extend(some(random, 60));
                vec![Step::Copy]
            }
            Self::Recovery => {
                before.extend(some(random, 60));
                before.push(Step::Drop);
                vec![Step::Open]
            }
            Self::Close => {
                before.extend(some(random, 40));
                let again = [Step::Close, Step::Open].into_iter();
                again.chain(some(random, 2)).chain([Step::Close]).collect()
            }
            Self::Open => {
                before.clear();
                vec![Step::Open]
            }
        };
        Script { before, phase, seed }
    }
}

fn small(number: u64) -> Step {
    put(format!("small {number}").into_bytes(), Value::Point(Point { x: f64::from(number as u32), y: 1.0 }))
}

/// One that barely stays in the log.
fn large(random: &mut Random) -> Value {
    let bytes = 20_000 + random.below(12_000);
    Value::Bytes(random.bytes(bytes))
}

/// Chunks hold eight large ones: most batches need two or three.
fn batch(random: &mut Random) -> Step {
    let count = 5 + random.below(20);
    let change = |random: &mut Random| {
        let value = match random.below(4) {
            0 => None,
            1 => Some(Value::from_seed(random.next())),
            _ => Some(large(random)),
        };
        (key(random), value)
    };
    Step::Op(Op::Batch((0..count).map(|_| change(random)).collect()))
}
