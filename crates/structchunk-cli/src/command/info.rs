//! `structchunk info`: what a store is and holds.

use std::io::Write;
use std::path::PathBuf;

use serde::Serialize;
use structchunk::Stats;

use crate::failure::{Failure, Outcome};
use crate::numbers::{bytes, counted, grouped};
use crate::reading::Reading;
use crate::recovery::{self, JsonRecovery};
use crate::survey::{CountedType, TypeSurvey, count_types};
use crate::table::table;
use crate::text::quiet;
use crate::{json, opening};

/// Say what a store is and holds
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  structchunk info galaxy.store
  structchunk info galaxy.store --json | jq .objects")]
pub struct Info {
    /// The store's directory
    store: PathBuf,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct JsonInfo<'a> {
    store: String,
    objects: u64,
    chunks: u64,
    chunk_capacity: u64,
    bodies: u64,
    /// Nobody but the writer knows, where there is one.
    sequence: Option<u64>,
    epoch: u64,
    bytes_apparent: u64,
    bytes_allocated: u64,
    directory_bytes: u64,
    live_map_bytes: u64,
    index_bytes: u64,
    /// What opening it found; nothing beside the writer, who has opened it.
    opened: Option<JsonRecovery<'a>>,
    types: Vec<JsonType<'a>>,
}

#[derive(Serialize)]
struct JsonType<'a> {
    name: &'a str,
    fingerprint: String,
    size: u64,
    objects: u64,
}

impl Info {
    pub fn run(self, out: &mut dyn Write) -> Result<Outcome, Failure> {
        let store = opening::for_reading(&self.store)?;
        let stats = store.stats()?;
        let TypeSurvey { types, damage } = count_types(&store)?;
        if self.json {
            json::write(out, &json_info(&store, &stats, &types))?;
        } else {
            print(out, &store, &stats, &types)?;
        }
        damage.map_or(Ok(Outcome::Fine), |damage| Err(damage.into()))
    }
}

fn json_info<'a>(store: &'a Reading, stats: &Stats, types: &'a [CountedType]) -> JsonInfo<'a> {
    let json_type = |CountedType { stored, objects }: &'a CountedType| JsonType {
        name: stored.layout.name(),
        fingerprint: stored.fingerprint.to_string(),
        size: stored.layout.size(),
        objects: *objects,
    };
    JsonInfo {
        store: store.path().display().to_string(),
        objects: stats.objects,
        chunks: stats.chunks.len() as u64,
        chunk_capacity: stats.chunk_capacity,
        bodies: stats.bodies,
        sequence: stats.sequence,
        epoch: stats.epoch,
        bytes_apparent: stats.bytes_apparent,
        bytes_allocated: stats.bytes_allocated,
        directory_bytes: stats.directory_bytes,
        live_map_bytes: stats.live_map_bytes,
        index_bytes: stats.index_bytes,
        opened: store.recovery().map(Into::into),
        types: types.iter().map(json_type).collect(),
    }
}

fn print(out: &mut dyn Write, store: &Reading, stats: &Stats, types: &[CountedType]) -> Result<(), Failure> {
    let [directory, live_map, index] =
        [stats.directory_bytes, stats.live_map_bytes, stats.index_bytes].map(bytes);
    let views = format!("directory {directory}, live map {live_map}, index {index}");
    writeln!(out, "{}", quiet(&store.path().display().to_string()))?;
    writeln!(out, "  objects    {}", grouped(stats.objects))?;
    writeln!(out, "  chunks     {} of {}", grouped(stats.chunks.len() as u64), bytes(stats.chunk_capacity))?;
    writeln!(out, "  bodies     {}", grouped(stats.bodies))?;
    writeln!(out, "  apparent   {} ({})", bytes(stats.bytes_apparent), counted_bytes(stats.bytes_apparent))?;
    writeln!(
        out,
        "  on disk    {} ({})",
        bytes(stats.bytes_allocated),
        counted_bytes(stats.bytes_allocated)
    )?;
    writeln!(out, "  views      {views}")?;
    let found = store.recovery().map_or("written by another program".to_owned(), |it| it.found.to_string());
    let sequence = stats.sequence.map_or(String::new(), |sequence| format!("sequence {sequence}, "));
    writeln!(out, "  state      {found}; {sequence}epoch {}", stats.epoch)?;
    for line in store.recovery().map(recovery::lines).unwrap_or_default() {
        writeln!(out, "             {}", quiet(&line))?;
    }
    if types.is_empty() {
        return Ok(());
    }
    let mut rows = table(&["type", "size", "objects", "fingerprint"], &["size", "objects"]);
    for CountedType { stored, objects } in types {
        rows.add_row([
            quiet(stored.layout.name()),
            grouped(stored.layout.size()),
            grouped(*objects),
            stored.fingerprint.to_string(),
        ]);
    }
    writeln!(out, "\n{}", rows.trim_fmt())?;
    Ok(())
}

fn counted_bytes(number: u64) -> String {
    counted(number, "byte", "bytes")
}
