//! Scans beside a writer at work.

use structchunk::Error;

use super::{attach, keys, writer};
use crate::common::*;

#[test]
fn both_orders_have_every_key_after_every_change() {
    let folder = folder();
    let mut writer = writer(folder.path());
    let reader = attach(folder.path());
    let mut model = std::collections::BTreeMap::new();
    let mut random = Random::new(5);
    for round in 0..400_u64 {
        let key = format!("k{:03}", random.below(60));
        if random.below(3) == 0 {
            writer.tell(&format!("remove {key}"));
            model.remove(&key);
        } else {
            writer.tell(&format!("put {key} {round}"));
            model.insert(key, round);
        }
        let session = reader.session().unwrap();
        assert_eq!(keys(&session), model.keys().cloned().collect::<Vec<_>>(), "round {round}");
        let half = session.range("k030"..).unwrap().map(|entry| entry.unwrap().load::<u64>().unwrap());
        assert!(half.eq(model.range("k030".to_owned()..).map(|(_, value)| *value)), "round {round}");
        assert_eq!(session.len().unwrap(), model.len() as u64);
    }
}

#[test]
fn a_key_that_stays_is_met_once_while_others_come_and_go_and_all_are_replaced() {
    let folder = folder();
    let mut writer = writer(folder.path());
    writer.tell("fill stay/ 500 0");
    let reader = attach(folder.path());
    let (mut round, mut scans) = (0, 0);
    while scans < 40 {
        // So that the writer is never idle.
        while round < 3 * (scans + 1) {
            writer.order(&format!("fill stay/ 500 {round}"));
            writer.order(&format!("fill come/{round}/ 20 {round}"));
            round += 1;
        }
        let session = reader.session().unwrap();
        let mut met: Vec<_> = session
            .iter()
            .unwrap()
            .map(|entry| String::from_utf8(entry.unwrap().key().to_vec()).unwrap())
            .filter(|key| key.starts_with("stay/"))
            .collect();
        met.sort_unstable();
        let all: Vec<_> = (0..500).map(|index| format!("stay/{index:06}")).collect();
        assert_eq!(met, all, "in log order, scan {scans}");
        let met = session.prefix("stay/").unwrap().map(|entry| entry.unwrap().key().to_vec());
        assert!(met.eq(all.iter().map(|key| key.clone().into_bytes())), "in key order, scan {scans}");
        scans += 1;
    }
    for _ in 0..2 * round {
        assert_eq!(writer.answer(), "ok");
    }
}

#[test]
fn a_scan_ends_with_an_error_when_another_writer_takes_over() {
    let folder = folder();
    let mut first = writer(folder.path());
    first.tell("fill k 1000 1");
    let reader = attach(folder.path());
    let session = reader.session().unwrap();
    let (mut ordered, mut logged) = (session.ordered().unwrap(), session.iter().unwrap());
    let entry = ordered.next().unwrap().unwrap();
    assert!(logged.next().unwrap().is_ok());
    first.kill();
    // A dead writer's views go on to serve.
    assert!(ordered.next().unwrap().is_ok() && logged.next().unwrap().is_ok());
    let _second = writer(folder.path());
    assert!(matches!(ordered.next(), Some(Err(Error::SessionOver { .. }))));
    assert!(ordered.next().is_none());
    assert!(matches!(logged.next(), Some(Err(Error::SessionOver { .. }))));
    assert!(logged.next().is_none());
    assert!(matches!(entry.load::<u64>(), Err(Error::SessionOver { .. })));
    assert!(matches!(session.load::<u64>("k000000"), Err(Error::SessionOver { .. })));
    assert_eq!(keys(&reader.session().unwrap()).len(), 1000, "the next session has all of it");
}

#[test]
fn scans_and_look_ups_go_on_while_chunks_are_emptied_and_dropped_under_them() {
    let folder = folder();
    let mut writer = writer(folder.path());
    writer.tell("fill stay/ 300 7");
    writer.order("churn_chunks 60");
    writer.order("put done 1");
    let all: Vec<_> = (0..300).map(|index| format!("stay/{index:06}").into_bytes()).collect();
    let mut rounds = 0;
    loop {
        // One that has nothing mapped yet: what it looks for may have gone elsewhere before it gets there.
        let reader = attach(folder.path());
        for key in all.iter().step_by(17) {
            assert_eq!(reader.load::<u64>(key).unwrap(), Some(7), "round {rounds}");
        }
        let session = reader.session().unwrap();
        let keys = session.iter().unwrap().map(|entry| entry.unwrap().key().to_vec());
        let mut keys: Vec<_> = keys.filter(|key| key.starts_with(b"stay/")).collect();
        keys.sort_unstable();
        assert_eq!(keys, all, "in log order, round {rounds}");
        let keys = session.prefix("stay/").unwrap().map(|entry| entry.unwrap().key().to_vec());
        assert!(keys.eq(all.iter().cloned()), "in key order, round {rounds}");
        rounds += 1;
        if reader.contains("done").unwrap() {
            break;
        }
    }
    assert_eq!(writer.answer(), "ok");
    assert_eq!(writer.answer(), "ok");
}
