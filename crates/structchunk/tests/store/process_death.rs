//! Real processes, really killed: nothing that had returned is lost, nothing is there by halves, and the next one gets in at once.
//!
//! `STRUCTCHUNK_TEST_SCALE` multiplies the kills, `STRUCTCHUNK_SEED` chooses others.
#![expect(unsafe_code, reason = "fork")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, getpid, kill_process};
use structchunk::testing::Faults;
use structchunk::{Compaction, Error, Found, Store};

use crate::common::*;
use crate::replay::verify;
use crate::script::{Op, Tracked};

const TASK: &str = "STRUCTCHUNK_TEST_TASK";

/// What a child does. It says how far it came in a file beside the store: a byte when the store is open, and one for each
/// operation that returned.
#[derive(Clone, Copy)]
struct Task {
    name: &'static str,
    seed: u64,
    operations: u64,
    /// Dies before its n-th effect on the disk; 0: it is not that which kills it.
    dies_before: u64,
}

fn progress(store: &Path) -> PathBuf {
    store.with_extension("progress")
}

fn spawn(store: &Path, task: Task) -> Child {
    let _ = fs::remove_file(progress(store));
    let Task { name, seed, operations, dies_before } = task;
    Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "process_death::what_a_child_does", "--nocapture"])
        .env(TASK, format!("{name} {seed} {operations} {dies_before} {}", store.display()))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a child")
}

/// Waits for a child that may die but must not panic; how many bytes of progress it made.
fn wait(child: Child, store: &Path) -> u64 {
    let output = child.wait_with_output().expect("an end");
    let died = output.status.code().is_none();
    assert!(died || output.status.success(), "the child: {}", String::from_utf8_lossy(&output.stderr));
    fs::metadata(progress(store)).map_or(0, |file| file.len())
}

/// No test of its own: the others start this program again, with a task.
#[test]
fn what_a_child_does() {
    let Ok(task) = std::env::var(TASK) else { return };
    let mut words = task.splitn(5, ' ');
    let mut word = || words.next().expect("a word");
    let (name, numbers) = (word(), [(); 3].map(|()| word().parse::<u64>().expect("a number")));
    let (path, [seed, operations, dies_before]) = (Path::new(word()), numbers);
    let faults = Faults::recorded();
    let calls = AtomicU64::new(0);
    faults.watch(move |_| {
        if calls.fetch_add(1, Ordering::SeqCst) + 1 == dies_before {
            die();
        }
    });
    let mut progress = fs::File::create(progress(path)).expect("a file");
    let store = open_with(options().auto_compact(seed % 2 == 1).faults(faults), path).expect("open");
    progress.write_all(b"o").expect("progress");
    match name {
        "work" => {
            let mut tracked = Tracked::of(&store);
            for op in Op::script(&mut Random::new(seed), operations) {
                tracked.run(&store, &op).unwrap_or_else(|error| panic!("{op:?}: {error}"));
                progress.write_all(b".").expect("progress");
            }
            store.close().expect("close");
        }
        "compact" => {
            store.compact().expect("compact");
            progress.write_all(b".").expect("progress");
            store.compact_with(Compaction::new().fill_ratio(1.0)).expect("compact");
            progress.write_all(b".").expect("progress");
        }
        "fork" => writes_in_a_forked_child_are_refused(&store),
        "orphan" => {
            store.put("key", &1_u64).expect("put");
            // SAFETY: the child says that it runs, and sleeps.
            let child = unsafe { libc::fork() };
            if child == 0 {
                let _ = progress.write_all(format!("{}", std::process::id()).as_bytes());
                thread::sleep(Duration::from_secs(20));
                // SAFETY: ends the process without running anything else.
                unsafe { libc::_exit(0) };
            }
            while progress.metadata().expect("a file").len() < 2 {
                thread::sleep(Duration::from_millis(1));
            }
            die();
        }
        other => panic!("no task {other}"),
    }
}

fn die() {
    kill_process(getpid(), Signal::KILL).expect("to die");
}

#[test]
fn killed_at_any_moment_a_process_loses_nothing_that_had_returned() {
    let seed = seed();
    println!("STRUCTCHUNK_SEED={seed}");
    let mut random = Random::new(seed);
    let folder = folder();
    let (mut kills, mut in_recovery) = (0, 0);
    for round in 0..cases(12) {
        let path = folder.path().join(format!("store-{round}"));
        let mut tracked = Tracked::default();
        for _ in 0..6 {
            let task = Task { name: "work", seed: random.next(), operations: 60, dies_before: 0 };
            let returned = if random.one_in(3) {
                let mut child = spawn(&path, task);
                thread::sleep(Duration::from_micros(random.below(60_000)));
                child.kill().expect("a kill");
                wait(child, &path)
            } else {
                wait(spawn(&path, Task { dies_before: 1 + random.below(700), ..task }), &path)
            };
            kills += 1;
            // The next ones die while they recover.
            while random.one_in(2) {
                let task = Task { operations: 0, dies_before: 1 + random.below(60), ..task };
                wait(spawn(&path, task), &path);
                in_recovery += 1;
            }
            let store = open(&path);
            let ops = Op::script(&mut Random::new(task.seed), task.operations);
            tracked = verify(&store, &tracked, &ops, returned.saturating_sub(1) as usize);
            if random.one_in(2) {
                store.close().expect("close");
            }
        }
    }
    println!("{kills} kills at work, {in_recovery} in an open");
}

