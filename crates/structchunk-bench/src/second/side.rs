//! The handles of either side.
#![expect(unsafe_code, reason = "opening a store is unsafe: others could change its files")]

use std::ops::Deref;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use structchunk::{AtomicRef, Iter, Mutator, MutatorSession, Reader, Result, Session, Store};

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
}

/// The handles of another process: one for reading, one for changing.
pub struct Beside {
    reader: Reader,
    read: Session,
    mutator: Mutator,
    change: MutatorSession,
}

impl Beside {
    /// Attaches to a store whose writer is there.
    pub fn attach(folder: &Path) -> Result<Self> {
        // SAFETY: only the program that runs this one, and has made the folder, knows it.
        let reader = unsafe { Reader::attach(folder)? };
        // SAFETY: as above.
        let mutator = unsafe { Mutator::attach(folder)? };
        Ok(Self { read: reader.session()?, change: mutator.session()?, reader, mutator })
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
}

/// An empty store that other processes may change.
pub fn create(folder: &Path) -> Result<Store> {
    // SAFETY: nobody but this program and the ones it runs knows the folder.
    unsafe { Store::options().create_new(true).shared_mutation(true).open(folder) }
}
