//! Protocols broken on purpose: a test of crash safety that finds nothing in them would find nothing at all.
//!
//! In production there is no plan ([`Faults::none`]), and each question costs one comparison with null. None is asked by `put` or
//! `load`.

use super::faults::{Call, Event, Faults};
use super::folder::Folder;

/// One rule of the protocol that a store breaks when it is opened so. What can be broken by the disk below (syncs that do nothing, or
/// come too late) needs no help of the store's, and is not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sabotage {
    /// Publishing a loan writes into the header of the record that it supersedes.
    DurableHeaderRewritten,
    /// A session begins without clearing the clean bit.
    CleanBitKept,
    /// The mark of an index is believed in whatever epoch it was written.
    IndexMarkWithoutEpoch,
    /// Compaction leaves every tombstone behind.
    TombstoneDroppedEarly,
    /// A chunk is unlinked before what was moved out of it is durable.
    ChunkUnlinkedEarly,
    /// What a sync finds superseded is given back at its own end.
    GivenBackOneSyncEarly,
    /// The hole in a superseded payload takes its record's header along.
    HeaderPunched,
    /// A sync that fails leaves no poison mark.
    PageCacheTrusted,
    /// An object that is removed leaves an empty slot, not a deleted one.
    SlotCleared,
    /// Recovery wipes nothing behind the end of the log.
    WipeSkipped,
    /// Recovery goes on with numbers that are given out already.
    SequencesReused,
    /// Recovery leaves numbers out.
    SequencesWithGaps,
    /// The end of the log follows every record of a batch.
    BatchWithoutEnd,
    /// The checksums of records are the same in all stores.
    ChecksumUnseeded,
    /// A body is unlinked when it is superseded.
    BodyUnlinkedEarly,
    /// A recovery from a power cut raises no epoch.
    EpochKept,
    /// Recovery leaves the seal of the active chunk as it is.
    StaleSealBelieved,
}

impl Folder {
    /// Whether the store is to break this rule.
    pub(crate) fn breaks(&self, rule: Sabotage) -> bool {
        self.faults().sabotaged() == Some(rule)
    }

    /// A moment between two steps in memory at which everything may stop.
    pub(crate) fn pass(&self) {
        self.faults().pass(|| Event { call: Call::Memory, file: String::new() });
    }
}

/// The number that follows a recovery's last one, by the rules or not.
pub(crate) fn last_sequence(folder: &Folder, last: u64) -> u64 {
    match folder.faults().sabotaged() {
        Some(Sabotage::SequencesReused) => last.saturating_sub(2),
        Some(Sabotage::SequencesWithGaps) => last + 2,
        _ => last,
    }
}

impl Faults {
    /// Makes stores that are opened on this disk break one rule from now on.
    pub fn sabotage(&self, rule: Sabotage) {
        self.set_sabotage(rule);
    }
}
