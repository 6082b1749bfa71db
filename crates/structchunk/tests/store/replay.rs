//! What a script leaves in a store whose process died on the way.

use structchunk::Store;

use crate::common::*;
use crate::script::{Op, Tracked, seals};

/// What a script makes of a model, without the store in question.
pub fn replay(start: &Tracked, ops: &[Op]) -> Tracked {
    let store = start.stand_in();
    let mut tracked = start.clone();
    tracked.history.clear();
    for op in ops {
        tracked.run(&store, op).unwrap_or_else(|error| panic!("{op:?}: {error}"));
    }
    tracked
}

/// Panics unless the store is as after `returned` operations, or one more. What it is, then.
pub fn verify(store: &Store, start: &Tracked, ops: &[Op], returned: usize) -> Tracked {
    let mut before = replay(start, &ops[..returned]);
    before.history.clear();
    let Some(op) = ops.get(returned) else {
        assert_is(store, &before);
        return before;
    };
    // It shows in nothing but the seal.
    if let Op::Seal(key) = op
        && !seals(store).contains(key)
    {
        assert_is(store, &before);
        return before;
    }
    if matches!(op, Op::UpgradeAll) {
        // One object after the other: any of them may be upgraded by now.
        let upgraded: Vec<_> = contents(store).into_iter().filter(|(_, seen)| seen.0 == "Grown").collect();
        for (key, _) in upgraded {
            if let Some(Value::Sample(sample)) = before.model.get(&key) {
                let grown = sample.grown();
                before.set(&key, Value::Grown(grown));
            }
        }
        assert_is(store, &before);
        return before;
    }
    let mut after = replay(&before, std::slice::from_ref(op));
    let keys: Vec<_> = contents(store).into_keys().collect();
    let sizes_agree = contents(store).iter().all(|(key, (name, shape, bytes))| {
        after.model.get(key).is_some_and(|value| {
            (name.as_str(), shape) == (value.kind().0, &value.kind().1)
                && (value.bytes() == *bytes || matches!(op, Op::Update(..)))
        })
    });
    if keys.iter().eq(after.model.keys()) && sizes_agree {
        // An update under way may be half done.
        let was = before.clone();
        assert_holds(store, &after.model, |key, value, bytes| {
            after.may_be_after_power_cut(&after, key, value, bytes)
                || was.may_be_after_power_cut(&after, key, &was.model[key], bytes)
        });
        assert_eq!(seals(store), after.sealed, "what is sealed");
        for (key, (_, _, bytes)) in contents(store) {
            after.model.entry(key).and_modify(|value| *value = value.with_bytes(&bytes));
        }
        return after;
    }
    assert_is(store, &before);
    before
}

fn assert_is(store: &Store, tracked: &Tracked) {
    assert_same(store, &tracked.model);
    assert_eq!(seals(store), tracked.sealed, "what is sealed");
}
