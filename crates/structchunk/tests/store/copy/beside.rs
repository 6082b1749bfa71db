//! Copies that another process makes, while the writer does something at just the wrong moment.

use std::fs;
use std::path::Path;
use std::time::Duration;

use structchunk::testing::{Call, Fault, Faults};
use structchunk::{CopyReport, Error, Found, Session, Store};

use super::allocated;
use crate::common::*;
use crate::process::Told;
use crate::readers::{attach, attach_with, writer};

/// Where `shared` has the end of the log.
const END_OF_LOG: u64 = 128;

/// The copy, which opens and checks clean.
fn clean(place: &Path) -> Store {
    let copy = open_with(options().create(false), place).expect("open");
    assert_eq!(copy.recovery().found, Found::Clean, "{:?}", copy.recovery());
    let findings: Vec<_> = copy.check_deep().expect("a check").map(|it| it.to_string()).collect();
    assert_eq!(findings, [""; 0]);
    copy
}

fn all(copy: &Store, key: &str) -> u64 {
    let object = copy.get::<[u64]>(key).expect("get").unwrap_or_else(|| panic!("{key} is missing"));
    assert!(object.iter().all(|number| *number == object[0]), "{key} is torn");
    object[0]
}

fn number(copy: &Store, key: &str) -> Option<u64> {
    copy.load(key).expect("load")
}

/// Copies, and gives orders when the progress is told for the `turn`th time.
fn copy_and_tell(
    session: &Session,
    place: &Path,
    turn: usize,
    child: &mut Told,
    orders: &[&str],
) -> structchunk::Result<CopyReport> {
    let mut turns = 0;
    let report = session.copy_to_with(place, |progress| {
        assert!(progress.bytes <= progress.of_bytes, "{progress:?}");
        turns += 1;
        if turns == turn {
            for order in orders {
                assert!(!child.tell(order).starts_with("error"), "{order}");
            }
        }
    });
    assert!(turns >= turn, "{turns} turns");
    report
}

fn bodies_in(store: &Path) -> usize {
    let names = fs::read_dir(store.join("chunks")).expect("a folder");
    names.filter(|it| it.as_ref().expect("a name").path().extension().is_some_and(|it| it == "body")).count()
}

#[test]
fn a_copy_beside_a_writer_holds_what_was_put_until_then_and_takes_no_more_space() {
    let folder = folder();
    let path = folder.path().join("store");
    let mut child = writer(&path);
    for order in
        ["fill kept/ 9000 1", "put_words inline/ 30 3000 2", "put_words body/ 3 9000 3", "put_point p"]
    {
        child.tell(order);
    }
    let place = folder.path().join("copy");
    // Nothing is in the way, so there is no need to wait.
    let reader = attach_with(options().busy_timeout(Duration::ZERO), &path).expect("attach");
    let report = reader.copy_to(&place).expect("a copy");
    assert_eq!((report.objects, report.findings.len(), report.torn.len()), (9034, 0, 0), "{report:?}");
    assert!(allocated(&place) <= allocated(&path), "{} {}", allocated(&place), allocated(&path));
    let copy = clean(&place);
    assert_eq!(copy.len(), 9034);
    assert_eq!((all(&copy, "body/000002"), all(&copy, "inline/000029")), (3, 2));
    assert_eq!(number(&copy, "kept/008999"), Some(1));
    // It goes on like any other, with numbers of its own.
    copy.put("new type", &Wide { words: [1; 128] }).expect("put");
    copy.put("new body", &vec![1_u64; 9000][..]).expect("put");
    copy.close().expect("close");
    assert_eq!(clean(&place).types().expect("types").len(), 3);
    assert_eq!(child.tell("put late 4"), "ok", "the writer knows nothing of it");
    assert_eq!(number(&clean(&place), "late"), None);
}

