//! An object is never seen as a type it is not.

use structchunk::{Error, Object, Store};

use super::on_both;
use crate::common::{LARGEST_INLINE, Point, folder, open};

fn mismatch<T: structchunk::Plain + ?Sized>(store: &Store, key: &str) -> String {
    match store.get::<T>(key) {
        Err(error @ Error::LayoutMismatch { .. }) => error.to_string(),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("{key} was taken for another type"),
    }
}

#[derive(Object, Clone, Copy)]
#[object(name = "Point")]
#[repr(C)]
struct Renamed {
    x: f64,
    z: f64,
}

#[derive(Object, Clone, Copy)]
#[repr(C)]
struct Outer {
    id: u64,
    at: Renamed,
}

#[derive(Object, Clone, Copy)]
#[object(name = "Outer")]
#[repr(C)]
struct OtherOuter {
    id: u64,
    at: Point,
}

#[test]
fn a_mismatch_names_the_type_the_first_field_that_differs_and_both_sides() {
    on_both(|store| {
        store.put("p", &Point { x: 0.0, y: 0.0 }).unwrap();
        store.put("o", &Outer { id: 1, at: Renamed { x: 0.0, z: 0.0 } }).unwrap();
        let head = "object \"p\": stored as Point, asked for as ";
        assert_eq!(
            mismatch::<Renamed>(store, "p"),
            format!("{head}Point: field y is y: f8 at 8 in the store, z: f8 at 8 in the program")
        );
        let text = mismatch::<[u32; 4]>(store, "p");
        assert!(text.starts_with(&format!("{head}u4: field x is ")), "{text}");
        let text = mismatch::<OtherOuter>(store, "o");
        assert!(text.contains("stored as Outer, asked for as Outer: field at.z is "), "{text}");
        assert!(text.contains("in the store") && text.contains("in the program"), "{text}");
    });
}

#[test]
fn every_way_to_an_object_checks_its_type() {
    on_both(|store| {
        store.put("k", &Point { x: 1.0, y: 2.0 }).unwrap();
        let refused = |error: Option<Error>| assert!(matches!(error, Some(Error::LayoutMismatch { .. })));
        refused(store.load::<Renamed>("k").err());
        refused(store.load_many::<Renamed, _>(&["k"]).err());
        refused(store.get::<Renamed>("k").err());
        refused(store.try_get::<Renamed>("k").err());
        refused(store.get_owned::<Renamed>("k").err());
        refused(store.get_mut::<Renamed>("k").err());
        refused(store.try_get_mut::<Renamed>("k").err());
        refused(store.update("k", |_: &mut Renamed| unreachable!()).err());
        refused(store.get_atomic::<crate::common::Counter>("k").err());
        refused(store.take::<Renamed>("k").err());
        refused(store.batch().load::<Renamed>("k").err());
        let entry = store.iter().unwrap().next().unwrap().unwrap();
        refused(entry.load::<Renamed>().err());
        refused(entry.get::<Renamed>().err());
        assert_eq!(store.load("k").unwrap(), Some(Point { x: 1.0, y: 2.0 }));
    });
}

#[test]
fn a_value_is_no_array_of_one_and_arrays_have_one_length() {
    on_both(|store| {
        store.put("one", &7_u32).unwrap();
        store.put("array", &[7_u32]).unwrap();
        store.put("four", &[1_u32, 2, 3, 4]).unwrap();
        assert!(
            mismatch::<[u32; 1]>(store, "one")
                .ends_with("no array in the store, an array [1] in the program")
        );
        assert!(mismatch::<[u32]>(store, "one").ends_with("no array in the store, an array in the program"));
        assert!(
            mismatch::<u32>(store, "array").ends_with("an array [1] in the store, no array in the program")
        );
        let text = mismatch::<[u32; 5]>(store, "four");
        assert!(
            text.ends_with(
                "an array [4] of 16 bytes in the store, an array [5] of elements of 4 bytes in the program"
            ),
            "{text}"
        );
        assert!(store.load::<[u32; 5]>("four").is_err() && store.load::<[u32; 3]>("four").is_err());
        assert_eq!(store.load::<[u32; 4]>("four").unwrap(), Some([1, 2, 3, 4]));
        assert_eq!(store.load::<[u32; 1]>("array").unwrap(), Some([7]));
        // Signed is another kind.
        assert!(mismatch::<[i32; 4]>(store, "four").contains("u4"));
    });
}

