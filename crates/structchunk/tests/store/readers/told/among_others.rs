//! What it does with objects that several processes refer to, or change.

use std::io::BufRead;
use std::path::Path;
use std::sync::atomic::Ordering;

use structchunk::{Error, Mutator, Result};

use super::{Hands, number};
use crate::common::*;
use crate::process::say;

/// Says that it is in the middle of a change, and waits for a word.
fn dwell() {
    say("dwelling");
    // (Who gives orders has the standard input locked.)
    let input = std::fs::File::open("/dev/stdin").expect("the standard input");
    std::io::BufReader::new(input).lines().next().expect("a line").expect("a word");
}

impl Hands {
    fn mutator(&self) -> &Mutator {
        self.mutator.as_ref().expect("an attached store")
    }

    pub(super) fn carry_out_among_others(&mut self, path: &Path, words: &[&str]) -> Result<String> {
        let done = |result: Result<()>| result.map(|()| "ok".to_owned());
        match *words {
            ["open_shared"] => {
                self.store = Some(open_with(options().shared_mutation(true), path)?);
                done(Ok(()))
            }
            ["attach_mut"] => {
                self.mutator = Some(crate::mutate::attach_patiently(path)?);
                done(Ok(()))
            }
            ["detach_mut"] => {
                self.mutator = None;
                done(Ok(()))
            }
            ["add", key, rounds] => done(
                (0..number(rounds))
                    .try_for_each(|_| self.mutator().update(key, |value: &mut u64| *value += 1).map(drop)),
            ),
            ["set", key, value] => {
                let value = number(value);
                self.mutator().update(key, |old: &mut u64| *old = value).map(|found| found.to_string())
            }
            ["churn_beside", key, rounds, salt] => done((0..number(rounds)).try_for_each(|round| {
                let word = round << 8 | number(salt);
                self.mutator().update(key, |wide: &mut Wide| wide.words = [word; 128]).map(drop)
            })),
            // Keeps an array of one value, which rises; with pauses.
            ["raise_words", key, rounds] => done((0..number(rounds)).try_for_each(|_| {
                std::thread::sleep(std::time::Duration::from_micros(300));
                self.mutator()
                    .update(key, |words: &mut [u64]| words.iter_mut().for_each(|it| *it += 1))
                    .map(drop)
            })),
            ["hits", key, rounds] => {
                let session = self.mutator().session()?;
                let counter = session.get_atomic::<Counter>(key)?.expect("a counter");
                for _ in 0..number(rounds) {
                    counter.hits.fetch_add(1, Ordering::Relaxed);
                    counter.sum.fetch_add(2, Ordering::Relaxed);
                }
                done(Ok(()))
            }
            // Keeps the reference; its session lives as long as this process.
            ["hold_counter", key] => {
                let session: &'static _ = Box::leak(Box::new(self.mutator().session()?));
                self.counter = session.get_atomic(key)?;
                Ok(if self.counter.is_some() { "ok" } else { "none" }.into())
            }
            ["hit_held", hits] => {
                let counter = self.counter.as_ref().expect("a counter");
                counter.hits.fetch_add(number(hits), Ordering::Relaxed);
                done(Ok(()))
            }
            ["end_counter"] => {
                self.counter = None;
                done(Ok(()))
            }
            // Says so from the middle of a change, and stays there until it may go on.
            ["dwell", key] => {
                let dwelt = self.mutator().update(key, |value: &mut u64| {
                    dwell();
                    *value += 1;
                });
                dwelt.map(|found| found.to_string())
            }
            ["dwell_words", key] => {
                self.mutator().update(key, |_: &mut [u64]| dwell()).map(|found| found.to_string())
            }
            // As its writer, with the copy changed already.
            ["dwell_own_words", key] => {
                let dwelt = self.store().update(key, |words: &mut [u64]| {
                    words.fill(u64::MAX);
                    dwell();
                });
                dwelt.map(|found| found.to_string())
            }
            ["seal", key] => self.store().seal(key).map(|sealed| sealed.to_string()),
            ["refer", key] => {
                self.reference = self.reader().get(key)?;
                Ok(if self.reference.is_some() { "ok" } else { "none" }.into())
            }
            ["sum_reference"] => {
                let words = self.reference.as_ref().expect("a reference");
                Ok(words.iter().sum::<u64>().to_string())
            }
            ["end_reference"] => {
                self.reference = None;
                done(Ok(()))
            }
            _ => Err(Error::InvalidOption { option: "order", reason: words.join(" ") }),
        }
    }
}
