use std::sync::atomic::Ordering::{self, AcqRel, Acquire, Relaxed, Release, SeqCst};

use super::{Advice, Mapping};
use crate::disk::{Access, Call, Fault, Faults, File, Folder};

const PAGE: u64 = 4096;

fn on_both(test: impl Fn(&Folder)) {
    let parent = tempfile::tempdir().unwrap();
    test(&Folder::create(parent.path().join("s"), Faults::none()).unwrap());
    test(&Folder::in_memory(Faults::none()));
}

fn file_of(folder: &Folder, bytes: u64) -> File {
    let file = folder.create_file("file").unwrap();
    file.reserve(0, bytes).unwrap();
    file
}

#[test]
fn stores_reach_the_file_and_other_mappings() {
    on_both(|folder| {
        let file = file_of(folder, PAGE);
        let writer = Mapping::new(&file, PAGE, Access::Write).unwrap();
        let reader_file = folder.open_file("file", Access::Read).unwrap();
        let reader = Mapping::new(&reader_file, PAGE, Access::Read).unwrap();
        writer.word(8).map(|word| word.store(0x0102_0304, Release)).unwrap();
        writer.copy_in(21, b"hello, world").unwrap();
        assert_eq!(reader.load_u64(8, Acquire), Some(0x0102_0304));
        assert!(reader.eq_bytes(21, b"hello, world"));
        let mut bytes = [0; 12];
        file.read_exact_at(21, &mut bytes).unwrap();
        assert_eq!(&bytes, b"hello, world");
    });
}

#[test]
fn pages_that_are_let_go_come_back_as_they_were() {
    on_both(|folder| {
        let file = file_of(folder, 4 * PAGE);
        let map = Mapping::new(&file, 4 * PAGE, Access::Write).unwrap();
        for page in 0..4 {
            map.word(page * PAGE).map(|word| word.store(page + 1, Relaxed)).unwrap();
        }
        for round in 0..3 {
            if round == 1 {
                file.sync_data().unwrap();
            }
            // Neither dirty pages nor clean ones lose anything; what lies beyond the end is none.
            map.unmap_pages(PAGE..9 * PAGE);
            file.drop_cached_pages(0..4 * PAGE).unwrap();
            assert!((0..4).all(|page| map.load_u64(page * PAGE, Relaxed) == Some(page + 1)), "round {round}");
        }
    });
}

#[test]
fn a_read_only_mapping_refuses_to_be_written() {
    on_both(|folder| {
        let file = file_of(folder, PAGE);
        let mapping = Mapping::new(&file, PAGE, Access::Read).unwrap();
        assert_eq!(mapping.word(0).map(|word| word.store(1, Relaxed)), None);
        assert!(mapping.word(0).is_none());
        assert_eq!(mapping.copy_in(0, b"x"), None);
        assert_eq!(mapping.zero(0, 1), None);
        assert_eq!(mapping.load_u64(0, Relaxed), Some(0));
    });
}

#[test]
fn nothing_beyond_the_limit_is_touched_and_the_limit_follows_the_file() {
    on_both(|folder| {
        let file = file_of(folder, PAGE);
        let mapping = Mapping::new(&file, 64 * PAGE, Access::Write).unwrap();
        assert_eq!((mapping.len(), mapping.limit()), (64 * PAGE, PAGE));
        for offset in [PAGE, PAGE - 7, PAGE + 8, 63 * PAGE, 64 * PAGE, u64::MAX, u64::MAX - 7] {
            assert_eq!(mapping.load_u64(offset, Relaxed), None, "{offset}");
            assert_eq!(mapping.word(offset).map(|word| word.store(1, Relaxed)), None, "{offset}");
            assert_eq!(mapping.copy_in(offset, &[1; 8]), None, "{offset}");
            assert_eq!(mapping.copy_out(offset, &mut [1; 8]), None, "{offset}");
            assert_eq!(mapping.zero(offset, 8), None, "{offset}");
            assert!(!mapping.eq_bytes(offset, &[0; 8]), "{offset}");
            assert_eq!(mapping.address(offset, 8), None, "{offset}");
            mapping.prefetch(offset);
            mapping.advise(Advice::Random, offset..u64::MAX);
        }
        assert_eq!(mapping.address(0, PAGE), Some(mapping.as_ptr()));
        assert_eq!(mapping.zero(0, u64::MAX), None);

        file.reserve(PAGE, PAGE).unwrap();
        assert_eq!(mapping.load_u64(PAGE, Relaxed), None, "not yet known to be there");
        mapping.set_limit(2 * PAGE);
        mapping.word(2 * PAGE - 8).map(|word| word.store(5, Relaxed)).unwrap();
        assert_eq!(mapping.load_u64(2 * PAGE - 8, Relaxed), Some(5));
        mapping.set_limit(u64::MAX);
        assert_eq!(mapping.limit(), 64 * PAGE, "never beyond the mapping");
    });
}

