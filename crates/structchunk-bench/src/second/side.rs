//! The handles of either side.
#![expect(unsafe_code, reason = "opening a store is unsafe: others could change its files")]

use std::ops::Deref;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use structchunk::{AtomicRef, Iter, Keys, Mutator, MutatorSession, Range, Reader, Result, Session, Store};

use super::large::WORDS;
use crate::data::{Key, Particle};

/// Who accesses objects.
pub trait Side {
    /// A copy.
    fn load(&self, key: &Key) -> Result<Option<Particle>>;

    /// A copy, without a lock of the handle.
    fn load_in_session(&self, key: &Key) -> Result<Option<Particle>>;

    /// Copies.
    fn load_many(&self, keys: &[Key]) -> Result<Vec<Option<Particle>>>;

    /// A reference to a sealed object.
    fn get(&self, key: &Key) -> Result<Option<impl Deref<Target = Particle> + '_>>;

    /// Looks at a counter, again and again.
    fn view(&self, key: &Key) -> Result<Option<impl Fn() -> Result<u64> + '_>>;

    /// A reference to a counter.
    fn get_atomic(&self, key: &Key) -> Result<Option<AtomicRef<'_, AtomicU64>>>;

    /// Adds one to a particle's counter; whether it is there.
    fn update(&self, key: &Key) -> Result<bool>;

    /// All objects, in the order of the log.
    fn entries(&self) -> Result<Iter<'_>>;

    /// All keys in order.
    fn keys(&self) -> Result<Keys<'_>>;

    /// All objects in the order of their keys.
    fn ordered(&self) -> Result<Range<'_>>;

    /// Those from a key on.
    fn range_from(&self, key: &Key) -> Result<Range<'_>>;

    /// A copy of a large object.
    fn load_large(&self, key: &Key) -> Result<Option<[u64; WORDS]>>;

    /// Adds one to a word of a large object; whether it is there.
    fn change_large(&self, key: &Key, word: usize) -> Result<bool>;

    /// A copy of the store.
    fn copy_to(&self, place: &Path) -> Result<()>;
}

fn add_one(particle: &mut Particle) {
    particle.counter += 1;
}

impl Side for Store {
    #[inline]
    fn load(&self, key: &Key) -> Result<Option<Particle>> {
        self.load(key)
    }

    #[inline]
    fn load_in_session(&self, key: &Key) -> Result<Option<Particle>> {
        self.load(key)
    }

    fn load_many(&self, keys: &[Key]) -> Result<Vec<Option<Particle>>> {
        self.load_many(keys)
    }

    fn get(&self, key: &Key) -> Result<Option<impl Deref<Target = Particle> + '_>> {
        self.get::<Particle>(key)
    }

    fn view(&self, key: &Key) -> Result<Option<impl Fn() -> Result<u64> + '_>> {
        let counter = self.get_atomic::<AtomicU64>(key)?;
        Ok(counter.map(|counter| move || Ok(counter.load(Ordering::Relaxed))))
    }

    fn get_atomic(&self, key: &Key) -> Result<Option<AtomicRef<'_, AtomicU64>>> {
        self.get_atomic(key)
    }

    fn update(&self, key: &Key) -> Result<bool> {
        self.update(key, add_one)
    }

    fn entries(&self) -> Result<Iter<'_>> {
        self.iter()
    }

    fn keys(&self) -> Result<Keys<'_>> {
        self.keys()
    }

    fn ordered(&self) -> Result<Range<'_>> {
        self.ordered()
    }

    fn range_from(&self, key: &Key) -> Result<Range<'_>> {
        self.range(*key..)
    }

    fn load_large(&self, key: &Key) -> Result<Option<[u64; WORDS]>> {
        self.load(key)
    }

    fn change_large(&self, key: &Key, word: usize) -> Result<bool> {
        self.update(key, |words: &mut [u64]| words[word] += 1)
    }

    fn copy_to(&self, place: &Path) -> Result<()> {
        self.copy_to(place).map(drop)
    }
}

/// The handles of another process: one for reading, one for changing.
pub struct Beside {
    reader: Reader,
    read: Session,
    mutator: Mutator,
    change: MutatorSession,
}

/// A reader of a store whose writer is there.
pub fn attach(folder: &Path) -> Result<Reader> {
    // SAFETY: only the program that runs this one, and has made the folder, knows it.
    unsafe { Reader::attach(folder) }
}

impl Beside {
    /// Attaches to a store whose writer is there.
    pub fn attach(folder: &Path) -> Result<Self> {
        let reader = attach(folder)?;
        // SAFETY: only the program that runs this one, and has made the folder, knows it.
        let mutator = unsafe { Mutator::attach(folder)? };
        Ok(Self { read: reader.session()?, change: mutator.session()?, reader, mutator })
    }

    /// Adds one to a number.
    pub fn ask_for_more(&self, key: &Key) -> Result<bool> {
        self.mutator.update(key, |asked: &mut u64| *asked += 1)
    }
}

impl Side for Beside {
    #[inline]
    fn load(&self, key: &Key) -> Result<Option<Particle>> {
        self.reader.load(key)
    }

    #[inline]
    fn load_in_session(&self, key: &Key) -> Result<Option<Particle>> {
        self.read.load(key)
    }

    fn load_many(&self, keys: &[Key]) -> Result<Vec<Option<Particle>>> {
        self.reader.load_many(keys)
    }

    fn get(&self, key: &Key) -> Result<Option<impl Deref<Target = Particle> + '_>> {
        self.read.get::<Particle>(key)
    }

    fn view(&self, key: &Key) -> Result<Option<impl Fn() -> Result<u64> + '_>> {
        let view = self.read.atomic::<AtomicU64>(key)?;
        Ok(view.map(|view| move || Ok(view.load()?.into_inner())))
    }

    fn get_atomic(&self, key: &Key) -> Result<Option<AtomicRef<'_, AtomicU64>>> {
        self.change.get_atomic(key)
    }

    fn update(&self, key: &Key) -> Result<bool> {
        self.mutator.update(key, add_one)
    }

    fn entries(&self) -> Result<Iter<'_>> {
        self.read.iter()
    }

    fn keys(&self) -> Result<Keys<'_>> {
        self.read.keys()
    }

    fn ordered(&self) -> Result<Range<'_>> {
        self.read.ordered()
    }

    fn range_from(&self, key: &Key) -> Result<Range<'_>> {
        self.read.range(*key..)
    }

    fn load_large(&self, key: &Key) -> Result<Option<[u64; WORDS]>> {
        self.reader.load(key)
    }

    fn change_large(&self, key: &Key, word: usize) -> Result<bool> {
        self.mutator.update(key, |words: &mut [u64]| words[word] += 1)
    }

    fn copy_to(&self, place: &Path) -> Result<()> {
        self.reader.copy_to(place).map(drop)
    }
}

/// An empty store that other processes may change.
pub fn create(folder: &Path) -> Result<Store> {
    // SAFETY: nobody but this program and the ones it runs knows the folder.
    unsafe { Store::options().create_new(true).shared_mutation(true).open(folder) }
}
