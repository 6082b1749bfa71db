//! The child that is killed, and how it is.

use std::io::Read;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use super::phase::Phase;
use crate::child::{command, say};
use crate::common::Random;
use crate::trace::{Stop, Traced, hand_over};

/// The phase begins.
const BEGINS: u8 = b'|';

/// How a child is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// So long after the phase began.
    Moment(Duration),
    /// At so manieth stop before or after a system call, and so many instructions later.
    Call { stops: u64, instructions: u64 },
}

/// Learns how long a phase is, so that kills fall into it.
#[derive(Clone, Debug)]
pub struct Aim {
    traceable: bool,
    stops: u64,
    time: Duration,
}

impl Aim {
    pub fn new(traceable: bool) -> Self {
        Self { traceable, stops: 40, time: Duration::from_millis(3) }
    }

    /// For a recovery, of which nothing is known.
    pub fn recovery(other: &Self) -> Self {
        Self { stops: 150, ..Self::new(other.traceable) }
    }

    /// Within what is known of the phase, and a little beyond.
    pub fn choose(&self, random: &mut Random) -> Way {
        let nanoseconds = self.time.as_nanos() as u64;
        // Drawn also where they are not needed, so that the rest does not depend on what is known.
        let (kind, moment, stop, long, few) =
            (random.below(9), random.next(), random.next(), random.next(), random.next());
        if !self.traceable || kind < 3 {
            return Way::Moment(Duration::from_nanos(moment % (nanoseconds + nanoseconds / 8)));
        }
        let stops = 1 + stop % (self.stops + self.stops / 8);
        // Short ways and long ones: every power of two is as likely.
        let instructions = if kind < 6 { 0 } else { few % (2 << (long % 12)) };
        Way::Call { stops, instructions }
    }

    /// A child was killed, or got through the phase before, with so many stops and in so long a time.
    fn learn(&mut self, way: Way, killed: bool, stops: u64, time: Duration) {
        match (way, killed) {
            (Way::Moment(_), false) => self.time = time.max(Duration::from_micros(50)),
            (Way::Call { .. }, false) => self.stops = stops.max(4),
            // Phases may be longer than was thought.
            (Way::Moment(_), true) => self.time += self.time / 32,
            (Way::Call { .. }, true) => self.stops += self.stops / 16 + 1,
        }
    }
}

/// What is known of a child afterwards.
pub struct Outcome {
    pub killed: bool,
    /// How many steps returned.
    pub returned: usize,
}

/// Runs a child and kills it.
pub fn run(store: &Path, phase: Phase, seed: u64, way: Way, aim: &mut Aim) -> Outcome {
    match way {
        Way::Moment(after) => at_moment(store, phase, seed, after, aim),
        Way::Call { stops, instructions } => at_call(store, phase, seed, stops, instructions, aim),
    }
}

fn task(store: &Path, phase: Phase, seed: u64, mode: &str) -> std::process::Command {
    let (store, seed) = (store.to_str().expect("a path of ours"), seed.to_string());
    command(&["kill", store, phase.name(), &seed, mode]).expect("this program")
}

fn at_moment(store: &Path, phase: Phase, seed: u64, after: Duration, aim: &mut Aim) -> Outcome {
    let mut program = task(store, phase, seed, "moment");
    let program = program.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = program.spawn().expect("a child");
    let mut output = child.stdout.take().expect("a pipe");
    let (mut returned, mut word) = (0, [0]);
    while output.read(&mut word).expect("a pipe") == 1 && word[0] != BEGINS {
        returned += 1;
    }
    let start = Instant::now();
    while start.elapsed() < after {
        // Sleeping is too coarse for the last part of it.
        let left = after.saturating_sub(start.elapsed());
        if left > Duration::from_millis(1) {
            thread::sleep(left / 2);
        }
    }
    child.kill().expect("a kill");
    let mut rest = Vec::new();
    output.read_to_end(&mut rest).expect("a pipe");
    let took = start.elapsed();
    let ended = child.wait_with_output().expect("an end");
    returned += rest.len();
    let killed = ended.status.code().is_none();
    assert!(
        killed || ended.status.success(),
        "the child: {}, {}",
        ended.status,
        String::from_utf8_lossy(&ended.stderr)
    );
    aim.learn(Way::Moment(after), killed, 0, took);
    Outcome { killed, returned }
}

fn at_call(store: &Path, phase: Phase, seed: u64, stops: u64, instructions: u64, aim: &mut Aim) -> Outcome {
    let traced = Traced::start(&mut task(store, phase, seed, "call")).expect("a child");
    let mut traced = traced.expect("a child that comes to the phase");
    let way = Way::Call { stops, instructions };
    let mut passed = 0;
    let mut alive = true;
    while alive && passed < stops {
        alive = traced.next_call().expect("a traced child") != Stop::End;
        passed += u64::from(alive);
    }
    for _ in 0..instructions {
        alive = alive && traced.step().expect("a traced child") != Stop::End;
    }
    let ended = traced.end().expect("an end");
    ended.expect_no_panic();
    aim.learn(way, alive, passed, Duration::ZERO);
    Outcome { killed: alive, returned: ended.said.len() }
}

/// What the child does: `STORE PHASE SEED MODE`.
pub fn child(words: &[&str]) {
    let [path, phase, seed, mode] = words else { panic!("a store, a phase, a seed, a mode") };
    let script = Phase::by_name(phase).expect("a phase").script(seed.parse().expect("a number"));
    script.perform(Path::new(path), || {
        if *mode == "call" { hand_over().expect("tracing is allowed") } else { say(BEGINS) }
    });
}
