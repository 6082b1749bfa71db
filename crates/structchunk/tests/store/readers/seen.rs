//! What a reader sees of a writer at work.

use structchunk::Error;

use super::{attach, keys, process, writer};
use crate::common::*;

#[test]
fn every_change_is_seen_as_soon_as_the_writer_has_returned_from_it() {
    let folder = folder();
    let mut writer = writer(folder.path());
    let reader = attach(folder.path());
    for round in 0..200_u64 {
        writer.tell(&format!("put key {round}"));
        assert_eq!(reader.load::<u64>("key").unwrap(), Some(round));
        writer.tell(&format!("update key {}", round + 1));
        assert_eq!(reader.load::<u64>("key").unwrap(), Some(round + 1));
        assert_eq!(reader.len().unwrap(), 1);
        writer.tell("remove key");
        assert_eq!(reader.load::<u64>("key").unwrap(), None);
        assert!(!reader.contains("key").unwrap());
        assert_eq!(reader.len().unwrap(), 0);
    }
    assert!(reader.session().unwrap().is_shared());
}

#[test]
fn a_reader_in_another_process_sees_what_this_one_puts() {
    let folder = folder();
    let store = open(folder.path());
    let mut reader = process(folder.path());
    assert_eq!(reader.tell("attach"), "ok");
    reader.order("await key 99");
    for value in 0..100_u64 {
        store.put("key", &value).unwrap();
    }
    assert_eq!(reader.answer(), "ok");
    assert_eq!(reader.tell("len"), "1");
}

#[test]
fn new_chunks_and_a_directory_that_grows_are_followed() {
    let folder = folder();
    let mut writer = writer(folder.path());
    let reader = attach(folder.path());
    for round in 0..5 {
        // 20,000 records of 64 bytes: several chunks, and a directory of more than one step.
        writer.tell(&format!("fill {round}/ 20000 {round}"));
        assert_eq!(reader.len().unwrap(), (round + 1) * 20_000);
        for index in (0..20_000).step_by(97) {
            assert_eq!(reader.load::<u64>(format!("{round}/{index:06}")).unwrap(), Some(round), "{index}");
        }
        let all: Vec<_> = (0..20_000).map(|index| format!("{round}/{index:06}")).collect();
        assert!(reader.load_many::<u64, _>(&all).unwrap().iter().all(|value| *value == Some(round)));
    }
    assert!(std::fs::read_dir(folder.path().join("chunks")).unwrap().count() > 10, "there were many chunks");
}

#[test]
fn chunks_that_grow_in_steps_are_followed() {
    let folder = folder();
    let mut writer = process(folder.path());
    assert_eq!(writer.tell("open_in_steps"), "ok");
    let reader = attach(folder.path());
    for round in 0..40_u64 {
        writer.tell(&format!("fill {round}/ 200 {round}"));
        for index in (0..200).rev() {
            assert_eq!(reader.load::<u64>(format!("{round}/{index:06}")).unwrap(), Some(round), "{index}");
        }
    }
    assert_eq!(keys(&reader.session().unwrap()).len(), 8000);
}

#[test]
fn objects_of_every_size_are_seen_whole() {
    let folder = folder();
    let mut writer = writer(folder.path());
    let reader = attach(folder.path());
    for value in 0..20_u64 {
        writer.tell(&format!("put_wide wide {value}"));
        writer.tell(&format!("put_large large {value}"));
        assert_eq!(reader.load::<Wide>("wide").unwrap(), Some(Wide { words: [value; 128] }));
        assert_eq!(reader.load::<[u64; 4200]>("large").unwrap(), Some([value; 4200]));
        writer.tell("sync");
    }
    assert!(matches!(reader.load::<u64>("wide"), Err(Error::LayoutMismatch { .. })));
}

