//! Types that grow: older objects read as the newer type, written anew as it, and never guessed to be it.

mod others;

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use structchunk::testing::{Call, Fault, Faults};
use structchunk::{Error, Object, Space, Store};

use crate::common::*;

/// Older programs have this.
#[derive(Object, Clone, Copy, Debug, PartialEq)]
#[object(name = "Body")]
#[repr(C)]
struct BodyV1 {
    mass: f64,
    px: f32,
    py: f32,
    id: u32,
    #[object(padding)]
    _pad: [u8; 4],
}

#[derive(Object, Clone, Copy, Debug, PartialEq)]
#[object(name = "Body", extends = BodyV1)]
#[repr(C)]
struct BodyV2 {
    mass: f64,
    #[object(renamed_from = "px")]
    x: f32,
    #[object(renamed_from = "py")]
    y: f32,
    id: u32,
    /// Where there was padding.
    flags: u32,
    #[object(default = 1.5)]
    charge: f64,
}

#[derive(Object, Clone, Copy, Debug, PartialEq)]
#[object(name = "Body", extends = BodyV2, extends = BodyV1)]
#[repr(C)]
struct BodyV3 {
    mass: f64,
    #[object(renamed_from = "px")]
    x: f32,
    #[object(renamed_from = "py")]
    y: f32,
    id: u32,
    flags: u32,
    #[object(default = 1.5)]
    charge: f64,
    #[object(default = [i16::MAX; 4])]
    limits: [i16; 4],
}

fn v1(id: u32) -> BodyV1 {
    BodyV1 { mass: f64::from(id), px: 1.0, py: -2.0, id, _pad: [0xee; 4] }
}

fn v2(id: u32) -> BodyV2 {
    BodyV2 { mass: f64::from(id), x: 1.0, y: -2.0, id, flags: 0, charge: 1.5 }
}

fn v3(id: u32) -> BodyV3 {
    let BodyV2 { mass, x, y, id, flags, charge } = v2(id);
    BodyV3 { mass, x, y, id, flags, charge, limits: [i16::MAX; 4] }
}

fn memory() -> Store {
    Store::in_memory().expect("a store")
}

#[expect(clippy::needless_pass_by_value, reason = "outcomes are looked at where they arise")]
fn is_mismatch<T: std::fmt::Debug>(outcome: Result<T, Error>) -> bool {
    matches!(outcome, Err(Error::LayoutMismatch { .. }))
}

#[test]
fn an_older_object_is_read_as_the_newer_type_with_defaults_for_what_it_lacks() {
    let store = memory();
    store.put("old", &v1(7)).expect("put");
    store.put("new", &v3(8)).expect("put");
    assert_eq!(store.load_as::<BodyV2>("old").expect("load"), Some(v2(7)));
    assert_eq!(store.load_as::<BodyV3>("old").expect("load"), Some(v3(7)));
    assert_eq!(store.load_as::<BodyV3>("new").expect("load"), Some(v3(8)));
    assert_eq!(store.load_as::<BodyV3>("none").expect("load"), None);
    let entry = store.entry("old").expect("a look-up").expect("it is there");
    assert_eq!(entry.load_as::<BodyV3>().expect("load"), v3(7));
    // Reading changes nothing, and an older program sees what it always saw.
    assert_eq!(store.load::<BodyV1>("old").expect("load"), Some(v1(7)));
    // Nothing is guessed from an equal name.
    assert!(is_mismatch(store.load::<BodyV2>("old")));
    assert!(is_mismatch(store.load::<BodyV1>("new")));
    assert!(is_mismatch(store.load_as::<BodyV2>("new")), "what is newer is not extended");
}

#[test]
fn an_upgrade_writes_the_object_anew_and_older_programs_are_told() {
    let folder = folder();
    let path = folder.path().join("store");
    let store = open(&path);
    store.put("body", &v1(7)).expect("put");
    let old = store.get::<BodyV1>("body").expect("get").expect("it is there");
    assert!(store.upgrade::<BodyV3>("body").expect("upgrade"));
    assert_eq!(old.id, 7, "a guard keeps what it saw");
    assert!(!store.upgrade::<BodyV3>("body").expect("upgrade"), "it is upgraded already");
    assert!(!store.upgrade::<BodyV3>("none").expect("upgrade"), "there is none");
    assert_eq!(store.load::<BodyV3>("body").expect("load"), Some(v3(7)));
    assert!(is_mismatch(store.load::<BodyV1>("body")));
    assert!(is_mismatch(store.upgrade::<BodyV2>("body")), "there is no way back");
    drop(old);
    store.close().expect("close");
    let store = open(&path);
    assert_eq!(store.load::<BodyV3>("body").expect("load"), Some(v3(7)));
}

