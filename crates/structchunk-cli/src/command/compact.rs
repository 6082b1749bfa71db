//! `structchunk compact`: gives the space of removed and replaced objects back.

use std::io::Write;
use std::path::PathBuf;

use serde::Serialize;
use structchunk::{CompactReport, Compaction};

use crate::failure::{Failure, Outcome, say};
use crate::numbers::{bytes, counted};
use crate::progress::Progress;
use crate::{json, opening};

/// Give back the space of what was removed and replaced
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  structchunk compact galaxy.store
  structchunk compact galaxy.store --fill 0.9
  structchunk stats galaxy.store                what there is to gain

What is current is moved out of chunks that hold little of it, and the chunks are dropped. Chunks that
had to stay are named, and make the exit code 1.")]
pub struct Compact {
    /// The store's directory
    store: PathBuf,
    /// Which part of a chunk must be current for it to stay, from 0 to 1
    #[arg(long, value_name = "R", default_value_t = 0.5, allow_negative_numbers = true, value_parser = ratio)]
    fill: f64,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct JsonCompact {
    moved_objects: u64,
    moved_bytes: u64,
    moved_tombstones: u64,
    dropped_tombstones: u64,
    dropped_chunks: Vec<u32>,
    dropped_bytes: u64,
    waiting_chunks: Vec<u32>,
    left_chunks: Vec<JsonLeft>,
}

#[derive(Serialize)]
struct JsonLeft {
    number: u32,
    reason: String,
}

impl From<&CompactReport> for JsonCompact {
    fn from(report: &CompactReport) -> Self {
        let left = report.left_chunks.iter();
        Self {
            moved_objects: report.moved_objects,
            moved_bytes: report.moved_bytes,
            moved_tombstones: report.moved_tombstones,
            dropped_tombstones: report.dropped_tombstones,
            dropped_chunks: report.dropped_chunks.clone(),
            dropped_bytes: report.dropped_bytes,
            waiting_chunks: report.waiting_chunks.clone(),
            left_chunks: left
                .map(|&(number, reason)| JsonLeft { number, reason: reason.to_string() })
                .collect(),
        }
    }
}

fn ratio(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (0.0..=1.0).contains(number));
    number.ok_or_else(|| "a number from 0 to 1 is needed".to_owned())
}

impl Compact {
    pub fn run(self, out: &mut dyn Write) -> Result<Outcome, Failure> {
        let store = opening::for_writing(&self.store)?;
        let report = {
            let progress = Progress::of(store.stats()?.chunks.len() as u64, "compacting, chunk");
            let compaction = Compaction::new().fill_ratio(self.fill);
            store.compact_with(compaction.progress(|at| progress.at(at.chunks)))?
        };
        store.close()?;
        if self.json {
            json::write(out, &JsonCompact::from(&report))?;
        } else {
            writeln!(
                out,
                "{} ({}) moved, {} ({}) dropped",
                counted(report.moved_objects, "object", "objects"),
                bytes(report.moved_bytes),
                counted(report.dropped_chunks.len() as u64, "chunk", "chunks"),
                bytes(report.dropped_bytes)
            )?;
        }
        for (number, reason) in &report.left_chunks {
            say(&format!("chunk {number:08x} stays: {reason}"));
        }
        Ok(if report.left_chunks.is_empty() { Outcome::Fine } else { Outcome::Findings })
    }
}
