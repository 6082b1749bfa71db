//! The hexdumps in `FORMAT.md`: fenced blocks with the output of `hexdump -C`, named by the file that they show.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

const FENCE: &str = "```hexdump ";

/// Where the document is.
pub fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../FORMAT.md")
}

/// The document's text.
pub fn text() -> String {
    std::fs::read_to_string(path()).unwrap()
}

/// The files that the dumps show, by name.
pub fn files(text: &str) -> BTreeMap<String, Vec<u8>> {
    let mut lines = text.lines();
    let mut files = BTreeMap::new();
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix(FENCE) {
            let dump: Vec<&str> = lines.by_ref().take_while(|line| !line.starts_with("```")).collect();
            assert!(files.insert(name.to_owned(), parse(&dump)).is_none(), "{name} is shown twice");
        }
    }
    files
}

/// The document with these files in its dumps.
pub fn with_files(text: &str, files: &BTreeMap<String, Vec<u8>>) -> String {
    let mut new = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        writeln!(new, "{line}").unwrap();
        if let Some(name) = line.strip_prefix(FENCE) {
            lines.by_ref().take_while(|line| !line.starts_with("```")).for_each(drop);
            writeln!(new, "{}```", dump(&files[name])).unwrap();
        }
    }
    new
}

/// Bytes from lines of 16; `*` stands for more lines like the one before.
fn parse(lines: &[&str]) -> Vec<u8> {
    let mut bytes: Vec<u8> = Vec::new();
    let mut repeats = false;
    for line in lines {
        if *line == "*" {
            repeats = true;
            continue;
        }
        let (offset, rest) = line.split_once("  ").unwrap_or((line, ""));
        let offset = usize::from_str_radix(offset, 16).unwrap();
        while repeats && bytes.len() < offset {
            bytes.extend_from_within(bytes.len() - 16..);
        }
        repeats = false;
        assert_eq!(bytes.len(), offset, "{line}");
        let hex = rest.split('|').next().unwrap();
        bytes.extend(hex.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()));
    }
    bytes
}

/// What `hexdump -C` prints.
fn dump(bytes: &[u8]) -> String {
    let mut text = String::new();
    let mut before: Option<&[u8]> = None;
    let mut starred = false;
    for (index, line) in bytes.chunks(16).enumerate() {
        if before == Some(line) {
            if !starred {
                text.push_str("*\n");
            }
            starred = true;
            continue;
        }
        (before, starred) = (Some(line), false);
        write!(text, "{:08x} ", index * 16).unwrap();
        for (column, byte) in line.iter().enumerate() {
            write!(text, "{}{byte:02x}", if column == 8 { "  " } else { " " }).unwrap();
        }
        let shown =
            line.iter().map(|&byte| if (0x20..0x7f).contains(&byte) { char::from(byte) } else { '.' });
        writeln!(text, "  |{}|", shown.collect::<String>()).unwrap();
    }
    writeln!(text, "{:08x}", bytes.len()).unwrap();
    text
}
