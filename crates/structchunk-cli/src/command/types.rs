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
    /// Which of the layouts of this name it is, in the order in which they came into the store, and how many there are.
    version: u32,
    versions: u32,
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
    /// Fingerprints of older layouts, as far as the program said.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    extends: Vec<String>,
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
    /// In layouts that the type extends.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    former_names: &'a [String],
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
                let version = match (stored.version, stored.versions) {
                    (_, 1) => String::new(),
                    (version, versions) => format!(", version {version} of {versions}"),
                };
                let more = format!(", {}{version}", counted(*objects, "object", "objects"));
                let gap = if index == 0 { "" } else { "\n" };
                write!(out, "{gap}")?;
                let older = stored.layout.extends().iter().map(|older| described(*older, &types));
                print(out, &stored.layout, &more, &older.collect::<Vec<_>>())?;
                for nested in nested(&stored.layout) {
                    print(out, nested, "", &[])?;
                }
            }
        }
        damage.map_or(Ok(Outcome::Fine), |damage| Err(damage.into()))
    }
}

/// An older layout: its fingerprint and, where the store knows it, its name and version.
fn described(older: Fingerprint, types: &[CountedType]) -> String {
    match types.iter().map(|counted| &counted.stored).find(|stored| stored.fingerprint == older) {
        Some(known) if known.versions > 1 => {
            format!("{older}, {} version {}", quiet(known.layout.name()), known.version)
        }
        Some(known) => format!("{older}, {}", quiet(known.layout.name())),
        None => format!("{older}, which this store has never held"),
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

fn print(out: &mut dyn Write, layout: &Layout, objects: &str, older: &[String]) -> Result<(), Failure> {
    let size = counted(layout.size(), "byte", "bytes");
    let (name, fingerprint) = (quiet(layout.name()), layout.fingerprint());
    writeln!(out, "{name}: {size}, aligned to {}, fingerprint {fingerprint}{objects}", layout.align())?;
    for older in older {
        writeln!(out, "  extends {older}")?;
    }
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
        let former_names = field.former_names().iter().map(|name| format!("once {}", quiet(name)));
        let title = field.title().map(quiet).into_iter().chain(former_names).collect::<Vec<_>>().join("; ");
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
        version: stored.version,
        versions: stored.versions,
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
        extends: layout.extends().iter().map(Fingerprint::to_string).collect(),
        fields: layout.fields().iter().map(field).collect(),
    }
}

fn json_field(field: &Field) -> JsonField<'_> {
    JsonField {
        name: field.name(),
        offset: field.offset(),
        kind: kind(field),
        shape: field.shape(),
        former_names: field.former_names(),
        bits: bits(field),
        fingerprint: match field.content() {
            FieldContent::Nested(layout) => Some(layout.fingerprint().to_string()),
            _ => None,
        },
    }
}
