//! Interleaved rounds: A B C, A B C, .. so that what disturbs the machine disturbs everybody.

use std::path::{Path, PathBuf};

use crate::arguments::Arguments;
use crate::contestant::{Contestant, Sample};
use crate::engine::{self, Outcome};

/// A folder that is removed in the end.
pub struct Folder(PathBuf);

impl Folder {
    /// A fresh one in `parent`.
    pub fn create(parent: &Path) -> Outcome<Self> {
        let path = parent.join(format!("structchunk-bench-{}", std::process::id()));
        let made = std::fs::create_dir_all(parent).and_then(|()| std::fs::create_dir(&path));
        made.map_err(|error| format!("cannot create {}: {error}", path.display()))?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("structchunk-bench: cannot remove {}: {error}", self.0.display());
        }
    }
}

/// All figures of one engine for one row.
#[derive(Debug)]
pub struct Row {
    pub engine: &'static str,
    pub workload: &'static str,
    pub n: u64,
    pub unit: &'static str,
    /// One a round, sorted.
    pub values: Vec<f64>,
}

/// What was measured.
#[derive(Debug)]
pub struct Results {
    pub n: u64,
    pub rows: Vec<Row>,
}

impl Row {
    /// The middle one, or the mean of the two middle ones.
    pub fn median(&self) -> f64 {
        median(&mut self.values.clone())
    }
}

impl Results {
    /// The median of one engine's row.
    pub fn median(&self, engine: &str, workload: &str) -> Option<f64> {
        let row = self.rows.iter().find(|row| row.engine == engine && row.workload == workload);
        row.map(Row::median)
    }

    /// The lowest median of the peers.
    pub fn best_peer(&self, workload: &str) -> Option<f64> {
        self.best(workload, engine::is_peer)
    }

    /// The lowest median of those engines.
    pub fn best(&self, workload: &str, which: impl Fn(&str) -> bool) -> Option<f64> {
        let rows = self.rows.iter().filter(|row| row.workload == workload && which(row.engine));
        rows.map(Row::median).min_by(f64::total_cmp)
    }

    /// Takes a figure.
    pub fn add(&mut self, engine: &'static str, sample: &Sample) {
        let known = self.rows.iter().position(|row| row.engine == engine && row.workload == sample.row);
        let index = known.unwrap_or(self.rows.len());
        if known.is_none() {
            let values = Vec::new();
            self.rows.push(Row { engine, workload: sample.row, n: self.n, unit: sample.unit, values });
        }
        let values = &mut self.rows[index].values;
        values.insert(values.partition_point(|value| *value <= sample.value), sample.value);
    }
}

/// The median of some figures; 0 of none.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values {
        [] => 0.0,
        _ if values.len() % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

/// Does everything that was asked for, in `folder`.
pub fn measure(arguments: &Arguments, folder: &Path) -> Outcome<Results> {
    let mut contestants: Vec<_> = engine::all()
        .into_iter()
        .filter(|engine| arguments.engines.contains(&engine.name()))
        .map(|engine| {
            let folder = folder.join(engine.name());
            Contestant::new(engine, folder)
        })
        .collect();
    let mut results = Results { n: arguments.scale.objects, rows: Vec::new() };
    for &workload in &arguments.workloads {
        let rounds = if workload.once_is_enough() { 1 } else { arguments.rounds };
        for round in 0..rounds {
            for contestant in &mut contestants {
                if !contestant.engine.takes_part(workload) {
                    continue;
                }
                let engine = contestant.engine.name();
                eprintln!("{} round {} of {rounds}: {engine}", workload.name(), round + 1);
                let samples = contestant
                    .run(workload, &arguments.scale, round as u64 + 1)
                    .map_err(|error| format!("{} of {engine}: {error}", workload.name()))?;
                for sample in &samples {
                    results.add(engine, sample);
                }
            }
        }
    }
    Ok(results)
}

#[cfg(test)]
mod tests {
    use super::{Results, median};
    use crate::contestant::Sample;

    #[test]
    fn the_median_is_the_middle_one_or_the_mean_of_two() {
        assert_eq!(median(&mut [3.0, 1.0, 9.0]).to_bits(), 3.0_f64.to_bits());
        assert_eq!(median(&mut [3.0, 1.0, 9.0, 5.0]).to_bits(), 4.0_f64.to_bits());
    }

    #[test]
    fn the_best_peer_is_the_fastest_that_is_neither_ours_nor_the_floor() {
        let mut results = Results { n: 1, rows: Vec::new() };
        for (engine, value) in [("structchunk", 1.0), ("floor", 0.5), ("lmdb", 4.0), ("lmdb-writemap", 3.0)] {
            results.add(engine, &Sample { row: "get", unit: "ns", value });
        }
        assert_eq!(results.best_peer("get").map(f64::to_bits), Some(3.0_f64.to_bits()));
        assert_eq!(results.best_peer("put"), None);
    }
}
