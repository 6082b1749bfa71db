//! What the other process does.

mod among_others;

use std::path::Path;
use std::sync::atomic::Ordering;

use structchunk::{AtomicRef, AtomicView, Mutator, OwnedRef, Reader, RefMut, Result, Store};

use super::{attach_with, process};
use crate::common::*;
use crate::copy::Work;
use crate::process::{obey, store_of_child};

/// What it has open.
#[derive(Default)]
struct Hands {
    store: Option<Store>,
    reader: Option<Reader>,
    view: Option<AtomicView<'static, Counter>>,
    work: Option<Work>,
    reference: Option<OwnedRef<[u64]>>,
    mutator: Option<Mutator>,
    counter: Option<AtomicRef<'static, Counter>>,
}

#[test]
fn a_child_does_as_it_is_told() {
    let Some(path) = store_of_child() else {
        let folder = folder();
        let mut child = process(folder.path());
        assert_eq!(child.tell("open"), "ok");
        assert_eq!(child.tell("put key 7"), "ok");
        assert_eq!(child.tell("get key"), "7");
        assert_eq!(child.tell("get other"), "none");
        return;
    };
    let mut hands = Hands::default();
    obey(|words| match hands.carry_out(&path, words) {
        Ok(answer) => answer,
        Err(error) => format!("error: {error}"),
    });
}

fn number(word: &str) -> u64 {
    word.parse().expect("a number")
}

fn text(value: Option<u64>) -> String {
    value.map_or_else(|| "none".into(), |value| value.to_string())
}

impl Hands {
    fn store(&self) -> &Store {
        self.store.as_ref().expect("an open store")
    }

    fn reader(&self) -> &Reader {
        self.reader.as_ref().expect("an attached store")
    }

    fn carry_out(&mut self, path: &Path, words: &[&str]) -> Result<String> {
        let done = |result: Result<()>| result.map(|()| "ok".to_owned());
        match *words {
            ["open"] => {
                self.store = Some(open_with(options(), path)?);
                done(Ok(()))
            }
            ["open_in_steps"] => {
                self.store = Some(open_with(options().sparse(structchunk::Sparse::Never), path)?);
                done(Ok(()))
            }
            ["put", key, value] => done(self.store().put(key, &number(value))),
            ["put_wide", key, value] => done(self.store().put(key, &Wide { words: [number(value); 128] })),
            ["put_large", key, value] => done(self.store().put(key, &vec![number(value); 4200][..])),
            ["put_point", key] => done(self.store().put(key, &Point { x: 1.0, y: 2.0 })),
            ["fill", prefix, count, value] => done(
                (0..number(count))
                    .try_for_each(|index| self.store().put(format!("{prefix}{index:06}"), &number(value))),
            ),
            ["remove", key] => self.store().remove(key).map(|removed| removed.to_string()),
            ["batch", value, ref keys @ ..] => {
                let mut batch = self.store().batch();
                for key in keys {
                    batch.put(key, &number(value))?;
                }
                done(batch.commit())
            }
            ["update", key, value] => {
                self.store().update(key, |old: &mut u64| *old = number(value)).map(|found| found.to_string())
            }
            // Keeps changing a large object; every copy must be all of one value.
            ["churn", key, rounds] => done((0..number(rounds)).try_for_each(|round| {
                self.store().update(key, |wide: &mut Wide| wide.words = [round; 128]).map(drop)
            })),
            ["churn_small", key, rounds] => done((0..number(rounds)).try_for_each(|round| {
                let round = f64::from(u32::try_from(round).expect("a few"));
                self.store().update(key, |point: &mut Point| *point = Point { x: round, y: round }).map(drop)
            })),
            // Keeps what is current moving: fills chunks and empties them.
            ["churn_chunks", rounds] => done((0..number(rounds)).try_for_each(|round| {
                (0..3000).try_for_each(|index| self.store().put(format!("waste/{index}"), &round))?;
                self.store().compact_with(structchunk::Compaction::new().fill_ratio(0.9)).map(drop)
            })),
            ["half_change", key] => {
                let mut guard: RefMut<'_, Wide> = self.store().get_mut(key)?.expect("an object");
                guard.words[0] = u64::MAX;
                // As if the process were in the middle of it.
                std::mem::forget(guard);
                done(Ok(()))
            }
            ["sync"] => done(self.store().sync()),
            ["compact"] => {
                let options = structchunk::Compaction::new().fill_ratio(0.9);
                self.store().compact_with(options).map(|report| report.dropped_chunks.len().to_string())
            }
            ["close"] => done(self.store.take().expect("an open store").close()),
            ["get", key] => self.store().load(key).map(text),
            ["attach"] => {
                self.reader = Some(attach_with(options(), path)?);
                done(Ok(()))
            }
            ["load", key] => self.reader().load(key).map(text),
            ["len"] => self.reader().len().map(|len| len.to_string()),
            ["put_counter", key] => done(self.store().put(key, &Counter::default())),
            ["count", key, hits] => {
                let counter = self.store().get_atomic::<Counter>(key)?.expect("a counter");
                counter.hits.fetch_add(number(hits), Ordering::Relaxed);
                done(Ok(()))
            }
            // Keeps the view; its session lives as long as this process.
            ["view", key] => {
                let session: &'static _ = Box::leak(Box::new(self.reader().session()?));
                self.view = session.atomic(key)?;
                Ok(if self.view.is_some() { "ok" } else { "none" }.into())
            }
            ["look"] => {
                let view = self.view.as_ref().expect("a view");
                let hits = view.load()?.hits.into_inner();
                Ok(format!("{hits} {}", if view.is_current()? { "current" } else { "old" }))
            }
            ["end_view"] => {
                self.view = None;
                done(Ok(()))
            }
            // Looks until the key has the value.
            ["await", key, value] => loop {
                if self.reader().load(key)? == Some(number(value)) {
                    return done(Ok(()));
                }
            },
            _ => self.carry_out_beside_a_copy(path, words),
        }
    }

    /// Orders that are given while copies are made.
    fn carry_out_beside_a_copy(&mut self, path: &Path, words: &[&str]) -> Result<String> {
        let done = |result: Result<()>| result.map(|()| "ok".to_owned());
        match *words {
            // With chunks of 4 MiB.
            ["open_roomy"] => {
                self.store = Some(open_with(options().chunk_capacity(4 << 20), path)?);
                done(Ok(()))
            }
            // Objects of `words` words each; from 4,096 on they have files of their own.
            ["put_words", prefix, count, words, value] => done((0..number(count)).try_for_each(|index| {
                let object = vec![number(value); usize::try_from(number(words)).expect("a few")];
                self.store().put(format!("{prefix}{index:06}"), &object[..])
            })),
            ["change_words", key, value] => {
                let mut guard = self.store().get_mut::<[u64]>(key)?.expect("an object");
                guard.fill(number(value));
                done(guard.commit())
            }
            // As if the process were in the middle of it.
            ["half_change_words", key] => {
                let mut guard = self.store().get_mut::<[u64]>(key)?.expect("an object");
                guard[0] = u64::MAX;
                std::mem::forget(guard);
                done(Ok(()))
            }
            ["rename", from, to] => self.store().rename(from, to).map(|found| found.to_string()),
            // In threads, until it is told to end.
            ["begin", ref kinds @ ..] => {
                self.work = Some(Work::begin(self.store(), kinds));
                done(Ok(()))
            }
            ["round"] => Ok(self.work.as_ref().expect("work").round().to_string()),
            ["end"] => {
                self.work.take().expect("work").end();
                done(Ok(()))
            }
            _ => self.carry_out_among_others(path, words),
        }
    }
}