#[test]
fn a_fingerprint_in_quotes_does_what_the_older_type_does() {
    #[derive(Object, Clone, Copy, Debug, PartialEq)]
    #[object(extends = "c73a1bf72f734efc")]
    #[repr(C)]
    struct Point3 {
        x: f64,
        y: f64,
        #[object(default = f64::INFINITY)]
        z: f64,
    }
    assert_eq!(Point::FINGERPRINT.to_string(), "c73a1bf72f734efc");
    let store = memory();
    store.put("p", &Point { x: 1.0, y: 2.0 }).expect("put");
    let wanted = Some(Point3 { x: 1.0, y: 2.0, z: f64::INFINITY });
    assert_eq!(store.load_as::<Point3>("p").expect("load"), wanted);
    assert!(store.upgrade::<Point3>("p").expect("upgrade"));
    assert_eq!(store.load::<Point3>("p").expect("load"), wanted);
}

#[test]
fn a_declaration_that_the_store_contradicts_is_refused_with_the_first_field() {
    #[derive(Object, Clone, Copy, Debug)]
    #[object(extends = "c73a1bf72f734efc")]
    #[repr(C)]
    struct Wrong {
        x: f64,
        #[object(renamed_from = "why")]
        z: f64,
        w: f64,
    }
    let store = memory();
    store.put("a", &v1(1)).expect("put");
    store.put("p", &Point { x: 1.0, y: 2.0 }).expect("put");
    let expected = "Wrong does not extend Point, though it says so: field y is f8 at 8 in the store, z: f8 at 8 in the \
                    program (fingerprint c73a1bf72f734efc)";
    let records = store.stats().expect("stats").sequence;
    for error in [
        store.load_as::<Wrong>("p").expect_err("load"),
        store.upgrade::<Wrong>("p").expect_err("upgrade"),
        store.upgrade_all::<Wrong>().expect_err("upgrade_all"),
    ] {
        assert!(matches!(error, Error::NoExtension { .. }), "{error:?}");
        assert_eq!(error.to_string(), expected);
    }
    assert_eq!(store.stats().expect("stats").sequence, records, "nothing was written");
}

#[test]
fn arrays_evolve_element_by_element() {
    let store = memory();
    let old = [v1(1), v1(2), v1(3)];
    store.put("three", &old).expect("put");
    store.put("matrix", &[[v1(1)], [v1(2)], [v1(3)]]).expect("put");
    store.put("one", &v1(1)).expect("put");
    let new = [v3(1), v3(2), v3(3)];
    assert_eq!(store.load_as::<[BodyV3; 3]>("three").expect("load"), Some(new));
    // An array is no single object, and has its length.
    for error in [
        store.load_as::<BodyV3>("three").expect_err("an array"),
        store.upgrade::<BodyV3>("three").expect_err("an array"),
        store.load_as::<[BodyV3; 2]>("three").expect_err("three"),
        store.upgrade::<[BodyV3; 2]>("three").expect_err("three"),
        store.load_as::<[BodyV3; 1]>("one").expect_err("no array"),
        store.upgrade::<[BodyV3]>("one").expect_err("no array"),
    ] {
        assert!(matches!(error, Error::LayoutMismatch { .. }), "{error}");
        assert!(error.to_string().contains("array"), "{error}");
    }
    assert!(store.upgrade::<[BodyV3]>("three").expect("upgrade"));
    assert_eq!(*store.get::<[BodyV3]>("three").expect("get").expect("it is there"), new);
    assert!(store.upgrade::<[[BodyV3; 1]]>("matrix").expect("upgrade"));
    let entry = store.entry("matrix").expect("a look-up").expect("it is there");
    assert_eq!(entry.shape(), Some(vec![3, 1]), "the shape is kept");
    assert_eq!(
        store.load::<[[BodyV3; 1]; 3]>("matrix").expect("load").map(|array| array.concat()),
        Some(new.to_vec())
    );
}

#[test]
fn large_arrays_become_bodies_and_sparse_ones_stay_sparse() {
    #[derive(Object, Clone, Copy, Debug, PartialEq)]
    #[object(extends = Point)]
    #[repr(C)]
    struct Point3 {
        x: f64,
        y: f64,
        z: f64,
    }
    let folder = folder();
    let path = folder.path().join("store");
    let store = open(&path);
    let points: Vec<Point> = (0..5000).map(|n| Point { x: f64::from(n), y: -1.0 }).collect();
    // Inline before, a body afterwards; and a body both times.
    for (key, count) in [("inline", 2000), ("body", 5000)] {
        store.put(key, &points[..count]).expect("put");
        assert!(store.upgrade::<[Point3]>(key).expect("upgrade"));
        let new = store.get::<[Point3]>(key).expect("get").expect("it is there");
        assert_eq!(new.len(), count);
        assert!(new.iter().zip(&points).all(|(new, old)| *new == Point3 { x: old.x, y: old.y, z: 0.0 }));
    }
    let mut grid = store.loan_slice::<Point>("grid", 1 << 26).expect("a loan");
    grid[12_345_678] = Point { x: 3.0, y: 4.0 };
    grid.publish().expect("publish");
    assert!(store.upgrade::<[Point3]>("grid").expect("upgrade"));
    let grid = store.get::<[Point3]>("grid").expect("get").expect("it is there");
    assert_eq!((grid.len(), grid[12_345_678]), (1 << 26, Point3 { x: 3.0, y: 4.0, z: 0.0 }));
    assert_eq!(grid[12_345_679], Point3 { x: 0.0, y: 0.0, z: 0.0 });
    drop(grid);
    assert!(store.stats().expect("stats").bytes_allocated < 16 << 20, "1.5 GiB that take next to nothing");
    store.close().expect("close");
    assert_eq!(open(&path).check().expect("a check").next(), None);
}

