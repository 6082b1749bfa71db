//! What a session does.

use crate::common::{Point, Random, Sample, Value, Wide};
use crate::script::Op;

/// An object that is changed in place without notice.
pub const COUNTER: &[u8] = b"~counter";

#[derive(Clone, Debug)]
pub enum Step {
    Op(Op),
    /// Changes the counter.
    Bump,
    /// Syncs, while another thread goes on.
    SyncMeanwhile(Vec<Op>),
    SyncIndex,
    /// Looks at the keys in order.
    Scan,
    /// Syncs; the n-th flush fails.
    FailingSync(u64),
}

impl Step {
    /// The beginning of what it is, for messages.
    pub fn name(&self) -> String {
        format!("{self:?}").chars().take(24).collect()
    }

    /// Whether all that was before it is durable when it has returned.
    pub fn is_sync(&self) -> bool {
        match self {
            Self::Op(op) => op.is_sync(),
            Self::SyncMeanwhile(_) | Self::FailingSync(_) => true,
            _ => false,
        }
    }
}

/// Keys are few, so that most steps meet an object.
fn key(random: &mut Random) -> Vec<u8> {
    format!("key {}", random.below(16)).into_bytes()
}

/// Mostly small; some fill a chunk quickly, some get a body.
fn value(random: &mut Random) -> Value {
    match random.below(24) {
        0..7 => Value::Point(Point { x: random.any_f64(), y: random.any_f64() }),
        7..12 => Value::Sample(Sample {
            at: random.next(),
            value: random.next(),
            kind: random.next() as u32,
            flags: random.next() as u16,
            pair: [1, 2],
        }),
        12..15 => Value::Wide(Box::new(Wide { words: std::array::from_fn(|_| random.next()) })),
        15..18 => Value::Bytes(random.bytes(1 + random.clone().below(300))),
        18..22 => Value::Numbers(random.words(2200 + random.clone().below(1800))),
        _ => Value::Numbers(random.words(4200 + random.clone().below(500))),
    }
}

fn batch(random: &mut Random, most: u64) -> Op {
    let count = 1 + random.below(most);
    let change = |random: &mut Random| (key(random), (!random.one_in(3)).then(|| value(random)));
    Op::Batch((0..count).map(|_| change(random)).collect())
}

/// What may be done beside a sync.
fn beside(random: &mut Random) -> Op {
    match random.below(4) {
        0 => Op::Remove(key(random)),
        1 => batch(random, 3),
        _ => Op::Put(key(random), value(random)),
    }
}

fn step(random: &mut Random, index: bool, many: bool) -> Step {
    Step::Op(match random.below(64) {
        14..16 => Op::InsertNew(key(random), value(random)),
        16..18 => Op::PutIf(key(random), value(random), !random.one_in(3)),
        18 => Op::Replace(key(random), value(random)),
        19..23 if many => Op::Remove(format!("many {}", random.below(240)).into_bytes()),
        19..24 => Op::Remove(key(random)),
        24 => Op::Take(key(random)),
        25..27 => Op::Rename(key(random), key(random)),
        27..34 => Op::Update(key(random), random.next()),
        34..38 => batch(random, 14),
        38..42 => {
            let count = 1 + random.below(4500);
            Op::Loan(key(random), random.words(count), !random.one_in(4))
        }
        42..48 => Op::Sync,
        48..50 => Op::Compact([50, 90, 100][random.below(3) as usize]),
        50..54 => return Step::Bump,
        54..57 => {
            let count = 1 + random.below(3);
            return Step::SyncMeanwhile((0..count).map(|_| beside(random)).collect());
        }
        57 => return Step::FailingSync(1 + random.below(4)),
        58..60 | 61..64 if index => return Step::SyncIndex,
        58..61 => return Step::Scan,
        _ => Op::Put(key(random), value(random)),
    })
}

pub fn steps(random: &mut Random, count: u64, index: bool, many: bool) -> Vec<Step> {
    (0..count).map(|_| step(random, index, many)).collect()
}

/// Records of one size: what two histories have at one place may then be taken for each other.
pub fn uniform_steps(random: &mut Random, count: u64, index: bool) -> Vec<Step> {
    let step = |random: &mut Random| match random.below(20) {
        0..14 => {
            let key = format!("even {:02}", random.below(100)).into_bytes();
            Step::Op(Op::Put(key, Value::Numbers(vec![random.next()])))
        }
        14..17 if index => Step::SyncIndex,
        17 => Step::Op(Op::Sync),
        _ => Step::Bump,
    };
    // Whoever looks at the keys brings the index up to date: that comes last.
    (0..2 * count).map(|_| step(random)).chain([Step::Scan]).collect()
}
