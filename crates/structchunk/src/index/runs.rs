//! Sorted runs in memory, extended as the log grows: each much smaller than the one before it, merged when it is not.

use std::cmp::Ordering;
use std::path::PathBuf;
use std::sync::Arc;

use super::run::Run;
use super::{Block, Bounds, Covered, Direction, Sorted};
use crate::format::Location;

/// All keys up to some sequence, in runs, the oldest first. Extending by n keys costs n log n, however many there are.
#[derive(Clone, Default)]
pub(crate) struct Runs {
    levels: Vec<Arc<Run>>,
    /// What the levels are to who looks now.
    snapshot: Snapshot,
    /// How far they go; `None` before the first time.
    pub covered: Option<Covered>,
    /// Where the log could not be read, first.
    pub damage: Option<(PathBuf, u64)>,
}

/// Runs that never change; a newer one counts more.
#[derive(Clone, Default)]
pub(crate) struct Snapshot(Arc<[Arc<Run>]>);

impl Runs {
    /// Adds what changed since.
    pub(crate) fn extend(&mut self, changes: &Sorted<'_>, covered: Covered) {
        self.covered = Some(covered);
        if changes.len() == 0 {
            return;
        }
        self.levels.push(Arc::new(Run::new(changes, self.levels.is_empty())));
        while let [.., older, newer] = &self.levels[..]
            && older.len() <= 2 * newer.len()
        {
            let merged = Run::merge(older, newer, self.levels.len() == 2);
            self.levels.truncate(self.levels.len() - 2);
            self.levels.push(Arc::new(merged));
        }
        self.snapshot = Snapshot(self.levels.iter().cloned().collect());
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.snapshot.clone()
    }
}

impl Snapshot {
    /// Puts the first entries of a range into a block, at most so many, seen from one end.
    pub(crate) fn fill(&self, block: &mut Block, bounds: &Bounds, direction: Direction, most: usize) {
        let from = bounds.start(direction);
        if let ([run], Direction::Forward) = (&self.0[..], direction) {
            // Mostly there is one, and then what stands side by side in it is taken at once.
            let first = run.start(from, direction);
            return run.copy_into(block, first..run.end_of(bounds, first, most));
        }
        let mut cursors: Vec<_> =
            self.0.iter().map(|run| Cursor { run, at: run.start(from, direction), direction }).collect();
        while block.len() < most {
            let Some((key, location)) = take(&mut cursors) else { break };
            if !bounds.goes_on_to(key, direction) {
                break;
            }
            if let Some(location) = Location::new(location) {
                if block.len() == 0 {
                    block.reserve(most, key);
                }
                block.push(key, location);
            }
        }
    }
}

/// Where a scan stands in one run.
struct Cursor<'r> {
    run: &'r Run,
    /// Forward, the next entry; backward, the one behind it.
    at: usize,
    direction: Direction,
}

impl<'r> Cursor<'r> {
    #[inline]
    fn peek(&self) -> Option<(&'r [u8], u64)> {
        match self.direction {
            Direction::Forward => self.run.get(self.at),
            Direction::Backward => self.run.get(self.at.checked_sub(1)?),
        }
    }

    #[inline]
    fn step(&mut self) {
        match self.direction {
            Direction::Forward => self.at += 1,
            Direction::Backward => self.at -= 1,
        }
    }
}

/// The next entry of all runs; of several with the same key, the newest.
#[inline]
fn take<'r>(cursors: &mut [Cursor<'r>]) -> Option<(&'r [u8], u64)> {
    if let [only] = cursors {
        let entry = only.peek()?;
        only.step();
        return Some(entry);
    }
    let mut next: Option<(&[u8], u64)> = None;
    for cursor in &*cursors {
        let Some((key, location)) = cursor.peek() else { continue };
        let order = next.map_or(Ordering::Less, |(next, _)| match cursor.direction {
            Direction::Forward => key.cmp(next),
            Direction::Backward => next.cmp(key),
        });
        // The later cursor is the newer run's.
        if order != Ordering::Greater {
            next = Some((key, location));
        }
    }
    let (key, location) = next?;
    for cursor in cursors {
        if cursor.peek().is_some_and(|(other, _)| other == key) {
            cursor.step();
        }
    }
    Some((key, location))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ops::Bound;

    use proptest::prelude::*;

    use super::*;
    use crate::index::Changes;

    fn covered() -> Covered {
        Covered { sequence: 0, position: Location::new(1).unwrap() }
    }

    /// Reads a range in blocks, from one end.
    fn read(
        snapshot: &Snapshot,
        mut bounds: Bounds,
        direction: Direction,
        most: usize,
    ) -> Vec<(Vec<u8>, u64)> {
        let mut all = Vec::new();
        loop {
            let mut block = Block::default();
            snapshot.fill(&mut block, &bounds, direction, most);
            if block.len() == 0 {
                return all;
            }
            while let Some((key, location)) = block.take() {
                all.push((key.to_vec(), location.get()));
            }
            bounds.pass(&all.last().unwrap().0, direction);
        }
    }

    fn bound() -> impl Strategy<Value = Bound<Vec<u8>>> {
        let key = || prop::collection::vec(0..4_u8, 0..4);
        prop_oneof![Just(Bound::Unbounded), key().prop_map(Bound::Included), key().prop_map(Bound::Excluded)]
    }

    proptest! {
        #[test]
        fn runs_hold_what_a_map_holds_however_they_grew(
            rounds in prop::collection::vec(
                prop::collection::vec((prop::collection::vec(0..4_u8, 1..4), prop::option::of(1..99_u64)), 0..30),
                0..12,
            ),
            (lower, upper) in (bound(), bound()),
            most in 1..9_usize,
        ) {
            let (mut runs, mut model) = (Runs::default(), BTreeMap::new());
            for round in rounds {
                let mut changes = Changes::default();
                for (key, value) in round {
                    changes.push(&key, value.and_then(Location::new), 1);
                    match value {
                        Some(value) => model.insert(key, value),
                        None => model.remove(&key),
                    };
                }
                runs.extend(&changes.sorted(), covered());
            }
            prop_assert!(runs.levels.len() <= 8);
            let bounds = Bounds { lower, upper };
            let inside = |key: &[u8]| bounds.is_above_lower(key) && bounds.is_below_upper(key);
            let mut expected: Vec<_> = model.into_iter().filter(|(key, _)| inside(key)).collect();
            let snapshot = runs.snapshot();
            prop_assert_eq!(&read(&snapshot, bounds.clone(), Direction::Forward, most), &expected);
            expected.reverse();
            prop_assert_eq!(&read(&snapshot, bounds.clone(), Direction::Backward, most), &expected);
        }
    }
}
