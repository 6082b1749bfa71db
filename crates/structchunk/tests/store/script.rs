//! Seeded sequences of operations, run on a store and on a model side by side.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use structchunk::{Compaction, Error, LeftReason, Result, Store};

use crate::common::*;

/// One call, or two that belong together.
#[derive(Clone, Debug)]
pub enum Op {
    Put(Vec<u8>, Value),
    InsertNew(Vec<u8>, Value),
    PutIf(Vec<u8>, Value, bool),
    Replace(Vec<u8>, Value),
    Remove(Vec<u8>),
    Take(Vec<u8>),
    Rename(Vec<u8>, Vec<u8>),
    /// Changes a field, or some items of an array, in place.
    Update(Vec<u8>, u64),
    /// Of one object, or of all that are [`Sample`]s.
    Upgrade(Vec<u8>),
    UpgradeAll,
    /// `None` removes.
    Batch(Vec<(Vec<u8>, Option<Value>)>),
    /// A slice that is filled in place; dropped instead of published where `bool` is false.
    Loan(Vec<u8>, Vec<u64>, bool),
    Seal(Vec<u8>),
    Sync,
    /// With a fill ratio, in percent.
    Compact(u8),
}

/// Keys are few, so that most operations meet an object.
pub fn key(random: &mut Random) -> Vec<u8> {
    let number = random.below(24);
    if number == 23 { vec![b'l'; 3000] } else { format!("key {number}").into_bytes() }
}

impl Op {
    /// Any of them; large objects are rarer than small ones.
    pub fn any(random: &mut Random) -> Self {
        let value = |random: &mut Random| Value::from_seed(random.next());
        match random.below(46) {
            0..12 => Self::Put(key(random), value(random)),
            12..14 => Self::InsertNew(key(random), value(random)),
            14..16 => Self::PutIf(key(random), value(random), !random.one_in(3)),
            16 => Self::Replace(key(random), value(random)),
            17..20 => Self::Remove(key(random)),
            20 => Self::Take(key(random)),
            21..24 => Self::Rename(key(random), key(random)),
            24..31 => Self::Update(key(random), random.next()),
            31..34 => {
                let count = 1 + random.below(8);
                let change = |random: &mut Random| (key(random), (!random.one_in(3)).then(|| value(random)));
                Self::Batch((0..count).map(|_| change(random)).collect())
            }
            34..36 => {
                let count = 1 + random.below(9000);
                Self::Loan(key(random), random.words(count), !random.one_in(4))
            }
            36..40 => Self::Sync,
            40..42 => Self::Upgrade(key(random)),
            42 => Self::UpgradeAll,
            43 => Self::Seal(key(random)),
            _ => Self::Compact([50, 90, 100][random.below(3) as usize]),
        }
    }

    /// Whether all that was before it is durable when it has returned.
    pub fn is_sync(&self) -> bool {
        matches!(self, Self::Sync | Self::Compact(_))
    }

    pub fn script(random: &mut Random, count: u64) -> Vec<Self> {
        (0..count).map(|_| Self::any(random)).collect()
    }
}

/// The model, and what a power cut may make of it.
#[derive(Clone, Debug, Default)]
pub struct Tracked {
    pub model: Model,
    /// Which object is under a key: in-place changes follow an object, not its key.
    pub object: BTreeMap<Vec<u8>, u64>,
    /// The keys of what is sealed: it is refused to change that in place.
    pub sealed: BTreeSet<Vec<u8>>,
    /// What the bytes of an object have been since the last sync, where they changed in place.
    pub history: HashMap<u64, Vec<Vec<u8>>>,
    pub next_object: u64,
}

impl Tracked {
    /// What a store holds now.
    pub fn of(store: &Store) -> Self {
        let mut tracked = Self::default();
        for (key, (name, _, bytes)) in contents(store) {
            tracked.set(&key, Value::from_bytes(&name, &bytes));
        }
        tracked.sealed = seals(store);
        tracked
    }

    /// A store in memory that holds the same: what it says of operations is what any store should.
    pub fn stand_in(&self) -> Store {
        let store = Store::in_memory().expect("memory");
        for (key, value) in &self.model {
            value.put(&store, key).expect("put");
        }
        for key in &self.sealed {
            assert!(store.seal(key).expect("seal"), "what is sealed is there");
        }
        store
    }

    pub fn set(&mut self, key: &[u8], value: Value) {
        self.next_object += 1;
        self.object.insert(key.to_vec(), self.next_object);
        self.sealed.remove(key);
        self.model.insert(key.to_vec(), value);
    }