#[test]
fn a_large_object_is_never_seen_half_changed() {
    let folder = folder();
    let mut writer = writer(folder.path());
    writer.tell("put_wide wide 0");
    let reader = attach(folder.path());
    writer.order("churn wide 200000");
    let (mut copies, mut last) = (0, 0);
    while last < 199_999 {
        match reader.load::<Wide>("wide") {
            Ok(wide) => {
                let wide = wide.expect("it is there");
                assert!(wide.words.iter().all(|word| *word == wide.words[0]), "torn: {wide:?}");
                assert!(wide.words[0] >= last, "back from {last} to {}", wide.words[0]);
                last = wide.words[0];
                copies += 1;
            }
            Err(Error::Busy { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(writer.answer(), "ok");
    assert!(copies > 100, "{copies} copies");
}

#[test]
fn a_small_object_is_never_seen_half_changed() {
    let folder = folder();
    let mut writer = writer(folder.path());
    writer.tell("put_point point");
    writer.tell("churn_small point 1");
    let reader = attach(folder.path());
    writer.order("churn_small point 300000");
    let (mut copies, mut last) = (0, 0.0);
    while last < 299_999.0 {
        let point = reader.load::<Point>("point").unwrap().expect("it is there");
        assert!(point.x == point.y, "torn: {point:?}");
        last = point.x;
        copies += 1;
    }
    assert_eq!(writer.answer(), "ok");
    assert!(copies > 100, "{copies} copies");
}

#[test]
fn a_batch_is_seen_wholly_or_not_at_all() {
    let folder = folder();
    let store = open(folder.path());
    let names: Vec<_> = (0..50).map(|index| format!("k{index}")).collect();
    let mut writer_process = super::process(folder.path());
    store.close().unwrap();
    assert_eq!(writer_process.tell("open"), "ok");
    let reader = attach(folder.path());
    for value in 0..300_u64 {
        writer_process.order(&format!("batch {value} {}", names.join(" ")));
        // In the order of the log: whoever has seen the last key's value has to see all others', too.
        let mut seen = 0;
        while seen != value {
            let last = reader.load::<u64>("k49").unwrap();
            let first = reader.load::<u64>("k0").unwrap();
            assert!(first >= last, "{first:?} is older than {last:?}, which was read before");
            seen = first.unwrap_or(u64::MAX);
        }
        assert_eq!(writer_process.answer(), "ok");
    }
}

#[test]
fn a_reader_hands_out_copies_and_no_references() {
    let folder = folder();
    let store = open(folder.path());
    let sample = Sample { at: 1, value: 2, kind: 3, flags: 4, pair: [5, 6] };
    store.put("sample", &sample).unwrap();
    let reader = attach(folder.path());
    let session = reader.session().unwrap();
    for entry in [session.first().unwrap(), session.iter().unwrap().next().transpose().unwrap()] {
        let entry = entry.unwrap();
        assert!(matches!(entry.get::<Sample>(), Err(Error::SharedStore { .. })));
        assert_eq!(entry.load::<Sample>().unwrap(), sample);
        assert_eq!(entry.load_as::<Grown>().unwrap(), sample.grown());
        assert_eq!(entry.bytes(8).unwrap(), 1_u64.to_le_bytes());
        assert!(entry.value(10).unwrap().to_string().contains("value: 2"));
    }
}

#[test]
fn types_are_known_as_soon_as_there_are_objects_of_them() {
    let folder = folder();
    let mut writer = writer(folder.path());
    let reader = attach(folder.path());
    let names = || -> Vec<String> {
        reader.types().unwrap().iter().map(|stored| stored.layout.name().to_owned()).collect()
    };
    assert!(names().is_empty());
    writer.tell("put key 1");
    assert_eq!(names(), ["u8"]);
    writer.tell("put_point point");
    assert_eq!(names(), ["u8", "Point"]);
    assert_eq!(reader.load::<Point>("point").unwrap(), Some(Point { x: 1.0, y: 2.0 }));
}

#[test]
fn what_compaction_moves_and_drops_stays_where_its_key_says() {
    let folder = folder();
    let mut writer = writer(folder.path());
    writer.tell("fill keep/ 3000 1");
    writer.tell("fill drop/ 3000 1");
    writer.tell("fill more/ 3000 1");
    // A reader that has all of it mapped, and one that has nothing.
    let (old, new) = (attach(folder.path()), attach(folder.path()));
    assert_eq!(keys(&old.session().unwrap()).len(), 9000);
    for index in 0..3000 {
        writer.order(&format!("remove drop/{index:06}"));
    }
    for _ in 0..3000 {
        assert_eq!(writer.answer(), "true");
    }
    assert_ne!(writer.tell("compact"), "0");
    writer.tell("sync");
    writer.tell("sync");
    for reader in [&old, &new] {
        for index in 0..3000 {
            assert_eq!(reader.load::<u64>(format!("keep/{index:06}")).unwrap(), Some(1));
            assert_eq!(reader.load::<u64>(format!("drop/{index:06}")).unwrap(), None);
        }
        assert_eq!(keys(&reader.session().unwrap()).len(), 6000);
    }
}

#[test]
fn an_entry_of_what_was_renamed_meanwhile_is_never_read_half_changed() {
    let folder = folder();
    let store = open(folder.path());
    let sample = Sample { at: 1, value: 1, kind: 1, flags: 1, pair: [1; 2] };
    store.put("samples", &[sample; 1400]).unwrap();
    let reader = attach(folder.path());
    let session = reader.session().unwrap();
    let entry = session.iter().unwrap().next().unwrap().unwrap();
    assert!(entry.value(10).is_ok());
    assert_eq!(entry.load_as::<[Grown; 1400]>().unwrap()[1399], sample.grown());
    assert!(store.rename("samples", "others").unwrap());
    // From here on the word of the other record tells of it.
    let mut samples = store.get_mut::<[Sample; 1400]>("others").unwrap().unwrap();
    samples[..5].fill(Sample { at: 2, ..sample });
    let refused = [
        entry.load::<[Sample; 1400]>().err(),
        entry.bytes(u64::MAX).err(),
        entry.value(10).err(),
        entry.load_as::<[Grown; 1400]>().err(),
    ];
    assert!(refused.iter().all(|error| matches!(error, Some(Error::Io { .. }))), "{refused:?}");
    drop(samples);
    assert_eq!(reader.load::<[Sample; 1400]>("others").unwrap().unwrap()[..6].last(), Some(&sample));
}

#[test]
fn a_copy_without_a_type_has_the_bytes_of_the_layout_that_it_says() {
    let folder = folder();
    let store = open(folder.path());
    let puts: [fn(&structchunk::Store); 2] = [
        |store| store.put("key", &[1_u64; 5000]).unwrap(),
        |store| store.put("key", &[2_u32; 9000]).unwrap(),
    ];
    puts[0](&store);
    let reader = attach(folder.path());
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for put in puts.iter().cycle() {
                put(&store);
                if over.load(std::sync::atomic::Ordering::Relaxed) {
                    break;
                }
            }
        });
        let (mut wrong, mut copies) = (0, 0);
        for _ in 0..1000 {
            let Ok(Some(found)) = reader.raw().load(b"key") else { continue };
            copies += 1;
            let elements: u64 = found.shape.iter().flatten().product();
            wrong += u32::from(found.layout.size() * elements != found.bytes.len() as u64);
        }
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(wrong, 0, "of {copies} have the bytes of another one");
        assert!(copies > 100, "{copies} copies");
    });
}