#[test]
fn a_copy_is_of_the_moment_when_the_last_of_its_bodies_was_found() {
    for open in ["open", "open_in_steps"] {
        let folder = folder();
        let path = folder.path().join("store");
        let mut child = crate::readers::process(&path);
        assert_eq!(child.tell(open), "ok");
        child.tell("put early 1");
        child.tell("put_words large/ 2 9000 1");
        child.tell("fill more/ 9000 1");
        child.tell("put_wide wide 1");
        let place = folder.path().join("copy");
        let session = attach(&path).session().expect("a session");
        // The first chunk is copied already, the end of the log is fixed.
        let orders = [
            "update early 7",
            "put late 7",
            "put_words large/ 1 9000 2",
            "fill later/ 9000 2",
            "sync",
            "sync",
            "sync",
        ];
        let report = copy_and_tell(&session, &place, 3, &mut child, &orders).expect("a copy");
        assert_eq!((report.findings.len(), report.torn.len()), (0, 0), "{report:?}");
        let copy = clean(&place);
        assert_eq!((all(&copy, "large/000000"), all(&copy, "large/000001")), (2, 1));
        // What came before it came, too; also what was changed in place.
        assert_eq!((number(&copy, "late"), number(&copy, "early")), (Some(7), Some(7)));
        assert_eq!(number(&copy, "later/008999"), Some(2));
        assert_eq!((copy.len(), report.objects), (18_005, 18_005));
        assert_eq!((bodies_in(&place), bodies_in(&path)), (2, 2));
        copy.close().expect("close");
        // Its chunks alone say the same.
        fs::remove_file(place.join("STORE")).expect("removed");
        // SAFETY: the copy is closed, and this test's own.
        let rebuilt = unsafe { Store::rebuild(place) }.expect("rebuild");
        assert_eq!((rebuilt.objects, rebuilt.findings.len()), (18_005, 0), "{rebuilt:#?}");
    }
}

#[test]
fn what_is_superseded_while_another_process_copies_becomes_no_hole_before_that_ends() {
    let folder = folder();
    let path = folder.path().join("store");
    let mut child = writer(&path);
    child.tell("put_words inline/ 30 3000 1");
    let place = folder.path().join("copy");
    let session = attach(&path).session().expect("a session");
    let orders = ["remove inline/000028", "remove inline/000029", "sync", "sync", "sync", "sync"];
    copy_and_tell(&session, &place, 1, &mut child, &orders).expect("a copy");
    let copy = clean(&place);
    assert_eq!((copy.len(), all(&copy, "inline/000028"), all(&copy, "inline/000029")), (30, 1, 1));
    let before = allocated(&path);
    for _ in 0..4 {
        child.tell("put key 1");
        child.tell("sync");
    }
    assert!(allocated(&path) + (32 << 10) < before, "it is given back in the end: {before}");
}

#[test]
fn what_is_compacted_while_another_process_copies_is_in_the_copy_once() {
    let folder = folder();
    let path = folder.path().join("store");
    let mut child = writer(&path);
    child.tell("fill keep/ 3000 1");
    child.tell("fill drop/ 3000 1");
    child.tell("fill more/ 6000 1");
    for index in 0..3000 {
        child.order(&format!("remove drop/{index:06}"));
    }
    (0..3000).for_each(|_| assert_eq!(child.answer(), "true"));
    let place = folder.path().join("copy");
    let session = attach(&path).session().expect("a session");
    let orders = ["compact", "update keep/000001 2", "sync", "sync"];
    copy_and_tell(&session, &place, 1, &mut child, &orders).expect("a copy");
    let copy = clean(&place);
    assert_eq!((copy.len(), number(&copy, "drop/000001")), (9000, None));
    assert_ne!(child.tell("compact"), "0", "nothing is held any more");
}

/// A session whose copies are made in pieces of 1 MiB, which the progress shows.
fn in_pieces(path: &Path) -> Session {
    let faults = Faults::recorded();
    faults.plan(Fault::nth(1, libc::EXDEV).of(Call::Copy).from_then_on());
    attach_with(options().faults(faults), path).expect("attach").session().expect("a session")
}