    pub fn remove(&mut self, key: &[u8]) {
        self.object.remove(key);
        self.sealed.remove(key);
        self.model.remove(key);
    }

    /// Every sync that returned forgets what was before.
    pub fn synced(&mut self) {
        self.history.clear();
    }

    /// Runs one operation on both. An error is the store's; the model is then as before.
    pub fn run(&mut self, store: &Store, op: &Op) -> Result<()> {
        match op {
            Op::Put(key, value) => {
                value.put(store, key)?;
                self.set(key, value.clone());
            }
            Op::InsertNew(key, value) => {
                match (insert_new(store, key, value), self.model.contains_key(key)) {
                    (Ok(()), false) => self.set(key, value.clone()),
                    (Err(Error::KeyExists { .. }), true) => {}
                    (Err(error), _) => return Err(error),
                    (Ok(()), true) => panic!("insert_new of a key that is there"),
                }
            }
            Op::PutIf(key, value, right) => {
                let Some(sequence) = store.sequence(key)? else {
                    assert!(!self.model.contains_key(key), "the key is there but has no sequence");
                    return Ok(());
                };
                let sequence = if *right { sequence } else { sequence - 1 };
                assert_eq!(put_if(store, key, sequence, value)?, *right, "put_if");
                if *right {
                    self.set(key, value.clone());
                }
            }
            Op::Replace(key, value) => self.replace(store, key, value)?,
            Op::Remove(key) => {
                assert_eq!(store.remove(key)?, self.model.contains_key(key), "remove");
                self.remove(key);
            }
            Op::Take(key) => {
                match self.model.get(key) {
                    None => assert_eq!(store.take::<Point>(key)?, None),
                    Some(Value::Point(point)) => assert_eq!(store.take::<Point>(key)?, Some(*point)),
                    Some(Value::Sample(sample)) => assert_eq!(store.take::<Sample>(key)?, Some(*sample)),
                    Some(Value::Grown(grown)) => assert_eq!(store.take::<Grown>(key)?, Some(*grown)),
                    Some(_) => return Ok(()),
                }
                self.remove(key);
            }
            Op::Rename(from, to) => match store.rename(from, to) {
                Ok(done) => {
                    assert_eq!(done, self.model.contains_key(from), "rename");
                    if let (Some(value), Some(object)) = (self.model.remove(from), self.object.remove(from)) {
                        self.model.insert(to.clone(), value);
                        self.object.insert(to.clone(), object);
                        if self.sealed.remove(from) {
                            self.sealed.insert(to.clone());
                        }
                    }
                }
                Err(Error::KeyExists { .. })
                    if self.model.contains_key(to) && self.model.contains_key(from) => {}
                Err(error) => return Err(error),
            },
            Op::Update(key, word) => self.update(store, key, *word)?,
            Op::Upgrade(key) => self.upgrade(store, key)?,
            Op::UpgradeAll => self.upgrade_all(store)?,
            Op::Batch(changes) => self.batch(store, changes)?,
            Op::Loan(key, words, publish) => {
                let mut loan = store.loan_slice::<u64>(key, words.len() as u64)?;
                assert!(loan.iter().all(|&word| word == 0), "a loan begins as zeroes");
                loan.copy_from_slice(words);
                if *publish {
                    loan.publish()?;
                    self.set(key, Value::Numbers(words.clone()));
                }
            }
            Op::Seal(key) => {
                assert_eq!(store.seal(key)?, self.model.contains_key(key), "seal");
                if self.model.contains_key(key) {
                    self.sealed.insert(key.clone());
                }
            }
            Op::Sync => {
                store.sync()?;
                self.synced();
            }
            Op::Compact(percent) => {
                let compaction = Compaction::new().fill_ratio(f64::from(*percent) / 100.0);
                let report = store.compact_with(compaction)?;
                self.synced();
                if report.left_chunks.iter().any(|(_, reason)| *reason == LeftReason::NoRoom) {
                    // Others were dropped: the report says what was refused.
                    return Err(Error::NoSpace { action: "compact", path: store.path().into(), bytes: 0 });
                }
            }
        }
        Ok(())
    }

