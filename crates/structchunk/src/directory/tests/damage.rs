use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;

use super::{
    Error, IDENTITY, Location, Result, Supply, UNIT_WORDS, Words, fill, find, hash, key_of, location,
};
use crate::directory::header::field;
use crate::directory::{Directory, Identity};
use crate::map::words::Backing;

/// Words that outlive a [`Directory`], like a file.
struct File(Vec<AtomicU64>);

impl Backing for File {
    fn backed_words(&self) -> u64 {
        self.0.len() as u64
    }
}

fn file(words: usize) -> Arc<File> {
    Arc::new(File((0..words).map(|_| AtomicU64::new(0)).collect()))
}

#[expect(unsafe_code, reason = "a mapping is imitated")]
fn map(file: &Arc<File>) -> Words {
    let base = NonNull::from(&*file.0).cast();
    // SAFETY: the cells live in `file`, as many as it says, and are touched by atomic accesses only.
    unsafe { Words::from_raw(base, file.0.len() as u64, file.clone()) }
}

fn filled_file(keys: u64) -> Arc<File> {
    let file = file(1 << 15);
    let directory = Directory::create(map(&file), &IDENTITY, 9, &mut |_| Ok(())).unwrap();
    fill(&directory, 0..keys);
    directory.change_len(keys.cast_signed());
    directory.stamp(77);
    file
}

#[test]
fn a_stamped_directory_is_believed_only_as_what_it_is() {
    let file = filled_file(3_000);
    let open = |identity: &Identity, stamp| Directory::open(map(&file), identity, stamp);
    let directory = open(&IDENTITY, Some(77)).expect("closed at 77");
    assert_eq!((directory.len(), directory.generation()), (3_000, 9));
    assert_eq!(find(&directory, hash(5), 5), Some(location(5, 0)));
    assert!(open(&IDENTITY, Some(78)).is_none());
    assert!(open(&Identity { epoch: 4, ..IDENTITY }, Some(77)).is_none());
    assert!(open(&Identity { uuid: [0x1234, 0x5679], ..IDENTITY }, Some(77)).is_none());
    assert!(open(&Identity { uuid: [0x1235, 0x5678], ..IDENTITY }, Some(77)).is_none());

    directory.set(field::STAMP, 0);
    assert!(open(&IDENTITY, Some(77)).is_none());
    assert!(open(&IDENTITY, Some(0)).is_none(), "no stamp is no stamp of 0");
    assert!(open(&IDENTITY, None).is_some());
    assert!(!directory.is_retired());
    directory.retire();
    assert!(directory.is_retired());
    assert!(open(&IDENTITY, None).is_none());
}

#[test]
fn a_shorter_file_is_not_believed() {
    let whole = filled_file(3_000);
    let used = Directory::open(map(&whole), &IDENTITY, None).unwrap().used_words() as usize;
    for length in [0, 1, 511, 512, UNIT_WORDS * 3, used - 1] {
        let short = file(length);
        for (to, from) in short.0.iter().zip(&whole.0) {
            to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        assert!(Directory::open(map(&short), &IDENTITY, Some(77)).is_none(), "{length} words");
    }
}

#[test]
fn a_full_disk_is_an_error_and_nothing_is_lost() {
    let words = Words::heap(1 << 15);
    let directory = Directory::create(words, &IDENTITY, 1, &mut |_| Ok(())).unwrap();
    let mut entered = 0;
    let refusal = loop {
        let mut hashes = [hash(entered)];
        let rehash = &mut |location| Ok(hash(key_of(location)));
        if let Err(error) = directory.reserve(&mut hashes, &mut Supply { grow: &mut |_| Ok(()), rehash }) {
            break error;
        }
        directory.insert(hash(entered), location(entered, 0), |found| key_of(found) == entered).unwrap();
        entered += 1;
    };
    assert!(matches!(refusal, Error::TooLarge { limit: 262_144, .. }), "{refusal}");
    assert!(entered > 10_000);
    super::audit(&directory, hash);
    assert!((0..entered).all(|key| find(&directory, hash(key), key) == Some(location(key, 0))));
}

#[test]
fn an_error_of_grow_or_of_a_record_comes_back_and_changes_nothing() {
    let limited = filled_file(0);
    let directory = Directory::open(map(&limited), &IDENTITY, None).unwrap();
    fill(&directory, 0..170);
    let failing: &mut dyn FnMut(Location) -> Result<u64> = &mut |_| Err(Error::Closed);
    let mut hashes: Vec<_> = (170..400).map(hash).collect();
    // Every entry lies more than two lines from home, or so it says: its record must be asked.
    let segment = directory.target(0).unwrap().segment;
    for at in segment.first_word() + 1..segment.first_word() + UNIT_WORDS as u64 {
        let word = limited.0[at as usize].load(Ordering::Relaxed);
        if word != 0 {
            limited.0[at as usize].store(word | 3 << 60, Ordering::Relaxed);
        }
    }
    let before: Vec<_> = limited.0.iter().map(|word| word.load(Ordering::Relaxed)).collect();
    let refusal = directory.reserve(&mut hashes, &mut Supply { grow: &mut |_| Ok(()), rehash: failing });
    assert!(matches!(refusal, Err(Error::Closed)));
    let after: Vec<_> = limited.0.iter().map(|word| word.load(Ordering::Relaxed)).collect();
    assert_eq!(before, after);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn no_content_makes_it_panic_or_hang(
        damage in prop::collection::vec((0..6_usize, any::<u64>(), 0..70_u32), 1..40),
        keys in 0..2_000_u64,
    ) {
        let file = filled_file(keys);
        for (place, random, shift) in damage {
            let used = 512 + (random as usize % (1 << 14));
            let at = match place {
                0 => field::ROOT as usize,
                1 => field::NEXT_UNIT as usize,
                2 => field::DEAD_UNITS as usize + random as usize % 2,
                // The first table, any segment's header, anything.
                3 => 3 * UNIT_WORDS + random as usize % UNIT_WORDS,
                4 => used / UNIT_WORDS * UNIT_WORDS,
                _ => used,
            };
            let old = file.0[at].load(Ordering::Relaxed);
            let new = if shift < 64 { old ^ random >> shift } else { old.wrapping_add(random % 8) };
            file.0[at].store(new, Ordering::Relaxed);
        }
        if let Some(directory) = Directory::open(map(&file), &IDENTITY, None) {
            for key in 0..200 {
                find(&directory, hash(key), key);
                directory.prefetch_entry(hash(key));
                directory.prefetch_line(hash(key));
            }
            prop_assert!(directory.locations().count() < 1 << 29);
            directory.needs_compaction();
            for key in 0..600 {
                let key = key * 7;
                let rehash = &mut |location: Location| Ok(hash(location.get()));
                let mut supply = Supply { grow: &mut |_| Ok(()), rehash };
                if directory.reserve(&mut [hash(key)], &mut supply).is_ok() {
                    let _ = directory.insert(hash(key), location(key, 1), |found| found == location(key, 0));
                }
                directory.remove(hash(key), location(key, 0));
                if let Some(slot) = directory.free_at_home(hash(key)) {
                    directory.store(&slot, location(key, 1));
                }
                if let Ok(slot) = directory.find_slot(hash(key), |found| found == location(key, 1)) {
                    directory.store(&slot, location(key, 2));
                }
            }
        }
    }
}
