//! One segment: a header word and 255 slots, in lines of eight as large as a cache line.

#[cfg(loom)]
use std::array;
use std::sync::atomic::Ordering;

use super::header::HEADER_UNITS;
use super::slot::{self, DELETED, EMPTY};
use super::{Directory, Link};
use crate::error::{Error, Result};
use crate::map::lanes::Survey;
#[cfg(loom)]
use crate::map::lanes::survey;
#[cfg(not(loom))]
use crate::map::lanes::survey_shared;
use crate::map::words::AtomicU64;
#[cfg(loom)]
use crate::map::words::load_own;

/// Slots of a line. (The first word of a segment is its header and no slot.)
pub(super) const LINE_SLOTS: usize = if cfg!(loom) { 2 } else { 8 };
/// Lines of a segment.
pub(super) const LINES: usize = if cfg!(loom) { 2 } else { 32 };
/// Words of a unit of the file, which is a segment or a piece of a table.
pub(super) const UNIT_WORDS: usize = LINES * LINE_SLOTS;

/// The words of one line where they are.
pub(super) type LineCells = [AtomicU64; LINE_SLOTS];

/// The line where the search for a hash begins.
#[inline]
pub(super) fn home_line(hash: u64) -> usize {
    hash as usize % LINES
}

/// The line `steps` behind another; behind the last comes the first.
#[inline]
pub(super) fn line_after(line: usize, steps: usize) -> usize {
    (line + steps) % LINES
}

/// Where the slots of a line begin within it: the segment's header is no slot.
#[inline]
pub(super) fn first_slot(line: usize) -> usize {
    usize::from(line == 0)
}

/// What the slots of a line are, a bit for each.
#[derive(Debug, Clone, Copy)]
pub(super) struct LineSurvey {
    /// May hold an entry with one of the tags.
    pub(super) candidates: u32,
    /// Empty: no path leads on.
    pub(super) empty: u32,
    /// Without an entry: empty or deleted.
    pub(super) free: u32,
}

/// Looks through a line for entries with one of the tags, while its writer may be changing it.
#[inline]
pub(super) fn look_at(slots: &LineCells, line: usize, wanted: [u16; 2]) -> LineSurvey {
    #[cfg(not(loom))]
    let seen = survey_shared(slots, wanted);
    #[cfg(loom)]
    let seen = survey_few(|i| slots[i].load(Ordering::Acquire), wanted);
    slots_of(line, seen)
}

/// The same for the writer, who changes no header for a slot.
#[inline]
pub(super) fn look_at_own(slots: &LineCells, line: usize, wanted: [u16; 2]) -> LineSurvey {
    #[cfg(not(loom))]
    let seen = survey_shared(slots, wanted);
    #[cfg(loom)]
    let seen = survey_few(|i| load_own(&slots[i]), wanted);
    let seen = slots_of(line, seen);
    LineSurvey { candidates: seen.candidates & !u32::from(line == 0), ..seen }
}

/// Words behind a shorter line look deleted.
#[cfg(loom)]
fn survey_few(word: impl Fn(usize) -> u64, wanted: [u16; 2]) -> Survey {
    survey(array::from_fn(|i| if i < LINE_SLOTS { word(i) } else { DELETED }), wanted)
}

/// What was seen of a line's slots.
#[inline]
fn slots_of(line: usize, seen: Survey) -> LineSurvey {
    let slots_only = (u32::MAX << first_slot(line)) & ((1 << LINE_SLOTS) - 1);
    // (The segment's header has zeroes for a tag. Should it have others, it leads to a record as any damaged slot does.)
    LineSurvey { candidates: seen.wanted, empty: seen.zero & slots_only, free: !seen.high & slots_only }
}

/// How full a segment is. Kept in its header word by the writer, for the writer; searches never read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Fill {
    /// Slots with an entry.
    pub(super) live: u16,
    /// Slots that are not empty: live or deleted.
    pub(super) used: u16,
}

impl Fill {
    const LIVE_AT: u32 = 16;

    fn from_word(word: u64) -> Self {
        Self { live: (word >> Self::LIVE_AT) as u16, used: word as u16 }
    }

    fn to_word(self) -> u64 {
        u64::from(self.live) << Self::LIVE_AT | u64::from(self.used)
    }
}

impl Directory {
    /// A line of a segment; `None` outside of the file.
    #[inline]
    pub(super) fn line(&self, segment: Link, line: usize) -> Option<&LineCells> {
        self.words.line(segment.first_word() + (line * LINE_SLOTS) as u64)
    }

    /// How full a segment is, as its header says; for the writer.
    #[inline]
    pub(super) fn fill(&self, segment: Link) -> Fill {
        Fill::from_word(self.get_own(segment.first_word()))
    }

    #[inline]
    pub(super) fn set_fill(&self, segment: Link, fill: Fill) {
        self.set(segment.first_word(), fill.to_word());
    }

    /// All words of a segment, for the writer.
    pub(super) fn image(&self, segment: Link) -> Result<Image> {
        let words = self.words.load_own_line(segment.first_word());
        words.map(|words| Image { words }).ok_or_else(|| damaged(segment))
    }
}

/// The error for a link that leads nowhere.
pub(super) fn damaged(segment: Link) -> Error {
    let unit = segment.unit();
    debug_assert!(unit >= HEADER_UNITS);
    Error::corrupt("directory", unit.saturating_mul(UNIT_WORDS as u64 * 8), "no such segment in the file")
}

/// A segment's words outside of shared memory, to be looked through or filled.
pub(super) struct Image {
    pub(super) words: [u64; UNIT_WORDS],
}

impl Image {
    /// A segment without entries.
    pub(super) fn empty() -> Self {
        Self { words: [EMPTY; UNIT_WORDS] }
    }

    /// Every slot with an entry, and its index in the segment.
    pub(super) fn entries(&self) -> impl Iterator<Item = (usize, u64)> {
        let slots = self.words.iter().copied().enumerate().skip(1);
        slots.filter(|&(_, slot)| slot::location(slot).is_some())
    }

    /// Puts an entry into the first empty slot behind its home line. The caller sees to it that there is one.
    pub(super) fn place(&mut self, home: usize, entry: u64) {
        for steps in 0..LINES {
            let line = line_after(home, steps);
            let start = line * LINE_SLOTS;
            let slots = &mut self.words[start + first_slot(line)..start + LINE_SLOTS];
            if let Some(free) = slots.iter_mut().find(|slot| **slot == EMPTY) {
                *free = slot::with_steps(entry, steps as u64);
                return;
            }
        }
    }

    /// Counts its slots.
    pub(super) fn fill(&self) -> Fill {
        let slots = &self.words[1..];
        let used = slots.iter().filter(|&&slot| slot != EMPTY).count();
        Fill { live: self.entries().count() as u16, used: used as u16 }
    }

    /// Writes a fresh unit's words.
    pub(super) fn write_to(&self, directory: &Directory, segment: Link) {
        let Some(cells) = directory.words.line::<UNIT_WORDS>(segment.first_word()) else { return };
        // What was never used is empty already.
        for (cell, &word) in cells.iter().zip(&self.words).skip(1).filter(|(_, word)| **word != EMPTY) {
            cell.store(word, Ordering::Release);
        }
        directory.set_fill(segment, self.fill());
    }

    /// What a slot becomes when its entry goes: empty where no path leads through its line, else deleted.
    pub(super) fn vacant(is_passed: bool) -> u64 {
        if is_passed { DELETED } else { EMPTY }
    }
}
