//! A table from 32-bit numbers to values that are added once and stay while anybody may look: look-ups take no lock.

use std::sync::OnceLock;

use crate::disk::no_fork;

const TOP_BITS: u32 = 10;
const MIDDLE_BITS: u32 = 11;
const LEAF_BITS: u32 = 11;

type Leaf<V> = Box<[OnceLock<V>; 1 << LEAF_BITS]>;
type Middle<V> = Box<[OnceLock<Leaf<V>>; 1 << MIDDLE_BITS]>;

/// Three levels of arrays that are made where they are needed (a radix tree of fixed height). The lowest numbers, mostly all that
/// there are, have an array of their own. A value takes its room in the table before it is there, so it had better be small.
pub(crate) struct SparseTable<V> {
    low: Leaf<V>,
    top: Box<[OnceLock<Middle<V>>; 1 << TOP_BITS]>,
}

impl<V> SparseTable<V> {
    pub(crate) fn new() -> Self {
        Self { low: empty(), top: empty() }
    }

    /// The value under a number.
    #[inline]
    pub(crate) fn get(&self, number: u32) -> Option<&V> {
        if let Some(place) = self.low.get(number as usize) {
            return place.get();
        }
        let (top, middle, leaf) = split(number);
        self.top[top].get()?[middle].get()?[leaf].get()
    }

    /// Adds a value, or gives the one that was there first.
    pub(crate) fn insert(&self, number: u32, value: V) -> &V {
        // A child would wait for ever for what another thread was just adding.
        let _no_fork = no_fork();
        if let Some(place) = self.low.get(number as usize) {
            return place.get_or_init(|| value);
        }
        let (top, middle, leaf) = split(number);
        let middles = self.top[top].get_or_init(empty);
        let leaves = middles[middle].get_or_init(empty);
        leaves[leaf].get_or_init(|| value)
    }

    /// Takes a value out again: nobody can refer to it any more.
    pub(crate) fn take(&mut self, number: u32) -> Option<V> {
        if let Some(place) = self.low.get_mut(number as usize) {
            return place.take();
        }
        let (top, middle, leaf) = split(number);
        self.top[top].get_mut()?[middle].get_mut()?[leaf].take()
    }
}

fn split(number: u32) -> (usize, usize, usize) {
    let field = |shift: u32, bits: u32| (number >> shift & ((1 << bits) - 1)) as usize;
    (field(MIDDLE_BITS + LEAF_BITS, TOP_BITS), field(LEAF_BITS, MIDDLE_BITS), field(0, LEAF_BITS))
}

#[expect(clippy::unnecessary_box_returns, reason = "on the stack it would take a hundred kilobytes")]
fn empty<T, const N: usize>() -> Box<[OnceLock<T>; N]> {
    let places: Box<[_]> = std::iter::repeat_with(OnceLock::new).take(N).collect();
    places.try_into().unwrap_or_else(|_| unreachable!("there are N of them"))
}

#[cfg(test)]
mod tests {
    use super::SparseTable;

    #[test]
    fn values_are_found_under_their_numbers_and_the_first_one_stays() {
        let mut table = SparseTable::new();
        let numbers = [0, 1, 2047, 2048, 1 << 22, u32::MAX];
        for number in numbers {
            assert_eq!(table.get(number), None);
            assert_eq!(table.insert(number, u64::from(number) + 1), &(u64::from(number) + 1));
        }
        assert_eq!(table.insert(1, 99), &2);
        assert_eq!(table.get(2), None);
        for number in numbers {
            assert_eq!(table.take(number), Some(u64::from(number) + 1));
            assert_eq!((table.take(number), table.get(number)), (None, None));
        }
    }
}
