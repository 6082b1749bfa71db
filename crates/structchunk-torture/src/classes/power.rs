//! The power goes while a process works: the store is as of its last sync in what exists under which key.
//!
//! The process is the program as it is, on real files. It is stopped at each of its system calls; what `fdatasync` and `fsync` make
//! durable, and nothing else, is kept as such. At random calls, and between them, an image is made of what may be on
//! the disk (`power.rs` of the engine's suite): each sector and each name as of the last sync or as of now. The real store opens it as another boot,
//! and there the power goes again.
//!
//! What several threads do at once cannot be followed so: they are threads of this process, and the store itself says what it is about
//! to do (`writers.rs`).

use std::fs;
use std::path::Path;
use std::time::Instant;

use crate::child::command;
use crate::common::{Random, Value, folder};
use crate::plan::{Part, Plan, Report};
use crate::power::{Disk, Tally, look_at};
use crate::script::{Op, Tracked};
use crate::steps::{Script, Step, hollow};
use crate::trace::{self, Stop, Traced};
use crate::writers;
use structchunk::testing::{Call, Event};

/// Images, of all kinds together.
const IMAGES: (u64, u64) = (150, 10_200);
/// What processes do, and one in how many of their system calls ends in a power cut.
const KINDS: [(&str, u64); 3] = [("operations", 60), ("chunks and batches", 40), ("compaction", 40)];
/// And what threads do.
const TOGETHER: &str = "threads";

pub fn run(plan: &Plan) -> Report {
    let mut report = Report::default();
    if plan.wants(TOGETHER) {
        report.push(together(plan));
    }
    if let Err(reason) = trace::is_allowed() {
        report.push(Part::skipped("power cuts", &reason));
        return report;
    }
    for (kind, one_in) in KINDS.into_iter().filter(|(kind, _)| plan.wants(kind)) {
        let (mut random, start) = (plan.random(kind), Instant::now());
        let mut part = Part::new(kind);
        let mut cuts = Cuts {
            one_in,
            depth: plan.pick(1, 2) as u32,
            of_each: plan.pick(8, 20) as usize,
            images: plan.pick(IMAGES.0, IMAGES.1).div_ceil(KINDS.len() as u64),
            processes: 0,
            tally: Tally::default(),
        };
        while !cuts.are_enough() && !part.has_failed_enough() {
            part.repeat(1, |_, what| store(kind, &mut random, &mut cuts, what));
        }
        part.runs = cuts.tally.images;
        part.took = start.elapsed();
        part.notes = cuts.show();
        report.push(part);
    }
    report
}

/// Threads of this process, because what they do at the same time cannot be followed call by call.
fn together(plan: &Plan) -> Part {
    let (mut random, start) = (plan.random(TOGETHER), Instant::now());
    let (mut part, mut images) = (Part::new(TOGETHER), 0);
    while images < plan.pick(30, 1_000) && !part.has_failed_enough() {
        part.repeat(1, |_, _| images += writers::round(folder().path(), &mut random));
    }
    part.notes = format!("images of {} stores, written to by three threads while two sync", part.runs);
    part.runs = images;
    part.took = start.elapsed();
    part
}

/// What is done, and what came of it.
struct Cuts {
    /// Of the calls of a process.
    one_in: u64,
    /// How often the power goes again while an image is opened.
    depth: u32,
    /// Images that are opened of those of one process, besides those of their recoveries.
    of_each: usize,
    /// How many are asked for.
    images: u64,
    processes: u64,
    tally: Tally,
}

impl Cuts {
    fn are_enough(&self) -> bool {
        self.tally.images >= self.images
    }

    fn show(&self) -> String {
        let Tally { nested, clean, .. } = self.tally;
        let processes = self.processes;
        format!("images of {processes} processes; {nested} of a cut in a recovery, {clean} closed cleanly")
    }
}

/// What a process does, from a seed alone. One in three closes the store.
fn script(kind: &str, seed: u64) -> Script {
    let mut random = Random::new(seed);
    let random = &mut random;
    let (mut before, mut phase) = (Vec::new(), vec![Step::Open]);
    match kind {
        "chunks and batches" => {
            for _ in 0..8 {
                let large =
                    |random: &mut Random| Value::Bytes(random.bytes(20_000 + random.clone().below(12_000)));
                let key = |random: &mut Random| format!("key {}", random.below(20)).into_bytes();
                let change = |random: &mut Random| (key(random), (!random.one_in(4)).then(|| large(random)));
                let count = 1 + random.below(12);
                phase.push(Step::Op(Op::Batch((0..count).map(|_| change(random)).collect())));
                phase.extend(Op::script(random, 2).into_iter().map(Step::Op));
                if random.one_in(2) {
                    phase.push(Step::Op(Op::Sync));
                }
            }
        }
        "compaction" => {
            // So many operations are not looked at one by one.
            before = std::mem::take(&mut phase);
            before.extend(hollow(random));
            before.push(Step::Op(Op::Sync));
            for percent in [50, 100] {
                phase.push(Step::Op(Op::Compact(percent)));
                phase.extend(Op::script(random, 3).into_iter().map(Step::Op));
                phase.extend([Step::Op(Op::Sync), Step::Op(Op::Sync)]);
            }
        }
        _ => phase.extend(Op::script(random, 45).into_iter().map(Step::Op)),
    }
    if random.one_in(3) {
        phase.push(Step::Close);
    }
    Script { before, phase, seed }
}

/// What the child does.
pub fn child(path: &Path, kind: &str, seed: u64) {
    script(kind, seed).perform(path, || trace::hand_over().expect("tracing is allowed"));
}

