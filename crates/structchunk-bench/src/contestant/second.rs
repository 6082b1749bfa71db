//! Each kind of access from a second process, and by the writer.

use structchunk::Store;

use super::{Contestant, Sample, sample};
use crate::engine::Outcome;
use crate::second::{ADDING, ALL, ALONE, More, Task, all_of, ask, changes_of_large, create, totals};
use crate::workload::Scale;

impl Contestant {
    /// One side after the other, on one store, which the writer has open all the time.
    pub(super) fn second_process(&mut self, scale: &Scale, round: u64) -> Outcome<Vec<Sample>> {
        let (objects, operations) = (scale.objects, scale.accesses);
        let folder = self.folder.join("shared");
        let store: &Store = match &mut self.shared {
            Some(store) => store,
            none => {
                std::fs::create_dir_all(&self.folder)?;
                none.insert(create(&folder, objects)?)
            }
        };
        let [changes, adds, large] = totals(store, objects)?;
        let mut more = More::new(store, objects)?;
        let second = ask(&Task { folder, objects, operations, round }, || more.look())?;
        more.end()?;
        let (second, alone) = second.split_at(ALL.len());
        let writer = all_of(store, &self.folder, objects, operations, round)?;
        let now = [
            changes + 2 * operations,
            adds + 2 * ADDING * operations,
            large + 2 * changes_of_large(operations),
        ];
        if totals(store, objects)? != now {
            return Err("a change of one of the two processes was lost".into());
        }
        let both = ALL.iter().zip(second.iter().zip(writer)).flat_map(|(rows, (second, writer))| {
            [
                in_unit(rows.second, rows.unit, *second),
                in_unit(rows.writer, rows.unit, writer),
                sample(rows.ratio, "x", second / writer),
            ]
        });
        let alone = ALONE.iter().zip(alone).map(|((row, unit), ns)| in_unit(row, unit, *ns));
        Ok(both.chain(alone).collect())
    }
}

fn in_unit(row: &'static str, unit: &'static str, nanoseconds: f64) -> Sample {
    sample(row, unit, if unit == "us" { nanoseconds / 1e3 } else { nanoseconds })
}
