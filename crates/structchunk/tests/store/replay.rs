//! What a script leaves in a store whose process died on the way.

use structchunk::Store;

use crate::common::*;
use crate::script::{Op, Tracked};

/// What a script makes of a model, without the store in question.
pub fn replay(start: &Tracked, ops: &[Op]) -> Tracked {
    let store = Store::in_memory().expect("memory");
    let mut tracked = start.clone();
    tracked.history.clear();
    for (key, value) in &tracked.model {
        value.put(&store, key).expect("put");
    }
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
        assert_same(store, &before.model);
        return before;
    };
    if matches!(op, Op::UpgradeAll) {
        // One object after the other: any of them may be upgraded by now.
        let upgraded: Vec<_> = contents(store).into_iter().filter(|(_, seen)| seen.0 == "Grown").collect();
        for (key, _) in upgraded {
            if let Some(Value::Sample(sample)) = before.model.get(&key) {
                let grown = sample.grown();
                before.set(&key, Value::Grown(grown));
            }
        }
        assert_same(store, &before.model);
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
        for (key, (_, _, bytes)) in contents(store) {
            after.model.entry(key).and_modify(|value| *value = value.with_bytes(&bytes));
        }
        return after;
    }
    assert_same(store, &before.model);
    before
}
