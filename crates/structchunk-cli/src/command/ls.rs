//! `structchunk ls`: the keys.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

use serde::Serialize;
use structchunk::Entry;

use crate::failure::{Failure, Outcome};
use crate::key::{JsonKey, KeyForm, shown};
use crate::numbers::grouped;
use crate::progress::Progress;
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
        let range = {
            let _progress = Progress::waiting("sorting");
            store.prefix(&prefix)?
        };
        // Damage is told at the end; what can be read comes first.
        let mut damage = None;
        if self.long || self.json {
            for entry in range {
                match entry {
                    Ok(entry) => self.show(out, &entry)?,
                    Err(error) => drop(damage.get_or_insert(error)),
                }
            }
        } else {
            for key in range.keys() {
                match key {
                    Ok(key) => writeln!(out, "{}", shown(key.key()))?,
                    Err(error) => drop(damage.get_or_insert(error)),
                }
            }
        }
        damage.map_or(Ok(Outcome::Fine), |damage| Err(damage.into()))
    }

    fn show(&self, out: &mut dyn Write, entry: &Entry<'_>) -> Result<(), Failure> {
        if self.json {
            return json::write(out, &line(entry)?);
        }
        let name = quiet(entry.type_name()?) + &shape(entry);
        writeln!(out, "{:>15}  {name:<24}  {}", grouped(entry.len()?), shown(entry.key()))?;
        Ok(())
    }
}

fn line<'a>(entry: &'a Entry<'_>) -> Result<Line<'a>, Failure> {
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
