//! Every system call fails once: an error value or a correct retry, no silent success, no panic, and afterwards the store opens with
//! everything that was acknowledged.
//!
//! The program as it is runs a session (`session.rs` of the engine's suite, where the disk's own faults do the same). Its n-th
//! call that concerns the store is refused by the tracer: the kernel never sees it. That is `strace --inject`, for all calls at once
//! and without those of the program's start.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::child::{command, say};
use crate::common::{Random, folder, options};
use crate::plan::{Part, Plan, Report};
use crate::session::{Saboteur, Start, session};
use crate::trace::{self, Stop, Traced};
use structchunk::Sparse;

const ERRORS: [(i32, &str); 4] =
    [(libc::ENOSPC, "ENOSPC"), (libc::EIO, "EIO"), (libc::ENOMEM, "ENOMEM"), (libc::EINTR, "EINTR")];

/// How the store is found, and opened.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    start: Start,
    sparse: Sparse,
    index: bool,
}

const KINDS: [Kind; 5] = [
    Kind { name: "first session", start: Start::Absent, sparse: Sparse::Auto, index: false },
    Kind { name: "after a close", start: Start::Clean, sparse: Sparse::Auto, index: false },
    Kind { name: "after a kill", start: Start::Killed, sparse: Sparse::Auto, index: false },
    Kind { name: "files in steps", start: Start::Absent, sparse: Sparse::Never, index: false },
    Kind { name: "with the index", start: Start::Clean, sparse: Sparse::Auto, index: true },
];

/// Runs of each kind in a quick run; else every call fails in each of the ways.
const QUICK: u64 = 6;

/// What the child says.
const OPENED: u8 = b'o';
const LOOKS: u8 = b'(';
const HAS_LOOKED: u8 = b')';
const GIVES_UP: u8 = b'g';
const ERROR: u8 = b'e';

pub fn run(plan: &Plan) -> Report {
    let mut report = Report::default();
    if let Err(reason) = trace::is_allowed() {
        report.push(Part::skipped("failing calls", &reason));
        return report;
    }
    for kind in KINDS.into_iter().filter(|kind| plan.wants(kind.name)) {
        let mut part = Part::new(kind.name);
        let mut random = plan.random(kind.name);
        let seed = random.next() >> 1;
        // How many calls a session makes is known when one is through before its turn.
        let mut calls = Vec::new();
        part.repeat(1, |_, what| {
            calls = fails(kind, seed, usize::MAX, 0, what).calls;
        });
        let (mut silent, mut tries) = (BTreeMap::new(), Vec::new());
        match plan.pick(0, 1) {
            0 => tries.extend((0..QUICK).map(|_| (one_of(&calls, &mut random), random.below(4) as usize))),
            _ => tries.extend((1..=calls.len()).flat_map(|n| (0..ERRORS.len()).map(move |error| (n, error)))),
        }
        let mut tries = tries.into_iter();
        part.repeat(tries.len() as u64, |_, what| {
            let Some((n, error)) = tries.next() else { return };
            let (errno, name) = ERRORS[error];
            let outcome = fails(kind, seed, n, errno, what);
            let Some(failed) = outcome.failed else { return };
            *what = format!("{what} with {name}");
            if errno == libc::EINTR {
                assert_eq!(outcome.errors, 0, "a signal that came between only means: once more");
            } else if outcome.errors == 0 {
                assert!(failed.may_be_passed_over(errno), "it was passed over in silence");
                *silent.entry(failed.name).or_insert(0_u64) += 1;
            }
        });
        let silent: Vec<_> = silent.iter().map(|(name, count)| format!("{count} {name}")).collect();
        part.notes = format!("{} calls; passed over: {}", calls.len(), silent.join(", "));
        report.push(part);
    }
    report
}

/// A call of any name, the rare ones as often as those of which there are many; its number.
fn one_of(calls: &[&str], random: &mut Random) -> usize {
    let names: BTreeSet<_> = calls.iter().collect();
    let which = random.below(names.len().max(1) as u64) as usize;
    let name = names.into_iter().nth(which);
    let numbers: Vec<_> = (1..).zip(calls).filter(|(_, call)| Some(*call) == name).map(|(n, _)| n).collect();
    numbers.get(random.below(numbers.len().max(1) as u64) as usize).copied().unwrap_or(1)
}