#[test]
fn a_body_that_changes_between_two_pieces_under_its_key_or_another_one_is_never_torn() {
    for orders in [
        &["change_words body/000000 2"][..],
        &["rename body/000000 other", "change_words other 2"],
        &["rename body/000000 other", "change_words other 2", "put_words body/ 1 9000 3"],
    ] {
        let folder = folder();
        let path = folder.path().join("store");
        let mut child = writer(&path);
        child.tell("put_words body/ 1 400000 1");
        let place = folder.path().join("copy");
        // The log is one piece.
        copy_and_tell(&in_pieces(&path), &place, 3, &mut child, orders).expect("a copy");
        let copy = clean(&place);
        assert_eq!(copy.len(), orders.len().max(2) as u64 - 1);
        let key = if orders.len() == 1 { "body/000000" } else { "other" };
        assert_eq!(all(&copy, key), 2, "{orders:?}");
        assert_eq!(bodies_in(&place), copy.len() as usize);
    }
}

#[test]
fn an_object_that_changes_between_two_pieces_of_its_chunk_is_never_torn() {
    let folder = folder();
    let path = folder.path().join("store");
    let mut child = crate::readers::process(&path);
    assert_eq!(child.tell("open_roomy"), "ok");
    child.tell("put_words inline/ 3 60000 1");
    let place = folder.path().join("copy");
    // The first MiB ends inside of it.
    let orders = ["change_words inline/000002 2"];
    copy_and_tell(&in_pieces(&path), &place, 2, &mut child, &orders).expect("a copy");
    let copy = clean(&place);
    assert_eq!((all(&copy, "inline/000002"), all(&copy, "inline/000001")), (2, 1));
    assert_eq!(bodies_in(&place), 0);
}

#[test]
fn a_body_that_is_replaced_between_two_pieces_is_as_it_was() {
    let folder = folder();
    let path = folder.path().join("store");
    let mut child = writer(&path);
    child.tell("put_words body/ 1 400000 1");
    let place = folder.path().join("copy");
    let orders = ["put_words body/ 1 9000 2", "sync", "sync", "sync"];
    copy_and_tell(&in_pieces(&path), &place, 3, &mut child, &orders).expect("a copy");
    let copy = clean(&place);
    assert_eq!((all(&copy, "body/000000"), bodies_in(&place)), (1, 1));
}

#[test]
fn a_body_that_the_source_has_lost_is_named_and_everything_else_is_copied() {
    let folder = folder();
    let path = folder.path().join("store");
    let mut child = writer(&path);
    child.tell("put_words body/ 2 9000 1");
    fs::remove_file(path.join("chunks/0000000000000000.body")).expect("removed");
    let place = folder.path().join("copy");
    let report = attach(&path).copy_to(&place).expect("a copy");
    assert_eq!(report.findings.len(), 1, "{report:#?}");
    assert!(report.findings[0].what.contains("body/000000"), "{report:#?}");
    assert_eq!(all(&open(&place), "body/000001"), 1);
}

#[test]
fn what_a_writer_that_died_was_changing_is_named_and_copied_as_it_is() {
    let folder = folder();
    let path = folder.path().join("store");
    let mut child = writer(&path);
    child.tell("fill kept/ 100 1");
    child.tell("put_wide wide 1");
    child.tell("half_change wide");
    let reader = attach(&path);
    let place = folder.path().join("copy");
    let error = reader.copy_to(&place).expect_err("its writer may go on");
    assert!(matches!(&error, Error::Busy { key } if key == b"wide"), "{error}");
    assert!(!place.exists());
    child.kill();
    let report = reader.copy_to(&place).expect("a copy");
    assert_eq!((report.torn, report.objects), (vec![b"wide".to_vec()], 101));
    let copy = clean(&place);
    let wide = copy.load::<Wide>("wide").expect("load").expect("there");
    assert_eq!((wide.words[0], wide.words[1]), (u64::MAX, 1));
    assert_eq!(number(&copy, "kept/000099"), Some(1));
}

