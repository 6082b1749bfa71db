//! What the demo did and measured; with `--json` this is its answer.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Serialize, Serializer};
use structchunk::Stats;

use crate::command::JsonFinding;
use crate::key::JsonKey;
use crate::numbers::per_second;

/// Some work on many things, and how long it took.
#[derive(Clone, Copy, Default, Serialize)]
#[serde(into = "JsonWork")]
pub struct Work {
    pub count: u64,
    pub time: Duration,
}

#[derive(Serialize)]
struct JsonWork {
    count: u64,
    seconds: f64,
    per_second: f64,
}

impl From<Work> for JsonWork {
    fn from(work: Work) -> Self {
        Self {
            count: work.count,
            seconds: work.time.as_secs_f64(),
            per_second: per_second(work.count, work.time),
        }
    }
}

/// Symbols by the names of their types.
pub type TypeCounts = BTreeMap<String, u64>;

/// Reading the files and storing their symbols.
#[derive(Default, Serialize)]
pub struct Stored {
    pub files: u64,
    pub symbols: u64,
    /// Whether the limit ended it; the last file may then be there in part.
    pub limited: bool,
    /// Symbols whose names are longer than a key can be.
    pub cut_names: u64,
    /// Files and folders that could not be read, with reasons.
    pub skipped: Vec<String>,
    #[serde(rename = "read_seconds", serialize_with = "seconds")]
    pub reading: Duration,
    pub put: Work,
    #[serde(rename = "sync_seconds", serialize_with = "seconds")]
    pub sync: Duration,
    #[serde(rename = "reopen_seconds", serialize_with = "seconds")]
    pub reopen: Duration,
}

/// One file's symbols, as counted in the store.
#[derive(Default, Serialize)]
pub struct FileCount {
    #[serde(rename = "file", serialize_with = "displayed")]
    pub path: PathBuf,
    pub symbols: u64,
    pub types: TypeCounts,
}

/// Looking symbols up by their keys, in random order.
#[derive(Serialize)]
pub struct Sought {
    /// One after the other.
    pub load: Work,
    /// Many at once.
    pub load_many: Work,
    /// Keys that are not there.
    pub absent: Work,
}

/// The keys in their order.
#[derive(Serialize)]
pub struct Ordered {
    /// All of them.
    pub keys: Work,
    /// Some of the C library, where that is among the files.
    pub prefix: Option<ByPrefix>,
}

/// Symbols of one file whose names begin alike.
#[derive(Serialize)]
pub struct ByPrefix {
    #[serde(rename = "file", serialize_with = "displayed")]
    pub path: PathBuf,
    pub prefix: &'static str,
    pub found: Work,
    pub symbols: Vec<Named>,
}

/// A symbol and its address.
#[derive(Serialize)]
pub struct Named {
    pub name: String,
    pub st_value: u64,
}

/// A field changed in place.
#[derive(Serialize)]
pub struct Changed {
    pub update: Work,
    /// One of the symbols.
    #[serde(flatten, serialize_with = "as_key")]
    pub key: Vec<u8>,
    pub before: u64,
    pub after: u64,
}

/// One file's symbols deleted.
#[derive(Serialize)]
pub struct Deleted {
    #[serde(rename = "file", serialize_with = "displayed")]
    pub path: PathBuf,
    pub batch: Work,
    pub objects_left: u64,
}

/// The check at the end.
#[derive(Serialize)]
pub struct Checked {
    pub records: Work,
    pub findings: Vec<JsonFinding>,
}

/// One chunk, drawn.
#[derive(Serialize)]
pub struct DrawnChunk {
    pub number: u32,
    pub live_bytes: u64,
    pub dead_bytes: u64,
    pub free_bytes: u64,
    pub bytes_allocated: u64,
    pub map: String,
}

/// Sizes at the end.
#[derive(Serialize)]
pub struct Sizes {
    pub objects: u64,
    pub bytes_apparent: u64,
    pub bytes_allocated: u64,
    pub chunk_capacity: u64,
    pub cell_bytes: u64,
    pub chunks: Vec<DrawnChunk>,
}

impl Sizes {
    /// Without the chunks.
    pub fn of(stats: &Stats) -> Self {
        Self {
            objects: stats.objects,
            bytes_apparent: stats.bytes_apparent,
            bytes_allocated: stats.bytes_allocated,
            chunk_capacity: stats.chunk_capacity,
            cell_bytes: 0,
            chunks: Vec::new(),
        }
    }
}

/// Everything.
#[derive(Serialize)]
pub struct Facts {
    pub store: String,
    /// Whether the store is still there.
    pub kept: bool,
    pub stored: Stored,
    pub scan: Work,
    /// Of all symbols, before any was deleted.
    pub types: TypeCounts,
    pub files: Vec<FileCount>,
    pub found: Sought,
    pub ordered: Ordered,
    pub changed: Changed,
    pub deleted: Deleted,
    pub check: Checked,
    #[serde(flatten)]
    pub sizes: Sizes,
}

fn displayed<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

fn as_key<S: Serializer>(key: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    JsonKey::from(key).serialize(serializer)
}

fn seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}