#[test]
fn what_a_dead_process_had_sealed_neither_the_next_one_changes_nor_the_model_of_it() {
    let folder = folder();
    let path = folder.path().join("store");
    let (small, large) = (Value::Wide(Box::new(Wide { words: [1; 128] })), Value::Numbers(vec![2; 9000]));
    let key = |name: &str| name.as_bytes().to_vec();
    let mut start = Tracked::default();
    let store = open(&path);
    for op in [
        Op::Put(key("small"), small),
        Op::Put(key("large"), large),
        Op::Seal(key("small")),
        Op::Seal(key("large")),
    ] {
        start.run(&store, &op).expect("an operation");
    }
    drop(store);
    let ops = [
        Op::Update(key("small"), 3),
        Op::Update(key("large"), 4),
        Op::Rename(key("large"), key("other")),
        Op::Update(key("other"), 5),
    ];
    let (store, mut now) = (open(&path), start.clone());
    for op in &ops {
        now.run(&store, op).expect("an operation");
    }
    drop(store);
    let found = verify(&open(&path), &start, &ops, ops.len());
    assert_eq!(found.sealed, [key("other"), key("small")].into());
    assert_eq!(found.model[&key("other")], start.model[&key("large")]);
}

#[test]
fn killed_at_every_single_call_of_a_recovery_the_next_one_still_finds_everything() {
    let folder = folder();
    let template = folder.path().join("template");
    let mut tracked = Tracked::default();
    {
        let store = open(&template);
        for op in Op::script(&mut Random::new(3), 120) {
            tracked.run(&store, &op).expect("an operation");
        }
    }
    let mut dies_before = 0;
    loop {
        dies_before += 1;
        // The inode of STORE must stay: the store is moved there and back instead of being copied.
        let path = folder.path().join("store");
        let saved = folder.path().join("saved");
        fs::rename(&template, &path).expect("a new name");
        copy_folder(&path, &saved);
        let returned = wait(spawn(&path, Task { name: "work", seed: 0, operations: 0, dies_before }), &path);
        let store = open(&path);
        assert_same(&store, &tracked.model);
        drop(store);
        if returned > 0 {
            break;
        }
        restore_in_place(&saved, &path);
        fs::rename(&path, &template).expect("the old name");
    }
    assert!(dies_before > 20, "a recovery makes more than {dies_before} calls");
}

#[test]
fn killed_at_every_single_call_of_a_compaction_a_process_loses_nothing() {
    let folder = folder();
    let path = folder.path().join("store");
    let (mut dies_before, mut unfinished) = (0, 0);
    loop {
        dies_before += 1;
        let mut model = Model::new();
        let store = open(&path);
        for number in 0..500_u64 {
            let value = if number % 100 == 0 {
                Value::from_seed(number)
            } else {
                Value::Wide(Box::new(Wide { words: [number; 128] }))
            };
            value.put(&store, &number.to_le_bytes()).expect("put");
            if number % 8 != 0 {
                store.remove(number.to_le_bytes()).expect("remove");
            } else {
                model.insert(number.to_le_bytes().to_vec(), value);
            }
        }
        drop(store);
        let task = Task { name: "compact", seed: 0, operations: 0, dies_before };
        let done = wait(spawn(&path, task), &path);
        unfinished += u64::from(done == 1);
        let store = open(&path);
        assert_same(&store, &model);
        // It works on, and what the dead one had begun is brought to its end.
        store.put("more", &1_u64).expect("put");
        store.compact().expect("compact");
        store.remove("more").expect("remove");
        assert_same(&store, &model);
        let chunks = store.stats().expect("stats").chunks.len();
        assert!(chunks <= 2, "killed before call {dies_before}: {chunks} chunks");
        store.close().expect("close");
        let files = fs::read_dir(path.join("chunks")).expect("a folder");
        let is_chunk = |entry: &fs::DirEntry| entry.path().extension().is_some_and(|end| end == "chunk");
        let files = files.filter(|entry| is_chunk(entry.as_ref().expect("a name"))).count();
        assert_eq!(files, chunks, "killed before call {dies_before}");
        assert_same(&open(&path), &model);
        fs::remove_dir_all(&path).expect("removed");
        if done == 3 || dies_before > 400 {
            break;
        }
        if done == 2 && dies_before % 2 == 1 {
            // The second one, of everything, at every other call.
            dies_before += 1;
        }
    }
    assert!(unfinished > 10 && dies_before < 400, "{unfinished} of {dies_before}");
}

