//! Upgrades while others use the store, in pieces, and without room.

use super::*;

#[test]
fn everything_is_upgraded_in_pieces_that_may_be_interrupted_and_gone_on_with() {
    let folder = folder();
    let path = folder.path().join("store");
    let store = open(&path);
    let count = 3000_u32;
    for id in 0..count {
        match id % 5 {
            0 => store.put(format!("{id}"), &v2(id)),
            1 => store.put(format!("{id}"), &[v1(id), v1(id)]),
            _ => store.put(format!("{id}"), &v1(id)),
        }
        .expect("put");
    }
    store.put("new", &v3(1)).expect("put");
    store.put("other", &1_u64).expect("put");
    let mut told = 0;
    let stop = |done: &structchunk::Upgraded| {
        told += 1;
        if done.rewritten >= 1000 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let first = store.upgrade_all_with::<BodyV3>(stop).expect("upgrade");
    assert!((1000..1500).contains(&first.rewritten) && !first.finished, "{first:?}");
    assert!(told >= 4, "progress is told: {told}");
    // As if the process had been killed.
    drop(store);
    let store = open(&path);
    let second = store.upgrade_all::<BodyV3>().expect("upgrade");
    assert!(second.finished && second.left == 0, "{second:?}");
    assert_eq!(first.rewritten + second.rewritten, u64::from(count));
    assert_eq!((second.current, second.others), (first.rewritten + 1, 1));
    let third = store.upgrade_all::<BodyV3>().expect("upgrade");
    assert_eq!((third.rewritten, third.current, third.others), (0, u64::from(count) + 1, 1));
    for id in 0..count {
        let key = format!("{id}");
        if id % 5 == 1 {
            assert_eq!(store.load(&key).expect("load"), Some([v3(id), v3(id)]));
        } else {
            assert_eq!(store.load(&key).expect("load"), Some(v3(id)));
        }
    }
    assert_eq!(store.check().expect("a check").next(), None);
}

#[test]
fn an_object_that_somebody_holds_is_left_and_counted() {
    let folder = folder();
    let store = open(folder.path().join("store"));
    store.put("held", &v1(1)).expect("put");
    store.put("free", &v1(2)).expect("put");
    let mut guard = store.get_mut::<BodyV1>("held").expect("get").expect("it is there");
    guard.mass = 9.0;
    assert!(matches!(store.upgrade::<BodyV2>("held"), Err(Error::Busy { .. })));
    assert!(matches!(store.load_as::<BodyV2>("held"), Err(Error::Busy { .. })));
    let done = store.upgrade_all::<BodyV2>().expect("upgrade");
    assert_eq!((done.rewritten, done.left), (1, 1));
    assert!(matches!(done.reason, Some(Error::Busy { .. })), "{done:?}");
    guard.commit().expect("commit");
    assert_eq!(store.upgrade_all::<BodyV2>().expect("upgrade").rewritten, 1);
    assert_eq!(store.load::<BodyV2>("held").expect("load").map(|body| body.mass), Some(9.0));
}

#[test]
fn no_change_in_place_is_lost_to_an_upgrade() {
    let store = memory();
    for round in 0..200_u32 {
        store.put("body", &v1(round)).expect("put");
        let changes = thread::scope(|scope| {
            let worker = scope.spawn(|| {
                let mut changes = 0_u32;
                loop {
                    match store.update("body", |body: &mut BodyV1| body.mass += 1.0) {
                        Ok(true) => changes += 1,
                        Err(Error::LayoutMismatch { .. }) => return changes,
                        other => panic!("{other:?}"),
                    }
                }
            });
            while !store.upgrade::<BodyV2>("body").expect("upgrade") {}
            worker.join().expect("a worker")
        });
        let body = store.load::<BodyV2>("body").expect("load").expect("it is there");
        assert_eq!(body.mass, f64::from(round) + f64::from(changes), "round {round}");
    }
}

#[test]
fn what_is_put_while_an_object_is_upgraded_is_upgraded_instead_of_it() {
    let store = memory();
    store.put("p", &Point { x: 1.0, y: 1.0 }).expect("put");
    let other = store.clone();
    HOOK.set(Some(Box::new(move || other.put("p", &Point { x: 2.0, y: 2.0 }).expect("put"))));
    assert!(store.upgrade::<Hooked>("p").expect("upgrade"));
    assert_eq!(store.load::<Hooked>("p").expect("load"), Some(Hooked { x: 2.0, y: 2.0, n: 5 }));
    // One that is removed meanwhile is gone.
    store.put("p", &Point { x: 1.0, y: 1.0 }).expect("put");
    let other = store.clone();
    HOOK.set(Some(Box::new(move || assert!(other.remove("p").expect("remove")))));
    assert!(!store.upgrade::<Hooked>("p").expect("upgrade"));
    assert!(!store.contains("p").expect("a look-up"));
}

#[test]
fn nobody_changes_an_object_in_place_while_it_is_converted() {
    let store = memory();
    store.put("p", &Point { x: 1.0, y: 1.0 }).expect("put");
    for upgrade in [false, true] {
        let other = store.clone();
        HOOK.set(Some(Box::new(move || {
            assert!(matches!(other.try_get_mut::<Point>("p"), Err(Error::Busy { .. })));
            assert!(other.try_get::<Point>("p").expect("get").is_some(), "others may read it");
        })));
        if upgrade {
            assert!(store.upgrade::<Hooked>("p").expect("upgrade"));
        } else {
            assert!(store.load_as::<Hooked>("p").expect("load").is_some());
        }
        assert!(HOOK.take().is_none(), "it was converted");
    }
    assert!(store.try_get_mut::<Hooked>("p").expect("get").is_some(), "and it is free afterwards");
}

#[test]
fn an_upgrade_never_replaces_an_object_that_it_has_not_read() {
    let store = memory();
    store.put("body", &v1(0)).expect("put");
    thread::scope(|scope| {
        let putter = scope.spawn(|| {
            for id in 1..=2000 {
                store.put("body", &v1(id)).expect("put");
            }
        });
        while !putter.is_finished() {
            store.upgrade::<BodyV2>("body").expect("upgrade");
        }
    });
    assert_eq!(store.load_as::<BodyV2>("body").expect("load"), Some(v2(2000)));
}

#[test]
fn an_upgrade_that_finds_no_room_changes_nothing_and_leaves_nothing() {
    #[derive(Object, Clone, Copy, Debug, PartialEq)]
    #[object(extends = Point)]
    #[repr(C)]
    struct Point3 {
        x: f64,
        y: f64,
        #[object(default = 9.0)]
        z: f64,
    }
    let folder = folder();
    let path = folder.path().join("store");
    let faults = Faults::recorded();
    let store = open_with(options().faults(faults.clone()), &path).expect("open");
    let old = vec![Point { x: 1.0, y: 2.0 }; 5000];
    store.put("body", &old[..]).expect("put");
    let mut sparse = store.loan_array::<Point>("sparse", &[5000], Space::Sparse).expect("a loan");
    sparse[4000] = old[0];
    sparse.publish().expect("publish");
    let files = || std::fs::read_dir(path.join("chunks")).expect("a folder").count();
    let before = files();
    // Which call fails: the first one that asks for space for the new body, the second, and so on.
    for key in ["body", "sparse"] {
        let mut n = 0;
        loop {
            n += 1;
            faults.heal();
            faults.plan(Fault::nth(n, libc::ENOSPC).of(Call::Allocate));
            match store.upgrade::<[Point3]>(key) {
                // The sparse one is backed piece by piece before it is written.
                Ok(done) => {
                    break assert!(done && n > if key == "sparse" { 3 } else { 1 }, "{key}: {n} calls");
                }
                Err(error) => assert!(matches!(error, Error::NoSpace { .. }), "{key}, call {n}: {error}"),
            }
            assert_eq!(files(), before, "{key}, call {n}");
            assert_eq!(store.get::<[Point]>(key).expect("get").expect("it is there")[4000], old[0]);
        }
        faults.heal();
        let new = store.get::<[Point3]>(key).expect("get").expect("it is there");
        assert_eq!((new.len(), new[4000]), (5000, Point3 { x: 1.0, y: 2.0, z: 9.0 }));
        assert_eq!(new[0].z, 9.0, "a hole has the defaults too");
        store.remove(key).expect("remove");
        drop(new);
        store.put(key, &old[..1]).expect("put");
        for _ in 0..3 {
            store.sync().expect("sync");
        }
        if key == "body" {
            assert_eq!(files(), before - 1);
            store.put("body", &old[..]).expect("put");
        }
    }
}
