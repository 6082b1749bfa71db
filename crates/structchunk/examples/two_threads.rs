//! Threads that share one store: changes in place, atomics, and batches that are seen whole or not at all.
//!
//! `cargo run -p structchunk --example two_threads [DIRECTORY]`

#![expect(unsafe_code, reason = "opening a store is unsafe: others could change its files")]

use std::error::Error;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use structchunk::{Object, Store};

const TRANSFERS: i64 = 20_000;
const TOTAL: i64 = 1000;

#[derive(Object, Clone, Copy)]
#[repr(C)]
struct Account {
    balance: i64,
    transfers: i64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let parent = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = parent.join(format!("structchunk-two-threads-{}", std::process::id()));
    let outcome = show(&folder);
    std::fs::remove_dir_all(&folder)?;
    outcome
}

fn show(folder: &std::path::Path) -> Result<(), Box<dyn Error>> {
    // SAFETY: nobody but structchunk changes or truncates the files while the store is open.
    let store = unsafe { Store::options().create_new(true).open(folder)? };
    store.put("tally", &Account { balance: 0, transfers: 0 })?;
    store.put("hits", &AtomicU64::new(0))?;
    store.put("from", &Account { balance: TOTAL, transfers: 0 })?;
    store.put("to", &Account { balance: 0, transfers: 0 })?;

    updates(&store)?;
    atomics(&store)?;
    batches(&store)?;
    store.close()?;
    Ok(())
}

/// `update` is alone with the object: no change gets lost. `load` takes no lock and never sees half a change.
fn updates(store: &Store) -> Result<(), Box<dyn Error>> {
    thread::scope(|scope| {
        let add = || -> structchunk::Result<()> {
            for _ in 0..TRANSFERS {
                store.update("tally", |tally: &mut Account| {
                    tally.balance += 2;
                    tally.transfers += 1;
                })?;
            }
            Ok(())
        };
        let (first, second) = (scope.spawn(add), scope.spawn(add));
        while !(first.is_finished() && second.is_finished()) {
            let Some(tally) = store.load::<Account>("tally")? else { return Err("no tally".into()) };
            if tally.balance != 2 * tally.transfers {
                return Err("half a change was seen".into());
            }
        }
        first.join().map_err(|_| "a thread panicked")??;
        second.join().map_err(|_| "a thread panicked")??;
        let counted = store.load::<Account>("tally")?.map_or(0, |tally| tally.transfers);
        println!("updates: {counted} of {} by two threads", 2 * TRANSFERS);
        Ok(())
    })
}

/// Objects made of atomics are changed by everybody at once, without any lock.
fn atomics(store: &Store) -> Result<(), Box<dyn Error>> {
    let Some(hits) = store.get_atomic::<AtomicU64>("hits")? else { return Err("no counter".into()) };
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..TRANSFERS {
                    hits.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    println!("atomics: {} of {} by two threads", hits.load(Ordering::Relaxed), 2 * TRANSFERS);
    Ok(())
}

/// One thread moves money with batches; the other never finds any missing.
///
/// Two loads are two moments, and a batch may come between them. That no batch came is seen by the sequences: they change with every
/// put.
fn batches(store: &Store) -> Result<(), Box<dyn Error>> {
    let done = AtomicBool::new(false);
    let (moved, seen) = thread::scope(|scope| {
        let writer = scope.spawn(|| -> structchunk::Result<i64> {
            for moved in 1..=TRANSFERS {
                let balance = moved % (TOTAL + 1);
                let mut batch = store.batch();
                batch.put("from", &Account { balance: TOTAL - balance, transfers: moved })?;
                batch.put("to", &Account { balance, transfers: moved })?;
                batch.commit()?;
            }
            done.store(true, Ordering::Release);
            Ok(TRANSFERS)
        });
        let mut seen = 0;
        while !done.load(Ordering::Acquire) && !writer.is_finished() {
            let before = store.sequence("from")?;
            let accounts = store.load_many::<Account, _>(&["from", "to"])?;
            let [Some(from), Some(to)] = accounts[..] else { return Err("an account is missing".into()) };
            if store.sequence("from")? != before {
                continue;
            }
            if from.transfers != to.transfers || from.balance + to.balance != TOTAL {
                return Err("half a batch was seen".into());
            }
            seen += 1;
        }
        let moved = writer.join().map_err(|_| "a thread panicked")??;
        Ok::<_, Box<dyn Error>>((moved, seen))
    })?;
    println!("batches: {moved} committed, {seen} looks at both accounts, never half a batch");
    Ok(())
}