#[test]
fn nested_arrays_are_seen_as_slices_of_items_that_fit() {
    on_both(|store| {
        store.put("k", &[[1_u16, 2, 3], [4, 5, 6]]).unwrap();
        assert_eq!(store.get::<[u16]>("k").unwrap().unwrap()[..], [1, 2, 3, 4, 5, 6]);
        assert_eq!(store.get::<[[u16; 3]]>("k").unwrap().unwrap()[1], [4, 5, 6]);
        assert_eq!(store.load::<[[u16; 3]; 2]>("k").unwrap(), Some([[1, 2, 3], [4, 5, 6]]));
        assert!(mismatch::<[[u16; 4]]>(store, "k").contains("an array [2, 3] of 12 bytes"));
        store.get_mut::<[u16]>("k").unwrap().unwrap()[5] = 60;
        assert_eq!(store.load::<[u16; 6]>("k").unwrap().unwrap()[5], 60);
    });
}

macro_rules! aligned {
    ($name:ident, $align:literal, $bytes:literal) => {
        #[derive(Object, Clone, Copy, Debug, PartialEq)]
        #[repr(C, align($align))]
        struct $name {
            bytes: [u8; $bytes],
        }

        impl $name {
            fn filled(byte: u8) -> Self {
                Self { bytes: [byte; $bytes] }
            }
        }
    };
}

aligned!(Line, 64, 64);
aligned!(Block, 512, 512);
aligned!(Page, 4096, 4096);

fn is_aligned<T>(object: &T) -> bool {
    std::ptr::from_ref(object).is_aligned()
}

#[test]
fn alignments_up_to_4096_are_kept_inline_staged_and_in_bodies() {
    let folder = folder();
    let store = open(folder.path());
    for n in 0..20_u8 {
        // Keys of all lengths shift what follows them.
        let key = |kind: &str| format!("{kind}{}{n}", "k".repeat(n.into()));
        store.put(key("line"), &Line::filled(n)).unwrap();
        store.put(key("block"), &Block::filled(n)).unwrap();
        store.put(key("page"), &Page::filled(n)).unwrap();
        store.loan::<Page>(key("loaned")).unwrap().publish().unwrap();
        let pages = vec![Page::filled(n); (LARGEST_INLINE / 4096) as usize + 1];
        store.put(key("pages"), &pages[..]).unwrap();
        assert!(is_aligned(&*store.get::<Line>(key("line")).unwrap().unwrap()));
        let mut block = store.get_mut::<Block>(key("block")).unwrap().unwrap();
        assert!(is_aligned(&*block), "a staged copy is aligned as well");
        block.bytes[511] = 99;
        drop(block);
        assert!(is_aligned(&*store.get::<Block>(key("block")).unwrap().unwrap()));
        assert!(is_aligned(&*store.get_mut::<Page>(key("page")).unwrap().unwrap()));
        let body = store.get::<[Page]>(key("pages")).unwrap().unwrap();
        assert!(is_aligned(&body[0]) && body.last() == Some(&Page::filled(n)));
        let mut loan = store.loan::<Line>("loan").unwrap();
        assert!(is_aligned(&*loan));
        loan.bytes[0] = 1;
        assert!(store.rename(key("page"), key("moved")).unwrap());
        assert_eq!(store.load::<Page>(key("moved")).unwrap(), Some(Page::filled(n)));
        assert!(is_aligned(&*store.get::<Page>(key("moved")).unwrap().unwrap()));
        assert_eq!(store.load::<Block>(key("block")).unwrap().unwrap().bytes[510..], [n, 99]);
    }
    assert_eq!(store.check().unwrap().count(), 0);
}

#[test]
fn an_object_stored_with_less_alignment_is_misaligned_until_it_is_put_again() {
    #[derive(Object, Clone, Copy)]
    #[object(name = "Line")]
    #[repr(C)]
    struct Loose {
        bytes: [u8; 64],
    }
    on_both(|store| {
        let mut refused = 0;
        for n in 0..8 {
            let key = "k".repeat(1 + 16 * n);
            store.put(&key, &Loose { bytes: [n as u8; 64] }).unwrap();
            match store.get::<Line>(&key) {
                Ok(line) => assert!(is_aligned(&*line.unwrap())),
                Err(error) => {
                    let Error::Misaligned { required: 64, found: 16, .. } = error else { panic!("{error}") };
                    let text =
                        format!("object \"{key}\" is aligned to 16 bytes, 64 are required; put it again");
                    assert_eq!(error.to_string(), text);
                    assert!(matches!(store.load::<Line>(&key), Err(Error::Misaligned { .. })));
                    assert!(matches!(store.get_mut::<Line>(&key), Err(Error::Misaligned { .. })));
                    let copy = store.load::<Loose>(&key).unwrap().unwrap();
                    store.put(&key, &Line { bytes: copy.bytes }).unwrap();
                    assert_eq!(*store.get::<Line>(&key).unwrap().unwrap(), Line::filled(n as u8));
                    refused += 1;
                }
            }
        }
        assert!(refused > 0, "some of the objects lie at no multiple of 64");
    });
}
