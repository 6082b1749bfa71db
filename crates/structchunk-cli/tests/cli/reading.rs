//! `info`, `ls`, `get`, `types`, `stats`, `check` on a healthy store.

use serde_json::{Value, json};
use structchunk::{Object, Store};

use crate::stores::{ODD_KEY, Pair, Particle, Sample, hex, open, particle, run};

#[test]
fn info_says_how_much_of_everything_there_is() {
    let sample = Sample::new();
    let info = sample.run("info", &["--json"]).succeeds().json();
    assert_eq!((&info["objects"], &info["chunks"], &info["bodies"]), (&json!(44), &json!(1), &json!(1)));
    assert!(info["bytes_apparent"].as_u64().unwrap() > 1 << 31, "the grid has 2 GiB");
    assert!(info["bytes_allocated"].as_u64().unwrap() < 1 << 23, "of which next to nothing is there");
    let particle = json!({
        "name": "Particle", "fingerprint": Particle::FINGERPRINT.to_string(), "size": 32, "objects": 42
    });
    let types = info["types"].as_array().unwrap();
    assert!(types.contains(&particle), "{types:?}");
    assert_eq!(types.len(), 3);
    assert_eq!(info["opened"]["found"], "closed cleanly");

    let text = sample.run("info", &[]).succeeds().out;
    for part in ["objects    44", "1 of 1 MiB", "closed cleanly", "Particle", "42", "Pair", "u2"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn ls_lists_keys_in_the_order_of_their_bytes() {
    let sample = Sample::new();
    let all = sample.run("ls", &[]).succeeds().out;
    let lines: Vec<_> = all.lines().collect();
    assert_eq!(lines.len(), 44);
    assert_eq!(lines[..2], ["grid", r#""odd\x00\x1b[2J\"\xff""#]);
    assert_eq!(lines[2..5], ["p/00", "p/01", "p/02"]);
    assert_eq!(lines[42..], ["pair", "zoë"]);
    assert_eq!(sample.run("ls", &["--prefix", "p/1"]).succeeds().out.lines().count(), 10);
    assert_eq!(sample.run("ls", &["--prefix", "nothing"]).succeeds().out, "");
    assert_eq!(sample.run("ls", &["--prefix", ""]).succeeds().out, all);
}

#[test]
fn ls_shows_size_type_and_shape_when_asked() {
    let sample = Sample::new();
    let long = sample.run("ls", &["--long"]).succeeds().out;
    let columns = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(columns(long.lines().next().unwrap()), ["2,147,483,648", "u2[1048576,", "1024]", "grid"]);
    assert_eq!(columns(long.lines().nth(2).unwrap()), ["32", "Particle", "p/00"]);
}

#[test]
fn ls_prints_one_json_object_a_line() {
    let sample = Sample::new();
    let out = sample.run("ls", &["--json"]).succeeds().out;
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 44);
    assert_eq!(lines[0]["shape"], json!([1 << 20, 1 << 10]));
    assert_eq!((&lines[1]["key"], &lines[1]["key_hex"]), (&Value::Null, &json!("6f6464001b5b324a22ff")));
    assert_eq!((&lines[2]["key"], &lines[2]["key_hex"]), (&json!("p/00"), &json!("702f3030")));
    assert_eq!(lines[2]["type"], "Particle");
    assert_eq!(lines[2]["fingerprint"], Particle::FINGERPRINT.to_string());
    assert_eq!(lines[2]["bytes"], 32);
    assert!(lines[2]["sequence"].as_u64() > lines[3]["sequence"].as_u64(), "it was put again");
}

#[test]
fn get_decodes_an_object_by_its_stored_layout() {
    let sample = Sample::new();
    assert_eq!(
        sample.run("get", &["p/07"]).succeeds().out,
        "p/07: Particle, 32 bytes\n{\n  position: [7.0, 0.5, -1.0],\n  charge: 1.5,\n  id: 7\n}\n"
    );
    let object = sample.run("get", &["p/07", "--json"]).succeeds().json();
    assert_eq!(object["value"], json!({ "position": [7.0, 0.5, -1.0], "charge": 1.5, "id": 7 }));
    assert_eq!((&object["key"], &object["key_hex"]), (&json!("p/07"), &json!("702f3037")));
    assert_eq!((&object["type"], &object["bytes"]), (&json!("Particle"), &json!(32)));
    assert_eq!((&object["shape"], &object["complete"]), (&Value::Null, &json!(true)));
    let pair = sample.run("get", &["pair", "--json"]).succeeds().json();
    assert_eq!((&pair["value"]["second"]["id"], &pair["value"]["label"]), (&json!(2), &json!("a\u{1b}b")));
}

#[test]
fn get_keeps_the_order_of_fields_in_json() {
    let out = Sample::new().run("get", &["p/07", "--json"]).succeeds().out;
    let at = |name: &str| out.find(name).unwrap();
    assert!(at("position") < at("charge"), "fields come as they are declared: {out}");
}

#[test]
fn get_shows_the_beginning_of_a_large_array_and_says_so() {
    let sample = Sample::new();
    let text = sample.run("get", &["grid", "--limit", "5"]).succeeds().out;
    assert!(text.starts_with("grid: u2[1048576, 1024], 2,147,483,648 bytes; the beginning"), "{text}");
    assert!(text.contains("[[0, 7, ") && text.contains("... 1048575 more]"), "{text}");
    let object = sample.run("get", &["grid", "--json"]).succeeds().json();
    assert_eq!((&object["complete"], &object["shape"]), (&json!(false), &json!([1 << 20, 1 << 10])));
    assert!(object["value"].as_array().unwrap().last().unwrap()["left_out"].as_u64().is_some());
}

#[test]
fn types_shows_versions_and_which_extends_which() {
    #[derive(Object)]
    #[object(name = "Quote")]
    #[repr(C)]
    struct QuoteV1 {
        bid: f64,
        ask: f64,
    }
    #[derive(Object)]
    #[object(extends = QuoteV1, extends = "0123456789abcdef")]
    #[repr(C)]
    struct Quote {
        bid: f64,
        #[object(renamed_from = "ask", title = "what is wanted")]
        offer: f64,
        #[object(default = 1.0)]
        rate: f64,
    }
    let sample = Sample::new();
    let store = open(Store::options(), &sample.path());
    store.put("q/1", &QuoteV1 { bid: 1.0, ask: 2.0 }).unwrap();
    store.put("q/2", &QuoteV1 { bid: 1.0, ask: 2.0 }).unwrap();
    store.put("q/3", &Quote { bid: 1.0, offer: 2.0, rate: 3.0 }).unwrap();
    store.close().unwrap();
    let text = sample.run("types", &[]).succeeds().out;
    let (old, new) = (QuoteV1::FINGERPRINT, Quote::FINGERPRINT);
    for part in [
        &format!("fingerprint {old}, 2 objects, version 1 of 2\n"),
        &format!("fingerprint {new}, 1 object, version 2 of 2\n  extends {old}, Quote version 1\n"),
        "  extends 0123456789abcdef, which this store has never held\n",
        "what is wanted; once ask",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(
        !text.contains("Particle: 32 bytes, aligned to 8, version"),
        "one version is not worth a word: {text}"
    );
    let types = sample.run("types", &["--json"]).succeeds().json();
    let all = types["types"].as_array().unwrap();
    let quote = all.iter().find(|stored| stored["fingerprint"] == new.to_string()).unwrap();
    assert_eq!((&quote["version"], &quote["versions"], &quote["objects"]), (&json!(2), &json!(2), &json!(1)));
    assert_eq!(quote["extends"], json!([old.to_string(), "0123456789abcdef"]));
    assert_eq!(quote["fields"][1]["former_names"], json!(["ask"]));
}

#[test]
fn types_shows_every_field_and_nested_types_once() {
    let sample = Sample::new();
    let text = sample.run("types", &[]).succeeds().out;
    for part in ["Particle: 32 bytes, aligned to 8", "42 objects", "f8[3]", "position", "what people call it"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    let types = sample.run("types", &["--json"]).succeeds().json();
    let pair = types["types"].as_array().unwrap().iter().find(|stored| stored["name"] == "Pair").unwrap();
    assert_eq!(pair["fingerprint"], Pair::FINGERPRINT.to_string());
    assert_eq!((&pair["size"], &pair["objects"]), (&json!(72), &json!(1)));
    let field = json!({
        "name": "second", "offset": 32, "type": "Particle", "shape": [],
        "fingerprint": Particle::FINGERPRINT.to_string()
    });
    assert_eq!(pair["fields"][1], field);
    assert_eq!(pair["nested"].as_array().unwrap().len(), 1);
    assert_eq!(pair["nested"][0]["fields"][0]["shape"], json!([3]));
}

#[test]
fn stats_divides_chunks_into_live_dead_and_free() {
    let sample = Sample::new();
    let stats = sample.run("stats", &["--json"]).succeeds().json();
    let chunk = &stats["chunks"][0];
    let number = |name: &str| chunk[name].as_u64().unwrap();
    assert_eq!(number("live_bytes") + number("dead_bytes") + number("free_bytes") + 4096, 1 << 20);
    assert_eq!(number("live_records"), 44);
    assert!(number("dead_bytes") > 32, "one particle was superseded");
    assert_eq!(stats["live_bytes"], chunk["live_bytes"]);
    let text = sample.run("stats", &[]).succeeds().out;
    assert!(text.contains("00000000") && text.contains('█') && text.contains('·'), "{text}");
}

#[test]
fn check_of_a_healthy_store_finds_nothing() {
    let sample = Sample::new();
    let check = sample.run("check", &["--json"]).succeeds().json();
    assert_eq!(check["findings"], json!([]));
    assert!(check["records"].as_u64().unwrap() >= 48, "objects, one superseded, three types: {check}");
    assert!(sample.run("check", &[]).succeeds().out.contains("no findings"));
}

#[test]
fn reading_changes_no_byte() {
    let sample = Sample::new();
    let bytes = || {
        let files = ["STORE", "chunks/00000000.chunk", "directory", "live"];
        files.map(|name| std::fs::read(sample.path().join(name)).unwrap())
    };
    let before = bytes();
    for command in ["info", "ls", "types", "stats", "check"] {
        sample.run(command, &[]).succeeds();
    }
    sample.run("get", &["p/00"]).succeeds();
    assert!(bytes() == before);
}

#[test]
fn a_store_that_is_being_written_is_shown_as_it_is_at_this_moment() {
    let sample = Sample::new();
    let reader = open(Store::options().read_only(true), &sample.path());
    sample.run("info", &[]).succeeds();
    drop(reader);
    let all = || {
        let info = sample.run("info", &["--json"]).succeeds().json();
        let listed = ["ls", "types", "stats"].map(|command| sample.run(command, &["--json"]).succeeds().out);
        (info, listed, sample.run("get", &["p/00", "--json"]).succeeds().out)
    };
    let mut before = all();
    let writer = open(Store::options(), &sample.path());
    writer.put("new", &particle(7)).unwrap();
    assert_eq!(sample.run("get", &["new", "--json"]).succeeds().json()["value"]["id"], json!(7));
    assert_eq!(sample.run("ls", &["--prefix", "ne"]).succeeds().out, "new\n");
    let info = sample.run("info", &[]).succeeds().out;
    assert!(info.contains("state      written by another program; epoch"), "{info}");
    sample.run("get", &["newer"]).fails(1, "no object newer");
    assert!(writer.remove("new").unwrap());
    let mut beside = all();
    // Two more records, and what only the writer knows.
    for of in [&mut before, &mut beside] {
        for different in ["sequence", "opened", "epoch", "bytes_apparent", "bytes_allocated"] {
            of.0[different] = json!(null);
        }
        of.1[2].clear();
    }
    assert_eq!(beside, before);
    // What looks at every byte, or changes something, has to be alone.
    for (command, more) in [("check", None), ("rm", Some("p/00")), ("compact", None), ("rebuild", None)] {
        let refused = sample.run(command, more.as_slice());
        refused.fails(2, &format!("in use by process {}", std::process::id()));
    }
}

#[test]
fn an_empty_store_is_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("empty.store");
    open(Store::options().create(true), &path).close().unwrap();
    let path = path.to_str().unwrap();
    assert_eq!(run(["info", path, "--json"]).succeeds().json()["types"], json!([]));
    assert_eq!(run(["ls", path]).succeeds().out, "");
    assert_eq!(run(["types", path]).succeeds().out, "");
    run(["check", path]).succeeds();
    run(["stats", path]).succeeds();
}

#[test]
fn odd_keys_and_values_command_no_terminal() {
    let sample = Sample::new();
    let hex = hex(ODD_KEY);
    for (command, more) in [
        ("ls", &[][..]),
        ("ls", &["--long"]),
        ("ls", &["--json"]),
        ("get", &["pair"]),
        ("get", &["pair", "--json"]),
        ("get", &[&hex, "--hex"]),
        ("get", &[&hex, "--hex", "--json"]),
    ] {
        let out = sample.run(command, more).succeeds().out;
        assert!(!out.chars().any(|c| c.is_control() && c != '\n'), "{command} {more:?}: {out:?}");
    }
}
