//! Edges that mutation testing has found without a test of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{
    Error, IDENTITY, Supply, UNIT_WORDS, Words, directory, fill, find, hash, key_of, location, reserve,
};
use crate::directory::header::{HEADER_UNITS, field, table_units};
use crate::directory::segment::{Fill, home_line};
use crate::directory::{AtHome, Candidate, Directory, Link, MAX_DEPTH};

#[test]
fn a_link_is_none_that_names_the_header_too_high_a_unit_or_too_many_bits() {
    assert!(Link::new(HEADER_UNITS, MAX_DEPTH).checked().is_some());
    for (unit, depth) in [(HEADER_UNITS - 1, 3), (1 << 40, 3), (HEADER_UNITS, MAX_DEPTH + 1)] {
        assert_eq!(Link::new(unit, depth).checked(), None, "unit {unit}, depth {depth}");
    }
}

#[test]
fn a_segment_has_room_up_to_each_of_its_three_bounds_and_no_further() {
    let has_room = |live, used, more, spare| Fill { live, used }.has_room(more, spare);
    assert!(has_room(175, 175, 1, 0) && !has_room(176, 176, 1, 0), "entries");
    assert!(has_room(170, 207, 1, 0) && !has_room(170, 208, 1, 0) && !has_room(170, 207, 1, 1), "used slots");
    assert!(has_room(10, 58, 1, 0) && !has_room(10, 59, 1, 0) && !has_room(10, 58, 1, 1), "deleted slots");
}

#[test]
fn what_nothing_leads_to_any_more_is_counted() {
    let dead = |directory: &Directory| directory.get(field::DEAD_UNITS);
    let wide = directory(1 << 20);
    wide.widen(100_000, &mut |_| Ok(())).unwrap();
    assert_eq!(dead(&wide), 1 + table_units(8), "the first segment and the first table");
    let doubled = directory(1 << 20);
    let mut depth = doubled.root().unwrap().depth();
    for key in 0..60_000 {
        let before = dead(&doubled);
        fill(&doubled, key..key + 1);
        let now = doubled.root().unwrap().depth();
        let tables: u64 = (depth..now).map(table_units).sum();
        assert!(dead(&doubled) >= before + tables, "the tables that were replaced by longer ones");
        depth = now;
    }
    assert!(depth > 8, "the table was doubled");
}

#[test]
fn every_word_of_the_table_leads_to_a_segment_that_was_written_anew() {
    let directory = directory(1 << 16);
    let units = directory.used_words();
    // One home line: all entries lie behind it, so that what is removed before the last ones stays deleted.
    let crowded = |key: u64| hash(key) & !31;
    let enter = |key| {
        reserve(&directory, &mut [crowded(key)], &crowded).unwrap();
        directory.insert(crowded(key), location(key, 0), |at| key_of(at) == key).unwrap();
    };
    (0..110).for_each(enter);
    for key in 0..60 {
        assert!(directory.remove(crowded(key), location(key, 0)));
        assert!(!directory.remove(crowded(key), location(key, 0)), "it is gone");
    }
    enter(110);
    assert!(directory.used_words() > units, "it was written anew");
    let root = directory.root().unwrap();
    let words: Vec<_> = (0..1 << root.depth()).map(|at| directory.get(root.first_word() + at)).collect();
    assert!(words.iter().all(|&word| word == words[0]), "one segment, as one has room for all");
    assert_eq!(directory.locations().count(), 51);
}

#[test]
fn a_simple_search_says_that_a_key_is_absent_only_when_it_is() {
    let directory = directory(1 << 20);
    fill(&directory, 0..30_000);
    let at_home = |key| directory.find_at_home(hash(key), |at| (key_of(at) == key).then_some(at));
    let mut found = 0;
    for key in 0..30_000 {
        match at_home(key) {
            AtHome::Found(at) => found += u64::from(at == location(key, 0)),
            AtHome::Absent => panic!("key {key} is there"),
            AtHome::Unclear => assert_eq!(find(&directory, hash(key), key), Some(location(key, 0))),
        }
    }
    assert!(found > 25_000, "most keys are where they belong: {found}");
    let absent = (30_000..60_000).filter(|&key| matches!(at_home(key), AtHome::Absent)).count();
    assert!(absent > 20_000, "{absent}");
    // Many keys with one home line: the last ones lie behind it.
    let crowded = super::directory(1 << 16);
    let same = |key: u64| hash(key) & !31;
    for key in 0..20 {
        reserve(&crowded, &mut [same(key)], &same).unwrap();
        crowded.insert(same(key), location(key, 0), |at| key_of(at) == key).unwrap();
    }
    let lost = |key| {
        matches!(crowded.find_at_home(same(key), |at| (key_of(at) == key).then_some(at)), AtHome::Absent)
    };
    assert!(!(0..20).any(lost) && home_line(same(3)) == 0);
}

