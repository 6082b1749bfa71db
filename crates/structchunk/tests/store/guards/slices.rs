//! Updates of arrays whose length is known at run time only.

use structchunk::{Error, Object, Store};

use super::is_busy;
use crate::common::{LARGEST_INLINE, folder, open};

/// Lengths in words: staged, just so, changed where they lie, and with a file of its own.
const LENGTHS: [usize; 5] = [1, 64, 65, 1000, LARGEST_INLINE as usize / 8 + 1];

fn words(store: &Store, key: &str) -> Vec<u64> {
    store.get::<[u64]>(key).unwrap().expect("an object").to_vec()
}

#[test]
fn an_update_changes_slices_of_any_length_and_small_ones_wholly_or_not_at_all() {
    let folder = folder();
    let store = open(folder.path());
    for length in LENGTHS {
        let key = length.to_string();
        store.put(&key, &vec![1_u64; length][..]).unwrap();
        assert!(store.update(&key, |words: &mut [u64]| words[length - 1] += length as u64).unwrap());
        let mut expected = vec![1; length];
        expected[length - 1] += length as u64;
        assert_eq!(words(&store, &key), expected);
        let panicking = || {
            store.update(&key, |words: &mut [u64]| {
                words.fill(9);
                panic!("in the middle");
            })
        };
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(panicking)).is_err());
        assert_eq!(words(&store, &key), if length <= 64 { expected } else { vec![9; length] });
        let guard = store.get::<[u64]>(&key).unwrap();
        is_busy(store.try_update(&key, |_: &mut [u64]| panic!("it is referred to")), &key);
        drop(guard);
        for outcome in [
            store.update(&key, |_: &mut [i64]| panic!("it is none")),
            store.update(&key, |_: &mut u64| panic!("it is none")),
            store.update(&key, |_: &mut [u64; 63]| panic!("it is none")),
        ] {
            assert!(matches!(outcome, Err(Error::LayoutMismatch { .. })), "{length}: {outcome:?}");
        }
    }
    assert!(!store.update("nothing", |_: &mut [u64]| panic!("there is none")).unwrap());
    assert!(store.seal("64").unwrap());
    let outcome = store.update("64", |_: &mut [u64]| panic!("it is sealed"));
    assert!(matches!(outcome, Err(Error::Sealed { .. })), "{outcome:?}");
}

#[derive(Object, Clone, Copy)]
#[repr(C, align(64))]
struct Line {
    words: [u64; 8],
}

#[derive(Object, Clone, Copy)]
#[repr(C, align(256))]
struct Lines {
    words: [u64; 32],
}

/// What is changed lies where its type asks for.
#[test]
fn what_is_staged_is_aligned_as_its_type_asks() {
    let folder = folder();
    let store = open(folder.path());
    store.put("line", &Line { words: [1; 8] }).unwrap();
    store.put("lines", &Lines { words: [1; 32] }).unwrap();
    store.put("many lines", &[Lines { words: [1; 32] }; 2][..]).unwrap();
    let is_aligned = |at: *const u8, align: usize| assert!(at.addr().is_multiple_of(align), "{at:?}");
    for _ in 0..10 {
        let raise_line = |line: &mut Line| {
            is_aligned(line.words.as_ptr().cast(), 64);
            line.words[7] += 1;
        };
        let raise_lines = |lines: &mut Lines| {
            is_aligned(lines.words.as_ptr().cast(), 256);
            lines.words[31] += 1;
        };
        assert!(store.update("line", raise_line).unwrap());
        assert!(store.update("lines", raise_lines).unwrap());
        assert!(
            store.update("many lines", |all: &mut [Lines]| all.iter_mut().for_each(raise_lines)).unwrap()
        );
    }
    assert_eq!(store.load::<Line>("line").unwrap().unwrap().words, [1, 1, 1, 1, 1, 1, 1, 11]);
    assert_eq!(store.load::<Lines>("lines").unwrap().unwrap().words[30..], [1, 11]);
    assert_eq!(store.load::<[Lines; 2]>("many lines").unwrap().unwrap()[1].words[30..], [1, 11]);
}
