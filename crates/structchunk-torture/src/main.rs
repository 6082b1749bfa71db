//! The long fault suites behind one command: [`Line`] says how it is used.
//!
//! A class is a module with a function from a [`Plan`] to a [`Report`](plan::Report), and a line in [`CLASSES`] (`classes/mod.rs`). What they compare stores
//! with (the model, seeded scripts, the disk whose power is cut) is that of the engine's own suite in `crates/structchunk/tests/store/`.
#![allow(clippy::large_stack_arrays, reason = "objects of tests are large where that matters")]

mod child;
mod classes;
mod plan;
mod shared;
mod steps;
mod table;
mod trace;

use std::process::ExitCode;

use clap::Parser;
use clap::builder::PossibleValuesParser;

use classes::CLASSES;
use plan::{Class, Plan, Scale};
use shared::{common, failing_disk, mount, power, replay, scenarios, script, session, writers};

/// Let everything fail that can, and look at what is left of the store: processes killed at any moment, power cuts, failing system calls,
/// full disks.
///
/// Prints a table of class, runs, failures and seed, and exits with 1 when anything failed, with 2 when it was not understood.
#[derive(Parser)]
#[command(name = "structchunk-torture", version, max_term_width = 100)]
struct Line {
    /// `quick`: some of everything, in less than a minute. `all`: what the project promises; it may take an hour. A class by its name: as
    /// in `all`, or after `quick` as there
    #[arg(default_value = QUICK, value_parser = PossibleValuesParser::new(words()))]
    what: Vec<String>,

    /// Only parts (lines of the table) whose names begin so
    #[arg(long, default_value = "", hide_default_value = true)]
    part: String,

    /// Repeats a run, as far as timing allows
    #[arg(long, default_value_t = common::seed())]
    seed: u64,
}

const QUICK: &str = "quick";
const ALL: &str = "all";

/// What can be asked for.
fn words() -> impl Iterator<Item = &'static str> {
    [QUICK, ALL].into_iter().chain(CLASSES.iter().map(|class| class.name))
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, task @ ..] = &arguments[..]
        && first == child::WORD
    {
        return child::run(task);
    }
    let Line { what, part, seed } = Line::parse();
    let asked = |word: &str| what.iter().any(|asked| asked == word);
    let mut classes: Vec<&Class> = CLASSES.iter().filter(|class| asked(class.name)).collect();
    let scale = if asked(QUICK) { Scale::Quick } else { Scale::All };
    if classes.is_empty() {
        classes.extend(CLASSES);
    }
    run(&Plan { scale, seed, part }, &classes)
}

fn run(plan: &Plan, classes: &[&Class]) -> ExitCode {
    // What failed is said in a line; where, `RUST_BACKTRACE` tells.
    if std::env::var_os("RUST_BACKTRACE").is_none() {
        std::panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
    }
    let mut rows = Vec::new();
    for class in classes {
        let report = (class.run)(plan);
        rows.extend(report.parts.into_iter().map(|part| (class.name, part)));
    }
    if rows.is_empty() {
        // A table of nothing would look like one without failures.
        eprintln!("no part of what was asked for has a name that begins with {:?}", plan.part);
        return ExitCode::from(2);
    }
    print!("{}", table::show(&rows, plan.seed));
    let failed = rows.iter().any(|(_, part)| part.failures > 0);
    ExitCode::from(u8::from(failed))
}
