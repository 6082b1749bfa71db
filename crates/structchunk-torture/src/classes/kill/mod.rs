//! Processes that are killed: nothing that had returned is lost, nothing but the operation under way may be there besides, no batch by
//! halves, and the next open gets in at once.
//!
//! A child runs a script on a real store, and says of each operation that it returned, before it begins the next. It is killed
//! while a certain phase is under way: at a random moment, at the n-th system call (before it or after it), or so many
//! instructions later. Often the ones that recover are killed, too.

mod phase;
mod rate;
mod victim;

use std::path::{Path, PathBuf};

use structchunk::{Found, Store};
use tempfile::TempDir;

use crate::common::{Random, assert_same, folder, open_with};
use crate::plan::{Part, Plan, Report};
use crate::replay::verify;
use crate::script::{Op, Tracked};
use crate::steps::{Script, Step, copy_of};
use crate::trace;
use phase::{PHASES, Phase};
use victim::Aim;

pub use rate::child as fill;
pub use victim::child;

/// Kills, in all phases together.
const KILLS: (u64, u64) = (44, 10_500);

pub fn run(plan: &Plan) -> Report {
    let mut report = Report::default();
    let each = plan.pick(KILLS.0, KILLS.1).div_ceil(PHASES.len() as u64);
    let traceable = trace::is_allowed();
    if let Err(reason) = &traceable {
        report.push(Part::skipped("at calls and instructions", reason));
    }
    for &phase in PHASES.iter().filter(|phase| plan.wants(phase.name())) {
        let mut random = plan.random(phase.name());
        let mut part = Part::new(phase.name());
        let mut aim = Aim::new(traceable.is_ok());
        let mut tally = Tally::default();
        part.repeat(each, |_, what| one(phase, &mut random, &mut aim, &mut tally, what));
        part.notes = tally.show();
        report.push(part);
    }
    if plan.wants(rate::NAME) {
        report.push(rate::part(plan));
    }
    report
}

/// What became of the children.
#[derive(Default)]
struct Tally {
    killed: u64,
    in_recovery: u64,
    survived: u64,
}

impl Tally {
    fn show(&self) -> String {
        let Self { killed, in_recovery, survived } = self;
        format!("{killed} killed, {in_recovery} more in the recovery; {survived} got through before")
    }
}

/// A store, killed, and looked at.
fn one(phase: Phase, random: &mut Random, aim: &mut Aim, tally: &mut Tally, what: &mut String) {
    let place = Place::new(random);
    let seed = random.next();
    let way = aim.choose(random);
    *what = format!("{} {seed}, {way:?}", phase.name());
    let ended = victim::run(&place.store, phase, seed, way, aim);
    *what = format!("{what}, {} operations returned", ended.returned);
    *(if ended.killed { &mut tally.killed } else { &mut tally.survived }) += 1;
    while random.one_in(3) {
        // The next one dies while it recovers.
        let seed = random.next();
        let mut calls = Aim::recovery(aim);
        let way = calls.choose(random);
        *what = format!("{what}; a recovery, {way:?}");
        let again = victim::run(&place.store, Phase::Open, seed, way, &mut calls);
        tally.in_recovery += u64::from(again.killed);
    }
    let script = phase.script(seed);
    let returned = script.look_up(ended.returned);
    let store = open_with(script.options(), &place.store).expect("open");
    let mut now = verify(&store, &Tracked::default(), &returned.ops, returned.returned);
    *what = format!("{what}; {:?}", store.recovery().found);
    if script.has(&Step::Copy) {
        look_at_copy(&place, &script, &store, &now);
    }
    works_on(store, &place.store, &script, &mut now, random);
}

/// Some more operations, a clean close, and everything is there.
fn works_on(store: Store, path: &Path, script: &Script, now: &mut Tracked, random: &mut Random) {
    for op in Op::script(&mut Random::new(random.next()), 5) {
        now.run(&store, &op).unwrap_or_else(|error| panic!("{op:?}: {error}"));
    }
    store.close().expect("close");
    let store = open_with(script.options(), path).expect("open");
    assert_eq!(store.recovery().found, Found::Clean);
    assert_same(&store, &now.model);
}

/// A copy whose maker was killed is whole, or no store; then it can be made there again.
fn look_at_copy(place: &Place, script: &Script, store: &Store, now: &Tracked) {
    let copy = &place.copy;
    if !copy.join("STORE").exists() {
        store.copy_to(copy).expect("a copy, where one was begun");
    }
    let copied = open_with(script.options(), copy).expect("open the copy");
    assert_same(&copied, &now.model);
}

/// Where a store is, and where its copy goes.
struct Place {
    store: PathBuf,
    copy: PathBuf,
    _folder: TempDir,
}

impl Place {
    /// In memory mostly, where files are quick; sometimes where temporary files are.
    fn new(random: &mut Random) -> Self {
        let folder = if random.one_in(8) { TempDir::new().expect("a folder") } else { folder() };
        let (store, copy) = (folder.path().join("store"), copy_of(&folder.path().join("store")));
        Self { store, copy, _folder: folder }
    }
}
