//! Many threads on the same keys: nobody sees a mixture of two values.

use std::time::Duration;

use structchunk::Object;

use super::race;
use crate::common::{Random, cases, folder, open, open_with, options};

/// A small object whose parts belong together; large ones are arrays of it.
#[derive(Object, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
struct Whole {
    number: u64,
    text: [u8; 24],
    sum: u64,
    tail: u32,
    pair: [u16; 2],
}

impl Whole {
    fn new(number: u64) -> Self {
        let byte = (number % 251) as u8;
        let pair = [number as u16, !(number as u16)];
        Self { number, text: [byte; 24], sum: number.wrapping_mul(0x9e37_79b9), tail: !(number as u32), pair }
    }

    fn is_whole(&self) -> bool {
        *self == Self::new(self.number)
    }
}

/// 576 bytes: changed where it lies.
type Many = [Whole; 12];

fn is_whole(many: &Many) -> bool {
    many.iter().all(|one| one.is_whole() && one.number == many[0].number)
}

#[test]
fn reads_are_never_torn_whoever_writes_how() {
    const KEYS: u64 = 4;
    let folder = folder();
    // However many others want the processor.
    let store = open_with(options().busy_timeout(Duration::from_secs(20)), folder.path()).unwrap();
    let keys = |random: &mut Random| {
        (format!("small/{}", random.below(KEYS)), format!("large/{}", random.below(KEYS)))
    };
    for n in 0..KEYS {
        store.put(format!("small/{n}"), &Whole::new(n)).unwrap();
        store.put(format!("large/{n}"), &[Whole::new(n); 12]).unwrap();
    }
    let write = |random: &mut Random| {
        let number = random.next();
        let (small, large) = keys(random);
        let set = |many: &mut Many| {
            assert!(is_whole(many));
            many.fill(Whole::new(number));
        };
        match random.below(7) {
            0 => store.put(small, &Whole::new(number)).unwrap(),
            1 | 2 => drop(store.update(small, |one: &mut Whole| *one = Whole::new(number)).unwrap()),
            3 => store.put(large, &[Whole::new(number); 12]).unwrap(),
            4 => drop(store.update(large, set).unwrap()),
            5 => set(&mut store.get_mut::<Many>(large).unwrap().unwrap()),
            _ => {
                let mut batch = store.batch();
                batch.put(small, &Whole::new(number)).unwrap();
                batch.put(large, &[Whole::new(number); 12]).unwrap();
                batch.commit().unwrap();
            }
        }
    };
    let read = |random: &mut Random| {
        let (small, large) = keys(random);
        match random.below(5) {
            0 => assert!(store.load::<Whole>(small).unwrap().unwrap().is_whole()),
            1 => assert!(is_whole(&store.load::<Many>(large).unwrap().unwrap())),
            2 => {
                let guard = store.get::<Whole>(small).unwrap().unwrap();
                assert!((0..10).all(|_| guard.is_whole()));
            }
            3 => {
                let guard = store.get::<Many>(large).unwrap().unwrap();
                assert!((0..3).all(|_| is_whole(&guard)));
            }
            _ => {
                let keys: Vec<_> = (0..KEYS).map(|n| format!("small/{n}")).collect();
                let all = store.load_many::<Whole, _>(&keys).unwrap();
                assert!(all.iter().all(|one| one.unwrap().is_whole()));
            }
        }
    };
    race(2, cases(6000), write, 2, read);
    assert_eq!(store.check().unwrap().count(), 0);
}

#[test]
fn large_objects_are_found_while_they_are_replaced_renamed_and_given_back() {
    let folder = folder();
    let store = open(folder.path());
    let array = |number: u64| vec![number; 5000];
    store.put("k", &array(0)[..]).unwrap();
    store.put("there", &array(0)[..]).unwrap();
    let write = |random: &mut Random| {
        match random.below(3) {
            0 => store.put("k", &array(random.next())[..]).unwrap(),
            1 => drop(store.rename("there", "here").unwrap() || store.rename("here", "there").unwrap()),
            _ => store.put("small", &1_u8).unwrap(),
        }
        store.sync().unwrap();
    };
    let read = |_: &mut Random| {
        let copy = store.load_many::<[u64; 5000], _>(&["k"]).unwrap()[0].unwrap();
        assert!(copy.iter().all(|&word| word == copy[0]));
        let copy = store.load::<[u64; 5000]>("k").unwrap().unwrap();
        assert!(copy.iter().all(|&word| word == copy[0]));
        let guard = store.get::<[u64]>("k").unwrap().unwrap();
        assert!(guard.iter().all(|&word| word == guard[0]));
    };
    race(1, cases(1000), write, 2, read);
    store.close().unwrap();
}
