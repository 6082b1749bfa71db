//! `structchunk stats`: how full each chunk is, and of what.

use std::io::Write;
use std::path::PathBuf;

use serde::Serialize;
use structchunk::ChunkStats;

use crate::failure::{Failure, Outcome};
use crate::numbers::{bytes, grouped};
use crate::table::table;
use crate::{chart, json, opening};

/// Show how full each chunk is, and of what
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  structchunk stats galaxy.store
  structchunk stats galaxy.store --json | jq '.chunks[] | select(.dead_bytes > .live_bytes)'")]
pub struct Stats {
    /// The store's directory
    store: PathBuf,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct JsonStats {
    objects: u64,
    chunk_capacity: u64,
    bodies: u64,
    live_bytes: u64,
    dead_bytes: u64,
    bytes_apparent: u64,
    bytes_allocated: u64,
    chunks: Vec<JsonChunk>,
}

#[derive(Serialize)]
struct JsonChunk {
    number: u32,
    head: u64,
    live_bytes: u64,
    dead_bytes: u64,
    free_bytes: u64,
    live_records: u64,
    bytes_allocated: u64,
}

impl Stats {
    pub fn run(self, out: &mut dyn Write) -> Result<Outcome, Failure> {
        let stats = opening::for_reading(&self.store)?.stats()?;
        if self.json {
            json::write(out, &json_stats(&stats))?;
            return Ok(Outcome::Fine);
        }
        let numbers = ["live", "dead", "free", "on disk", "objects"];
        let mut rows = table(&["chunk", "live", "dead", "free", "on disk", "objects", ""], &numbers);
        for chunk in &stats.chunks {
            let free = free_bytes(chunk, stats.chunk_capacity);
            rows.add_row([
                format!("{:08x}", chunk.number),
                bytes(chunk.live_bytes),
                bytes(chunk.dead_bytes),
                bytes(free),
                bytes(chunk.bytes_allocated),
                grouped(chunk.live_records),
                chart::proportions(chunk.live_bytes, chunk.dead_bytes, free),
            ]);
        }
        writeln!(out, "{}", rows.trim_fmt())?;
        writeln!(out, "{}", chart::LEGEND_OF_PROPORTIONS)?;
        Ok(Outcome::Fine)
    }
}

fn free_bytes(chunk: &ChunkStats, capacity: u64) -> u64 {
    capacity.saturating_sub(chunk.head)
}

fn json_stats(stats: &structchunk::Stats) -> JsonStats {
    let json_chunk = |chunk: &ChunkStats| JsonChunk {
        number: chunk.number,
        head: chunk.head,
        live_bytes: chunk.live_bytes,
        dead_bytes: chunk.dead_bytes,
        free_bytes: free_bytes(chunk, stats.chunk_capacity),
        live_records: chunk.live_records,
        bytes_allocated: chunk.bytes_allocated,
    };
    JsonStats {
        objects: stats.objects,
        chunk_capacity: stats.chunk_capacity,
        bodies: stats.bodies,
        live_bytes: stats.chunks.iter().map(|chunk| chunk.live_bytes).sum(),
        dead_bytes: stats.chunks.iter().map(|chunk| chunk.dead_bytes).sum(),
        bytes_apparent: stats.bytes_apparent,
        bytes_allocated: stats.bytes_allocated,
        chunks: stats.chunks.iter().map(json_chunk).collect(),
    }
}
