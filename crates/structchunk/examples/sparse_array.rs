//! An array of 100 GiB on any disk: it takes only the space that is touched, and gives it back.
//!
//! `cargo run -p structchunk --example sparse_array [DIRECTORY]`

#![expect(unsafe_code, reason = "opening a store is unsafe: others could change its files")]

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use structchunk::{Space, Store};

const ITEMS: u64 = (100 << 30) / size_of::<f64>() as u64;

fn main() -> Result<(), Box<dyn Error>> {
    let parent = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = parent.join(format!("structchunk-sparse-array-{}", std::process::id()));
    let outcome = show(&folder);
    std::fs::remove_dir_all(&folder)?;
    outcome
}

fn show(folder: &std::path::Path) -> Result<(), Box<dyn Error>> {
    // SAFETY: nobody but structchunk changes or truncates the files while the store is open.
    let store = unsafe { Store::options().create_new(true).open(folder)? };
    report(&store, "an empty store")?;

    // Memory of the right type, filled in place, then published. Until then nobody sees it.
    let start = Instant::now();
    let mut grid = store.loan_array::<f64>("grid", &[ITEMS / 1024, 1024], Space::Sparse)?;
    let middle = grid.len() / 2;
    grid[0] = 1.0;
    grid[middle] = 2.0;
    grid.publish()?;
    store.sync()?;
    println!("made in {:.1?}", start.elapsed());
    report(&store, "two numbers in it")?;

    // Touching a sparse page on a full disk would be a signal; where that must not be, reserve what will be touched.
    store.reserve("grid", 0..1 << 20)?;
    if let Some(mut grid) = store.get_mut::<[f64]>("grid")? {
        grid[..1000].fill(3.0);
    }
    report(&store, "1 MiB of it reserved")?;

    let Some(grid) = store.get::<[f64]>("grid")? else { return Err("the array is gone".into()) };
    println!(
        "{} numbers; the first {}, one in the middle {}, the last {}",
        grid.len(),
        grid[0],
        grid[middle],
        grid[grid.len() - 1]
    );
    drop(grid);

    // A removed object may still be needed to go back to the last checkpoint; so its space returns with the sync after the next.
    store.remove("grid")?;
    store.sync()?;
    report(&store, "removed")?;
    store.sync()?;
    report(&store, "one sync later")?;
    store.close()?;
    Ok(())
}

fn report(store: &Store, when: &str) -> Result<(), Box<dyn Error>> {
    let stats = store.stats()?;
    println!(
        "{when}: {} bytes apparent, {} really taken, bodies: {}",
        stats.bytes_apparent, stats.bytes_allocated, stats.bodies
    );
    Ok(())
}
