//! Disks that are full, files that may not grow, disks that fail: an error value and never a signal, nothing is lost, and the store goes
//! on when it can.
//!
//! The scenarios are those of the engine's suite, which runs each of them once (`full_disk/scenarios.rs`), and some that do anything at
//! random. Each runs in a child, whose signals are failures. Small file systems are mounted by this program; that takes root.

mod failing;
mod flush;
mod random;

use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use crate::child;
use crate::common::{folder, without_sparse_files};
use crate::mount::Mount;
use crate::plan::{Part, Plan, Report};
use crate::scenarios;

/// What a child says when it was refused something.
const REFUSED: u8 = b'r';

/// Something that happens to a store.
struct Scenario {
    name: &'static str,
    /// The kinds of file systems that it needs.
    kinds: &'static [&'static str],
    /// How often it runs quickly, and else.
    runs: (u64, u64),
    /// On a kind of file system, at a place; the number chooses among all the ways in which it can happen.
    run: fn(&str, &Path, u64),
}

const SCENARIOS: &[Scenario] = &[
    Scenario { name: "anything", kinds: SMALL, runs: (1, 150), run: random::on_full_disk },
    Scenario { name: "below a limit", kinds: ANY, runs: (4, 400), run: random::below_limit },
    Scenario { name: "flushes fail", kinds: ANY, runs: (24, 1500), run: flush::fails },
    Scenario { name: failing::NAME, kinds: ANY, runs: (2, 100), run: failing::run },
    of_suite("every call", |kind, place, _| scenarios::every_call(kind, place)),
    of_suite("large objects", |kind, place, _| scenarios::large_objects(kind, place)),
    of_suite("creation", |kind, place, _| scenarios::creation(kind, place)),
    of_suite("recovery", |kind, place, _| scenarios::recovery(kind, place)),
    of_suite("index", |kind, place, _| scenarios::index(kind, place)),
    of_suite("emptied", |kind, place, _| scenarios::emptied(kind, place)),
    of_suite("thinned out", |kind, place, _| scenarios::thinned_out(kind, place)),
];

/// One that every run of the engine's suite includes.
const fn of_suite(name: &'static str, run: fn(&str, &Path, u64)) -> Scenario {
    Scenario { name, kinds: SMALL, runs: (0, 4), run }
}

/// File systems that fill up.
const SMALL: &[&str] = &["tmpfs", "ext4"];
/// Wherever there is room.
const ANY: &[&str] = &[""];

pub fn run(plan: &Plan) -> Report {
    let mut report = Report::default();
    for scenario in SCENARIOS.iter().filter(|scenario| plan.wants(scenario.name)) {
        let count = plan.pick(scenario.runs.0, scenario.runs.1);
        for kind in scenario.kinds.iter().filter(|_| count > 0) {
            report.push(part(plan, scenario.name, kind, count));
        }
    }
    report
}

/// A scenario, on one kind of file system.
fn part(plan: &Plan, name: &str, kind: &str, count: u64) -> Part {
    let title = format!("{name} {}", if kind.is_empty() { String::new() } else { format!("({kind})") });
    let title = title.trim().to_owned();
    let mut random = plan.random(&title);
    let (mut part, start) = (Part::new(&title), Instant::now());
    let (mut skipped, mut refused) = (name == failing::NAME && !failing::can_run(), 0);
    part.repeat(count, |_, what| {
        let seed = random.next();
        *what = format!("{name} {kind} {seed}");
        if skipped {
            return;
        }
        if kind.is_empty() {
            let folder = folder();
            refused += scenario(name, "files", folder.path(), seed);
            return;
        }
        let bytes = if kind == "tmpfs" { 24 << 20 } else { 64 << 20 };
        match Mount::of(kind, bytes, "a full disk") {
            Some(mount) => refused += scenario(name, kind, mount.path(), seed),
            None => skipped = true,
        }
    });
    if skipped {
        part = Part::skipped(&title, "it cannot be mounted here");
    }
    if refused > 0 {
        part.notes = format!("{refused} calls refused as there was no room");
    }
    part.took = start.elapsed();
    part
}

/// Lets a child do it. Whatever signal it gets is a failure. How often it was refused something, as far as it says that.
fn scenario(name: &str, kind: &str, place: &Path, seed: u64) -> u64 {
    let task = ["disk", name, kind, place.to_str().expect("a path of ours"), &seed.to_string()];
    let mut command = child::command(&task).expect("this program");
    let ended = command.stdin(Stdio::null()).output().expect("a child");
    assert!(ended.status.success(), "{}: {}", ended.status, String::from_utf8_lossy(&ended.stderr));
    ended.stdout.iter().map(|word| u64::from(*word == REFUSED)).sum()
}

/// What the child does: `SCENARIO KIND PLACE SEED`. Every other one does without sparse files.
pub fn child(words: &[&str]) {
    let [name, kind, place, seed] = words else { panic!("a scenario, a kind, a place, a seed") };
    let scenario = SCENARIOS.iter().find(|scenario| scenario.name == *name).expect("a scenario");
    let seed: u64 = seed.parse().expect("a number");
    let test = || (scenario.run)(kind, Path::new(place), seed);
    let is_for_sparse_files = ["recovery", "every call"].contains(name);
    if seed % 2 == 1 && !is_for_sparse_files {
        without_sparse_files(test);
    } else {
        test();
    }
}
