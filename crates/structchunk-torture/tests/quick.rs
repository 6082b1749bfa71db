//! The command itself, in the size that every change can afford.

use std::process::Command;

fn torture(arguments: &[&str]) -> (Option<i32>, String) {
    let program = Command::new(env!("CARGO_BIN_EXE_structchunk-torture")).args(arguments).output();
    let program = program.expect("the program");
    let said = [program.stdout, program.stderr].concat();
    (program.status.code(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn the_quick_suites_find_nothing() {
    let (code, said) = torture(&["quick"]);
    println!("{said}");
    assert_eq!(code, Some(0), "{said}");
    let line = said.lines().find(|line| line.starts_with("together")).expect("a sum");
    let runs: u64 = line.split_whitespace().nth(1).and_then(|runs| runs.parse().ok()).expect("a number");
    assert!(runs > 220, "{said}");
}

#[test]
fn a_class_that_does_not_exist_is_an_error_that_names_those_that_do() {
    let (code, said) = torture(&["earthquake"]);
    assert_eq!(code, Some(2));
    assert!(
        said.contains("earthquake")
            && said.contains("quick, all, disk, history, kill, model, power, syscalls"),
        "{said}"
    );
    assert_eq!(torture(&["quick", "--seed", "high"]).0, Some(2));
    let (code, said) = torture(&["--help"]);
    assert!(code == Some(0) && said.contains("--seed"), "{said}");
}

#[test]
fn a_part_that_does_not_exist_is_an_error_and_not_a_table_without_failures() {
    let (code, said) = torture(&["quick", "power", "--part", "compcation"]);
    assert!(code == Some(2) && said.contains("compcation"), "{code:?} {said}");
    assert!(!said.contains("together"), "{said}");
}
