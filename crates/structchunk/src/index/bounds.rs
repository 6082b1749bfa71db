//! Ranges of keys.

use std::cmp::Ordering;
use std::ops::{Bound, RangeBounds};

use super::Direction;

/// A range of keys, owned. It may be empty or inverted: nothing lies in it then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub lower: Bound<Vec<u8>>,
    pub upper: Bound<Vec<u8>>,
}

impl Bounds {
    pub(crate) fn new<K: AsRef<[u8]>>(range: &impl RangeBounds<K>) -> Self {
        let own = |bound: Bound<&K>| bound.map(|key| key.as_ref().to_vec());
        Self { lower: own(range.start_bound()), upper: own(range.end_bound()) }
    }

    /// All keys that begin with `prefix`.
    pub(crate) fn of_prefix(prefix: &[u8]) -> Self {
        let mut after = prefix.to_vec();
        // The first key behind them: the last byte that can be raised is, what follows goes.
        while after.last() == Some(&u8::MAX) {
            after.pop();
        }
        let upper = match after.last_mut() {
            Some(last) => {
                *last += 1;
                Bound::Excluded(after)
            }
            None => Bound::Unbounded,
        };
        Self { lower: Bound::Included(prefix.to_vec()), upper }
    }

    pub(crate) fn is_everything(&self) -> bool {
        let lowest = match &self.lower {
            Bound::Unbounded => true,
            Bound::Included(key) => key.is_empty(),
            Bound::Excluded(_) => false,
        };
        lowest && self.upper == Bound::Unbounded
    }

    /// Whether a key is not below the range.
    #[inline]
    pub(crate) fn is_above_lower(&self, key: &[u8]) -> bool {
        match &self.lower {
            Bound::Unbounded => true,
            Bound::Included(lower) => key >= &lower[..],
            Bound::Excluded(lower) => key > &lower[..],
        }
    }

    /// Whether a key is not above the range.
    #[inline]
    pub(crate) fn is_below_upper(&self, key: &[u8]) -> bool {
        match &self.upper {
            Bound::Unbounded => true,
            Bound::Included(upper) => key <= &upper[..],
            Bound::Excluded(upper) => key < &upper[..],
        }
    }

    /// Whether a key lies in the range, as far as one can tell who comes from the other end.
    #[inline]
    pub(crate) fn goes_on_to(&self, key: &[u8], direction: Direction) -> bool {
        match direction {
            Direction::Forward => self.is_below_upper(key),
            Direction::Backward => self.is_above_lower(key),
        }
    }

    /// Where a scan begins that goes this way.
    pub(crate) fn start(&self, direction: Direction) -> Bound<&[u8]> {
        let bound = match direction {
            Direction::Forward => &self.lower,
            Direction::Backward => &self.upper,
        };
        bound.as_ref().map(|key| &key[..])
    }

    /// Whether nothing can lie in the range.
    pub(crate) fn is_empty(&self) -> bool {
        let (Bound::Included(lower) | Bound::Excluded(lower)) = &self.lower else { return false };
        let (Bound::Included(upper) | Bound::Excluded(upper)) = &self.upper else { return false };
        match lower.cmp(upper) {
            Ordering::Less => false,
            Ordering::Greater => true,
            Ordering::Equal => {
                !matches!((&self.lower, &self.upper), (Bound::Included(_), Bound::Included(_)))
            }
        }
    }

    /// Takes everything up to `key` out, coming from one end. What the bound was made of is used again.
    #[inline]
    pub(crate) fn pass(&mut self, key: &[u8], direction: Direction) {
        let bound = match direction {
            Direction::Forward => &mut self.lower,
            Direction::Backward => &mut self.upper,
        };
        if let Bound::Excluded(passed) = bound {
            passed.clear();
            passed.extend_from_slice(key);
        } else {
            *bound = Bound::Excluded(key.to_vec());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_before_the_first_key_that_does_not_have_it() {
        let upper = |prefix: &[u8]| Bounds::of_prefix(prefix).upper;
        assert_eq!(upper(b"ab"), Bound::Excluded(b"ac".to_vec()));
        assert_eq!(upper(b"a\xff\xff"), Bound::Excluded(b"b".to_vec()));
        assert_eq!(upper(b"\xff\xff"), Bound::Unbounded);
        assert_eq!(upper(b""), Bound::Unbounded);
        assert!(Bounds::of_prefix(b"").is_everything() && !Bounds::of_prefix(b"\xff").is_everything());
        let bounds = Bounds::of_prefix(b"a\xff");
        for (key, inside) in [(&b"a"[..], false), (b"a\xff", true), (b"a\xff\xff\xff", true), (b"b", false)] {
            assert_eq!(bounds.is_above_lower(key) && bounds.is_below_upper(key), inside, "{key:?}");
        }
    }

    #[test]
    fn inverted_and_empty_ranges_are_known_as_such() {
        assert!(Bounds::new(&("b".."a")).is_empty());
        assert!(Bounds::new(&("a".."a")).is_empty());
        assert!(!Bounds::new(&("a"..="a")).is_empty());
        assert!(!Bounds::new(&("a"..)).is_empty());
        assert!(Bounds::new::<&str>(&(Bound::Excluded("a"), Bound::Included("a"))).is_empty());
    }

    #[test]
    fn what_was_passed_lies_in_the_range_no_more() {
        let mut bounds = Bounds::new(&("a".."z"));
        bounds.pass(b"c", Direction::Forward);
        bounds.pass(b"x", Direction::Backward);
        for (key, inside) in [("b", false), ("c", false), ("c\0", true), ("wz", true), ("x", false)] {
            let key = key.as_bytes();
            assert_eq!(bounds.is_above_lower(key) && bounds.is_below_upper(key), inside, "{key:?}");
        }
    }
}
