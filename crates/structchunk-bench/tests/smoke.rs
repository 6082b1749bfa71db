//! The program as it is called.

use std::collections::BTreeSet;
use std::process::{Command, Output};

fn bench(arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_structchunk-bench"));
    command.args(arguments).arg("--dir").arg(folder.path()).output().unwrap()
}

#[test]
fn a_quick_run_gives_one_json_object_a_row_with_the_same_workloads_for_every_engine() {
    let output = bench(&["--quick", "--n", "2000", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rows: Vec<serde_json::Value> = output
        .stdout
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    let mut of_engine = std::collections::BTreeMap::<_, BTreeSet<_>>::new();
    for row in &rows {
        let number = |field: &str| row[field].as_f64().unwrap();
        assert_eq!(row["n"], 2000);
        assert!(number("min") <= number("median") && number("median") <= number("max"), "{row}");
        assert!(number("rounds") >= 1.0, "{row}");
        assert!(["ns", "us", "B", "x"].contains(&row["unit"].as_str().unwrap()), "{row}");
        let name = |field: &str| row[field].as_str().unwrap().to_owned();
        assert!(of_engine.entry(name("engine")).or_default().insert(name("workload")), "twice: {row}");
    }
    let engines: Vec<_> = of_engine.keys().map(String::as_str).collect();
    assert_eq!(engines, ["floor", "leveldb", "lmdb", "lmdb-sync", "lmdb-writemap", "structchunk"]);
    let ours = &of_engine["structchunk"];
    assert!(of_engine.values().all(|workloads| workloads.is_subset(ours)), "{of_engine:?}");
    for workload in ["load", "put", "get", "get_chain", "get_many_16", "absent", "change", "scan", "open"] {
        assert!(ours.contains(workload), "{workload}");
    }
    for workload in ["scan_keys", "scan_sorted", "prefix", "prefix_near", "delete"] {
        for engine in ["structchunk", "lmdb", "lmdb-writemap", "leveldb"] {
            assert!(of_engine[engine].contains(workload), "{workload} of {engine}");
        }
    }
    for workload in ["catch_up", "catch_up_busy", "compact", "compact_before", "compact_after"] {
        assert!(ours.contains(workload), "{workload}");
    }
    for workload in ["get", "put", "sync"] {
        assert!(ours.contains(&format!("{workload}_1_thread")), "{workload}");
    }
    for access in [
        "get",
        "session_get",
        "get_many_16",
        "get_sealed",
        "view",
        "get_atomic",
        "add",
        "change",
        "scan",
        "scan_keys",
        "scan_sorted",
        "range_100",
        "get_1MiB",
        "change_1MiB",
        "copy_to",
    ] {
        for row in [format!("second_{access}"), format!("writer_{access}"), format!("second_{access}_x")] {
            assert!(ours.contains(&row), "{row}");
        }
    }
    for row in ["second_attach", "second_scan_first", "second_sort", "second_sort_more"] {
        assert!(ours.contains(row), "{row}");
    }
}

#[test]
fn a_second_process_that_finds_no_store_says_so_and_ends_with_exit_code_2() {
    let output = bench(&["--as-second-process", "/nowhere", "10", "10", "1"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nowhere"), "{output:?}");
}

#[test]
fn a_compaction_of_a_store_with_a_tenth_of_its_objects_makes_it_smaller() {
    let arguments = ["--quick", "--json", "--n", "50000", "--only", "compact", "--engine", "structchunk"];
    let output = bench(&arguments);
    let bytes = |name: &str| {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let rows = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let row = rows.into_iter().find(|row| row["workload"] == name).unwrap();
        row["median"].as_f64().unwrap()
    };
    assert!(bytes("compact_after") < bytes("compact_before"), "{output:?}");
}

#[test]
fn the_help_lists_all_workloads_and_engines() {
    let help = String::from_utf8(bench(&["--help"]).stdout).unwrap();
    for name in [
        "scan_keys",
        "scan_sorted",
        "prefix",
        "delete",
        "compact",
        "catch_up",
        "threads",
        "second_process",
        "leveldb",
    ] {
        assert!(help.contains(name), "{name} is missing in\n{help}");
    }
}

#[test]
fn the_table_compares_with_peers_and_floor_and_judges_the_targets() {
    let only = ["--only", "get", "--only", "absent", "--only", "threads"];
    let output = bench(&[&["--quick", "--n", "2000"][..], &only].concat());
    let table = String::from_utf8(output.stdout).unwrap();
    for part in [
        "| get ",
        "| absent ",
        "x best peer",
        "x the floor",
        "get: faster than the better LMDB",
        "get by two threads",
        "put by two threads",
    ] {
        assert!(table.contains(part), "{part} is missing in\n{table}");
    }
    assert!(!table.contains("| load "), "{table}");
}

#[test]
fn prefixes_are_held_against_leveldb_and_scans_of_keys_against_lmdb() {
    let only = ["--only", "prefix", "--only", "scan_keys", "--only", "catch_up"];
    let output = bench(&[&["--quick", "--n", "2000", "--rounds", "1"][..], &only].concat());
    let table = String::from_utf8(output.stdout).unwrap();
    for part in
        ["prefix of 100: speed of LevelDB", "scan_keys: speed of LMDB's cursor", "catch_up: million keys"]
    {
        assert!(table.contains(part), "{part} is missing in\n{table}");
    }
}

#[test]
fn arguments_that_make_no_sense_get_a_sentence_and_exit_code_2() {
    for arguments in [&["--frobnicate"][..], &["--n", "few"], &["--n", "0"], &["--n"], &["--only", "nothing"]]
    {
        let output = bench(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(
            output.stdout.is_empty() && output.stderr.starts_with(b"structchunk-bench: "),
            "{arguments:?}"
        );
    }
}
