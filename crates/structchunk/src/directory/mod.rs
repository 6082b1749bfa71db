//! The directory: hash of a key -> location of its record.
//!
//! An extendible hash table in one file of words, shared by one writer and any number of readers in any process. A
//! table, indexed by the top bits of the hash, names a segment of 255 slots for each; the low bits choose the line of
//! eight slots where the search begins. Readers take no lock; every change is one 8-byte store, and the file is valid
//! between any two of them. What makes that true:
//!
//! - Entries never move within a segment. A line that an entry was displaced from never gets an empty slot while
//!   that entry is there. So a search that ends at the first line with an empty slot misses nothing.
//! - Whatever moves to another segment is written there first, then the table says so, then it disappears from the
//!   old place. A search that found nothing in the old place sees that the table has changed, and looks again. (One that found
//!   something may keep it: what it found was right when it asked the table, as nothing is entered in an old segment.)
//! - Units of the file (segments, pieces of tables) are never used a second time.
//!
//! The directory is derived from the chunks: where it is not to be believed, it is made anew.

mod grow;
mod header;
mod read;
mod segment;
mod slot;
mod write;

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
#[expect(clippy::cast_precision_loss, reason = "ratios for people")]
mod tests;

use std::sync::atomic::Ordering;

pub(crate) use self::grow::Supply;
pub(crate) use self::header::Identity;
pub(crate) use self::read::{AtHome, Candidate};
pub(crate) use self::write::SlotRef;

use self::header::{HEADER_UNITS, field};
use self::segment::UNIT_WORDS;
use crate::map::words::{AtomicU64, Words, load_own};

/// Most hash bits that can index the table.
const MAX_DEPTH: u32 = 28;

/// A mapped directory. See the [module](self).
///
/// Any thread may search at any time. The methods that change something are for one thread of one process at a time;
/// that is the caller's duty (nothing unsafe follows from neglect, but entries are lost).
pub(crate) struct Directory {
    words: Words,
}

/// A pointer to a unit, and a depth, in one word: what the root and the table consist of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Link(u64);

impl Link {
    const DEPTH_BITS: u32 = 8;

    fn new(unit: u64, depth: u32) -> Self {
        Self(unit << Self::DEPTH_BITS | u64::from(depth))
    }

    #[inline]
    fn unit(self) -> u64 {
        self.0 >> Self::DEPTH_BITS
    }

    #[inline]
    fn depth(self) -> u32 {
        self.0 as u32 & ((1 << Self::DEPTH_BITS) - 1)
    }

    /// Index of the unit's first word.
    #[inline]
    fn first_word(self) -> u64 {
        // Only a link that is not checked overflows, and leads nowhere.
        self.unit().wrapping_mul(UNIT_WORDS as u64)
    }

    /// The link, if it can be one at all: its unit may lie beyond the file, but no index in it overflows.
    #[inline]
    fn checked(self) -> Option<Self> {
        (self.depth() <= MAX_DEPTH && (HEADER_UNITS..1 << 40).contains(&self.unit())).then_some(self)
    }
}

/// Where the table says that a hash belongs, and what it said.
#[derive(Clone, Copy)]
struct Target<'d> {
    root_cell: &'d AtomicU64,
    root: Link,
    /// The table's word.
    entry_cell: &'d AtomicU64,
    /// What it says: the segment, and how many hash bits its entries share.
    segment: Link,
}

impl<'d> Target<'d> {
    /// Asks the table among the words of a file.
    #[inline]
    fn among(words: &'d [AtomicU64], hash: u64) -> Option<Self> {
        let root_cell = words.get(field::ROOT as usize)?;
        let root = Link(root_cell.load(Ordering::Acquire));
        let entry_cell = words.get(root.first_word().wrapping_add(prefix(hash, root.depth())) as usize)?;
        let segment = Link(entry_cell.load(Ordering::Acquire));
        Some(Target { root_cell, root, entry_cell, segment })
    }

    /// Whether the table still says what it said.
    #[inline]
    fn is_current(&self) -> bool {
        self.root_cell.load(Ordering::Acquire) == self.root.0
            && self.entry_cell.load(Ordering::Acquire) == self.segment.0
    }
}

/// The top `depth` bits of a hash, as a number.
#[inline]
fn prefix(hash: u64, depth: u32) -> u64 {
    // In two steps, because none may be by all 64 bits.
    (hash >> 1).wrapping_shr((u64::BITS - 1).wrapping_sub(depth))
}

impl Directory {
    #[inline]
    fn root(&self) -> Option<Link> {
        self.words.load(field::ROOT, Ordering::Acquire).and_then(|root| Link(root).checked())
    }

    /// Asks the table. `None` when the file ends before it.
    ///
    /// Whatever a damaged table says, a search through it stays inside of the file, ends, and believes records only.
    #[inline]
    fn target(&self, hash: u64) -> Option<Target<'_>> {
        Target::among(self.words.touchable(), hash).or_else(|| {
            // The file may have grown: its length is asked for after what the root says.
            let root_cell = self.words.cell(field::ROOT)?;
            let root = Link(root_cell.load(Ordering::Acquire));
            let entry_cell = self.words.cell(root.first_word().wrapping_add(prefix(hash, root.depth())))?;
            let segment = Link(entry_cell.load(Ordering::Acquire));
            Some(Target { root_cell, root, entry_cell, segment })
        })
    }

    /// Asks the table, for the writer, who believes nothing that cannot be right.
    #[inline]
    fn own_target(&self, hash: u64) -> Option<Target<'_>> {
        let root_cell = self.words.cell(field::ROOT)?;
        let root = Link(load_own(root_cell)).checked()?;
        let entry_cell = self.words.cell(root.first_word() + prefix(hash, root.depth()))?;
        let segment = Link(load_own(entry_cell)).checked()?;
        (segment.depth() <= root.depth()).then_some(Target { root_cell, root, entry_cell, segment })
    }
}
