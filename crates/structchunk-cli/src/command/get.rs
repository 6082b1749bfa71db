//! `structchunk get`: one object, decoded by the layout that is stored with it.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::value::RawValue;
use structchunk::Value;

use super::ls::shape;
use crate::failure::{Failure, Outcome};
use crate::key::{JsonKey, KeyForm, shown};
use crate::numbers::counted;
use crate::text::quiet;
use crate::{json, opening};

/// Show an object, decoded by the layout that is stored with it
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  structchunk get galaxy.store p/42
  structchunk get galaxy.store p/42 --json | jq .value.charge
  structchunk get galaxy.store --escaped 'a\\x00b'
  structchunk get galaxy.store --hex 610062")]
pub struct Get {
    /// The store's directory
    store: PathBuf,
    /// The object's key
    key: OsString,
    /// Show about this many numbers and texts of it, the first ones
    #[arg(long, value_name = "N", default_value_t = 1000, allow_negative_numbers = true)]
    limit: usize,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    form: KeyForm,
}

#[derive(Serialize)]
struct JsonObject<'a> {
    #[serde(flatten)]
    key: JsonKey<'a>,
    #[serde(rename = "type")]
    type_name: &'a str,
    fingerprint: String,
    bytes: u64,
    shape: Option<Vec<u64>>,
    sequence: u64,
    /// Whether `value` is all of the object.
    complete: bool,
    value: Box<RawValue>,
}

impl Get {
    pub fn run(self, out: &mut dyn Write) -> Result<Outcome, Failure> {
        let key = self.form.key(&self.key)?;
        let store = opening::for_reading(&self.store)?;
        let Some(entry) = store.entry(&key)? else {
            return Err(Failure::NotFound(format!("no object {} in {}", shown(&key), self.store.display())));
        };
        let value = entry.value(self.limit.max(1))?;
        let complete = is_complete(&value);
        if self.json {
            let raw = RawValue::from_string(value.json().to_string());
            let object = JsonObject {
                key: entry.key().into(),
                type_name: entry.type_name()?,
                fingerprint: entry.fingerprint()?.to_string(),
                bytes: entry.len()?,
                shape: entry.shape(),
                sequence: entry.sequence(),
                complete,
                value: raw.map_err(|error| Failure::Other(format!("the value is no JSON: {error}")))?,
            };
            json::write(out, &object)?;
            return Ok(Outcome::Fine);
        }
        let kind = quiet(entry.type_name()?) + &shape(&entry);
        let part = if complete { "" } else { "; the beginning of it, --limit N shows more" };
        writeln!(out, "{}: {kind}, {}{part}", shown(&key), counted(entry.len()?, "byte", "bytes"))?;
        writeln!(out, "{value:#}")?;
        Ok(Outcome::Fine)
    }
}

/// Whether nothing was left out.
fn is_complete(value: &Value) -> bool {
    match value {
        Value::List { items, left_out } => *left_out == 0 && items.iter().all(is_complete),
        Value::Struct { fields, left_out } => {
            *left_out == 0 && fields.iter().all(|(_, value)| is_complete(value))
        }
        _ => true,
    }
}