/// A call that was refused.
#[derive(Debug)]
struct Failed {
    name: &'static str,
    /// The file, or its folder and what is behind its name.
    file: String,
    opening: bool,
    punches: bool,
}

impl Failed {
    fn is_sync(&self) -> bool {
        ["fdatasync", "fsync"].contains(&self.name)
    }

    /// Calls whose failure the store may pass over: it gives space back, and tries again or leaves that to a recovery; or it only asks.
    /// While it is opened a full disk may also leave no space to be kept back, or the views in memory.
    fn may_be_passed_over(&self, errno: i32) -> bool {
        let is_view = ["directory", "live"].iter().any(|view| self.file.ends_with(view));
        let asks = [
            "unlinkat",
            "fcntl",
            "fstat",
            "newfstatat",
            "statx",
            "lseek",
            "fadvise",
            "getdents",
            "fstatfs",
            "ioctl",
        ];
        // What the last directory says of the size of the next is a guess.
        let guesses =
            self.opening && ["openat", "mmap"].contains(&self.name) && self.file.ends_with("/directory");
        self.file.contains("/index")
            || guesses
            || asks.contains(&self.name)
            || self.punches && !self.opening
            || self.opening
                && errno == libc::ENOSPC
                && (is_view || self.name == "fallocate" && self.file.contains("chunk"))
    }
}

/// What became of a session.
struct Outcome {
    /// Calls that could have failed.
    calls: Vec<&'static str>,
    failed: Option<Failed>,
    /// Errors that something answered with.
    errors: u64,
}

/// Runs a session whose `n`-th call fails.
fn fails(kind: Kind, seed: u64, n: usize, errno: i32, what: &mut String) -> Outcome {
    *what = format!("session {seed}, call {n}");
    let folder = folder();
    let path = folder.path().join("store");
    let number = KINDS.iter().position(|it| it.name == kind.name).expect("one of them").to_string();
    let task = ["syscalls", path.to_str().expect("a path of ours"), &number, &seed.to_string()];
    let traced = Traced::start(&mut command(&task).expect("this program")).expect("a child");
    let mut traced = traced.expect("a child that begins");
    let (mut calls, mut opening, mut looking) = (Vec::new(), true, false);
    let failed = loop {
        let stop = traced.next_call().expect("a traced child");
        for word in traced.said().expect("a pipe") {
            match word {
                OPENED => opening = false,
                LOOKS => looking = true,
                HAS_LOOKED => looking = false,
                _ => {}
            }
        }
        if stop == Stop::End {
            break None;
        }
        if stop == Stop::Before
            && !looking
            && let Some(call) = concerns(&traced, folder.path())
        {
            calls.push(call.name);
            if calls.len() == n {
                traced.fail(errno).expect("a traced child");
                break Some(Failed { opening, ..call });
            }
        }
    };
    let Some(failed) = failed else { return Outcome { calls, failed: None, errors: 0 } };
    *what = format!("{what}: {failed:?}");
    // Nobody disturbs it any more; it looks at what is left.
    let ended = traced.finish().expect("an end");
    assert!(ended.status.success(), "the child: {}, {}", ended.status, ended.complaint);
    let gave_up = ended.said.contains(&GIVES_UP);
    assert!(!gave_up || failed.is_sync(), "that is no reason to give anything up");
    let errors = ended.said.iter().map(|word| u64::from(*word == ERROR)).sum();
    Outcome { calls, failed: Some(failed), errors }
}