#[test]
fn a_mapping_that_follows_its_file_reaches_all_that_the_file_has_by_now() {
    on_both(|folder| {
        type Look = fn(&Mapping, u64) -> bool;
        let looks: [Look; 8] = [
            |mapping, at| mapping.address(at, 8).is_some(),
            |mapping, at| mapping.load_u64(at, Relaxed) == Some(0),
            |mapping, at| mapping.cells::<3>(at).is_some(),
            |mapping, at| mapping.word(at).is_some(),
            |mapping, at| mapping.eq_bytes(at, &[0; 9]),
            |mapping, at| mapping.copy_out(at, &mut [1; 9]).is_some(),
            |mapping, at| mapping.read_object::<[u64; 2]>(at) == Some([0; 2]),
            |mapping, at| mapping.frozen(at, 9) == [0; 9],
        ];
        for (number, look) in looks.into_iter().enumerate() {
            let file = folder.create_file(&format!("file {number}")).unwrap();
            file.reserve(0, PAGE).unwrap();
            let map = || Mapping::new(&file, 64 * PAGE, Access::Write).unwrap();
            let (followed, other, in_children) =
                (map().followed(&file), map(), map().followed_in_children(&file));
            assert!(!look(&followed, PAGE));
            file.reserve(PAGE, PAGE).unwrap();
            assert!(look(&followed, PAGE) && followed.limit() == 2 * PAGE, "{number}");
            for beyond in [2 * PAGE, 63 * PAGE, 64 * PAGE, u64::MAX - 7] {
                assert!(!look(&followed, beyond), "{number}");
            }
            assert!(!look(&other, PAGE) && !look(&in_children, PAGE), "{number}: not asked for");
        }
    });
}

#[test]
fn a_limit_in_the_middle_of_a_word_is_kept_to_the_byte() {
    on_both(|folder| {
        let file = folder.create_file("file").unwrap();
        file.write_at(0, b"0123456789abc").unwrap();
        let mapping = Mapping::new(&file, PAGE, Access::Write).unwrap();
        assert_eq!(mapping.load_u64(8, Relaxed), None);
        assert!(mapping.eq_bytes(9, b"9abc"));
        assert!(!mapping.eq_bytes(9, b"9abc\0"));
        let mut bytes = [0; 5];
        mapping.copy_out(8, &mut bytes).unwrap();
        assert_eq!(&bytes, b"89abc");
    });
}

#[test]
fn words_must_be_aligned() {
    on_both(|folder| {
        let mapping = Mapping::new(&file_of(folder, PAGE), PAGE, Access::Write).unwrap();
        for offset in 1..8 {
            assert_eq!(mapping.load_u64(offset, Relaxed), None);
            assert_eq!(mapping.word(offset).map(|word| word.store(1, Relaxed)), None);
            assert!(mapping.word(offset).is_none());
        }
        mapping.word(16).unwrap().fetch_add(3, Relaxed);
        assert_eq!(mapping.load_u64(16, Relaxed), Some(3));
    });
}

#[test]
fn every_ordering_loads() {
    on_both(|folder| {
        let mapping = Mapping::new(&file_of(folder, PAGE), PAGE, Access::Write).unwrap();
        let all: [Ordering; 5] = [Relaxed, Acquire, Release, AcqRel, SeqCst];
        for (value, ordering) in (1..).zip(all) {
            mapping.word(0).unwrap().store(value, Relaxed);
            assert_eq!(mapping.load_u64(0, ordering), Some(value));
        }
    });
}

