//! Scans of a store that stands still; `guards` has those of one that does not.

use structchunk::{Bool, Object};

use super::on_both;
use crate::common::{Point, Sample, Value, contents};

#[test]
fn a_scan_yields_every_object_once_in_the_order_of_the_last_puts() {
    on_both(|store| {
        for n in 0..10_u32 {
            store.put(format!("{n}"), &n).unwrap();
        }
        store.put("3", &33_u32).unwrap();
        store.remove("5").unwrap();
        store.rename("1", "one").unwrap();
        store.update("2", |n: &mut u32| *n = 22).unwrap();
        let seen = store.iter().unwrap().map(|entry| {
            let entry = entry.unwrap();
            (String::from_utf8(entry.key().to_vec()).unwrap(), entry.load::<u32>().unwrap())
        });
        let expected =
            [("0", 0), ("2", 22), ("4", 4), ("6", 6), ("7", 7), ("8", 8), ("9", 9), ("3", 33), ("one", 1)];
        assert_eq!(seen.collect::<Vec<_>>(), expected.map(|(key, n)| (key.to_owned(), n)));
    });
}

#[test]
fn an_entry_tells_type_shape_length_and_bytes() {
    #[derive(Object, Clone, Copy)]
    #[object(name = "Shown as this")]
    #[repr(C)]
    struct Named {
        flag: Bool,
        _pad: [u8; 3],
        x: u32,
    }
    on_both(|store| {
        store.put("k", &Named { flag: Bool::TRUE, _pad: [0; 3], x: 0x0403_0201 }).unwrap();
        store.put("a", &[[1_u16, 2, 3], [4, 5, 6]]).unwrap();
        let entries: Vec<_> = store.iter().unwrap().map(Result::unwrap).collect();
        let named = &entries[0];
        assert_eq!(
            (named.type_name().unwrap(), named.shape(), named.len().unwrap()),
            ("Shown as this", None, 8)
        );
        assert_eq!((named.fingerprint().unwrap(), named.is_empty().unwrap()), (Named::FINGERPRINT, false));
        assert_eq!(named.layout().unwrap().size(), 8);
        assert_eq!(
            (named.bytes(100).unwrap(), named.bytes(2).unwrap()),
            (vec![1, 0, 0, 0, 1, 2, 3, 4], vec![1, 0])
        );
        assert_eq!(Some(named.sequence()), store.sequence("k").unwrap());
        assert_eq!(named.get::<Named>().unwrap().unwrap().x, 0x0403_0201);
        let array = &entries[1];
        assert_eq!(
            (array.type_name().unwrap(), array.shape(), array.len().unwrap()),
            ("u2", Some(vec![2, 3]), 12)
        );
        assert_eq!(format!("{array:?}"), "Entry { key: \"a\", .. }");
    });
}

#[test]
fn iter_of_steps_over_other_types() {
    on_both(|store| {
        for n in 0..20_u32 {
            store.put(format!("n{n}"), &n).unwrap();
            store.put(format!("p{n}"), &Point { x: f64::from(n), y: 0.0 }).unwrap();
            store.put(format!("a{n}"), &[n]).unwrap();
        }
        let found: Vec<_> = store.iter_of::<u32>().unwrap().map(Result::unwrap).collect();
        let expected: Vec<_> = (0..20).map(|n| (format!("n{n}").into_bytes(), n)).collect();
        assert_eq!(found, expected);
        assert_eq!(store.iter_of::<Sample>().unwrap().count(), 0);
        assert_eq!(store.iter_of::<[u32; 1]>().unwrap().count(), 20);
        let counts: Vec<_> = store.count_by_type().unwrap().into_values().collect();
        assert_eq!(counts, [40, 20], "an array is of the type of its elements");
    });
}

#[test]
fn everything_that_was_put_is_in_a_scan_whatever_its_kind() {
    on_both(|store| {
        for seed in 0..200 {
            Value::from_seed(seed).put(store, &seed.to_le_bytes()).unwrap();
        }
        let seen = contents(store);
        assert_eq!(seen.len(), 200);
        for seed in 0..200_u64 {
            let value = Value::from_seed(seed);
            let (name, shape) = value.kind();
            assert!(seen[&seed.to_le_bytes()[..]] == (name.to_owned(), shape, value.bytes()), "seed {seed}");
        }
    });
}

#[test]
fn types_lists_each_layout_once() {
    on_both(|store| {
        assert!(store.types().unwrap().is_empty());
        for n in 0..5_u64 {
            store.put(n.to_le_bytes(), &Point { x: 0.0, y: 0.0 }).unwrap();
            store.put("s", &n).unwrap();
            store.put("a", &[n][..]).unwrap();
        }
        let types = store.types().unwrap();
        let names: Vec<_> = types.iter().map(|stored| stored.layout.name().to_owned()).collect();
        assert_eq!(names, ["Point", "u8"]);
        assert_eq!((types[0].number, types[0].fingerprint), (1, Point::FINGERPRINT));
    });
}
