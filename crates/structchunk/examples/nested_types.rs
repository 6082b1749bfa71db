//! What an object may consist of: nested structs, arrays, text, integers of a fixed byte order, atomics. And what happens when
//! it is asked for as something else.
//!
//! `cargo run -p structchunk --example nested_types [DIRECTORY]`

#![expect(unsafe_code, reason = "opening a store is unsafe: others could change its files")]

use std::error::Error;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use structchunk::{Bool, Object, Store};
use zerocopy::big_endian;

#[derive(Object, Clone, Copy, Debug)]
#[repr(C)]
struct Position {
    longitude: f64,
    latitude: f64,
}

/// As it comes from the wire: the byte order is part of the type. (It needs no alignment, so it leaves no gaps.)
#[derive(Object, Clone, Copy, Debug)]
#[repr(C)]
struct Reading {
    sensor: big_endian::U16,
    value: big_endian::I32,
}

#[derive(Object, Clone, Copy)]
#[repr(C)]
struct Station {
    position: Position,
    /// Rows and columns.
    correction: [[f32; 3]; 2],
    /// Zeroes behind the end.
    #[object(text)]
    name: [u8; 16],
    #[object(instant = "s")]
    built: i64,
    last: [Reading; 2],
    /// Any byte is a valid object, so a `bool`, which must be 0 or 1, cannot be a field.
    active: Bool,
    // Without it the compiler would complain that the struct has a gap of 3 bytes, and say where.
    #[object(padding)]
    _pad: [u8; 3],
}

/// Counters that any number of threads change at once.
#[derive(Object)]
#[object(atomic)]
#[repr(C)]
struct Counters {
    requests: AtomicU64,
    failures: AtomicU64,
}

/// What a later program takes for a `Position`: somebody has changed a field.
#[derive(Object, Clone, Copy, Debug)]
#[object(name = "Position")]
#[repr(C)]
struct ChangedPosition {
    longitude: f64,
    latitude: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let parent = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = parent.join(format!("structchunk-nested-types-{}", std::process::id()));
    let outcome = show(&folder);
    std::fs::remove_dir_all(&folder)?;
    outcome
}

fn show(folder: &std::path::Path) -> Result<(), Box<dyn Error>> {
    // SAFETY: nobody but structchunk changes or truncates the files while the store is open.
    let store = unsafe { Store::options().create_new(true).open(folder)? };

    let mut name = [0; 16];
    name[..7].copy_from_slice("Zürich".as_bytes());
    let reading = Reading { sensor: 7.into(), value: (-12).into() };
    let station = Station {
        position: Position { longitude: 8.55, latitude: 47.37 },
        correction: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.5]],
        name,
        built: 1_000_000_000,
        last: [reading; 2],
        active: Bool::TRUE,
        _pad: [0; 3],
    };
    store.put("station", &station)?;

    // A reference into the file: reading a nested field is a load.
    if let Some(station) = store.get::<Station>("station")? {
        println!("latitude {}, sensor {}", station.position.latitude, station.last[1].sensor);
    }
    // Writing one is a store.
    store.update("station", |station: &mut Station| station.correction[1][2] = 0.25)?;

    // Arrays are objects by themselves; their shape is stored beside the type of their elements.
    let track = [station.position, Position { longitude: 8.6, latitude: 47.4 }];
    store.put("track", &track[..])?;

    store.put("counters", &Counters { requests: 0.into(), failures: 0.into() })?;
    if let Some(counters) = store.get_atomic::<Counters>("counters")? {
        counters.requests.fetch_add(3, Ordering::Relaxed);
        counters.failures.fetch_add(1, Ordering::Relaxed);
    }

    // Layouts are stored too, so whoever does not have this source can read the objects.
    for entry in store.iter()? {
        let entry = entry?;
        let shape = entry.shape();
        let value = entry.layout()?.read(&entry.bytes(1 << 20)?, shape.as_deref(), 1 << 20);
        if let Some(value) = value {
            println!("{} is a {}: {value}", String::from_utf8_lossy(entry.key()), entry.type_name()?);
        }
    }

    // An object is never seen as a type that it is not.
    store.put("here", &station.position)?;
    if let Err(error) = store.load::<ChangedPosition>("here") {
        println!("refused: {error}");
    }
    store.close()?;
    Ok(())
}