    fn update(&mut self, store: &Store, key: &[u8], word: u64) -> Result<()> {
        let Some(old) = self.model.get(key) else {
            assert!(!store.update::<Point>(key, |_| {})?, "update of what is not there");
            return Ok(());
        };
        assert_eq!(store.is_sealed(key)?, Some(self.sealed.contains(key)), "is_sealed");
        if self.sealed.contains(key) {
            return match update(store, key, old, old) {
                Err(Error::Sealed { .. }) => Ok(()),
                // Of a store that writes no more, say.
                Err(error) => Err(error),
                Ok(()) => panic!("a sealed object was changed"),
            };
        }
        let new = updated(old, word);
        // Also when the call fails: a change may have begun.
        let versions = self.history.entry(self.object[key]).or_default();
        versions.extend([old.bytes(), new.bytes()]);
        update(store, key, old, &new)?;
        self.model.insert(key.to_vec(), new);
        Ok(())
    }

    fn upgrade(&mut self, store: &Store, key: &[u8]) -> Result<()> {
        match (store.upgrade::<Grown>(key), self.model.get(key)) {
            (Ok(true), Some(Value::Sample(sample))) => self.set(key, Value::Grown(sample.grown())),
            (Ok(false), None | Some(Value::Grown(_)))
            | (
                Err(Error::LayoutMismatch { .. }),
                Some(Value::Point(_) | Value::Wide(_) | Value::Bytes(_) | Value::Numbers(_)),
            ) => {}
            (Err(Error::Sealed { .. }), Some(Value::Sample(_))) => {
                assert!(self.sealed.contains(key), "an upgrade of what is not sealed");
            }
            (Err(error), _) => return Err(error),
            (Ok(done), old) => panic!("upgrade of {old:?}: {done}"),
        }
        Ok(())
    }

    /// What fails on the way leaves a part done; then the store says which.
    fn upgrade_all(&mut self, store: &Store) -> Result<()> {
        let samples: Vec<_> =
            self.model.iter().filter(|(_, value)| matches!(value, Value::Sample(_))).collect();
        let samples: Vec<Vec<u8>> = samples.into_iter().map(|(key, _)| key.clone()).collect();
        let (sealed, samples): (Vec<_>, Vec<_>) =
            samples.into_iter().partition(|key| self.sealed.contains(key));
        let outcome = store.upgrade_all::<Grown>();
        for key in &samples {
            let Some(Value::Sample(sample)) = self.model.get(key) else { continue };
            let grown = sample.grown();
            if outcome.is_ok() || store.load::<Grown>(key).is_ok() {
                self.set(key, Value::Grown(grown));
            }
        }
        let done = outcome?;
        assert_eq!((done.rewritten, done.left), (samples.len() as u64, sealed.len() as u64), "{done:?}");
        assert_eq!(done.seen(), self.model.len() as u64, "every object is looked at: {done:?}");
        Ok(())
    }

    fn batch(&mut self, store: &Store, changes: &[(Vec<u8>, Option<Value>)]) -> Result<()> {
        let mut batch = store.batch();
        for (key, change) in changes {
            match change {
                Some(Value::Point(value)) => batch.put(key, value)?,
                Some(Value::Sample(value)) => batch.put(key, value)?,
                Some(Value::Grown(value)) => batch.put(key, value)?,
                Some(Value::Wide(value)) => batch.put(key, &**value)?,
                Some(Value::Bytes(value)) => batch.put(key, &value[..])?,
                Some(Value::Numbers(value)) => batch.put(key, &value[..])?,
                None => batch.remove(key)?,
            }
        }
        batch.commit()?;
        for (key, change) in changes {
            match change {
                Some(value) => self.set(key, value.clone()),
                None => self.remove(key),
            }
        }
        Ok(())
    }

