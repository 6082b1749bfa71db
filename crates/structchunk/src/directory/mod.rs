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
//!   old place. A search that ran over the old place sees that the table has changed, and looks again.
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
pub(crate) use self::write::SlotRef;

use self::header::{HEADER_UNITS, field};
use self::segment::UNIT_WORDS;
use crate::map::words::Words;

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
        self.unit() * UNIT_WORDS as u64
    }

    /// The link, if it can be one at all: its unit may lie beyond the file, but no index in it overflows.
    #[inline]
    fn checked(self) -> Option<Self> {
        (self.depth() <= MAX_DEPTH && (HEADER_UNITS..1 << 40).contains(&self.unit())).then_some(self)
    }
}

/// Where the table says that a hash belongs, and what it said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Target {
    root: Link,
    /// Index of the table's word.
    entry_at: u64,
    /// That word: the segment, and how many hash bits its entries share.
    segment: Link,
}

impl Target {
    #[inline]
    fn of(hash: u64, load: impl Fn(u64) -> Option<u64>) -> Option<Self> {
        let root = Link(load(field::ROOT)?).checked()?;
        let entry_at = root.first_word() + prefix(hash, root.depth());
        let segment = Link(load(entry_at)?).checked()?;
        (segment.depth() <= root.depth()).then_some(Self { root, entry_at, segment })
    }
}

/// The top `depth` bits of a hash, as a number.
#[inline]
fn prefix(hash: u64, depth: u32) -> u64 {
    hash.checked_shr(u64::BITS - depth).unwrap_or(0)
}

impl Directory {
    #[inline]
    fn root(&self) -> Option<Link> {
        self.words.load(field::ROOT, Ordering::Acquire).and_then(|root| Link(root).checked())
    }

    /// Asks the table. `None` when the file makes no sense there.
    #[inline]
    fn target(&self, hash: u64) -> Option<Target> {
        Target::of(hash, |index| self.words.load(index, Ordering::Acquire))
    }

    /// Asks the table, for the writer.
    #[inline]
    fn own_target(&self, hash: u64) -> Option<Target> {
        Target::of(hash, |index| self.words.load_own(index))
    }

    /// Whether the table still says what it said.
    #[inline]
    fn is_current(&self, target: &Target) -> bool {
        self.root() == Some(target.root)
            && self.words.load(target.entry_at, Ordering::Acquire) == Some(target.segment.0)
    }
}
