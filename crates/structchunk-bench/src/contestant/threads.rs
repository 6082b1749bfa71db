//! Threads together, beside one alone that does as much.

use std::ops::Range;

use super::{Contestant, Sample, sample};
use crate::clock::timed_and_busy;
use crate::data::random_numbers;
use crate::engine::Outcome;
use crate::workload::Scale;

/// So many together sync.
const SYNCING: u64 = 8;

impl Contestant {
    /// Look-ups and puts by two threads, durable puts by more. By the clock on the wall, where threads that wait for each other get
    /// nowhere, and by what they keep processors busy.
    pub(super) fn threads(&mut self, scale: &Scale, round: u64) -> Outcome<Vec<Sample>> {
        let (objects, operations, durable) = (scale.objects, scale.operations, scale.durable);
        let numbers = random_numbers(round, operations, objects);
        let database = self.warm(objects)?;
        let get = |threads: u64| {
            let shares: Vec<_> = numbers.chunks(numbers.len().div_ceil(threads as usize)).collect();
            let (time, busy, sum) = timed_and_busy(|| database.get_by_threads(&shares))?;
            let expected: u64 = numbers.iter().map(|&number| u64::from(number)).sum();
            if sum != expected {
                return Err("what threads read does not add up".into());
            }
            Outcome::Ok((time / operations as f64, busy / operations as f64))
        };
        let gets = [get(1)?, get(2)?];
        let put = |threads, count, sync| {
            let (time, busy, ()) = self.in_scratch(count, 0, |database| {
                // The first one announces the session, and makes the first chunk.
                database.put_each(count..count + 1)?;
                timed_and_busy(|| database.put_by_threads(&shares(count, threads), sync))
            })?;
            Outcome::Ok((time / count as f64, busy / count as f64))
        };
        let puts = [put(1, operations, false)?, put(2, operations, false)?];
        let syncs = [put(1, durable, true)?, put(SYNCING, durable, true)?];
        Ok(vec![
            sample("get_1_thread", "ns", gets[0].0),
            sample("get_2_threads", "ns", gets[1].0),
            sample("get_1_thread_busy", "ns", gets[0].1),
            sample("get_2_threads_busy", "ns", gets[1].1),
            sample("put_1_thread", "ns", puts[0].0),
            sample("put_2_threads", "ns", puts[1].0),
            sample("put_1_thread_busy", "ns", puts[0].1),
            sample("put_2_threads_busy", "ns", puts[1].1),
            sample("sync_1_thread", "us", syncs[0].0 / 1e3),
            sample("sync_8_threads", "us", syncs[1].0 / 1e3),
        ])
    }
}

/// `0..count` in so many parts.
fn shares(count: u64, threads: u64) -> Vec<Range<u64>> {
    (0..threads).map(|thread| count * thread / threads..count * (thread + 1) / threads).collect()
}
