//! The protocol against a model of disks: random operations by the real store on a simulated disk, with crashes at any moment, each
//! opened by the real store, which works on and crashes again.
//!
//! What to accept, to drop and to wipe is decided by the store itself; the simulation has sectors, a page cache, names, syncs, and
//! their failures (`disk.rs`, `files.rs`). The model is a map, with what it was at the last syncs.
//!
//! A model that finds nothing proves nothing unless it finds what is wrong: each rule of the protocol is broken in turn
//! (`broken.rs`), by a disk that lies or by the store itself, and must be found out.

mod broken;
mod disk;
mod files;
mod forged;
mod image;
mod session;
mod steps;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use crate::common::{Random, folder};
use crate::plan::{Part, Plan, Report};
use broken::BROKEN;
use world::{Broken, Tally, World};

/// Images, in all.
const IMAGES: (u64, u64) = (2_000, 100_000);
/// A broken protocol is found out within so many.
const ENOUGH: u64 = 5_000;

pub fn run(plan: &Plan) -> Report {
    let mut report = Report::default();
    if let Some(seed) = plan.part.strip_prefix("world ").and_then(|seed| seed.parse().ok()) {
        // One of those that failed, again.
        let (mut part, mut tally) = (Part::new("sound"), Tally::default());
        part.repeat(1, |_, _| world(seed, Broken::default(), u64::MAX, &mut tally));
        eprintln!("the last image: {}", tally.at);
        report.parts.push(Part { runs: tally.images, ..part });
    }
    if plan.wants("sound") {
        report.parts.push(sound(plan));
    }
    for (name, broken) in BROKEN {
        let name = format!("broken: {name}");
        // Each of them has a test; the command does them when all is asked for.
        if plan.wants(&name) && (plan.pick(0, 1) == 1 || !plan.part.is_empty()) {
            report.parts.push(found_out(plan, &name, *broken));
        }
    }
    report
}

/// Nothing is broken, and nothing may be found.
fn sound(plan: &Plan) -> Part {
    let (mut random, start) = (plan.random("model"), Instant::now());
    let (mut part, mut tally) = (Part::new("sound"), Tally::default());
    let limit = plan.pick(IMAGES.0, IMAGES.1);
    while tally.images < limit && !part.has_failed_enough() {
        let (seed, failures) = (random.next(), part.failures);
        part.repeat(1, |_, what| {
            *what = format!("world {seed}");
            world(seed, Broken::default(), limit, &mut tally);
        });
        if part.failures > failures {
            eprintln!("the last image: {}", tally.at);
        }
    }
    let Tally { images, kills, power_cuts, in_recovery, rebuilt, .. } = tally;
    part.runs = images;
    part.took = start.elapsed();
    part.notes = format!(
        "images: {power_cuts} of power cuts, {kills} of kills, {rebuilt} without checkpoints; {in_recovery} in a recovery"
    );
    part
}

fn world(seed: u64, broken: Broken, limit: u64, tally: &mut Tally) {
    let folder = folder();
    let mut random = Random::new(seed);
    if random.one_in(4) {
        tally.images += 1;
        tally.at = "a record of another store".into();
        forged::look(folder.path(), &mut random, broken.sabotage);
    }
    World::new(folder.path(), random, broken, limit, tally).run();
}

/// Something is broken, and must be found.
fn found_out(plan: &Plan, name: &str, broken: Broken) -> Part {
    let (mut random, start) = (plan.random(name), Instant::now());
    let (mut part, mut tally) = (Part::new(name), Tally::default());
    let mut found = None;
    // What is found here is no failure.
    let hook = std::panic::take_hook();
    if std::env::var_os("RUST_BACKTRACE").is_none() {
        std::panic::set_hook(Box::new(|_| {}));
    }
    while found.is_none() && tally.images < ENOUGH {
        let seed = random.next();
        let outcome = catch_unwind(AssertUnwindSafe(|| world(seed, broken, ENOUGH, &mut tally)));
        found = outcome.err();
    }
    std::panic::set_hook(hook);
    part.runs = tally.images;
    part.took = start.elapsed();
    part.notes = match &found {
        None => "NOT FOUND OUT".into(),
        Some(panic) => {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
            let said: String = said.replace('\n', " ").chars().take(60).collect();
            let at: String = tally.at.chars().take(60).collect();
            format!("found out: {said}; {at}")
        }
    };
    part.failures = u64::from(found.is_none());
    part
}
