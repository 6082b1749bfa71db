//! Keys as arguments: as they are, in hexadecimal digits, as `ls` shows them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::stores::{ODD_KEY, Sample, command};

#[test]
fn a_key_with_a_nul_is_found_in_every_form() {
    let sample = Sample::new();
    let line = sample.run("ls", &[]).succeeds().out.lines().nth(1).unwrap().to_owned();
    for form in [
        &["--hex", "6f6464001b5b324a22ff"][..],
        &["--hex", "6F6464001B5B324A22FF"],
        &["--escaped", &line],
        &["--escaped", r#"odd\x00\x1b[2J\"\xff"#],
        &["--escaped", r#"odd\u{0}\x1b[2J"\xff"#],
    ] {
        let out = sample.run("get", form).succeeds().out;
        assert!(out.contains("id: 40"), "{form:?}: {out}");
    }
    assert_eq!(ODD_KEY.len(), 10);
}

#[test]
fn a_key_need_not_be_utf8() {
    let sample = Sample::new();
    let removed =
        command().arg("rm").arg(sample.path()).arg(OsStr::from_bytes(b"\xff\xfe")).output().unwrap();
    assert_eq!(removed.status.code(), Some(1));
    assert!(String::from_utf8(removed.stderr).unwrap().contains(r#"no object "\xff\xfe""#));
    let get =
        command().arg("get").arg(sample.path()).arg(OsStr::from_bytes("zoë".as_bytes())).output().unwrap();
    assert_eq!(get.status.code(), Some(0));
}

#[test]
fn prefixes_take_the_same_forms() {
    let sample = Sample::new();
    for form in [&["--hex", "--prefix", "6f6464"][..], &["--escaped", "--prefix", r"odd\x00"]] {
        assert_eq!(sample.run("ls", form).succeeds().out.lines().count(), 1, "{form:?}");
    }
}

#[test]
fn impossible_keys_are_refused_with_a_sentence() {
    let sample = Sample::new();
    for command in ["get", "rm"] {
        sample.run(command, &[""]).fails(2, "a key of 0 bytes");
        sample.run(command, &["--hex", "123"]).fails(2, "123 is not an even number of hexadecimal digits");
        sample.run(command, &["--escaped", r"a\n"]).fails(2, "is not a key as ls shows it");
        sample.run(command, &[&"k".repeat(65_536)]).fails(2, "a key of 65536 bytes");
    }
    sample.run("ls", &["--hex", "--prefix", "zz"]).fails(2, "hexadecimal");
    assert_eq!(sample.run("get", &["--hex", "--escaped", "00"]).code, 2);
}
