//! What the command line asks for.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::engine;
use crate::second::{self, Task};
use crate::workload::{Scale, Workload};

/// A run that was asked for.
#[derive(Debug)]
pub struct Arguments {
    /// Sizes and counts.
    pub scale: Scale,
    /// How often every engine does every workload.
    pub rounds: usize,
    /// Which ones.
    pub workloads: Vec<Workload>,
    /// Names of the engines that take part.
    pub engines: Vec<&'static str>,
    /// Rows for programs instead of a table for people.
    pub json: bool,
    /// Where the stores are made; a folder of its own is made in it, and removed in the end.
    pub folder: PathBuf,
}

/// What to do.
#[derive(Debug)]
pub enum Request {
    /// To measure.
    Run(Arguments),
    /// To print [`help`].
    Help,
    /// To be the second process of a run. Nobody but this program asks for that.
    Second(Task),
}

const DEFAULT_OBJECTS: u64 = 1_000_000;
const DEFAULT_ROUNDS: usize = 5;
const QUICK_OBJECTS: u64 = 20_000;
const QUICK_ROUNDS: usize = 2;
/// Object numbers have 32 bits, and those of absent keys are twice as high.
const OBJECTS: std::ops::RangeInclusive<u64> = 1_000..=1_000_000_000;

/// How to call it.
pub fn help() -> String {
    let names: Vec<_> = Workload::ALL.iter().map(|workload| workload.name()).collect();
    format!(
        "structchunk against its peers and against the floor

Usage: structchunk-bench [--n N] [--quick] [--json] [--only WORKLOAD]... [--engine ENGINE]... [--rounds N] [--dir DIR]

  --n N             objects in each store, {} to {} (default {DEFAULT_OBJECTS}; with --quick {QUICK_OBJECTS})
  --quick           few rounds of few operations: whether it works, not how fast it is
  --json            one JSON object a row instead of the table
  --only WORKLOAD   only this workload; may be repeated
  --engine ENGINE   only this engine; may be repeated
  --rounds N        rounds, of which the medians are shown (default {DEFAULT_ROUNDS}; with --quick {QUICK_ROUNDS})
  --dir DIR         where the stores are made, on the file system to be measured (default: the temporary folder)

Workloads: {}
Engines: {}",
        OBJECTS.start(),
        OBJECTS.end(),
        names.join(", "),
        engine_names().join(", ")
    )
}

impl Arguments {
    /// Reads the arguments; the error is a sentence.
    pub fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Request, String> {
        let (mut objects, mut rounds, mut quick, mut json) = (None, None, false, false);
        let (mut workloads, mut engines) = (Vec::new(), Vec::new());
        let mut folder = std::env::temp_dir();
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            let name = argument.to_string_lossy().into_owned();
            let mut value = || arguments.next().ok_or_else(|| format!("{name} needs a value; see --help"));
            match name.as_str() {
                "--help" | "-h" => return Ok(Request::Help),
                second::ARGUMENT => return Task::parse(arguments).map(Request::Second),
                "--quick" => quick = true,
                "--json" => json = true,
                "--n" => objects = Some(number(&name, &value()?, OBJECTS)?),
                "--rounds" => rounds = Some(number(&name, &value()?, 1..=1000)? as usize),
                "--only" => workloads.push(workload(&value()?)?),
                "--engine" => engines.push(engine(&value()?)?),
                "--dir" => folder = PathBuf::from(value()?),
                _ => return Err(format!("unknown argument {name:?}; see --help")),
            }
        }
        if workloads.is_empty() {
            workloads.extend(Workload::ALL);
        }
        if engines.is_empty() {
            engines = engine_names();
        }
        let objects = objects.unwrap_or(if quick { QUICK_OBJECTS } else { DEFAULT_OBJECTS });
        Ok(Request::Run(Self {
            scale: if quick { Scale::quick(objects) } else { Scale::full(objects) },
            rounds: rounds.unwrap_or(if quick { QUICK_ROUNDS } else { DEFAULT_ROUNDS }),
            workloads,
            engines,
            json,
            folder,
        }))
    }
}

fn number(name: &str, value: &OsString, range: std::ops::RangeInclusive<u64>) -> Result<u64, String> {
    let text = value.to_string_lossy();
    text.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| {
        format!("{name} {text:?} is no whole number from {} to {}", range.start(), range.end())
    })
}

fn workload(name: &OsString) -> Result<Workload, String> {
    let name = name.to_string_lossy();
    Workload::ALL
        .into_iter()
        .find(|workload| workload.name() == name)
        .ok_or_else(|| format!("there is no workload {name:?}; see --help for the names"))
}

fn engine_names() -> Vec<&'static str> {
    engine::all().iter().map(|engine| engine.name()).collect()
}

fn engine(name: &OsString) -> Result<&'static str, String> {
    let name = name.to_string_lossy();
    let found = engine_names().into_iter().find(|engine| *engine == name);
    found.ok_or_else(|| format!("there is no engine {name:?}; see --help for the names"))
}
