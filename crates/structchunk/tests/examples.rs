//! Every example runs, shows what it promises, and leaves nothing behind.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// What an example prints when it works in `folder`.
fn run(name: &str, folder: &Path) -> String {
    let program = EXAMPLES.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    let output = Command::new(program).arg(folder).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{name}: {}\n{errors}", output.status);
    assert_eq!(folder.read_dir().unwrap().count(), 0, "{name} left something behind");
    String::from_utf8(output.stdout).unwrap()
}

/// Where the examples are. They are built here, because `cargo test --all-targets` builds them as tests, not as programs; with the
/// profile and the folder of this test, so that nothing is built twice.
static EXAMPLES: LazyLock<PathBuf> = LazyLock::new(|| {
    let this = std::env::current_exe().unwrap();
    let folder = this.ancestors().nth(2).unwrap();
    let profile = folder.file_name().filter(|name| *name != "debug").unwrap_or(OsStr::new("dev"));
    let build = Command::new(env!("CARGO"))
        .args(["build", "--locked", "--offline", "--package", "structchunk", "--examples", "--profile"])
        .arg(profile)
        .arg("--target-dir")
        .arg(folder.parent().unwrap())
        .output()
        .unwrap();
    assert!(build.status.success(), "{}", String::from_utf8_lossy(&build.stderr));
    folder.join("examples")
});

/// The numbers in a line of text, in their order.
fn numbers(line: &str) -> Vec<u64> {
    line.split(|character: char| !character.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect()
}

fn line<'t>(text: &'t str, beginning: &str) -> &'t str {
    let line = text.lines().find(|line| line.starts_with(beginning));
    line.unwrap_or_else(|| panic!("no line begins with {beginning:?}:\n{text}"))
}

#[test]
fn the_quickstart_finds_its_objects_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let shown = run("quickstart", folder.path());
    assert!(shown.contains("closed cleanly, 1000 objects"), "{shown}");
    assert!(shown.contains("total charge 1001"), "{shown}");
}

#[test]
fn nested_types_come_back_and_another_type_is_refused_by_its_field() {
    let folder = tempfile::tempdir().unwrap();
    let shown = run("nested_types", folder.path());
    assert!(
        line(&shown, "station is").contains("correction: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.25]]"),
        "{shown}"
    );
    assert!(line(&shown, "station is").contains("name: \"Zürich\", built: 2001-09-09"), "{shown}");
    assert!(line(&shown, "counters is").contains("requests: 3, failures: 1"), "{shown}");
    assert!(line(&shown, "refused").contains("field latitude"), "{shown}");
}

#[test]
fn a_sparse_array_takes_what_is_touched_and_gives_it_back() {
    let folder = tempfile::tempdir().unwrap();
    let shown = run("sparse_array", folder.path());
    let empty = numbers(line(&shown, "an empty store"));
    let used = numbers(line(&shown, "two numbers"));
    assert!(used[0] > 100 << 30, "{shown}");
    assert!(used[1] < 16 << 20, "{shown}");
    assert!(
        line(&shown, "13421772800 numbers").ends_with("the first 3, one in the middle 2, the last 0"),
        "{shown}"
    );
    assert_eq!(numbers(line(&shown, "removed"))[0], used[0], "{shown}");
    assert_eq!(numbers(line(&shown, "one sync later"))[0], empty[0], "{shown}");
}

#[test]
fn two_threads_lose_no_change_and_see_no_half_batch() {
    let folder = tempfile::tempdir().unwrap();
    let shown = run("two_threads", folder.path());
    for what in ["updates", "atomics"] {
        let [done, asked, ..] = numbers(line(&shown, what))[..] else { panic!("{shown}") };
        assert_eq!(done, asked, "{shown}");
    }
    let batches = numbers(line(&shown, "batches"));
    assert!(batches[0] > 0 && batches[1] > 0, "{shown}");
}

#[test]
fn counters_of_several_threads_are_exact_for_whoever_looks_on() {
    let folder = tempfile::tempdir().unwrap();
    let shown = run("mixed_counters", folder.path());
    assert_eq!(shown, "requests: 40000, bytes: 4060000, by worker: [10000, 10000, 10000, 10000]\n");
}

#[test]
fn a_type_that_has_grown_reads_and_rewrites_what_is_older() {
    let folder = tempfile::tempdir().unwrap();
    let shown = run("evolution", folder.path());
    assert!(line(&shown, "read as new").ends_with("42 cents, flags 0, interest 0.02"), "{shown}");
    assert!(line(&shown, "refused").contains("field balance"), "{shown}");
    assert!(line(&shown, "an older program").contains("field cents"), "{shown}");
    let half = numbers(line(&shown, "interrupted"));
    let rest = numbers(line(&shown, "finished"));
    assert!(half[0] >= 500 && half[0] < 1000, "{shown}");
    assert_eq!(rest[0] + rest[1], 1000, "{shown}");
    assert_eq!(half[0] + 1, rest[1], "{shown}");
    assert!(line(&shown, "version 2 of Account").contains("extends [Fingerprint("), "{shown}");
}

#[test]
fn readers_of_a_board_see_whole_quotes_only_and_outlive_its_feed() {
    let folder = tempfile::tempdir().unwrap();
    let shown = run("quote_board", folder.path());
    assert!(numbers(line(&shown, "the first feed was killed"))[0] >= 1000, "{shown}");
    let readers: Vec<_> = shown.lines().filter(|line| line.starts_with("reader: 4 symbols")).collect();
    assert_eq!(readers.len(), 3, "{shown}");
    for reader in readers {
        let [symbols, looks, last] = numbers(reader)[..] else { panic!("{shown}") };
        assert!(symbols == 4 && looks > 100 && last == 4000, "{shown}");
    }
}

#[test]
fn counters_that_several_processes_raise_come_to_the_exact_total_and_a_death_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let shown = run("shared_counters", folder.path());
    let requests = numbers(line(&shown, "4 processes"));
    assert!(requests[1] > 1000 && requests[1] == requests[2], "{shown}");
    let changes = numbers(shown.lines().nth(1).unwrap());
    assert!(changes[0] > 0 && changes == [changes[0]; 3], "{shown}");
    assert!(line(&shown, "after a death").contains("half changed"), "{shown}");
    assert_eq!(numbers(line(&shown, "mended")), [changes[0]], "{shown}");
}
