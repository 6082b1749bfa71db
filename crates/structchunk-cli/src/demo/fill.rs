//! From files to objects.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use structchunk::Store;

use super::elf::{self, SymbolTable};
use super::facts::{Stored, Work};
use super::files::Files;
use super::interrupt::Interrupt;
use super::symbol::{Symbol, write_key};
use crate::failure::Failure;
use crate::progress::Progress;

/// Stores the symbols of the files, at most `limit`.
pub fn fill(store: &Store, files: Files, limit: u64, interrupt: &Interrupt) -> Result<Stored, Failure> {
    let progress = Progress::of(limit, "storing symbols");
    let mut stored = Stored::default();
    let begin = Instant::now();
    let mut putting = Duration::ZERO;
    for (path, file) in files {
        interrupt.check()?;
        let skip = |reason: String| format!("{}: {reason}", path.display());
        let file = match file {
            Ok(file) if elf::is_elf(&file) => file,
            Ok(_) => continue,
            Err(error) => {
                stored.skipped.push(skip(error.to_string()));
                continue;
            }
        };
        if stored.symbols == limit {
            stored.limited = true;
            break;
        }
        // One more than is needed tells whether the limit cuts something off.
        let room = limit - stored.symbols;
        let tables = match elf::symbol_tables(&file, room.saturating_add(1)) {
            Ok(tables) => tables,
            Err(reason) => {
                stored.skipped.push(skip(reason));
                continue;
            }
        };
        let begin = Instant::now();
        let count = put_file(store, &path, &tables, room, &mut stored)?;
        putting += begin.elapsed();
        stored.files += u64::from(count > 0);
        progress.at(stored.symbols);
    }
    stored.put = Work { count: stored.symbols, time: putting };
    stored.reading = begin.elapsed().saturating_sub(putting);
    Ok(stored)
}

/// Stores at most `room` symbols of a file; how many it were.
fn put_file(
    store: &Store,
    path: &Path,
    tables: &[SymbolTable],
    room: u64,
    stored: &mut Stored,
) -> Result<u64, Failure> {
    let symbols = tables.iter().flat_map(SymbolTable::iter);
    let mut key = Vec::new();
    let mut count = 0;
    for (name, symbol) in symbols {
        if count == room {
            stored.limited = true;
            break;
        }
        let cut = write_key(&mut key, path.as_os_str().as_bytes(), name, count);
        store.put::<Symbol>(&key, &symbol)?;
        stored.cut_names += u64::from(cut);
        count += 1;
    }
    stored.symbols += count;
    Ok(count)
}
