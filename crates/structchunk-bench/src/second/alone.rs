//! What only the second process does: coming to a store, and looking at all of it for the first time.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use structchunk::{Reader, Store};

use super::order::{Order, sum_of_particles};
use super::side::{Beside, attach};
use super::{all_keys, new_keys};
use crate::clock::busy;
use crate::data::{Key, Particle, key};
use crate::engine::Outcome;
use crate::rounds::median;

/// The rows, and their units.
pub const ALONE: [(&str, &str); 4] =
    [("second_attach", "us"), ("second_scan_first", "ns"), ("second_sort", "ns"), ("second_sort_more", "ns")];

/// How often it attaches.
const ATTACHES: u64 = 11;

/// Nobody waits longer for the writer to put some objects.
const PATIENCE: Duration = Duration::from_secs(30);

/// The key of the object by which the second process says that the writer is to put new ones: it counts how often.
pub fn signal_key() -> Key {
    key(1 << 36)
}

/// Nanoseconds of each.
pub fn all(side: &Beside, folder: &Path, objects: u64) -> Outcome<[f64; ALONE.len()]> {
    let mut attaches =
        (0..ATTACHES).map(|number| attach_and_look(folder, number)).collect::<Outcome<Vec<_>>>()?;
    let reader = attach(folder)?;
    let session = reader.session()?;
    let order = Order::new(side, objects, 0, 0);
    let (scan, sum) = busy(|| sum_of_particles(session.iter()?))?;
    if sum != order.sum() {
        return Err("a scan did not see every object once".into());
    }
    let first_key = || Ok(session.keys()?.next().ok_or("there are no keys")??);
    let (sort, first) = busy(first_key)?;
    side.ask_for_more(&signal_key())?;
    wait_for_more(&reader, objects)?;
    let (sort_more, _) = busy(first_key)?;
    let count = session.keys()?.count();
    let keys = all_keys(objects).count();
    if count != keys + new_keys(objects).count()
        || Some(first.key()) != all_keys(objects).min().as_ref().map(|it| &it[..])
    {
        return Err(format!("{count} keys were met in order").into());
    }
    let more = new_keys(objects).count() as f64;
    Ok([median(&mut attaches), scan / order.objects() as f64, sort / keys as f64, sort_more / more])
}

/// Reads one object, so that nothing can be put off.
fn attach_and_look(folder: &Path, number: u64) -> Outcome<f64> {
    let (ns, reader) = busy(|| {
        let reader = attach(folder)?;
        black_box(reader.load::<Particle>(key(number))?.ok_or("a particle is missing")?);
        Ok(reader)
    })?;
    drop(reader);
    Ok(ns)
}

fn wait_for_more(reader: &Reader, objects: u64) -> Outcome<()> {
    let last = new_keys(objects).last().ok_or("nothing is to be put")?;
    let end = Instant::now() + PATIENCE;
    while !reader.contains(last)? {
        if Instant::now() > end {
            return Err(format!("the writer put nothing within {PATIENCE:?}").into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// The writer's part, which it looks after from time to time.
pub struct More<'a> {
    store: &'a Store,
    objects: u64,
    asked_before: u64,
}

impl<'a> More<'a> {
    pub fn new(store: &'a Store, objects: u64) -> Outcome<Self> {
        Ok(Self { store, objects, asked_before: asked(store)? })
    }

    /// Puts what was asked for.
    pub fn look(&mut self) -> Outcome<()> {
        let asked = asked(self.store)?;
        if asked != self.asked_before {
            self.asked_before = asked;
            for key in new_keys(self.objects) {
                self.store.put(key, &asked)?;
            }
        }
        Ok(())
    }

    /// Removes it again.
    pub fn end(self) -> Outcome<()> {
        for key in new_keys(self.objects) {
            if !self.store.remove(key)? {
                return Err("the second process did not ask for new objects".into());
            }
        }
        Ok(())
    }
}

fn asked(store: &Store) -> Outcome<u64> {
    Ok(store.load(signal_key())?.ok_or("an object is missing")?)
}
