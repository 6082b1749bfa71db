//! `structchunk-torture [quick|all|CLASS...] [--part P] [--seed S]`: the long fault suites behind one command.
//!
//! It prints a table of class, runs, failures and seed, and exits with 1 when anything failed. `quick` (what is done when nothing is
//! said) is for every change, and takes less than a minute; `all` is for releases, and may take an hour. A class by its name
//! runs at the size that it has in `all`, after `quick` in the size that it has there; a part is a line of the table.
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

use classes::CLASSES;
use plan::{Class, Plan, Scale};
use shared::{common, mount, power, replay, scenarios, script, session};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, task @ ..] = &arguments[..]
        && first == child::WORD
    {
        return child::run(task);
    }
    match plan(&arguments) {
        Ok((plan, classes)) => run(&plan, &classes),
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::from(2)
        }
    }
}

/// What the command line asks for.
fn plan(arguments: &[String]) -> Result<(Plan, Vec<&'static Class>), String> {
    let (mut scale, mut classes, mut seed) = (None, Vec::new(), common::seed());
    let mut part = String::new();
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "quick" => scale = Some(Scale::Quick),
            "all" => scale = Some(Scale::All),
            "--part" => part.clone_from(words.next().ok_or("--part takes the name of a line of the table")?),
            "--seed" => {
                let number = words.next().and_then(|number| number.parse().ok());
                seed = number.ok_or("--seed takes a number")?;
            }
            name => {
                let class = CLASSES.iter().find(|class| class.name == name);
                classes.push(class.ok_or_else(|| {
                    let known: Vec<_> = CLASSES.iter().map(|class| class.name).collect();
                    let known = known.join("|");
                    format!("what is {name:?}? usage: structchunk-torture [quick|all|{known}] [--part P] [--seed S]")
                })?);
            }
        }
    }
    let scale = scale.unwrap_or(if classes.is_empty() { Scale::Quick } else { Scale::All });
    if classes.is_empty() {
        classes.extend(CLASSES);
    }
    Ok((Plan { scale, seed, part }, classes))
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
    print!("{}", table::show(&rows, plan.seed));
    let failed = rows.iter().any(|(_, part)| part.failures > 0);
    ExitCode::from(u8::from(failed))
}
