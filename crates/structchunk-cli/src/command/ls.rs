//! `structchunk ls`: the keys.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

use serde::Serialize;
use structchunk::{Entry, Store};

use crate::failure::{Failure, Outcome};
use crate::key::{JsonKey, KeyForm, shown};
use crate::numbers::grouped;
use crate::survey::each_object;
use crate::text::quiet;
use crate::{json, opening};

/// List the keys of a store, in the order of their bytes
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  structchunk ls galaxy.store
  structchunk ls galaxy.store --prefix p/ --long
  structchunk ls galaxy.store --json | jq -r .key_hex

A key that holds more than plain text is shown in quotes, escaped; `get --escaped` takes it so.")]
pub struct Ls {
    /// The store's directory
    store: PathBuf,
    /// Only keys that begin with this
    #[arg(long)]
    prefix: Option<OsString>,
    /// Also size in bytes, type and shape of every object
    #[arg(short, long)]
    long: bool,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    form: KeyForm,
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    key: JsonKey<'a>,
    #[serde(rename = "type")]
    type_name: &'a str,
    fingerprint: String,
    bytes: u64,
    shape: Option<Vec<u64>>,
    sequence: u64,
}

impl Ls {
    pub fn run(self, out: &mut dyn Write) -> Result<Outcome, Failure> {
        let prefix = self.prefix.as_deref().map_or(Ok(Vec::new()), |prefix| self.form.bytes(prefix))?;
        let store = opening::for_reading(&self.store)?;
        let (keys, damage) = sorted_keys(&store, &prefix)?;
        for key in keys {
            if !(self.long || self.json) {
                writeln!(out, "{}", shown(key))?;
                continue;
            }
            let Some(entry) = store.entry(key)? else { continue };
            if self.json {
                json::write(out, &line(&entry)?)?;
            } else {
                let name = quiet(entry.type_name()?) + &shape(&entry);
                writeln!(out, "{:>15}  {name:<24}  {}", grouped(entry.len()?), shown(key))?;
            }
        }
        damage.map_or(Ok(Outcome::Fine), |damage| Err(damage.into()))
    }
}

/// The keys that begin with `prefix`, as they lie in the chunks: sixteen bytes of memory for each.
fn sorted_keys<'a>(
    store: &'a Store,
    prefix: &[u8],
) -> Result<(Vec<&'a [u8]>, Option<structchunk::Error>), Failure> {
    let mut keys = Vec::new();
    let damage = each_object(store, |entry| {
        if entry.key().starts_with(prefix) {
            keys.push(entry.key());
        }
    })?;
    keys.sort_unstable();
    Ok((keys, damage))
}

fn line<'a>(entry: &Entry<'a>) -> Result<Line<'a>, Failure> {
    Ok(Line {
        key: entry.key().into(),
        type_name: entry.type_name()?,
        fingerprint: entry.fingerprint()?.to_string(),
        bytes: entry.len()?,
        shape: entry.shape(),
        sequence: entry.sequence(),
    })
}

/// The dimensions of an array behind the name of its type.
pub fn shape(entry: &Entry<'_>) -> String {
    entry.shape().map_or(String::new(), |shape| format!("{shape:?}"))
}
