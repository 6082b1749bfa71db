//! One look at every object of a store.

use std::collections::BTreeMap;

use structchunk::{Entry, Error, Iter, StoredType};

use crate::failure::Failure;
use crate::progress::Progress;
use crate::reading::Reading;

/// How often progress is told, in objects.
const STRIDE: u64 = 1 << 14;

/// Shows each of so many objects to `visit`. Where the log is damaged, goes on behind it and returns the first damage at the end.
pub fn each_object<'a>(objects: u64, scan: Iter<'a>, mut visit: impl FnMut(Entry<'a>)) -> Option<Error> {
    let progress = Progress::of(objects, "reading");
    let mut damage = None;
    for (count, entry) in (0_u64..).zip(scan) {
        match entry {
            Ok(entry) => visit(entry),
            Err(error) => {
                damage.get_or_insert(error);
            }
        }
        if count % STRIDE == 0 {
            progress.at(count);
        }
    }
    damage
}

/// The types of a store.
pub struct TypeSurvey {
    pub types: Vec<CountedType>,
    /// The first damage met while they were counted.
    pub damage: Option<Error>,
}

/// A type, and how many objects it has.
pub struct CountedType {
    pub stored: StoredType,
    pub objects: u64,
}

/// Counts the objects of every type.
pub fn count_types(store: &Reading) -> Result<TypeSurvey, Failure> {
    let (mut counts, mut unreadable) = (BTreeMap::new(), None);
    let damage = each_object(store.len()?, store.scan()?, |entry| {
        *counts.entry(entry.type_number()).or_insert(0) += 1;
        if let Err(error) = entry.layout() {
            unreadable.get_or_insert(error);
        }
    });
    let types = store.types()?.into_iter();
    let counted =
        types.map(|stored| CountedType { objects: counts.get(&stored.number).copied().unwrap_or(0), stored });
    Ok(TypeSurvey { types: counted.collect(), damage: damage.or(unreadable) })
}
