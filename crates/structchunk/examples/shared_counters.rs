//! Counters that several processes raise at once, through atomics and by updates of a larger object; nothing is lost. Then one of them dies in the
//! middle of a change, which everybody is told of, and somebody mends it.
//!
//! `cargo run -p structchunk --example shared_counters [DIRECTORY]`

#![expect(unsafe_code, reason = "opening a store is unsafe: others could change its files")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use structchunk::{Mutator, Object, Store};

const WORKERS: usize = 4;
const WORK: Duration = Duration::from_millis(500);

/// Raised without a lock.
#[derive(Object, Default)]
#[object(atomic)]
#[repr(C)]
struct Requests {
    served: AtomicU64,
    bytes: AtomicU64,
}

/// Changed as a whole.
#[derive(Object, Clone, Copy)]
#[repr(C)]
struct Latencies {
    count: u64,
    sum: u64,
    buckets: [u64; 100],
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args_os().collect();
    match (arguments.get(1).and_then(|role| role.to_str()), arguments.get(2)) {
        (Some("work"), Some(path)) => work(Path::new(path)),
        (Some("die"), Some(path)) => die(Path::new(path)),
        _ => {
            let parent = arguments.get(1).map_or_else(std::env::temp_dir, PathBuf::from);
            let folder = parent.join(format!("structchunk-shared-counters-{}", std::process::id()));
            let outcome = show(&folder);
            std::fs::remove_dir_all(&folder)?;
            outcome
        }
    }
}

/// Runs this program once more.
fn run(role: &str, path: &Path) -> std::io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(role).arg(path).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()
}

fn show(path: &Path) -> Result<(), Box<dyn Error>> {
    // SAFETY: nobody but structchunk changes or truncates the files.
    let store = unsafe { Store::options().create_new(true).shared_mutation(true).open(path)? };
    store.put("requests", &Requests::default())?;
    store.put("latencies", &Latencies { count: 0, sum: 0, buckets: [0; 100] })?;

    let workers = (0..WORKERS).map(|_| run("work", path)).collect::<Result<Vec<_>, _>>()?;
    let (mut served, mut changed) = (0, 0);
    for worker in workers {
        let output = worker.wait_with_output()?;
        let told = String::from_utf8(output.stdout)?;
        let mut numbers = told.split_whitespace().map(str::parse::<u64>);
        served += numbers.next().ok_or("a worker failed")??;
        changed += numbers.next().ok_or("a worker failed")??;
    }
    let requests: Requests = store.load("requests")?.ok_or("they are there")?;
    let latencies: Latencies = store.load("latencies")?.ok_or("they are there")?;
    println!("{WORKERS} processes: {served} requests told, {} counted", requests.served.into_inner());
    println!(
        "{changed} changes told, {} counted, {} in buckets",
        latencies.count,
        latencies.buckets.iter().sum::<u64>()
    );

    run("die", path)?.wait()?;
    let told = store.load::<Latencies>("latencies").err().ok_or("it is torn")?;
    println!("after a death in the middle of a change: {told}");
    store.mend("latencies", |latencies: &mut Latencies| latencies.count = latencies.buckets.iter().sum())?;
    let latencies: Latencies = store.load("latencies")?.ok_or("they are there")?;
    println!("mended: {} counted", latencies.count);
    store.close()?;
    Ok(())
}

/// Serves requests for a while, and tells how many.
fn work(path: &Path) -> Result<(), Box<dyn Error>> {
    // SAFETY: as in `show`.
    let mutator = unsafe { Mutator::attach(path)? };
    let session = mutator.session()?;
    let requests = session.get_atomic::<Requests>("requests")?.ok_or("it is there")?;
    let (mut served, mut changed) = (0_u64, 0_u64);
    let end = Instant::now() + WORK;
    while Instant::now() < end {
        for _ in 0..1000 {
            requests.served.fetch_add(1, Ordering::Relaxed);
            requests.bytes.fetch_add(64, Ordering::Relaxed);
            served += 1;
        }
        mutator.update("latencies", |latencies: &mut Latencies| {
            latencies.count += 1;
            latencies.sum += changed % 100;
            latencies.buckets[(changed % 100) as usize] += 1;
        })?;
        changed += 1;
    }
    println!("{served} {changed}");
    Ok(())
}

/// Dies while it changes an object.
fn die(path: &Path) -> Result<(), Box<dyn Error>> {
    // SAFETY: as in `show`.
    let mutator = unsafe { Mutator::attach(path)? };
    mutator.update("latencies", |_: &mut Latencies| std::process::abort())?;
    Ok(())
}
