//! What people and programs get to see.

use crate::engine::{self, FLOOR, OURS, is_peer};
use crate::rounds::{Results, Row};

/// One JSON object a row.
pub fn print_json(results: &Results) {
    for row in &results.rows {
        println!("{}", json(row));
    }
}

/// All strings are names out of this program, which need no escapes.
fn json(row: &Row) -> String {
    let Row { engine, workload, n, unit, values } = row;
    let (median, rounds) = (row.median(), values.len());
    let (min, max) = (values.first().copied().unwrap_or(0.0), values.last().copied().unwrap_or(0.0));
    format!(
        r#"{{"engine":"{engine}","workload":"{workload}","n":{n},"unit":"{unit}","median":{median:.3},"min":{min:.3},"max":{max:.3},"rounds":{rounds}}}"#
    )
}

/// The medians, a line for each workload, and what they mean.
pub fn print_table(results: &Results) {
    let took_part = |name: &&str| results.rows.iter().any(|row| row.engine == *name);
    let engines: Vec<&str> = engine::all().iter().map(|engine| engine.name()).filter(took_part).collect();
    let mut workloads: Vec<(&str, &str)> = Vec::new();
    for row in &results.rows {
        if !workloads.contains(&(row.workload, row.unit)) {
            workloads.push((row.workload, row.unit));
        }
    }
    println!("{} objects of 64 bytes under 16-byte random keys; medians, less is better\n", results.n);
    let line = |workload: &str, unit: &str, cells: &[String], peer: &str, floor: &str| {
        println!("| {workload:20} | {unit:4} | {} | {peer:>14} | {floor:>11} |", cells.join(" | "));
    };
    let cells = |text: &dyn Fn(&str) -> String| -> Vec<String> {
        engines.iter().map(|engine| format!("{:>13}", text(engine))).collect()
    };
    line("workload", "unit", &cells(&|engine| engine.to_owned()), "x best peer", "x the floor");
    line("---", "---", &cells(&|_| "---:".to_owned()), "---:", "---:");
    for (workload, unit) in workloads {
        let ours = results.median(OURS, workload);
        let ratio = |other: Option<f64>| Some(ours? / other?);
        let peer = ratio(results.best_peer(workload)).map_or(String::new(), compare);
        let floor = ratio(results.median(FLOOR, workload)).map_or(String::new(), |by| format!("{by:.2}"));
        let median = |engine: &str| results.median(engine, workload).map_or_else(String::new, figure);
        line(workload, unit, &cells(&median), &peer, &floor);
    }
    println!();
    if engines.iter().any(|engine| is_peer(engine)) {
        println!(
            "x best peer: {OURS} against the best of the others; x the floor: its time as a multiple of the floor's.\n"
        );
    }
}

/// Three digits that matter.
pub fn figure(value: f64) -> String {
    match value.abs() {
        0.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

fn compare(by: f64) -> String {
    if by <= 1.0 { format!("{:.1} better", 1.0 / by) } else { format!("{by:.1} worse") }
}
