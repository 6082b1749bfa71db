//! `PROMISES.md` and `SAFETY.md` against the tests: what they name exists, and no promise goes without.

use std::fs;
use std::path::{Path, PathBuf};

/// What comes before the name of one of its classes.
const TORTURE: &str = "structchunk-torture ";

const PROMISES: &str = "PROMISES.md";

fn document(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name)).expect(name)
}

/// The promises, each with everything up to the next one or the end of its section: lines that begin with a number.
fn promises(text: &str) -> Vec<String> {
    let is_promise =
        |line: &str| line.split_once(". ").is_some_and(|(number, _)| number.parse::<u32>().is_ok());
    let mut promises: Vec<String> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        inside = is_promise(line) || inside && (line.is_empty() || line.starts_with("   "));
        if is_promise(line) {
            promises.push(line.to_owned());
        } else if let Some(promise) = promises.last_mut().filter(|_| inside) {
            *promise += "\n";
            *promise += line;
        }
    }
    promises
}

/// What stands between backticks.
fn spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn is_test(span: &str) -> bool {
    let is_name = |c: char| c == '_' || c.is_ascii_lowercase() || c.is_ascii_digit();
    span.contains("::") && span.split("::").all(|part| !part.is_empty() && part.chars().all(is_name))
}

/// The files in which the module of a test may be: a unit test of the library or one of its integration tests.
fn files(modules: &[&str]) -> Vec<PathBuf> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let roots = ["tests/store", "tests", "src"].map(|root| package.join(root));
    // `tests` at the end may be a module in the file of what it tests.
    let inline = modules.strip_suffix(&["tests"]);
    let modules = [Some(modules), inline].into_iter().flatten().map(|modules| modules.join("/"));
    let files = modules.flat_map(|path| {
        roots
            .clone()
            .into_iter()
            .flat_map(move |root| [root.join(&path).with_extension("rs"), root.join(&path).join("mod.rs")])
    });
    files.filter(|file| file.is_file()).collect()
}

/// Whether a source has this function as a test.
fn has_test(source: &str, name: &str) -> bool {
    let mut lines = source.lines().map(str::trim);
    while lines.by_ref().any(|line| line == "#[test]") {
        let mut signature = lines.by_ref().skip_while(|line| line.starts_with("#["));
        let after = signature.next().and_then(|line| line.strip_prefix("fn ")?.strip_prefix(name));
        if after.is_some_and(|rest| rest.starts_with('(')) {
            return true;
        }
    }
    false
}

fn exists(test: &str) -> bool {
    let mut modules: Vec<&str> = test.split("::").collect();
    let name = modules.pop().unwrap_or_default();
    let sources = files(&modules).into_iter().map(|file| fs::read_to_string(file).expect("a source"));
    sources.into_iter().any(|source| has_test(&source, name))
}

/// The names of the classes of `structchunk-torture`.
fn torture_classes() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../structchunk-torture/src/classes/mod.rs");
    let source = fs::read_to_string(path).expect("the classes");
    let names =
        source.lines().filter_map(|line| line.trim().strip_prefix("Class { name: \"")?.split('"').next());
    names.map(str::to_owned).collect()
}

#[test]
fn every_test_that_the_promises_and_the_reasons_of_safety_name_exists() {
    let (text, classes) = (document(PROMISES) + &document("SAFETY.md"), torture_classes());
    let missing: Vec<&str> = spans(&text)
        .filter(|span| match span.strip_prefix(TORTURE) {
            Some(class) => !classes.iter().any(|known| known == class),
            None => is_test(span) && !exists(span),
        })
        .collect();
    assert!(missing.is_empty(), "no such tests: {missing:#?}");
}

#[test]
fn every_promise_names_a_test() {
    let promises = promises(&document(PROMISES));
    assert!(promises.len() > 20, "{} promises", promises.len());
    for (number, promise) in (1..).zip(&promises) {
        assert!(
            promise.starts_with(&format!("{number}. ")),
            "promise {number} is numbered otherwise: {promise}"
        );
        assert!(spans(promise).any(is_test), "no test proves this: {promise}");
    }
}

#[test]
fn what_is_no_test_is_told_from_one() {
    assert!(exists("promises_doc::what_is_no_test_is_told_from_one"));
    assert!(exists("format::record::tests::lengths_that_overflow_saturate"), "in the file of what it tests");
    for wrong in [
        "promises_doc::document",
        "promises_doc::every_promise",
        "promises_doc::no_such_test",
        "no_such_module::exists",
        "exists",
    ] {
        assert!(!exists(wrong), "{wrong}");
    }
}