#[test]
fn a_candidate_is_not_current_when_its_segment_was_split_around_it() {
    let directory = directory(1 << 16);
    fill(&directory, 0..100);
    let candidates: Vec<_> = (0..100).filter_map(|key| directory.candidate(hash(key))).collect();
    assert!(candidates.len() > 50 && candidates.iter().all(Candidate::is_current));
    fill(&directory, 100..400);
    assert!(!candidates.iter().any(Candidate::is_current), "the table says something else by now");
}

#[test]
fn a_table_that_gives_a_segment_more_bits_than_it_has_itself_leads_nowhere() {
    let directory = directory(1 << 16);
    fill(&directory, 0..100);
    let root = directory.root().unwrap();
    let segment = Link(directory.get(root.first_word()));
    for at in 0..1 << root.depth() {
        directory.set(root.first_word() + at, Link::new(segment.unit(), root.depth() + 1).0);
    }
    assert!(matches!(directory.find_slot(hash(1), |_| false), Err(Error::Corrupt { .. })));
    assert!(matches!(reserve(&directory, &mut [hash(1)], &hash), Err(Error::Corrupt { .. })));
    assert_eq!(directory.locations().count(), 0);
}

/// Memory of which less is backed than there is.
struct Short(Vec<AtomicU64>);

impl crate::map::words::Backing for Short {
    fn backed_words(&self) -> u64 {
        (self.0.len() / 2) as u64
    }
}

#[test]
#[expect(unsafe_code, reason = "a mapping is imitated")]
fn a_file_that_does_not_grow_although_it_should_have_is_an_error() {
    let memory = Arc::new(Short((0..1 << 15).map(|_| AtomicU64::new(0)).collect()));
    let base = std::ptr::NonNull::from(&*memory.0).cast();
    // SAFETY: the cells live in `memory`, more than it says, and are touched by atomic accesses only.
    let words = unsafe { Words::from_raw(base, memory.0.len() as u64, memory.clone()) };
    let directory = Directory::create(words, &IDENTITY, 1, &mut |_| Ok(())).unwrap();
    let rehash = &mut |at| Ok(hash(key_of(at)));
    let refusal = (0..).find_map(|key| {
        let supply = &mut Supply { grow: &mut |_| Ok(()), rehash };
        let refused = directory.reserve(&mut [hash(key)], supply).err();
        if refused.is_none() {
            directory.insert(hash(key), location(key, 0), |_| false).unwrap();
        }
        refused
    });
    assert!(matches!(refusal, Some(Error::TooLarge { .. })), "{refusal:?}");
    assert!(
        directory.used_words() <= (1 << 14) && directory.used_words() > (1 << 14) - 8 * UNIT_WORDS as u64
    );
    assert_eq!(memory.0[1 << 14].load(Ordering::Relaxed), 0);
}

#[test]
fn a_header_that_contradicts_itself_is_not_believed() {
    let opens = |change: fn(&Directory)| {
        let words = Words::heap(1 << 14);
        let made = directory(1 << 14);
        fill(&made, 0..500);
        made.stamp(5);
        change(&made);
        for at in 0..1 << 14 {
            words.store(at, made.get(at), Ordering::Relaxed);
        }
        Directory::open(words, &IDENTITY, Some(5)).is_some()
    };
    assert!(opens(|_| {}));
    assert!(
        !opens(|it| it.set(field::NEXT_UNIT, it.root().unwrap().unit())),
        "the table lies behind what is used"
    );
    assert!(!opens(|it| it.set(field::DEAD_UNITS, it.get(field::NEXT_UNIT))), "all of it is dead");
    assert!(!opens(|it| it.set(field::ROOT, Link::new(it.root().unwrap().unit(), 7).0)), "too short a table");
    assert!(!opens(|it| it.set(field::NEXT_UNIT, 1 << 14)), "the file is too short");
    let empty = directory(1 << 14);
    empty.change_len(-5);
    assert_eq!(empty.len(), 0, "fewer than none are none");
}
