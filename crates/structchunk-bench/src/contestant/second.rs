//! Each kind of access from a second process, and by the writer.

use structchunk::Store;

use super::{Contestant, Sample, sample};
use crate::engine::Outcome;
use crate::second::{ADDING, ALL, Task, all_of, ask, create, totals};
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
        let [changes, adds] = totals(store, objects)?;
        let second = ask(&Task { folder, objects, operations, round })?;
        let writer = all_of(store, objects, operations, round)?;
        if totals(store, objects)? != [changes + 2 * operations, adds + 2 * ADDING * operations] {
            return Err("a change of one of the two processes was lost".into());
        }
        let samples = ALL.iter().zip(second.into_iter().zip(writer)).flat_map(|(rows, (second, writer))| {
            [
                sample(rows.second, "ns", second),
                sample(rows.writer, "ns", writer),
                sample(rows.ratio, "x", second / writer),
            ]
        });
        Ok(samples.collect())
    }
}