#[test]
fn objects_larger_than_a_stack_are_upgraded_too() {
    #[derive(Object)]
    #[repr(C)]
    struct Huge {
        words: [u64; 4 << 20],
    }
    #[derive(Object)]
    #[object(extends = Huge)]
    #[repr(C)]
    struct Larger {
        words: [u64; 4 << 20],
        #[object(default = 7)]
        more: u64,
    }
    let folder = folder();
    let store = open(folder.path().join("store"));
    let mut loan = store.loan::<Huge>("huge").expect("a loan");
    (loan.words[0], loan.words[(4 << 20) - 1]) = (1, 2);
    loan.publish().expect("publish");
    assert!(store.upgrade::<Larger>("huge").expect("upgrade"));
    let new = store.get::<Larger>("huge").expect("get").expect("it is there");
    assert_eq!((new.words[0], new.words[1], new.words[(4 << 20) - 1], new.more), (1, 0, 2, 7));
}

thread_local! {
    /// Runs once, while an object is converted to a [`Hooked`].
    static HOOK: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
}

fn run_hook() -> u64 {
    if let Some(hook) = HOOK.take() {
        hook();
    }
    5
}

#[derive(Object, Clone, Copy, Debug, PartialEq)]
#[object(extends = Point)]
#[repr(C)]
struct Hooked {
    x: f64,
    y: f64,
    #[object(default = run_hook())]
    n: u64,
}

#[test]
fn atomics_evolve_when_nobody_holds_them() {
    #[derive(Object)]
    #[object(atomic, extends = Counter)]
    #[repr(C)]
    struct Counters {
        hits: AtomicU64,
        #[object(renamed_from = "sum")]
        total: AtomicU64,
        #[object(default = AtomicU64::new(u64::MAX))]
        least: AtomicU64,
    }
    let folder = folder();
    let store = open(folder.path().join("store"));
    store.put("c", &Counter { hits: 3.into(), sum: 4.into() }).expect("put");
    let values = |c: &Counters| [&c.hits, &c.total, &c.least].map(|word| word.load(Ordering::Relaxed));
    let held = store.get_atomic::<Counter>("c").expect("get").expect("it is there");
    assert!(matches!(store.upgrade::<Counters>("c"), Err(Error::Busy { .. })));
    drop(held);
    let read = store.load_as::<Counters>("c").expect("load").expect("it is there");
    assert_eq!(values(&read), [3, 4, u64::MAX]);
    assert!(store.upgrade::<Counters>("c").expect("upgrade"));
    let held = store.get_atomic::<Counters>("c").expect("get").expect("it is there");
    assert_eq!(values(&held), [3, 4, u64::MAX]);
}

#[test]
fn a_read_only_store_reads_older_objects_and_upgrades_none() {
    let folder = folder();
    let path = folder.path().join("store");
    let store = open(&path);
    store.put("body", &v1(7)).expect("put");
    store.close().expect("close");
    let store = open_with(options().create(false).read_only(true), &path).expect("open");
    assert_eq!(store.load_as::<BodyV3>("body").expect("load"), Some(v3(7)));
    assert!(matches!(store.upgrade::<BodyV3>("body"), Err(Error::ReadOnly { .. })));
    assert!(matches!(store.upgrade_all::<BodyV3>(), Err(Error::ReadOnly { .. })));
    assert!(matches!(store.upgrade::<BodyV3>("none"), Err(Error::ReadOnly { .. })));
}

#[test]
fn the_store_knows_which_layout_extends_which() {
    let folder = folder();
    let path = folder.path().join("store");
    let store = open(&path);
    store.put("1", &v1(1)).expect("put");
    store.put("2", &v2(2)).expect("put");
    store.put("p", &Point { x: 1.0, y: 2.0 }).expect("put");
    store.close().expect("close");
    let types = open(&path).types().expect("types");
    let seen: Vec<_> = types.iter().map(|t| (t.layout.name(), t.version, t.versions)).collect();
    assert_eq!(seen, [("Body", 1, 2), ("Body", 2, 2), ("Point", 1, 1)]);
    assert_eq!(types[1].layout.extends(), [BodyV1::FINGERPRINT]);
    assert_eq!(types[1].layout.fields()[1].former_names(), ["px"]);
    assert!(types[0].layout.extends().is_empty());
}
