//! The model of the protocol finds out every protocol that is broken, and nothing in the one that is not.

use std::process::Command;

/// Runs a part of the class; its line of the table: how many images, whether it failed, and what was said.
fn part(name: &str) -> (u64, bool, String) {
    let program = Command::new(env!("CARGO_BIN_EXE_structchunk-torture"))
        .args(["quick", "model", "--part", name])
        .output()
        .expect("the program");
    let said = String::from_utf8_lossy(&[program.stdout, program.stderr].concat()).into_owned();
    let line = said.lines().find(|line| line.starts_with("together")).unwrap_or_else(|| panic!("{said}"));
    let images = line.split_whitespace().nth(1).and_then(|runs| runs.parse().ok()).expect("a number");
    (images, program.status.success(), said)
}

/// A protocol that is broken is found out: the command says so, and within a bounded number of images.
fn is_found_out(name: &str) {
    let (images, well, said) = part(&format!("broken: {name}"));
    println!("{said}");
    assert!(well && said.contains("found out: "), "{said}");
    assert!((1..5_000).contains(&images), "{said}");
}

#[test]
fn two_thousand_images_of_the_protocol_as_it_is_show_nothing() {
    let (images, well, said) = part("sound");
    println!("{said}");
    assert!(well, "{said}");
    assert!(images >= 2_000, "{said}");
}

macro_rules! found_out {
    ($($test:ident: $name:literal,)*) => {
        $(
            #[test]
            fn $test() {
                is_found_out($name);
            }
        )*
    };
}

found_out! {
    a_durable_header_that_a_publish_rewrites_is_found_out: "durable header rewritten",
    a_checkpoint_before_its_chunks_is_found_out: "checkpoint before chunks",
    a_sync_of_chunks_that_is_skipped_is_found_out: "sync of chunks skipped",
    a_sync_of_bodies_that_is_skipped_is_found_out: "sync of bodies skipped",
    a_sync_of_names_that_is_skipped_is_found_out: "sync of names skipped",
    a_sync_of_the_checkpoint_that_is_skipped_is_found_out: "sync of the checkpoint skipped",
    a_clean_bit_that_the_first_change_leaves_is_found_out: "clean bit kept",
    an_index_mark_without_epoch_is_found_out: "index mark without epoch",
    a_tombstone_that_is_dropped_early_is_found_out: "tombstone dropped early",
    a_chunk_unlinked_before_what_was_moved_is_durable_is_found_out: "chunk unlinked early",
    space_given_back_one_sync_early_is_found_out: "given back one sync early",
    a_punch_over_a_header_is_found_out: "punch over a header",
    the_same_boot_wrongly_concluded_is_found_out: "same boot concluded",
    a_page_cache_trusted_after_a_failed_sync_is_found_out: "page cache trusted",
    a_slot_cleared_to_empty_is_found_out: "slot cleared",
    a_wipe_that_is_skipped_is_found_out: "wipe skipped",
    sequences_given_twice_are_found_out: "sequences reused",
    sequences_with_gaps_are_found_out: "sequences with gaps",
    a_batch_without_end_is_found_out: "batch without end",
    writes_before_the_sync_of_a_recovery_are_found_out: "writes before recovery's sync",
    a_checksum_without_seed_is_found_out: "checksum unseeded",
    a_body_unlinked_when_it_is_superseded_is_found_out: "body unlinked early",
    an_epoch_that_a_recovery_keeps_is_found_out: "epoch kept",
    a_stale_seal_that_is_believed_is_found_out: "stale seal believed",
}
