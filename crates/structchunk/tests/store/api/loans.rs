//! Memory that is filled in place and then published.

use structchunk::{Error, Space, Store};

use super::on_both;
use crate::common::{Point, Wide};

#[test]
fn a_loan_begins_as_zeroes_and_is_an_object_once_it_is_published() {
    on_both(|store| {
        let mut loan = store.loan::<Wide>("w").unwrap();
        assert_eq!((loan.words, loan.key()), ([0; 128], &b"w"[..]));
        loan.words[3] = 7;
        assert!(!store.contains("w").unwrap() && store.iter().unwrap().next().is_none());
        loan.publish().unwrap();
        assert_eq!(store.load::<Wide>("w").unwrap().unwrap().words[..5], [0, 0, 0, 7, 0]);
        let mut loan = store.loan_slice::<u32>("large", 100_000).unwrap();
        assert!(loan.iter().all(|&word| word == 0));
        loan[99_999] = 5;
        loan.publish().unwrap();
        assert_eq!(store.get::<[u32]>("large").unwrap().unwrap()[99_999], 5);
    });
}

#[test]
fn a_published_loan_takes_the_place_of_what_is_there_then() {
    on_both(|store| {
        let loan = store.loan::<Point>("k").unwrap();
        store.put("k", &Wide { words: [1; 128] }).unwrap();
        loan.publish().unwrap();
        assert_eq!(store.load::<Point>("k").unwrap(), Some(Point { x: 0.0, y: 0.0 }));
        assert_eq!(store.len(), 1);
    });
}

#[test]
fn a_dropped_loan_changes_nothing() {
    on_both(|store| {
        store.put("k", &1_u64).unwrap();
        let sequence = store.stats().unwrap().sequence;
        let mut loan = store.loan::<u64>("k").unwrap();
        *loan = 2;
        drop(loan);
        drop(store.loan_slice::<u64>("k", 1 << 20).unwrap());
        assert_eq!((store.load::<u64>("k").unwrap(), store.stats().unwrap().sequence), (Some(1), sequence));
        assert_eq!(store.stats().unwrap().bodies, 0);
    });
}

#[test]
fn loans_of_arrays_keep_their_shape() {
    on_both(|store| {
        let mut loan = store.loan_array::<[f32; 2]>("grid", &[3, 4], Space::Auto).unwrap();
        assert_eq!(loan.len(), 12);
        loan[11] = [1.0, 2.0];
        loan.publish().unwrap();
        let entry = store.iter().unwrap().next().unwrap().unwrap();
        assert_eq!((entry.shape(), entry.len().unwrap()), (Some(vec![3, 4, 2]), 96));
        let seen = store.get::<[f32]>("grid").unwrap().unwrap();
        assert_eq!((seen.len(), seen[23]), (24, 2.0));
        // A type that is an array by itself.
        let mut loan = store.loan::<[u16; 5]>("five").unwrap();
        loan[4] = 9;
        loan.publish().unwrap();
        assert_eq!(store.load::<[u16; 5]>("five").unwrap(), Some([0, 0, 0, 0, 9]));
    });
}

#[test]
fn objects_without_bytes_and_arrays_that_cannot_be_are_refused() {
    on_both(|store| {
        assert!(matches!(store.put("k", &[0_u8; 0][..]), Err(Error::Empty { key }) if key == b"k"));
        assert!(matches!(store.batch().put("k", &[0_u64; 0][..]), Err(Error::Empty { .. })));
        assert!(matches!(store.loan_slice::<u64>("k", 0), Err(Error::Empty { .. })));
        assert!(matches!(store.loan_array::<u64>("k", &[5, 0, 7], Space::Auto), Err(Error::Empty { .. })));
        for shape in [&[u64::MAX][..], &[1 << 40, 1 << 40], &[u64::MAX, u64::MAX, 2]] {
            let refused = store.loan_array::<u64>("k", shape, Space::Sparse);
            assert!(matches!(refused, Err(Error::TooLarge { .. })), "{shape:?}: {:?}", refused.err());
            let text = refused.unwrap_err().to_string();
            assert_eq!(text, "an array of 2^64 bytes or more; at most 9223372036854775807 are possible");
        }
        let text = store.loan_array::<u8>("k", &[1; 14], Space::Auto).unwrap_err().to_string();
        assert_eq!(text, "an array of 14 dimensions; at most 13 are possible");
        store.loan_array::<u8>("k", &[1; 13], Space::Auto).unwrap().publish().unwrap();
        assert_eq!(store.len(), 1);
    });
}

#[test]
fn a_batch_keeps_arrays_of_the_most_dimensions() {
    let store = Store::in_memory().unwrap();
    store.loan_array::<u8>("k", &[1; 13], Space::Auto).unwrap().publish().unwrap();
    assert!(store.rename("k", "l").unwrap());
    assert_eq!(store.iter().unwrap().next().unwrap().unwrap().shape(), Some(vec![1; 13]));
}
