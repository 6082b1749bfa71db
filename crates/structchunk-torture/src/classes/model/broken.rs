//! Every protocol that is broken on purpose, and how.

use structchunk::testing::Sabotage;

use super::disk::Lie;
use super::world::Broken;

const SOUND: Broken = Broken { lie: None, sabotage: None, index: false, many: false, rebuild: false };

const fn lie(lie: Lie) -> Broken {
    Broken { lie: Some(lie), ..SOUND }
}

const fn by(sabotage: Sabotage) -> Broken {
    Broken { sabotage: Some(sabotage), ..SOUND }
}

/// By the names that the tests use.
pub const BROKEN: &[(&str, Broken)] = &[
    ("durable header rewritten", by(Sabotage::DurableHeaderRewritten)),
    ("checkpoint before chunks", lie(Lie::CheckpointFirst)),
    ("sync of chunks skipped", lie(Lie::Chunks)),
    ("sync of bodies skipped", lie(Lie::Bodies)),
    ("sync of names skipped", lie(Lie::Names)),
    ("sync of the checkpoint skipped", lie(Lie::Checkpoints)),
    ("clean bit kept", by(Sabotage::CleanBitKept)),
    ("index mark without epoch", Broken { index: true, ..by(Sabotage::IndexMarkWithoutEpoch) }),
    ("tombstone dropped early", by(Sabotage::TombstoneDroppedEarly)),
    ("chunk unlinked early", by(Sabotage::ChunkUnlinkedEarly)),
    ("given back one sync early", by(Sabotage::GivenBackOneSyncEarly)),
    ("punch over a header", by(Sabotage::HeaderPunched)),
    ("same boot concluded", lie(Lie::SameBoot)),
    ("page cache trusted", by(Sabotage::PageCacheTrusted)),
    ("slot cleared", Broken { many: true, ..by(Sabotage::SlotCleared) }),
    ("wipe skipped", by(Sabotage::WipeSkipped)),
    ("sequences reused", by(Sabotage::SequencesReused)),
    ("sequences with gaps", by(Sabotage::SequencesWithGaps)),
    ("batch without end", by(Sabotage::BatchWithoutEnd)),
    ("writes before recovery's sync", lie(Lie::Recovery)),
    ("checksum unseeded", by(Sabotage::ChecksumUnseeded)),
    ("body unlinked early", by(Sabotage::BodyUnlinkedEarly)),
    ("epoch kept", Broken { index: true, ..by(Sabotage::EpochKept) }),
    ("stale seal believed", Broken { rebuild: true, ..by(Sabotage::StaleSealBelieved) }),
];
