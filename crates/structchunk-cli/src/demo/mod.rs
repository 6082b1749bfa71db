//! `structchunk demo`: the symbols of this machine's programs and libraries, stored as they are and worked with.
//!
//! Run as `structchunk demo`, it tells a story while it goes; every number in it was measured just then.

mod elf;
mod facts;
mod files;
mod fill;
mod interrupt;
mod map;
mod scan;
mod story;
mod symbol;
mod work;

use std::io::Write;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::time::Instant;

use structchunk::{Error, Store};
use tempfile::TempDir;

use crate::failure::{Failure, Outcome};
use crate::{json, opening};
use facts::{Facts, Stored};
use files::Files;
use interrupt::Interrupt;
use story::Story;

/// Store the symbols of this machine's programs and libraries, and work with them
///
/// Reads the symbol tables (.symtab and .dynsym) of the 64-bit ELF files below the paths and stores every entry as it is, a C
/// struct of 24 bytes, under the key "file NUL symbol NUL number"; the number counts through all tables of the file. Then
/// reopens the store and scans, finds, orders, changes, deletes and checks, with measured rates.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  structchunk demo                                  up to a million symbols, in a temporary store
  structchunk demo /usr/lib --store symbols.store   keeps the store
  structchunk ls symbols.store --long | head
  structchunk demo /bin/ls --json | jq .types")]
pub struct Demo {
    /// Files and folders to read [default: /usr/lib /usr/bin]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Make the store here, and keep it; the folder must be empty or missing [default: a temporary one]
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// Store at most so many symbols
    #[arg(long, value_name = "N", default_value = "1000000", allow_negative_numbers = true, value_parser = at_least_one)]
    limit: NonZeroU64,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

fn at_least_one(text: &str) -> Result<NonZeroU64, String> {
    text.parse().map_err(|_| "a whole number from 1 on is needed".to_owned())
}

/// Chunks of 32 MiB instead of 256, so that there are several to be drawn. In bytes.
const CHUNK_CAPACITY: u64 = 32 << 20;

/// Read when no path is given.
const DEFAULT_PATHS: [&str; 2] = ["/usr/lib", "/usr/bin"];

impl Demo {
    pub fn run(self, out: &mut dyn Write) -> Result<Outcome, Failure> {
        let interrupt = Interrupt::watch();
        let files = self.files()?;
        let (path, temporary) = self.place()?;
        let mut story = Story::new(if self.json { None } else { Some(out) });
        let facts = self.work(files, &path, &mut story, &interrupt)?;
        story.end(&facts)?;
        if let Some(folder) = temporary {
            folder
                .close()
                .map_err(|error| Failure::Other(format!("cannot remove {}: {error}", path.display())))?;
        }
        let outcome = if facts.check.findings.is_empty() { Outcome::Fine } else { Outcome::Findings };
        if self.json {
            json::write(out, &facts)?;
        }
        Ok(outcome)
    }

    fn files(&self) -> Result<Files, Failure> {
        let defaults = || DEFAULT_PATHS.iter().map(PathBuf::from).filter(|path| path.exists()).collect();
        let roots: Vec<_> = if self.paths.is_empty() { defaults() } else { self.paths.clone() };
        Files::below(&roots)
            .map_err(|(path, error)| Failure::Other(format!("cannot read {}: {error}", path.display())))
    }

    /// Where the store is to be; the second is what goes away at the end.
    fn place(&self) -> Result<(PathBuf, Option<TempDir>), Failure> {
        if let Some(path) = &self.store {
            return Ok((path.clone(), None));
        }
        let folder = tempfile::Builder::new()
            .prefix("structchunk-demo-")
            .tempdir()
            .map_err(|error| Failure::Other(format!("cannot make a temporary folder: {error}")))?;
        Ok((folder.path().to_owned(), Some(folder)))
    }

    fn work(
        &self,
        files: Files,
        path: &Path,
        story: &mut Story<'_>,
        interrupt: &Interrupt,
    ) -> Result<Facts, Failure> {
        let options = Store::options().create_new(true).chunk_capacity(CHUNK_CAPACITY);
        let fresh = opening::open(options, path).map_err(|failure| match failure {
            Failure::Store(Error::AlreadyExists { .. }) => Failure::Other(format!(
                "{} exists already: the demo makes a store of its own, in a folder that is empty or missing",
                path.display()
            )),
            failure => failure,
        })?;
        story.begin(path)?;
        let mut stored = fill::fill(&fresh, files, self.limit.get(), interrupt)?;
        if stored.symbols == 0 {
            fresh.close()?;
            let skipped =
                stored.skipped.first().map_or(String::new(), |skipped| format!("; skipped {skipped}"));
            return Err(Failure::NotFound(format!("no symbols found in 64-bit ELF files{skipped}")));
        }
        let symbols = reopen(fresh, path, &mut stored)?;
        story.stored(&stored)?;
        let scanned = scan::scan(&symbols, interrupt)?;
        story.scanned(&scanned)?;
        let found = work::find(&symbols, &scanned.sample, interrupt)?;
        story.found(&found)?;
        let ordered = work::order(&symbols, &scanned.files, interrupt)?;
        story.ordered(&ordered)?;
        let changed = work::change(&symbols, &scanned.sample, interrupt)?;
        story.changed(&changed)?;
        let deleted = work::delete(&symbols, &scanned.files, interrupt)?;
        story.deleted(&deleted)?;
        let check = work::check(&symbols, interrupt)?;
        story.checked(&check)?;
        let sizes = map::draw(&symbols, interrupt)?;
        let (scan, types, files) = (scanned.work, scanned.types, scanned.files);
        symbols.close()?;
        Ok(Facts {
            store: path.display().to_string(),
            kept: self.store.is_some(),
            stored,
            scan,
            types,
            files,
            found,
            ordered,
            changed,
            deleted,
            check,
            sizes,
        })
    }
}

/// Makes everything durable, closes the store and opens it again.
fn reopen(store: Store, path: &Path, stored: &mut Stored) -> Result<Store, Failure> {
    let begin = Instant::now();
    store.sync()?;
    stored.sync = begin.elapsed();
    store.close()?;
    let begin = Instant::now();
    let store = opening::for_writing(path)?;
    stored.reopen = begin.elapsed();
    Ok(store)
}
