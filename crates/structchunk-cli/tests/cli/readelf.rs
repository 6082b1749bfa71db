//! The demo's counts against those of `readelf`, file by file and type by type.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::stores::{command, hex, run};

/// So many files are compared.
const FILES: usize = 60;

/// Symbols by type as `readelf` counts them; `None` where it has complaints.
fn readelf(file: &Path) -> Option<BTreeMap<String, u64>> {
    let output =
        Command::new("readelf").args(["--symbols", "--wide"]).arg(file).env("LC_ALL", "C").output().ok()?;
    if !output.status.success() || !output.stderr.is_empty() {
        return None;
    }
    let mut counts = BTreeMap::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        // "    12: 0000000000001129    22 FUNC    GLOBAL DEFAULT   14 main"
        let mut columns = line.split_whitespace();
        let number = columns.next().and_then(|column| column.strip_suffix(':'));
        if number.is_some_and(|number| number.parse::<u64>().is_ok())
            && let Some(kind) = columns.nth(2)
        {
            *counts.entry(kind.to_owned()).or_insert(0) += 1;
        }
    }
    Some(counts)
}

fn is_elf(path: &Path) -> bool {
    let plain = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file());
    plain && fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"\x7fELF\x02\x01"))
}

/// Files with all kinds of symbols: the C library has IFUNC and TLS, object files have SECTION and FILE, and this very
/// program has a `.symtab`.
fn files() -> Vec<PathBuf> {
    let mut files = vec![PathBuf::from(env!("CARGO_BIN_EXE_structchunk"))];
    for folder in ["/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/bin"] {
        let names = fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
        let mut found: Vec<_> = names.filter(|path| is_elf(path)).collect();
        found.sort();
        let of_interest = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.starts_with("libc.so") || name.starts_with("libm.so") || name.starts_with("crt1.o")
        };
        files.extend(found.iter().filter(|path| of_interest(path)).cloned());
        files.extend(found.iter().step_by(1 + found.len() / (FILES / 3)).cloned());
    }
    let mut files: Vec<_> = files.iter().map(|file| file.canonicalize().unwrap()).collect();
    files.sort();
    files.dedup();
    files
}

fn counts(types: &Value) -> BTreeMap<String, u64> {
    let counts = types.as_object().unwrap().iter();
    counts.map(|(name, count)| (name.clone(), count.as_u64().unwrap())).collect()
}

#[test]
fn counts_agree_with_readelf_for_every_file_and_type() {
    let files = files();
    let output =
        command().arg("demo").args(&files).args(["--json", "--limit", "100000000"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let facts: Value = serde_json::from_slice(&output.stdout).unwrap();
    let counted: BTreeMap<_, _> = facts["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| (PathBuf::from(file["file"].as_str().unwrap()), counts(&file["types"])))
        .collect();
    let (mut compared, mut kinds) = (0, BTreeMap::new());
    for file in &files {
        let Some(expected) = readelf(file) else { continue };
        let empty = BTreeMap::new();
        let found = counted.get(file).unwrap_or(&empty);
        assert_eq!(found, &expected, "{}", file.display());
        compared += 1;
        for (kind, count) in expected {
            *kinds.entry(kind).or_insert(0) += count;
        }
    }
    assert!(compared >= 10, "{compared} files were compared");
    for kind in ["FUNC", "OBJECT", "NOTYPE", "SECTION", "FILE", "TLS"] {
        assert!(kinds.contains_key(kind), "no {kind} among {kinds:?}");
    }
}

#[test]
fn every_symbol_has_a_key_and_the_fields_that_readelf_prints() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("symbols.store");
    let ls = fs::canonicalize("/bin/ls").unwrap();
    // Another file, to be deleted at the end as the one with the most symbols.
    let larger = env!("CARGO_BIN_EXE_structchunk");
    let ran = run(["demo", ls.to_str().unwrap(), larger, "--store", store.to_str().unwrap()]);
    ran.succeeds();
    let listed = run(["ls", store.to_str().unwrap(), "--json"]).succeeds().out;
    let keys: Vec<String> = listed
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["key"].as_str().unwrap().to_owned())
        .collect();
    let output = Command::new("readelf").args(["--symbols", "--wide"]).arg(&ls).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut seen = 0;
    for line in text.lines() {
        let columns: Vec<_> = line.split_whitespace().collect();
        let Some(number) = columns.first().and_then(|column| column.strip_suffix(':')) else { continue };
        let (Ok(number), Some(size)) = (number.parse::<u64>(), columns.get(2)) else { continue };
        let name = columns.get(7).map_or("", |name| name.split('@').next().unwrap());
        let key = format!("{}\0{name}\0{number}", ls.display());
        assert!(keys.contains(&key), "{key:?}");
        let object =
            run(["get", store.to_str().unwrap(), "--hex", &hex(key.as_bytes()), "--json"]).succeeds().json();
        assert_eq!(object["value"]["st_size"].to_string(), *size, "{key:?}");
        seen += 1;
    }
    assert!(seen > 50 && seen == keys.len(), "{seen} of {}", keys.len());
}
