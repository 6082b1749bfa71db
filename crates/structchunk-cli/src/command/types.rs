//! `structchunk types`: the types of a store, field by field.

use std::collections::HashSet;
use std::io::Write;
use std::path::PathBuf;

use serde::Serialize;
use structchunk::{Field, FieldContent, Fingerprint, Layout};

use crate::failure::{Failure, Outcome};
use crate::numbers::{counted, grouped};
use crate::survey::{CountedType, TypeSurvey, count_types};
use crate::table::table;
use crate::text::quiet;
use crate::{json, opening};

/// Show the types of a store, field by field
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  structchunk types galaxy.store
  structchunk types galaxy.store --json | jq '.types[].fields[].name'")]
pub struct Types {
    /// The store's directory
    store: PathBuf,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct JsonTypes<'a> {
    types: Vec<JsonType<'a>>,
}

#[derive(Serialize)]
struct JsonType<'a> {
    number: u32,
    objects: u64,
    #[serde(flatten)]
    layout: JsonLayout<'a>,
    /// The layouts of fields that are structs, each once.
    nested: Vec<JsonLayout<'a>>,
}

#[derive(Serialize)]
struct JsonLayout<'a> {
    name: &'a str,
    fingerprint: String,
    size: u64,
    align: u32,
    fields: Vec<JsonField<'a>>,
}

#[derive(Serialize)]
struct JsonField<'a> {
    name: &'a str,
    offset: u64,
    /// As in `f8`; of a struct its name.
    #[serde(rename = "type")]
    kind: String,
    shape: &'a [u64],
    /// Of a bit field, its first bit counted from the struct's start, and its width.
    #[serde(skip_serializing_if = "Option::is_none")]
    bits: Option<(u64, u8)>,
    /// Of a struct.
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
}

impl Types {
    pub fn run(self, out: &mut dyn Write) -> Result<Outcome, Failure> {
        let store = opening::for_reading(&self.store)?;
        let TypeSurvey { types, damage } = count_types(&store)?;
        if self.json {
            let types = types.iter().map(json_type).collect();
            json::write(out, &JsonTypes { types })?;
        } else {
            for (index, CountedType { stored, objects }) in types.iter().enumerate() {
                let objects = format!(", {}", counted(*objects, "object", "objects"));
                let gap = if index == 0 { "" } else { "\n" };
                write!(out, "{gap}")?;
                print(out, &stored.layout, &objects)?;
                for nested in nested(&stored.layout) {
                    print(out, nested, "")?;
                }
            }
        }
        damage.map_or(Ok(Outcome::Fine), |damage| Err(damage.into()))
    }
}

/// The layouts of fields that are structs, and of their fields, each once.
fn nested(layout: &Layout) -> Vec<&Layout> {
    let mut met: HashSet<Fingerprint> = [layout.fingerprint()].into();
    let mut found = vec![layout];
    let mut next = 0;
    while let Some(&layout) = found.get(next) {
        next += 1;
        for field in layout.fields() {
            if let FieldContent::Nested(inner) = field.content()
                && met.insert(inner.fingerprint())
            {
                found.push(inner);
            }
        }
    }
    found.split_off(1)
}

fn print(out: &mut dyn Write, layout: &Layout, objects: &str) -> Result<(), Failure> {
    let size = counted(layout.size(), "byte", "bytes");
    let (name, fingerprint) = (quiet(layout.name()), layout.fingerprint());
    writeln!(out, "{name}: {size}, aligned to {}, fingerprint {fingerprint}{objects}", layout.align())?;
    if layout.scalar().is_some() {
        return Ok(());
    }
    let mut rows = table(&["at", "type", "field", ""], &["at"]);
    for field in layout.fields() {
        let shape = if field.shape().is_empty() { String::new() } else { format!("{:?}", field.shape()) };
        let at = match bits(field) {
            Some((first, _)) => format!("{} bit {}", grouped(field.offset()), first % 8),
            None => grouped(field.offset()),
        };
        let title = field.title().map_or(String::new(), quiet);
        rows.add_row([at, quiet(&kind(field)) + &shape, quiet(field.name()), title]);
    }
    writeln!(out, "{}", rows.trim_fmt())?;
    Ok(())
}

fn kind(field: &Field) -> String {
    match field.content() {
        FieldContent::Scalar(scalar) => scalar.to_string(),
        FieldContent::Nested(layout) => layout.name().to_owned(),
        FieldContent::Bits { width, signed, .. } => format!("{}:{width}", if *signed { 'i' } else { 'u' }),
        // A kind that came after this command.
        _ => "?".to_owned(),
    }
}

fn bits(field: &Field) -> Option<(u64, u8)> {
    match field.content() {
        FieldContent::Bits { width, .. } => Some((field.first_bit(), *width)),
        _ => None,
    }
}

fn json_type(CountedType { stored, objects }: &CountedType) -> JsonType<'_> {
    JsonType {
        number: stored.number,
        objects: *objects,
        layout: json_layout(&stored.layout),
        nested: nested(&stored.layout).into_iter().map(json_layout).collect(),
    }
}

fn json_layout(layout: &Layout) -> JsonLayout<'_> {
    let field = |field| json_field(field);
    JsonLayout {
        name: layout.name(),
        fingerprint: layout.fingerprint().to_string(),
        size: layout.size(),
        align: layout.align(),
        fields: layout.fields().iter().map(field).collect(),
    }
}

fn json_field(field: &Field) -> JsonField<'_> {
    JsonField {
        name: field.name(),
        offset: field.offset(),
        kind: kind(field),
        shape: field.shape(),
        bits: bits(field),
        fingerprint: match field.content() {
            FieldContent::Nested(layout) => Some(layout.fingerprint().to_string()),
            _ => None,
        },
    }
}