/// What may come up when the power goes during a step.
struct During {
    /// As of one of these.
    candidates: Vec<Tracked>,
    /// With in-place changes that this one knows of.
    later: Tracked,
}

/// The steps of a phase, and what is there after all.
fn foresee(script: &Script, now: &mut Tracked, synced: &mut Tracked) -> Vec<During> {
    let model = now.stand_in();
    for step in &script.before {
        if let Step::Op(op) = step {
            now.run(&model, op).unwrap_or_else(|error| panic!("{op:?}: {error}"));
        }
    }
    if !script.before.is_empty() {
        // It ends with a sync.
        synced.clone_from(now);
    }
    let mut all = Vec::new();
    for step in &script.phase {
        let before = now.clone();
        let is_sync = match step {
            Step::Op(op) => {
                now.run(&model, op).unwrap_or_else(|error| panic!("{op:?}: {error}"));
                op.is_sync()
            }
            // Whatever an opening finds, it makes durable.
            _ => true,
        };
        if is_sync {
            all.push(During { candidates: vec![synced.clone(), before.clone()], later: before });
            now.synced();
            synced.clone_from(now);
        } else {
            all.push(During { candidates: vec![synced.clone()], later: now.clone() });
        }
    }
    all
}

/// A store, two or three processes that work on it, and the images of it.
fn store(kind: &str, random: &mut Random, cuts: &mut Cuts, what: &mut String) {
    let folder = folder();
    let path = folder.path().join("store");
    let (mut now, mut synced) = (Tracked::default(), Tracked::default());
    let mut disk = Disk::new(&path, Random::new(random.next()), cuts.one_in, Vec::new());
    let last = if script(kind, 0).before.is_empty() { 1 + random.below(2) } else { 0 };
    for number in 0..=last {
        let seed = random.next();
        *what = format!("{what} {seed}");
        cuts.processes += 1;
        let script = script(kind, seed);
        let steps = foresee(&script, &mut now, &mut synced);
        let mut traced = start(&path, kind, seed);
        if !script.before.is_empty() {
            // What it has done up to now is durable.
            disk = Disk::new(&path, Random::new(random.next()), cuts.one_in, Vec::new());
            traced.said().expect("a pipe");
        }
        process(traced, &path, &disk, &steps, random);
        let images = disk.take_images();
        if number == last {
            // Nothing but the boot tells its images from the store: not even the inode of STORE.
            let image = folder.path().join("image");
            let _ = fs::remove_dir_all(&image);
            fs::rename(&path, image).expect("a new name");
        }
        // Of many processes some, rather than all of few.
        let every = images.len().div_ceil(cuts.of_each);
        for image in images.into_iter().step_by(every.max(1)) {
            if cuts.are_enough() {
                return;
            }
            look_at(image, folder.path(), random, cuts.depth, &mut cuts.tally);
        }
    }
}

/// A process at the beginning of its phase.
fn start(path: &Path, kind: &str, seed: u64) -> Traced {
    let text = path.to_str().expect("a path of ours");
    let mut command = command(&["power", text, kind, &seed.to_string()]).expect("this program");
    Traced::start(&mut command).expect("a child").expect("a child that begins")
}

/// Lets a process run to its end, with the power going at some of its calls.
fn process(mut traced: Traced, path: &Path, disk: &Disk, steps: &[During], random: &mut Random) {
    let (mut returned, mut under_way) = (0, None::<usize>);
    loop {
        let stop = traced.next_call().expect("a traced child");
        let said = traced.said().expect("a pipe").len();
        if said > 0 || under_way.is_none() {
            if let Some(step) = under_way {
                disk.was(&steps[step].later);
            }
            returned += said;
            under_way = (returned < steps.len()).then_some(returned);
            let candidates =
                under_way.map_or(Vec::new(), |step: usize| steps[step].candidates.iter().collect());
            disk.expect(&candidates);
        }
        if stop == Stop::End || under_way.is_none() {
            break;
        }
        disk.before(&event(&traced, stop, path));
        // Between two calls: the mapping has changed, and the kernel knows nothing of it.
        if stop == Stop::After && random.one_in(40) {
            let most = 2 << random.below(11);
            let instructions = random.below(most);
            for _ in 0..instructions {
                // The next one would be done unseen.
                if traced.is_at_call().expect("a traced child") {
                    break;
                }
                traced.step().expect("a traced child");
            }
            disk.cut_now("an instruction");
        }
    }
    let ended = traced.end().expect("an end");
    ended.expect_no_panic();
    assert_eq!(returned + ended.said.len(), steps.len(), "steps that returned");
}

/// What the child is about to do to the disk, in the words of the disk.
fn event(traced: &Traced, stop: Stop, store: &Path) -> Event {
    let nothing = |at: String| Event { call: Call::Inspect, file: at };
    if stop != Stop::Before {
        return nothing("the end of a call".to_owned());
    }
    let call = traced.call().expect("a traced child");
    let [first, second, ..] = call.arguments;
    let file = || traced.file(first).unwrap_or_default();
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let ours = |folder: &Path| folder == store || folder == store.join("chunks");
    match call.number {
        libc::SYS_fdatasync | libc::SYS_fsync => {
            let file = file();
            if ours(&file) {
                return Event { call: Call::SyncFolder, file: name(&file) };
            }
            if file.parent().is_some_and(ours) {
                return Event { call: Call::Sync, file: name(&file) };
            }
        }
        libc::SYS_unlinkat if ours(&file()) => {
            return Event { call: Call::Remove, file: traced.text(second).expect("a name") };
        }
        _ => {}
    }
    nothing(format!("system call {}", call.number))
}
