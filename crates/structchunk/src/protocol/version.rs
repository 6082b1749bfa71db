//! The version word of a record: odd while somebody changes the object in place.
//!
//! For readers a seqlock (Boehm, "Can Seqlocks Get Along With Programming Language Memory Models?", MSPC 2012): what is read between a
//! look at the word and another one that finds it unchanged was there at one moment. The object's own words are loaded and stored
//! relaxed. Whoever changes it is either the only one who may (a borrow of the writer's), or claims it by a compare-and-swap.
#![expect(clippy::inline_always, reason = "part of the usual load, see `store/glance.rs`")]

use std::sync::atomic::Ordering;

use crate::map::words::{AtomicU64, fence, load_own};

/// The lowest bit of the version: somebody changes the object in place.
pub(crate) const WRITING: u64 = 1;
/// The half of the word that is the version. The other half is a checksum, or while the version is odd says whose claim it is.
pub(crate) const VERSION_BITS: u64 = 0xffff_ffff;
/// Versions have 31 bits; the 32nd means sealed.
const LARGEST_VERSION: u64 = 0x7fff_fffe;

/// The version that follows when a change ends which began at this one.
pub(crate) fn next_version(version: u64) -> u64 {
    (version & !WRITING).wrapping_add(2) & LARGEST_VERSION
}

/// The word where it lies.
#[derive(Clone, Copy)]
pub(crate) struct VersionWord<'a>(&'a AtomicU64);

impl<'a> VersionWord<'a> {
    #[inline(always)]
    pub(crate) fn new(word: &'a AtomicU64) -> Self {
        Self(word)
    }

    /// The word as it is, before anything of the object is read.
    #[inline(always)]
    pub(crate) fn look(self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Whether the word has stayed as [`look`](Self::look) has seen it: then nobody has changed what was read in between.
    #[inline(always)]
    pub(crate) fn is_still(self, before: u64) -> bool {
        // Who has read anything of a change sees that the word was odd.
        fence(Ordering::Acquire);
        self.0.load(Ordering::Relaxed) == before
    }

    /// Makes the version odd, for the only one who may change the object. The other half of the word then names the writer: 0.
    #[inline]
    pub(crate) fn begin_change(self) {
        self.0.store(load_own(self.0) & VERSION_BITS | WRITING, Ordering::Relaxed);
        // What is stored from here on is seen by nobody who does not see the odd word.
        fence(Ordering::Release);
    }

    /// Ends a change of the only one who may: with an even word, another one than before.
    #[inline]
    pub(crate) fn end_change(self, even: u64) {
        self.0.store(even, Ordering::Release);
    }

    /// From the word that was seen, and from no other, to an odd one with a mark, which is returned. That the same word may have come back
    /// meanwhile (its version wraps after 2^30 changes) is no matter: nothing that was read before the claim counts.
    pub(crate) fn claim(self, seen: u64, mark: u64) -> Option<u64> {
        let odd = mark | seen & VERSION_BITS | WRITING;
        let swapped = self.0.compare_exchange(seen, odd, Ordering::AcqRel, Ordering::Relaxed);
        // As in `begin_change`.
        fence(Ordering::Release);
        swapped.is_ok().then_some(odd)
    }

    /// Ends a claim, from its own word only; whether that was still there.
    pub(crate) fn end_claim(self, odd: u64, word: u64) -> bool {
        self.0.compare_exchange(odd, word, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}
