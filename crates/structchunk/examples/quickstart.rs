//! A store from creation to reopening: put, load, change in place, scan, sync.
//!
//! `cargo run -p structchunk --example quickstart [DIRECTORY]`

#![expect(unsafe_code, reason = "opening a store is unsafe: others could change its files")]

use structchunk::{Object, Store};

#[derive(Object, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
struct Particle {
    position: [f64; 3],
    velocity: [f64; 3],
    charge: f32,
    id: u32,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let parent = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, std::path::PathBuf::from);
    let folder = parent.join(format!("structchunk-quickstart-{}", std::process::id()));

    // SAFETY: nobody but structchunk changes or truncates the files while the store is open.
    let store = unsafe { Store::options().create(true).open(&folder)? };
    for id in 0..1000 {
        let particle = Particle { position: [f64::from(id); 3], velocity: [0.0; 3], charge: 1.0, id };
        store.put(format!("p/{id}"), &particle)?;
    }
    store.update("p/42", |particle: &mut Particle| particle.charge += 1.0)?;
    store.sync()?;
    store.close()?;

    // SAFETY: as above.
    let store = unsafe { Store::options().open(&folder)? };
    println!("opened again: {}, {} objects", store.recovery().found, store.len());
    if let Some(particle) = store.get::<Particle>("p/42")? {
        println!("p/42 is {particle:?}, read where it lies in the file");
    }
    let charge: f32 = store
        .iter_of::<Particle>()?
        .map(|entry| entry.map(|(_, particle)| particle.charge))
        .sum::<Result<_, _>>()?;
    println!("total charge {charge}");
    store.close()?;
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
