//! Counters that workers add to without a lock, while processes of another language look on. Python's example `shared_counters.py` runs this
//! program on a store of its own: either language adds while the other one watches, and the totals are exact.
//!
//! `cargo run -p structchunk --example mixed_counters [DIRECTORY]`

#![expect(unsafe_code, reason = "opening a store is unsafe: others could change its files")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use structchunk::{Object, Reader, Store};

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

const WORKERS: usize = 4;
/// What each worker adds.
const TIMES: u64 = 10_000;

/// As Python has it: two `c_uint64` and four `c_uint32`.
#[derive(Object, Default)]
#[object(atomic)]
#[repr(C)]
struct Counters {
    requests: AtomicU64,
    bytes: AtomicU64,
    by_worker: [AtomicU32; WORKERS],
}

fn main() -> Outcome {
    let arguments: Vec<_> = std::env::args_os().collect();
    let role = arguments.get(1).and_then(|role| role.to_str());
    match (role, arguments.get(2), arguments.get(3).and_then(|total| total.to_str())) {
        (Some("work"), Some(path), _) => work(Path::new(path)),
        (Some("watch"), Some(path), Some(total)) => watch(Path::new(path), total.parse()?),
        _ => {
            let parent = arguments.get(1).map_or_else(std::env::temp_dir, PathBuf::from);
            let folder = parent.join(format!("structchunk-mixed-counters-{}", std::process::id()));
            let outcome = show(&folder);
            std::fs::remove_dir_all(&folder)?;
            outcome
        }
    }
}

fn show(path: &Path) -> Outcome {
    // SAFETY: nobody but structchunk changes or truncates the files.
    let store = unsafe { Store::options().create_new(true).open(path)? };
    store.put("c", &Counters::default())?;
    store.close()?;
    let mut watcher = run(&["watch", &path.to_string_lossy(), &(WORKERS as u64 * TIMES).to_string()])?;
    work(path)?;
    if !watcher.wait()?.success() {
        return Err("the watcher failed".into());
    }
    // SAFETY: as above.
    let counters = unsafe { Reader::attach(path)? }.load::<Counters>("c")?.ok_or("they are there")?;
    println!(
        "requests: {:?}, bytes: {:?}, by worker: {:?}",
        counters.requests, counters.bytes, counters.by_worker
    );
    Ok(())
}

/// Runs this program once more.
fn run(arguments: &[&str]) -> std::io::Result<Child> {
    Command::new(std::env::current_exe()?).args(arguments).spawn()
}

/// Adds, in several threads of the process that has the store.
fn work(path: &Path) -> Outcome {
    // SAFETY: as in `show`.
    let store = unsafe { Store::options().open(path)? };
    thread::scope(|scope| {
        let start = |number: usize| {
            let store = &store;
            scope.spawn(move || -> Outcome {
                let counters = store.get_atomic::<Counters>("c")?.ok_or("there are no counters")?;
                for _ in 0..TIMES {
                    counters.requests.fetch_add(1, Ordering::Relaxed);
                    counters.bytes.fetch_add(100 + number as u64, Ordering::Relaxed);
                    counters.by_worker[number].fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            })
        };
        let workers: Vec<_> = (0..WORKERS).map(start).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| "a worker failed")?)
    })?;
    store.close()?;
    Ok(())
}

/// Looks on until there are so many requests, whoever adds: what it sees never goes back.
fn watch(path: &Path, total: u64) -> Outcome {
    // SAFETY: as in `show`.
    let reader = unsafe { Reader::attach(path)? };
    let (mut last, end) = (0, Instant::now() + Duration::from_mins(1));
    while last < total {
        let session = reader.session()?;
        let Some(counters) = session.atomic::<Counters>("c")? else { return Err("no counters".into()) };
        while last < total {
            let now = match counters.load() {
                Ok(counters) => counters.requests.into_inner(),
                // Another writer has begun: look them up anew.
                Err(structchunk::Error::SessionOver { .. }) => break,
                Err(error) => return Err(error.into()),
            };
            if now < last || Instant::now() > end {
                return Err("the counters stood still, or went back".into());
            }
            last = now;
        }
    }
    Ok(())
}
