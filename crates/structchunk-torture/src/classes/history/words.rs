//! The objects: arrays whose words are all the same.

use structchunk::{Error, Mutator, Object, Options, Plain, Reader, Result, Session, Store};

use super::board;

/// An array that everybody changes.
pub struct Size {
    pub key: &'static str,
    pub words: usize,
    /// On the board.
    pub count: usize,
}

/// Copied at once, changed where it lies, and in a file of its own.
pub const SIZES: [Size; 3] = [
    Size { key: "small", words: SMALL, count: board::SMALL },
    Size { key: "wide", words: WIDE, count: board::WIDE },
    Size { key: "large", words: LARGE, count: board::LARGE },
];

pub const SMALL: usize = 8;
pub const WIDE: usize = 300;
pub const LARGE: usize = 5000;

/// The keys of each batch; the last one is of a large object.
pub const BATCH: [&str; 8] = ["b/0", "b/1", "b/2", "b/3", "b/4", "b/5", "b/6", "b/7"];
/// Under one of the two.
pub const RENAMED: [&str; 2] = ["r/a", "r/b"];

pub fn options() -> Options {
    crate::common::options().shared_mutation(true)
}

/// Whether a process may meet this error although nothing is wrong: others are stopped, or were killed.
pub fn may_be(error: &Error) -> bool {
    // (The last to a mutator, when a writer died in the middle of its recovery.)
    matches!(
        error,
        Error::Busy { .. }
            | Error::Torn { .. }
            | Error::Recovering { .. }
            | Error::SessionOver { .. }
            | Error::NoWriter { .. }
    )
}

/// `None` for an error that may be; panics for any other.
pub fn or_later<R>(outcome: Result<R>) -> Option<R> {
    match outcome {
        Ok(answer) => Some(answer),
        Err(error) if may_be(&error) => None,
        Err(error) => panic!("{error} ({error:?})"),
    }
}

/// Whatever gives copies of objects.
pub trait Looks {
    fn copy<T: Object>(&self, key: &str) -> Result<Option<T>>;
}

/// Whatever changes them.
pub trait Changes: Looks {
    fn change<T: Plain>(&self, key: &str, change: impl FnOnce(&mut T)) -> Result<bool>;
    fn make_whole<T: Plain>(&self, key: &str, change: impl FnOnce(&mut T)) -> Result<bool>;
}

macro_rules! looks {
    ($($type:ty),*) => {
        $(impl Looks for $type {
            fn copy<T: Object>(&self, key: &str) -> Result<Option<T>> {
                self.load(key)
            }
        })*
    };
}
looks!(Store, Reader, Session, Mutator);

macro_rules! changes {
    ($($type:ty),*) => {
        $(impl Changes for $type {
            fn change<T: Plain>(&self, key: &str, change: impl FnOnce(&mut T)) -> Result<bool> {
                self.update(key, change)
            }

            fn make_whole<T: Plain>(&self, key: &str, change: impl FnOnce(&mut T)) -> Result<bool> {
                self.mend(key, change)
            }
        })*
    };
}
changes!(Store, Mutator);

/// What the words of an object are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    Whole(u64),
    Torn { least: u64, most: u64 },
}

pub fn seen(words: &[u64]) -> Seen {
    let (least, most) = words.iter().fold((u64::MAX, 0), |(least, most), &it| (least.min(it), most.max(it)));
    if least == most { Seen::Whole(most) } else { Seen::Torn { least, most } }
}

/// A look at an array of so many words.
pub fn look(store: &impl Looks, key: &str, words: usize) -> Result<Option<Seen>> {
    Ok(match words {
        SMALL => store.copy::<[u64; SMALL]>(key)?.map(|it| seen(&it)),
        WIDE => store.copy::<[u64; WIDE]>(key)?.map(|it| seen(&it)),
        _ => store.copy::<[u64; LARGE]>(key)?.map(|it| seen(&it)),
    })
}

/// Adds one to an array of so many words; whether it did. What somebody left half changed is made whole: as by the change that was under way.
pub fn raise(store: &impl Changes, key: &str, words: usize) -> Result<bool> {
    fn of<const N: usize>(store: &impl Changes, key: &str) -> Result<bool> {
        let raised = store.change(key, |words: &mut [u64; N]| {
            fill_up(words);
            for word in words {
                *word += 1;
            }
        });
        match raised {
            Err(Error::Torn { .. }) => mend(store, key, N).map(|_| false),
            raised => raised,
        }
    }
    match words {
        SMALL => of::<SMALL>(store, key),
        WIDE => of::<WIDE>(store, key),
        _ => of::<LARGE>(store, key),
    }
}

/// Makes an array whole that a process which died left half changed.
pub fn mend(store: &impl Changes, key: &str, words: usize) -> Result<bool> {
    match words {
        SMALL => store.make_whole(key, |words: &mut [u64; SMALL]| fill_up(words)),
        WIDE => store.make_whole(key, |words: &mut [u64; WIDE]| fill_up(words)),
        _ => store.make_whole(key, |words: &mut [u64; LARGE]| fill_up(words)),
    }
}

/// Makes an array whole that a recovery has taken as it was: then nobody says that it is torn.
pub fn complete(store: &impl Changes, key: &str, words: usize) -> Result<bool> {
    match words {
        SMALL => store.change(key, |words: &mut [u64; SMALL]| fill_up(words)),
        WIDE => store.change(key, |words: &mut [u64; WIDE]| fill_up(words)),
        _ => store.change(key, |words: &mut [u64; LARGE]| fill_up(words)),
    }
}

/// Makes all words the highest of them.
fn fill_up(words: &mut [u64]) {
    let most = words.iter().max().copied().unwrap_or_default();
    words.fill(most);
}
