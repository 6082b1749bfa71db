//! What the store is meant to reach, and whether it did in this run.

use crate::engine::{FLOOR, LEVELDB, OURS, is_lmdb};
use crate::rounds::Results;

/// What a figure is held against.
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// One promise.
struct Target {
    what: &'static str,
    unit: &'static str,
    bound: Bound,
    /// `None` where it was not measured.
    reached: Option<f64>,
}

/// Compares the figures of one run with the targets; what was not measured is left out.
fn targets(results: &Results) -> Vec<Target> {
    use Bound::{AtLeast, AtMost};
    let ours = |row: &str| results.median(OURS, row);
    let floor = |row: &str| results.median(FLOOR, row);
    let ratio = |over: Option<f64>, under: Option<f64>| Some(over? / under?);
    let lmdb = |row: &str| results.best(row, is_lmdb);
    let faster = |row: &str| ratio(lmdb(row), ours(row));
    let many = ours("get_many_16").zip(ours("get_many_256")).map(|(few, many)| few.min(many));
    let chain = if results.n >= 10_000_000 { 1.45 } else { 1.35 };
    let target = |what, unit, bound, reached| Target { what, unit, bound, reached };
    vec![
        target("get: faster than the better LMDB", "x", AtLeast(5.0), faster("get")),
        target("put: faster than LMDB's bulk load", "x", AtLeast(6.0), ratio(lmdb("load"), ours("put"))),
        target("change: faster than LMDB's get + put", "x", AtLeast(10.0), faster("change")),
        target("open: time", "us", AtMost(1000.0), ours("open")),
        target("chunk: bytes of an object", "B", AtMost(112.0), ours("chunk_bytes")),
        target("directory: bytes of an object", "B", AtMost(27.0), ours("directory_bytes")),
        target("durable put: bytes written", "B", AtMost(16384.0), ours("durable_put_bytes")),
        target(
            "get_chain: multiple of the floor",
            "x",
            AtMost(chain),
            ratio(ours("get_chain"), floor("get_chain")),
        ),
        target("get_many: multiple of the floor", "x", AtMost(1.5), ratio(many, floor("get"))),
        target("absent: faster than LMDB", "x", AtLeast(8.0), faster("absent")),
        target("scan: faster than LMDB's cursor", "x", AtLeast(2.0), faster("scan")),
        target(
            "put of 1 MiB: multiple of memcpy",
            "x",
            AtMost(1.2),
            ratio(ours("put_1MiB"), floor("put_1MiB")),
        ),
        target("get of 1 MiB: multiple of LMDB", "x", AtMost(1.0), ratio(ours("get_1MiB"), lmdb("get_1MiB"))),
        target(
            "get of 1 MiB: multiple of 1 KiB",
            "x",
            AtMost(1.5),
            ratio(ours("get_1MiB"), ours("get_1KiB")),
        ),
        target("open: multiple of LMDB", "x", AtMost(1.0), ratio(ours("open"), lmdb("open"))),
        target("recover: million objects a second", "M/s", AtLeast(5.0), ours("recover").map(|ns| 1e3 / ns)),
        target("durable put: faster than LMDB", "x", AtLeast(1.0), faster("durable_put")),
        target("scan_keys: speed of LMDB's cursor", "x", AtLeast(0.5), faster("scan_keys")),
        target(
            "prefix of 100: speed of LevelDB",
            "x",
            AtLeast(1.0),
            ratio(results.median(LEVELDB, "prefix"), ours("prefix")),
        ),
        target("catch_up: million keys a second", "M/s", AtLeast(0.5), ours("catch_up").map(|ns| 1e3 / ns)),
        target(
            "get by two threads: speed of one",
            "x",
            AtLeast(1.8),
            ratio(ours("get_1_thread"), ours("get_2_threads")),
        ),
        target(
            "put by two threads: speed of one",
            "x",
            AtLeast(1.0),
            ratio(ours("put_1_thread"), ours("put_2_threads")),
        ),
        target("longest put without a page fault", "us", AtMost(5000.0), ours("put_longest")),
    ]
}

/// A line for each target.
pub fn print(results: &Results) {
    for Target { what, unit, bound, reached } in targets(results) {
        let Some(reached) = reached else { continue };
        let (word, bound, ok) = match bound {
            Bound::AtLeast(bound) => ("at least", bound, reached >= bound),
            Bound::AtMost(bound) => ("at most", bound, reached <= bound),
        };
        let verdict = if ok { "reached" } else { "MISSED" };
        let reached = crate::report::figure(reached);
        println!("{verdict:8} {what:36} {reached:>8} {unit:3} ({word} {bound})");
    }
}

#[cfg(test)]
mod tests {
    use super::targets;
    use crate::contestant::Sample;
    use crate::rounds::Results;

    #[test]
    fn goals_that_name_a_peer_are_held_against_that_one_alone() {
        let mut results = Results { n: 1000, rows: Vec::new() };
        for (engine, value) in [("structchunk", 1.0), ("lmdb", 8.0), ("lmdb-writemap", 4.0), ("leveldb", 2.0)]
        {
            for (row, unit) in [("scan", "ns"), ("prefix", "us")] {
                results.add(engine, &Sample { row, unit, value });
            }
        }
        let reached: Vec<_> = targets(&results)
            .into_iter()
            .filter_map(|target| Some((target.what, target.reached?.to_bits())))
            .collect();
        assert_eq!(
            reached,
            [
                ("scan: faster than LMDB's cursor", 4.0_f64.to_bits()),
                ("prefix of 100: speed of LevelDB", 2.0_f64.to_bits())
            ]
        );
    }
}