    fn replace(&mut self, store: &Store, key: &[u8], value: &Value) -> Result<()> {
        let old = match value {
            Value::Point(point) => store.replace(key, point).map(|old| old.map(Value::Point)),
            Value::Sample(sample) => store.replace(key, sample).map(|old| old.map(Value::Sample)),
            Value::Wide(wide) => {
                store.replace(key, &**wide).map(|old| old.map(|old| Value::Wide(Box::new(old))))
            }
            _ => return Ok(()),
        };
        match old {
            Ok(old) => assert_eq!(old.as_ref(), self.model.get(key), "replace gives the old one"),
            Err(Error::LayoutMismatch { .. })
                if self.model.get(key).is_some_and(|old| old.kind() != value.kind()) =>
            {
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        self.set(key, value.clone());
        Ok(())
    }

    /// Whether this is what may be found, with these keys of sealed objects, after a power cut at the time of `later`.
    pub fn explains(
        &self,
        found: &BTreeMap<Vec<u8>, Seen>,
        sealed: &BTreeSet<Vec<u8>>,
        later: &Self,
    ) -> bool {
        found.keys().eq(self.model.keys())
            && *sealed == self.sealed
            && found.iter().all(|(key, (name, shape, bytes))| {
                let value = &self.model[key];
                (name.as_str(), shape) == (value.kind().0, &value.kind().1)
                    && (value.bytes() == *bytes || self.may_be_after_power_cut(later, key, value, bytes))
            })
    }

    /// Whether an object may have these bytes after a power cut that took the store back to `self`: every byte is one that it
    /// had since. `later` is the state when the power went.
    pub fn may_be_after_power_cut(&self, later: &Self, key: &[u8], value: &Value, bytes: &[u8]) -> bool {
        let Some(versions) = self.object.get(key).and_then(|object| later.history.get(object)) else {
            return false;
        };
        let was = value.bytes();
        bytes.len() == was.len()
            && bytes
                .iter()
                .enumerate()
                .all(|(at, byte)| *byte == was[at] || versions.iter().any(|version| version[at] == *byte))
    }
}

/// The keys of what is sealed.
pub fn seals(store: &Store) -> BTreeSet<Vec<u8>> {
    let is_sealed = |key: &Vec<u8>| store.is_sealed(key).expect("a look-up") == Some(true);
    contents(store).into_keys().filter(is_sealed).collect()
}

fn insert_new(store: &Store, key: &[u8], value: &Value) -> Result<()> {
    match value {
        Value::Point(value) => store.insert_new(key, value),
        Value::Sample(value) => store.insert_new(key, value),
        Value::Grown(value) => store.insert_new(key, value),
        Value::Wide(value) => store.insert_new(key, &**value),
        Value::Bytes(value) => store.insert_new(key, &value[..]),
        Value::Numbers(value) => store.insert_new(key, &value[..]),
    }
}

fn put_if(store: &Store, key: &[u8], sequence: u64, value: &Value) -> Result<bool> {
    match value {
        Value::Point(value) => store.put_if(key, sequence, value),
        Value::Sample(value) => store.put_if(key, sequence, value),
        Value::Grown(value) => store.put_if(key, sequence, value),
        Value::Wide(value) => store.put_if(key, sequence, &**value),
        Value::Bytes(value) => store.put_if(key, sequence, &value[..]),
        Value::Numbers(value) => store.put_if(key, sequence, &value[..]),
    }
}

/// What an update makes of a value: small ones change in one field, large ones at both ends.
fn updated(old: &Value, word: u64) -> Value {
    let mut new = old.clone();
    match &mut new {
        Value::Point(value) => value.x = f64::from(word as u32),
        Value::Sample(value) => value.value = word,
        Value::Grown(value) => value.more = word,
        Value::Wide(value) => (value.words[0], value.words[127]) = (word, !word),
        Value::Bytes(value) => {
            let last = value.len() - 1;
            (value[0], value[last]) = (word as u8, (word >> 8) as u8);
        }
        Value::Numbers(value) => {
            let last = value.len() - 1;
            (value[0], value[last]) = (word, !word);
        }
    }
    new
}

fn update(store: &Store, key: &[u8], old: &Value, new: &Value) -> Result<()> {
    let there = match (old, new) {
        (Value::Point(_), Value::Point(new)) => store.update(key, |it: &mut Point| *it = *new)?,
        (Value::Sample(_), Value::Sample(new)) => match store.get_mut::<Sample>(key)? {
            Some(mut it) => {
                *it = *new;
                it.commit()?;
                true
            }
            None => false,
        },
        (Value::Grown(_), Value::Grown(new)) => store.update(key, |it: &mut Grown| *it = *new)?,
        (Value::Wide(_), Value::Wide(new)) => store.update(key, |it: &mut Wide| *it = **new)?,
        (Value::Bytes(_), Value::Bytes(new)) => match store.get_mut::<[u8]>(key)? {
            Some(mut it) => {
                it.copy_from_slice(new);
                it.commit()?;
                true
            }
            None => false,
        },
        (Value::Numbers(_), Value::Numbers(new)) => match store.get_mut::<[u64]>(key)? {
            Some(mut it) => {
                it.copy_from_slice(new);
                it.commit()?;
                true
            }
            None => false,
        },
        _ => unreachable!("an update keeps the type"),
    };
    assert!(there, "an object of the model is there");
    Ok(())
}