#[test]
fn what_there_is_is_counted_beside_a_writer_that_goes_on() {
    counts_beside_a_writer();
    with_nothing_kept_mapped(counts_beside_a_writer);
}

fn counts_beside_a_writer() {
    let folder = folder();
    let store = open(folder.path());
    let reader = attach(folder.path());
    let session = reader.session().unwrap();
    let mut looks = 0;
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for round in 0..12 {
                for number in 0..3000_u64 {
                    store.put(format!("{number}"), &[round + number; 30][..]).unwrap();
                    if number % 100 == 0 {
                        store.put("large", &vec![round; 9000][..]).unwrap();
                        store.sync().unwrap();
                    }
                }
                store.compact().unwrap();
            }
        });
        while !writer.is_finished() {
            let stats = session.stats().unwrap();
            assert!(stats.objects <= 3001 && stats.sequence.is_none(), "{stats:?}");
            let number = (looks % 3000).to_string();
            if let Some(entry) = session.entry(&number).unwrap() {
                assert_eq!((entry.key(), entry.shape()), (number.as_bytes(), Some(vec![30])));
            }
            looks += 1;
        }
    });
    assert!(looks > 2, "{looks}");
    let mut stats = store.stats().unwrap();
    assert!(stats.sequence.take().is_some() && stats.chunks.iter().any(|chunk| chunk.dead_bytes > 0));
    assert_eq!((session.stats().unwrap(), stats.bodies), (stats, 1));
    assert!(session.entry("none").unwrap().is_none());
    drop(store);
    drop(open(folder.path()));
    assert!(matches!(session.stats(), Err(Error::SessionOver { .. })));
    assert!(matches!(session.entry("large"), Err(Error::SessionOver { .. })));
}