/// Calls that may fail: their number, their name, and which argument is the descriptor that they are about. The path of those that
/// end in `at` comes after it.
const CALLS: &[(i64, &str, usize)] = &[
    (libc::SYS_openat, "openat", 0),
    (libc::SYS_mkdirat, "mkdirat", 0),
    (libc::SYS_unlinkat, "unlinkat", 0),
    (libc::SYS_renameat, "renameat", 0),
    (libc::SYS_renameat2, "renameat2", 0),
    (libc::SYS_newfstatat, "newfstatat", 0),
    (libc::SYS_statx, "statx", 0),
    (libc::SYS_ftruncate, "ftruncate", 0),
    (libc::SYS_fallocate, "fallocate", 0),
    (libc::SYS_mmap, "mmap", 4),
    (libc::SYS_fdatasync, "fdatasync", 0),
    (libc::SYS_fsync, "fsync", 0),
    (libc::SYS_write, "write", 0),
    (libc::SYS_pwrite64, "pwrite", 0),
    (libc::SYS_read, "read", 0),
    (libc::SYS_pread64, "pread", 0),
    (libc::SYS_copy_file_range, "copy_file_range", 2),
    (libc::SYS_fstatfs, "fstatfs", 0),
    (libc::SYS_fstat, "fstat", 0),
    (libc::SYS_fchmod, "fchmod", 0),
    (libc::SYS_fcntl, "fcntl", 0),
    (libc::SYS_lseek, "lseek", 0),
    (libc::SYS_fadvise64, "fadvise", 0),
    (libc::SYS_getdents64, "getdents", 0),
    (libc::SYS_ioctl, "ioctl", 0),
];

/// Those whose first argument is a path: `LevelDB`'s.
const PATH_CALLS: &[(i64, &str)] = &[
    (libc::SYS_open, "open"),
    (libc::SYS_access, "access"),
    (libc::SYS_mkdir, "mkdir"),
    (libc::SYS_rename, "rename"),
    (libc::SYS_unlink, "unlink"),
    (libc::SYS_stat, "stat"),
];

/// The call that it stopped before, if it concerns what lies below `folder`.
fn concerns(traced: &Traced, folder: &Path) -> Option<Failed> {
    let call = traced.call().ok()?;
    let is_below = |name, file: std::path::PathBuf, punches| {
        let file = file.to_string_lossy().into_owned();
        file.starts_with(&*folder.to_string_lossy()).then_some(Failed { name, file, opening: false, punches })
    };
    if let Some(&(_, name)) = PATH_CALLS.iter().find(|(number, _)| *number == call.number) {
        let path = traced.text(call.arguments[0]).ok()?;
        return is_below(name, at(traced, &path).unwrap_or_else(|| path.into()), false);
    }
    let &(_, name, argument) = CALLS.iter().find(|(number, ..)| *number == call.number)?;
    let descriptor = call.arguments[argument];
    let has_path =
        name.contains("at") && !["fdatasync", "ftruncate", "fallocate", "fstat", "fstatfs"].contains(&name);
    let mut file = if has_path && descriptor as u32 == libc::AT_FDCWD.cast_unsigned() {
        std::path::PathBuf::new()
    } else {
        traced.file(u64::from(descriptor as u32))?
    };
    if has_path {
        let path = traced.text(call.arguments[1]).ok()?;
        if let Some(named) = at(traced, &path) {
            file = named;
        } else if !path.is_empty() {
            file.push(path);
        }
    }
    is_below(name, file, name == "fallocate" && call.arguments[1] != 0)
}

/// What a path through a descriptor leads to: so the index is reached by that of its folder.
fn at(traced: &Traced, path: &str) -> Option<std::path::PathBuf> {
    let mut parts = path.strip_prefix("/proc/self/fd/")?.splitn(2, '/');
    let folder = traced.file(parts.next()?.parse().ok()?)?;
    Some(folder.join(parts.next().unwrap_or_default()))
}

/// What the child does: `STORE KIND SEED`.
pub fn child(words: &[&str]) {
    let [path, kind, seed] = words else { panic!("a store, a kind, a seed") };
    let kind: usize = kind.parse().expect("a number");
    let Kind { start, sparse, index, .. } = KINDS[kind];
    let seed = seed.parse().expect("a number");
    let errors = session(Path::new(path), start, seed, options().sparse(sparse).index(index), &Child);
    for _ in errors {
        say(ERROR);
    }
}

/// In the child: says what the parent has to know.
struct Child;

impl Saboteur for Child {
    fn begins(&self) {
        trace::hand_over().expect("tracing is allowed");
    }

    fn opened(&self) {
        say(OPENED);
    }

    fn looks(&self, now: bool) {
        say(if now { LOOKS } else { HAS_LOOKED });
    }

    fn gives_up(&self) {
        say(GIVES_UP);
    }

    fn ends(&self) {
        // Nothing that follows may fail.
        say(LOOKS);
    }
}