#[test]
fn bytes_are_copied_compared_and_zeroed_at_every_offset_and_length() {
    on_both(|folder| {
        let mapping = Mapping::new(&file_of(folder, PAGE), PAGE, Access::Write).unwrap();
        let pattern: Vec<u8> = (1..=255).cycle().take(80).collect();
        let mut all = vec![0; 128];
        for offset in 0..20 {
            for length in 0..60 {
                mapping.zero(0, 128).unwrap();
                let source = &pattern[offset..][..length];
                mapping.copy_in(offset as u64, source).unwrap();
                mapping.copy_out(0, &mut all).unwrap();
                assert!(all[..offset].iter().chain(&all[offset + length..]).all(|byte| *byte == 0));
                assert_eq!(&all[offset..][..length], source);
                let mut read = vec![0xee; length];
                mapping.copy_out(offset as u64, &mut read).unwrap();
                assert_eq!(read, source);
                assert!(mapping.eq_bytes(offset as u64, source));
                for wrong in 0..length {
                    read[wrong] ^= 0x80;
                    assert!(!mapping.eq_bytes(offset as u64, &read), "{offset} {length} {wrong}");
                    read[wrong] ^= 0x80;
                }
                mapping.copy_in(0, &[0xaa; 128]).unwrap();
                mapping.zero(offset as u64, length as u64).unwrap();
                mapping.copy_out(0, &mut all).unwrap();
                let zeroed = |at: usize| (offset..offset + length).contains(&at);
                assert!((0..128).all(|at| all[at] == if zeroed(at) { 0 } else { 0xaa }), "{offset} {length}");
            }
        }
        mapping.zero(0, PAGE).unwrap();
        assert!(mapping.eq_bytes(0, &vec![0; PAGE as usize]));
    });
}

#[test]
fn advice_and_prefetches_change_nothing() {
    on_both(|folder| {
        let mapping = Mapping::new(&file_of(folder, 4 * PAGE), 4 * PAGE, Access::Write).unwrap();
        mapping.copy_in(PAGE + 5, b"still here").unwrap();
        for advice in [Advice::Random, Advice::Sequential, Advice::Normal] {
            mapping.advise(advice, 0..4 * PAGE);
            mapping.advise(advice, 5..PAGE + 7);
            #[expect(clippy::reversed_empty_ranges, reason = "must do nothing")]
            mapping.advise(advice, 7..3);
        }
        mapping.prefetch(PAGE + 5);
        assert!(mapping.eq_bytes(PAGE + 5, b"still here"));
    });
}

#[test]
fn a_mapping_that_cannot_be_made_is_an_error() {
    let faults = Faults::recorded();
    let folder = Folder::in_memory(faults.clone());
    let file = folder.create_file("file").unwrap();
    assert!(Mapping::new(&file, u64::MAX, Access::Write).is_err());
    assert!(Mapping::new(&file, 1 << 62, Access::Write).is_err());
    faults.plan(Fault::nth(1, libc::ENOMEM).of(Call::Map));
    let error = Mapping::new(&file, PAGE, Access::Write).unwrap_err();
    assert!(error.to_string().starts_with("cannot map memory:/file: "), "{error}");
    let reading = folder.open_file("file", Access::Read).unwrap();
    assert!(Mapping::new(&reading, PAGE, Access::Write).is_err(), "opened for reading only");
    assert_eq!(Mapping::new(&file, 0, Access::Write).unwrap().load_u64(0, Relaxed), None);
}

#[test]
fn a_mapping_outlives_its_file_handle_and_name() {
    on_both(|folder| {
        let file = file_of(folder, PAGE);
        let mapping = Mapping::new(&file, PAGE, Access::Write).unwrap();
        drop(file);
        folder.remove("file").unwrap();
        mapping.word(0).map(|word| word.store(1, Relaxed)).unwrap();
        assert_eq!(mapping.load_u64(0, Relaxed), Some(1));
    });
}