/// Makes the files of `to` what those of `from` are, keeping the inodes of those that are there.
fn restore_in_place(from: &Path, to: &Path) {
    for part in ["", "chunks"] {
        let (from, to) = (from.join(part), to.join(part));
        for entry in fs::read_dir(&to).expect("a folder") {
            let path = entry.expect("a name").path();
            if path.is_file() && !from.join(path.file_name().expect("a name")).exists() {
                fs::remove_file(path).expect("removed");
            }
        }
        for entry in fs::read_dir(&from).expect("a folder") {
            let path = entry.expect("a name").path();
            if path.is_file() {
                fs::write(to.join(path.file_name().expect("a name")), fs::read(&path).expect("bytes"))
                    .expect("written");
            }
        }
    }
    fs::remove_dir_all(from).expect("removed");
}

#[test]
fn killed_at_every_single_call_of_a_creation_the_next_open_creates() {
    let folder = folder();
    let mut dies_before = 0;
    loop {
        dies_before += 1;
        let path = folder.path().join(format!("store-{dies_before}"));
        let task = Task { name: "work", seed: 0, operations: 0, dies_before };
        let opened = wait(spawn(&path, task), &path);
        let store = open(&path);
        assert_eq!(store.len(), 0);
        store.put("key", &1_u64).expect("put");
        store.close().expect("close");
        if opened > 0 {
            break;
        }
    }
    assert!(dies_before > 20, "a creation makes more than {dies_before} calls");
}

#[test]
fn the_lock_of_a_dead_writer_is_free_although_a_child_of_it_lives_on() {
    let folder = folder();
    let path = folder.path().join("store");
    let task = Task { name: "orphan", seed: 0, operations: 0, dies_before: 0 };
    // Its own child keeps the pipe, so there is no end to read to.
    spawn(&path, task).wait().expect("an end");
    let text = fs::read_to_string(progress(&path)).expect("progress");
    let left: i32 = text[1..].parse().expect("a process");
    let opened = open_with(options(), &path);
    kill_process(Pid::from_raw(left).expect("a process"), Signal::KILL).expect("a kill");
    let store = opened.expect("the lock is free");
    assert_eq!(store.recovery().found, Found::ProcessDied);
    assert_eq!(store.load::<u64>("key").expect("load"), Some(1));
}

#[test]
fn a_forked_child_reads_is_refused_to_write_and_harms_nothing() {
    let folder = folder();
    let path = folder.path().join("store");
    wait(spawn(&path, Task { name: "fork", seed: 0, operations: 0, dies_before: 0 }), &path);
    let store = open(&path);
    assert_eq!(store.recovery().found, Found::Clean);
    assert_eq!(store.load::<u64>("key").expect("load"), Some(2));
    assert_eq!(store.get::<[u64]>("loan").expect("get").expect("there")[0], 7);
    assert_eq!(store.get::<[u64]>("batch").expect("get").expect("there")[0], 8);
    assert_eq!(store.load::<Wide>("wide").expect("load").expect("there").words[0], 9);
}

fn writes_in_a_forked_child_are_refused(store: &Store) {
    store.put("key", &1_u64).expect("put");
    store.put("wide", &Wide { words: [1; 128] }).expect("put");
    let mut loan = store.loan_slice::<u64>("loan", 10_000).expect("loan");
    let mut batch = store.batch();
    batch.put("batch", &vec![8_u64; 10_000][..]).expect("put");
    let mut wide = store.get_mut::<Wide>("wide").expect("get_mut").expect("there");
    // SAFETY: the child uses the store only, and no lock is held by another thread.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let forked = |outcome: structchunk::Result<()>| matches!(outcome, Err(Error::Forked));
        let refused = [
            forked(store.put("key", &3_u64)),
            forked(store.remove("key").map(drop)),
            forked(store.rename("key", "other").map(drop)),
            forked(store.update("key", |number: &mut u64| *number = 4).map(drop)),
            forked(store.loan::<u64>("l").map(drop)),
            forked(store.sync()),
            forked(batch.commit()),
            store.load::<u64>("key").is_ok_and(|number| number == Some(1)),
            store.len() == 2,
        ];
        drop(loan);
        drop(wide);
        let closed = store.clone().close().is_ok();
        let all = closed && refused.iter().all(|refused| *refused);
        // SAFETY: ends the process without running anything else.
        unsafe { libc::_exit(i32::from(!all)) };
    }
    let mut status = 0;
    // SAFETY: waits for the child above, and writes its status.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(status, 0, "the child was refused everything it should be, and could read");
    assert!(
        store.try_put("wide", &1_u64).is_err_and(|error| matches!(error, Error::Busy { .. })),
        "the guard is still there"
    );
    wide.words[0] = 9;
    wide.commit().expect("commit");
    loan[0] = 7;
    loan.publish().expect("publish");
    batch.commit().expect("commit");
    store.put("key", &2_u64).expect("put");
    store.clone().close().expect("close");
}
