//! One store and many processes: a writer, readers and mutators, stopped and killed at random moments, and every observation is checked.
//!
//! What each of them says of what it did stands in files beside the store ([`board`]), written after the call had returned, and read by others
//! before they look. So it is known, at each look, what must be there at least:
//!
//! - **Order.** Whatever had returned before a look began is seen, by whoever looks. `second` is put after `first`, so it is never ahead.
//! - **Batches.** Keys of one batch, looked at one after the other, never go back, in whichever order they are looked at.
//! - **Tearing.** All words of an object are the same: of small ones, of such that are changed where they lie, of bodies, of sealed ones as
//!   long as they are referred to. What a process left half changed when it was killed answers `Torn`. (A recovery takes it as it is; the
//!   writer makes it whole, and until it says so, such an object may be seen.)
//! - **Nothing is lost.** Each change adds one, and the sum is that of the changes which returned; of each process that was killed, one more may
//!   be there.
//!
//! A process that ends by itself has found something, or broken; and none may hang.

mod board;
mod mutator;
mod reader;
mod words;
mod writer;

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::child::command;
use crate::common::{Counter, Random, folder, open_with};
use crate::plan::{Part, Plan, Report};
use board::Board;
use words::Seen;

const READERS: usize = 8;
const MUTATORS: usize = 2;
/// So long a process may take for whatever it has begun.
const PATIENCE: Duration = Duration::from_mins(1);

const NAME: &str = "a writer, 8 readers, 2 mutators";

pub fn run(plan: &Plan) -> Report {
    let mut report = Report::default();
    if plan.wants(NAME) {
        let mut random = plan.random(NAME);
        let mut part = Part::new(NAME);
        let mut tally = Tally::default();
        let for_each = Duration::from_secs(plan.pick(4, 20));
        part.repeat(plan.pick(1, 12), |_, what| history(&mut random, for_each, &mut tally, what));
        part.notes = tally.show();
        report.push(part);
    }
    report
}

/// What a child does.
pub fn child(words: &[&str]) {
    let [role, seed, number, place] = words else { panic!("no task {words:?}") };
    let board = Board::of(Path::new(place), number.parse().expect("a number"));
    let random = Random::new(seed.parse().expect("a number"));
    match *role {
        "writer" => writer::run(&board, random),
        "reader" => reader::run(&board, random),
        "mutator" => mutator::run(&board, random),
        _ => panic!("no role {role}"),
    }
}

#[derive(Default)]
struct Tally {
    observations: u64,
    changes: u64,
    killed: [u64; 3],
    stopped: u64,
}

impl Tally {
    fn show(&self) -> String {
        let Self { observations, changes, killed: [writers, readers, mutators], stopped } = self;
        format!(
            "{observations} observations, {changes} changes; killed {writers} writers, {readers} readers, {mutators} mutators; {stopped} stopped"
        )
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Writer,
    Reader,
    Mutator,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Writer => "writer",
            Self::Reader => "reader",
            Self::Mutator => "mutator",
        }
    }
}

/// A process, and those that take its place when it is killed.
struct Process {
    role: Role,
    /// Of its file on the board.
    number: usize,
    child: Child,
    stopped_until: Option<Instant>,
}

impl Process {
    fn start(role: Role, number: usize, random: &mut Random, place: &Path) -> Self {
        let (seed, number_text) = (random.next().to_string(), number.to_string());
        let place = place.to_str().expect("a path of ours");
        let mut command =
            command(&["history", role.name(), &seed, &number_text, place]).expect("this program");
        Self { role, number, child: command.spawn().expect("a child"), stopped_until: None }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it is there");
    }

    fn go_on(&mut self) {
        if self.stopped_until.take().is_some() {
            self.signal(Signal::CONT);
        }
    }

