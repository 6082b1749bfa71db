//! Sorting keys: eight bytes of each at a time, so that most comparisons are of numbers that lie side by side.

/// A key on its way to its place.
#[derive(Clone, Copy)]
struct Item {
    /// Eight bytes of the key, from the depth on that is being sorted by; zeroes behind its end.
    head: u64,
    /// How many of them are the key's; [`MORE`] when the key goes on behind them.
    length: u8,
    /// Which key it is.
    index: u32,
}

const MORE: u8 = 9;

/// Groups up to this are sorted by comparing whole keys.
const SMALL: usize = 12;

/// The keys `0..count` in order; equal keys in the order of their numbers.
pub(crate) fn sort<'k>(count: u32, key: impl Fn(u32) -> &'k [u8]) -> Vec<u32> {
    let mut items: Vec<_> = (0..count).map(|index| Item { head: 0, length: MORE, index }).collect();
    // Groups that are equal up to a depth. No recursion: keys may have 65,535 bytes in common.
    let mut groups = vec![(0, items.len(), 0)];
    while let Some((from, to, depth)) = groups.pop() {
        let group = &mut items[from..to];
        if group.len() <= SMALL {
            group.sort_unstable_by(|a, b| {
                let rest = |item: &Item| key(item.index).get(depth..).unwrap_or_default();
                rest(a).cmp(rest(b)).then(a.index.cmp(&b.index))
            });
            continue;
        }
        for item in &mut *group {
            let rest = key(item.index).get(depth..).unwrap_or_default();
            let mut word = [0; 8];
            let length = rest.len().min(8);
            word[..length].copy_from_slice(&rest[..length]);
            item.head = u64::from_be_bytes(word);
            item.length = rest.len().min(usize::from(MORE)) as u8;
        }
        group.sort_unstable_by_key(|item| (item.head, item.length, item.index));
        let mut start = 0;
        for same in group.chunk_by(|a, b| (a.head, a.length) == (b.head, b.length)) {
            if same.len() > 1 && same[0].length == MORE {
                groups.push((from + start, from + start + same.len(), depth + 8));
            }
            start += same.len();
        }
    }
    items.into_iter().map(|item| item.index).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(keys: &[Vec<u8>]) {
        let order = sort(keys.len() as u32, |index| &keys[index as usize]);
        let mut expected: Vec<_> = (0..keys.len() as u32).collect();
        expected.sort_by_key(|&index| &keys[index as usize]);
        assert_eq!(order, expected);
    }

    #[test]
    fn keys_that_differ_late_or_only_in_length_are_sorted() {
        let long = vec![b'x'; 65_535];
        let mut keys: Vec<_> = (0..40).map(|n| long[..65_535 - n / 2].to_vec()).collect();
        keys.extend((0..40).map(|n| vec![0; n % 20]));
        keys.extend([vec![], vec![0], vec![255; 8], vec![255; 9]]);
        check(&keys);
    }

    proptest! {
        #[test]
        fn the_order_is_that_of_a_stable_sort(
            keys in prop::collection::vec(prop::collection::vec(0..3_u8, 0..20), 0..200)
        ) {
            check(&keys);
        }
    }
}