#[test]
fn a_writer_that_dies_under_a_copy_does_not_end_it() {
    let folder = folder();
    let path = folder.path().join("store");
    let mut child = writer(&path);
    child.tell("fill kept/ 9000 1");
    child.tell("put_words body/ 2 9000 1");
    let session = attach(&path).session().expect("a session");
    let place = folder.path().join("copy");
    let mut child = Some(child);
    session.copy_to_with(&place, |_| child.take().into_iter().for_each(Told::kill)).expect("a copy");
    let copy = clean(&place);
    assert_eq!((copy.len(), all(&copy, "body/000001")), (9002, 1));
}

#[test]
fn a_new_writer_ends_a_copy_that_leaves_nothing_and_a_reader_makes_it_again() {
    let folder = folder();
    let path = folder.path().join("store");
    let mut child = writer(&path);
    child.tell("fill kept/ 9000 1");
    child.tell("put_words body/ 2 9000 1");
    let reader = attach(&path);
    let place = folder.path().join("copy");
    for again in [false, true] {
        let (mut first, mut next) = (Some(child), None);
        let take_over = |_: &structchunk::CopyProgress| {
            if let Some(first) = first.take() {
                first.kill();
                let mut second = writer(&path);
                second.tell("put key 2");
                next = Some(second);
            }
        };
        if again {
            let report = reader.copy_to_with(&place, take_over).expect("a copy");
            assert_eq!(report.objects, 9003);
        } else {
            let error = reader.session().expect("a session").copy_to_with(&place, take_over);
            assert!(matches!(error, Err(Error::SessionOver { .. })), "{error:?}");
            assert!(!place.exists());
        }
        child = next.expect("a writer");
    }
    let copy = clean(&place);
    assert_eq!((number(&copy, "key"), all(&copy, "body/000001")), (Some(2), 1));
    child.tell("close");
}

#[test]
fn a_reader_copies_a_store_that_nobody_writes_and_one_whose_machine_died() {
    let folder = folder();
    let path = folder.path().join("store");
    let faults = Faults::recorded();
    faults.pretend_boot(Some([1; 16]));
    let store = open_with(options().faults(faults), &path).expect("open");
    store.put("kept", &1_u64).expect("put");
    store.put("body", &vec![1_u64; 9000][..]).expect("put");
    store.sync().expect("sync");
    store.put("late", &2_u64).expect("put");
    drop(store);
    let place = folder.path().join("copy");
    attach(&path).copy_to(&place).expect("a copy");
    let copy = clean(&place);
    assert_eq!((number(&copy, "kept"), number(&copy, "late"), all(&copy, "body")), (Some(1), None, 1));
    copy.close().expect("close");
    // The copy was closed.
    let second = folder.path().join("second");
    let reader = attach(&place);
    let report = reader.copy_to(&second).expect("a copy");
    assert_eq!((report.objects, report.findings.len()), (2, 0));
    assert_eq!(all(&clean(&second), "body"), 1);
    assert!(matches!(reader.copy_to(&second), Err(Error::AlreadyExists { .. })));
    // Its first writer begins while it is copied.
    let mut writing = None;
    let third = folder.path().join("third");
    let outcome = reader.session().expect("a session").copy_to_with(&third, |_| {
        let store =
            writing.get_or_insert_with(|| open_with(options().busy_timeout(Duration::from_secs(5)), &place));
        store.as_ref().expect("open").put("key", &1_u64).expect("put");
    });
    assert!(matches!(outcome, Err(Error::SessionOver { .. })), "{outcome:?}");
    assert!(!third.exists());
    reader.copy_to(&third).expect("a copy");
    assert_eq!(number(&clean(&third), "key"), Some(1));
}

