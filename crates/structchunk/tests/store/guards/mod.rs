//! Guards of single objects: who excludes whom, for how long, and what everybody sees.

mod atomics;
mod forgotten;
mod hammer;
mod mixtures;
mod scans;
mod slices;
mod waiting;

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use structchunk::{AtomicRef, Error, Loan, OwnedRef, Plain, Ref, RefMut, Store};

use crate::common::{Counter, Point, Random, Wide, seed};

/// Changed in a copy.
const SMALL: Point = Point { x: 1.0, y: 1.0 };
/// Changed where it lies.
const LARGE: Wide = Wide { words: [1; 128] };

fn is_busy<T>(result: Result<T, Error>, key: &str) {
    match result {
        Err(Error::Busy { key: said }) => assert_eq!(said, key.as_bytes()),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("{key} was not in use"),
    }
}

/// Runs `action` on a thread while `held` lives; it must not end before that.
fn waits_for<H, T: Send>(held: H, action: impl FnOnce() -> T + Send) -> T {
    let begun = Barrier::new(2);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            begun.wait();
            action()
        });
        begun.wait();
        std::thread::sleep(Duration::from_millis(30));
        assert!(!waiting.is_finished(), "it did not wait");
        drop(held);
        waiting.join().expect("the other thread")
    })
}

fn time_of(action: impl FnOnce()) -> Duration {
    let begin = Instant::now();
    action();
    begin.elapsed()
}

/// Runs `read` on threads until every writer has done its share.
fn race(
    writers: u64,
    share: u64,
    write: impl Fn(&mut Random) + Sync,
    readers: u64,
    read: impl Fn(&mut Random) + Sync,
) {
    struct Done<'a>(&'a AtomicU64, &'a AtomicBool);
    impl Drop for Done<'_> {
        fn drop(&mut self) {
            if self.0.fetch_sub(1, Relaxed) == 1 {
                self.1.store(true, Relaxed);
            }
        }
    }
    let (left, done) = (AtomicU64::new(writers), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for thread in 0..writers {
            let (left, done, write) = (&left, &done, &write);
            scope.spawn(move || {
                // Readers end when a writer panics, too.
                let _done = Done(left, done);
                let mut random = Random::new(seed() + thread);
                (0..share).for_each(|_| write(&mut random));
            });
        }
        for thread in 0..readers {
            let (done, read) = (&done, &read);
            scope.spawn(move || {
                let mut random = Random::new(seed() + 100 + thread);
                while !done.load(Relaxed) {
                    read(&mut random);
                }
            });
        }
    });
}

#[test]
fn handles_and_guards_go_between_threads() {
    fn both<T: Send + Sync>() {}
    both::<Store>();
    both::<Ref<'_, Point>>();
    both::<Ref<'_, [u8]>>();
    both::<RefMut<'_, Point>>();
    both::<OwnedRef<[Wide]>>();
    both::<AtomicRef<'_, Counter>>();
    both::<Loan<'_, Point>>();
}

#[test]
fn misuse_does_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/misuse/*.rs");
}

/// What holds for objects of every sort: changed in a copy, where they lie, and in a body.
trait EachSort {
    fn test<T: Plain + ?Sized>(store: &Store, key: &str);

    fn run(store: &Store) {
        put_each_sort(store);
        Self::test::<Point>(store, "small");
        Self::test::<Wide>(store, "large");
        Self::test::<[u64]>(store, "body");
    }
}

fn put_each_sort(store: &Store) {
    store.put("small", &SMALL).unwrap();
    store.put("large", &LARGE).unwrap();
    // Above an eighth of the default capacity it would take 256 MiB: asked for as sparse, it is a body everywhere.
    let mut body = store.loan_array::<u64>("body", &[40_000], structchunk::Space::Sparse).unwrap();
    body.fill(1);
    body.publish().unwrap();
}