    /// Panics when it has ended by itself.
    fn is_well(&mut self) {
        let ended = self.child.try_wait().expect("a state");
        assert!(ended.is_none(), "a {} ended by itself: {ended:?}; it has said why", self.role.name());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn history(random: &mut Random, long: Duration, tally: &mut Tally, what: &mut String) {
    let folder = folder();
    let place = folder.path();
    let board = Board::create(place, 1 + READERS + MUTATORS);
    let mut killed = 0;
    let mut processes = vec![Process::start(Role::Writer, 0, random, place)];
    let begun = Instant::now();
    while !board.is_whole() {
        processes[0].is_well();
        assert!(begun.elapsed() < PATIENCE, "the writer does not begin");
        thread::sleep(Duration::from_millis(2));
    }
    for number in 1..=READERS + MUTATORS {
        let role = if number <= READERS { Role::Reader } else { Role::Mutator };
        processes.push(Process::start(role, number, random, place));
    }
    let end = Instant::now() + long;
    while Instant::now() < end {
        thread::sleep(Duration::from_micros(500 + random.below(12_000)));
        for process in &mut processes {
            process.is_well();
            if process.stopped_until.is_some_and(|until| until < Instant::now()) {
                process.go_on();
            }
        }
        // Those that change something more often.
        let one = match random.below(6) {
            0 => 0,
            1 | 2 => 1 + READERS + random.below(MUTATORS as u64) as usize,
            _ => 1 + random.below(READERS as u64) as usize,
        };
        let process = &mut processes[one];
        if random.one_in(if process.role == Role::Writer { 16 } else { 5 }) {
            if process.role == Role::Writer {
                board.doubt();
            }
            process.signal(Signal::KILL);
            let status = process.child.wait().expect("its end");
            assert_eq!(status.signal(), Some(9), "a {} ended by itself: {status}", process.role.name());
            tally.killed[process.role as usize] += 1;
            killed += u64::from(process.role != Role::Reader);
            *what = format!("after {killed} kills of those that change something");
            let (role, number) = (process.role, process.number);
            *process = Process::start(role, number, random, place);
        } else if process.stopped_until.is_none() {
            process.signal(Signal::STOP);
            tally.stopped += 1;
            process.stopped_until = Some(Instant::now() + Duration::from_millis(1 + random.below(60)));
        }
    }
    end_all(&board, processes);
    look_at_what_is_left(place, &board, killed);
    tally.observations += board.sum(board::LOOKS);
    tally.changes +=
        words::SIZES.iter().map(|size| board.sum(size.count)).sum::<u64>() + board.sum(board::ADDS);
}

/// Lets everybody come to an end, the writer last.
fn end_all(board: &Board, mut processes: Vec<Process>) {
    for process in &mut processes {
        process.go_on();
    }
    for (ends, at) in [(1..processes.len(), 1), (0..1, 2)] {
        board.end(at);
        for process in &mut processes[ends] {
            let begun = Instant::now();
            let status = loop {
                match process.child.try_wait().expect("a state") {
                    Some(status) => break status,
                    None => thread::sleep(Duration::from_millis(2)),
                }
                assert!(begun.elapsed() < PATIENCE, "a {} does not end", process.role.name());
            };
            assert!(status.success(), "a {} ended badly: {status}; it has said why", process.role.name());
        }
    }
}

/// Nobody is at work any more.
fn look_at_what_is_left(place: &Path, board: &Board, killed: u64) {
    let store = open_with(words::options(), place.join("store")).expect("open");
    let findings: Vec<_> = store.check_deep().expect("a check").map(|it| it.to_string()).collect();
    assert_eq!(findings, [""; 0]);
    writer::make_whole(&store);
    for size in &words::SIZES {
        let seen = words::look(&store, size.key, size.words).expect("a copy").expect("an object");
        let Seen::Whole(is) = seen else { panic!("{} is torn: {seen:?}", size.key) };
        let returned = board.sum(size.count);
        assert!(
            (returned..=returned + killed).contains(&is),
            "{}: {is} after {returned} changes that returned and {killed} kills",
            size.key
        );
    }
    let counter = store.load::<Counter>("counter").expect("a copy").expect("an object");
    let (is, returned) = (counter.hits.into_inner(), board.sum(board::ADDS));
    assert!(
        (returned..=returned + killed).contains(&is),
        "counter: {is} after {returned} adds, {killed} kills"
    );
    store.close().expect("close");
}
