//! Help, wrong arguments, broken pipes, full disks.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use crate::stores::{Sample, run};

const COMMANDS: [&str; 11] =
    ["demo", "info", "ls", "get", "rm", "types", "stats", "check", "compact", "copy", "rebuild"];

#[test]
fn every_command_has_help_with_examples() {
    let help = run(["--help"]).succeeds().out;
    for command in COMMANDS {
        assert!(help.contains(&format!("  {command} ")), "{command}: {help}");
        let help = run([command, "--help"]).succeeds().out;
        assert!(help.contains("Examples:") && help.contains(&format!("structchunk {command}")), "{help}");
    }
    assert!(help.contains("Exit codes: 0 fine, 1 not found or findings, 2 error"), "{help}");
    assert!(run(["--version"]).succeeds().out.starts_with("structchunk "));
}

#[test]
fn wrong_arguments_are_a_sentence_and_exit_code_two() {
    let wrong: [&[&str]; 11] = [
        &["compact", "store", "--fill", "half"],
        &["compact"],
        &[],
        &["frobnicate"],
        &["info"],
        &["get", "store"],
        &["rm", "store"],
        &["ls", "store", "--bogus"],
        &["get", "store", "key", "--limit", "many"],
        &["demo", "--limit", "0"],
        &["demo", "--limit", "-1"],
    ];
    for arguments in wrong {
        let ran = run(arguments);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{arguments:?}");
        assert!(!ran.err.is_empty() && !ran.err.contains("panicked"), "{arguments:?}: {}", ran.err);
    }
}

#[test]
fn a_number_that_cannot_be_is_named_with_its_option_and_with_what_can_be() {
    let wrong: [(&[&str], &str); 5] = [
        (&["demo", "--limit", "0"], "'0' for '--limit <N>': a whole number from 1 on is needed"),
        (&["demo", "--limit", "-1"], "'-1' for '--limit <N>': a whole number from 1 on is needed"),
        (&["get", "store", "key", "--limit", "-1"], "'-1' for '--limit <N>'"),
        (&["compact", "store", "--fill", "-0.5"], "'-0.5' for '--fill <R>': a number from 0 to 1 is needed"),
        (&["compact", "store", "--fill", "nan"], "'nan' for '--fill <R>': a number from 0 to 1 is needed"),
    ];
    for (arguments, text) in wrong {
        let ran = run(arguments);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{arguments:?}");
        assert!(ran.err.contains(text), "{arguments:?}: {}", ran.err);
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let sample = Sample::new();
    for arguments in
        [&["ls", "--long"][..], &["ls", "--json"], &["get", "grid", "--limit", "100000"], &["info"]]
    {
        let mut command = Command::new(env!("CARGO_BIN_EXE_structchunk"));
        command.arg(arguments[0]).arg(sample.path()).args(&arguments[1..]);
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut child = command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn one_line_may_be_read_and_the_rest_left() {
    let sample = Sample::new();
    let mut child = Command::new(env!("CARGO_BIN_EXE_structchunk"))
        .args(["get", sample.path().to_str().unwrap(), "grid", "--limit", "1000000"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("grid: "));
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn an_output_that_takes_no_more_is_an_error() {
    let sample = Sample::new();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_structchunk"))
        .args(["ls", sample.path().to_str().unwrap()])
        .stdout(full)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("cannot write to standard output"));
}

#[test]
fn a_closed_standard_error_does_no_harm() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = Command::new(env!("CARGO_BIN_EXE_structchunk"))
        .args(["info", "/missing"])
        .stderr(writer)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(2));
}