#[test]
fn a_body_that_a_dead_writer_left_half_changed_behind_its_copied_log_is_named() {
    let folder = folder();
    let path = folder.path().join("store");
    let mut child = writer(&path);
    child.tell("put_words body/ 2 400000 1");
    let place = folder.path().join("copy");
    let (mut turns, mut child) = (0, Some(child));
    let report = in_pieces(&path).copy_to_with(&place, |_| {
        turns += 1;
        // The log is copied, and the first piece of the first body.
        if turns == 3
            && let Some(mut child) = child.take()
        {
            assert_eq!(child.tell("half_change_words body/000000"), "ok");
            child.kill();
        }
    });
    assert_eq!(report.expect("a copy").torn, [b"body/000000".to_vec()]);
    let copy = clean(&place);
    let body = copy.get::<[u64]>("body/000000").expect("get").expect("there");
    assert_eq!((body[0], body[1], all(&copy, "body/000001")), (u64::MAX, 1, 1));
}

#[test]
fn a_body_that_was_changed_under_a_key_of_which_every_record_is_gone_is_not_copied_torn() {
    let folder = folder();
    let path = folder.path().join("store");
    let mut child = writer(&path);
    child.tell("put_words body/ 1 400000 1");
    let place = folder.path().join("copy");
    let session = in_pieces(&path);
    let mut turns = 0;
    let copied = session.copy_to_with(&place, |_| {
        turns += 1;
        if turns != 3 {
            return;
        }
        // A piece of it is copied. The first chunk is held; what follows happens in the second one, which goes.
        let orders = [
            "put_words first/ 12 3000 1",
            "rename body/000000 other",
            "change_words other 2",
            "remove other",
        ];
        orders.into_iter().chain(["put_words second/ 12 3000 1"]).for_each(|order| {
            assert!(!child.tell(order).starts_with("error"), "{order}");
        });
        for index in 0..12 {
            assert_eq!(child.tell(&format!("remove first/{index:06}")), "true");
            assert_eq!(child.tell(&format!("remove second/{index:06}")), "true");
        }
        assert_ne!(child.tell("compact"), "0");
        (0..3).for_each(|_| assert_eq!(child.tell("sync"), "ok"));
        assert!(!path.join("chunks/00000001.chunk").exists(), "the records of the other key are gone");
    });
    copied.expect("a copy");
    let copy = clean(&place);
    // It is of a moment at which the object had neither key.
    assert!(!copy.contains("body/000000").expect("contains") && !copy.contains("other").expect("contains"));
    assert_eq!((copy.len(), bodies_in(&place)), (0, 0));
}

#[test]
fn an_end_of_the_log_that_went_back_ends_a_copy() {
    use std::os::unix::fs::FileExt;
    let folder = folder();
    let path = folder.path().join("store");
    let mut child = writer(&path);
    let shared = fs::OpenOptions::new().read(true).write(true).open(path.join("shared")).expect("shared");
    let mut earlier = [0; 8];
    shared.read_exact_at(&mut earlier, END_OF_LOG).expect("the end of the log");
    child.tell("put_words body/ 2 9000 1");
    let session = attach(&path).session().expect("a session");
    let place = folder.path().join("copy");
    let mut turns = 0;
    let copied = session.copy_to_with(&place, |_| {
        turns += 1;
        if turns == 1 {
            // Another cut is needed, and the page says that the log is shorter than it was.
            for order in ["put_words body/ 1 9000 2", "sync", "sync", "sync"] {
                assert_eq!(child.tell(order), "ok");
            }
            shared.write_all_at(&earlier, END_OF_LOG).expect("written");
        }
    });
    let error = copied.expect_err("nothing can be copied");
    assert!(
        matches!(&error, Error::Corrupt { path: file, offset: END_OF_LOG, .. } if *file == path.join("shared")),
        "{error}"
    );
    assert!(error.to_string().contains("gone back") && !place.exists(), "{error}");
}
