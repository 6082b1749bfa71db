//! Making room before anything is written: splitting, tidying and rewriting segments, doubling the table.

use std::ops::Range;

use super::header::table_units;
use super::segment::{Fill, Image, LINE_SLOTS, LINES, home_line, line_after};
use super::slot;
use super::write::SlotRef;
use super::{Directory, Link, MAX_DEPTH, Target, field, prefix};
use crate::error::{Error, Result};
use crate::format::Location;

/// Most entries of a segment. More would save little and make searches run over more than one line often.
pub(super) const MAX_LIVE: usize = if cfg!(loom) { 2 } else { 176 };
/// Most slots of a segment that are not empty, so that searches for what is absent end soon.
const MAX_USED: usize = if cfg!(loom) { 3 } else { 208 };
/// Most deleted slots, for the same reason: they come from removing, and most can be made empty again.
const MAX_DELETED: usize = if cfg!(loom) { 3 } else { 48 };
/// Tidying that gains less than this is followed by something that gains more.
const WORTHWHILE: usize = if cfg!(loom) { 1 } else { 16 };
/// From here on a segment that cannot be tidied is rather split than rewritten: both cost a unit.
const RATHER_SPLIT: usize = if cfg!(loom) { 3 } else { MAX_LIVE * 3 / 4 };

/// How the directory gets more file, and looks into records; both may fail, and nothing is half done then.
pub(crate) struct Supply<'a> {
    /// Makes the file at least so many words long, backed by reserved space.
    pub(crate) grow: &'a mut dyn FnMut(u64) -> Result<()>,
    /// Hash of the key of the record at a location. Needed for very few entries: those that stayed through many
    /// splits, or lie far from their home line.
    pub(crate) rehash: &'a mut dyn FnMut(Location) -> Result<u64>,
}

/// An entry of a segment that is taken apart.
struct Entry {
    /// Index in the segment.
    at: usize,
    slot: u64,
    home: usize,
}

impl Directory {
    /// Makes sure that every one of these hashes can be inserted afterwards: the insertions cannot fail and need no
    /// space. Only for keys without entry; those that have one keep their slot. Sorts the hashes.
    ///
    /// # Errors
    ///
    /// What `supply` says; `Exhausted` or `TooLarge` when there are too many hashes for one place, or for the file. What
    /// was in the directory before is still there then, and nothing else.
    pub(crate) fn reserve(&self, hashes: &mut [u64], supply: &mut Supply<'_>) -> Result<()> {
        if let [hash] = *hashes
            && self.own_target(hash).is_some_and(|target| self.fill(target.segment).has_room(1, 0))
        {
            return Ok(());
        }
        hashes.sort_unstable();
        let mut rest = &*hashes;
        while let Some(&hash) = rest.first() {
            let target = self.own_target(hash).ok_or_else(|| self.lost(hash))?;
            let depth = target.segment.depth();
            let group = rest.partition_point(|&other| prefix(other, depth) == prefix(hash, depth));
            if self.fill(target.segment).has_room(group, 0) {
                rest = &rest[group..];
            } else {
                self.make_room(hash, &target, group, rest.len(), supply)?;
            }
        }
        Ok(())
    }

    /// Makes segments for so many objects at once, in a directory that was just made: they will not have to be split one by one.
    ///
    /// # Errors
    ///
    /// What `grow` says, and `TooLarge`. The directory is as it was then.
    pub(crate) fn widen(&self, objects: u64, grow: &mut dyn FnMut(u64) -> Result<()>) -> Result<()> {
        /// As few entries as there are in a segment that was just split: so nothing is larger than it would be anyway.
        const FEWEST: u64 = MAX_LIVE as u64 / 2;
        debug_assert_eq!(self.len(), 0, "what is in it would be lost");
        let Some(old) = self.root() else { return Ok(()) };
        let depth = (objects / FEWEST).max(1).ilog2().min(MAX_DEPTH);
        if depth <= old.depth() {
            return Ok(());
        }
        let first = self.allocate((1 << depth) + table_units(depth), grow)?;
        let table = Link::new(first + (1 << depth), depth);
        for number in 0..1 << depth {
            self.set(table.first_word() + number, Link::new(first + number, depth).0);
        }
        self.set(field::ROOT, table.0);
        self.count_dead(1 + table_units(old.depth()));
        Ok(())
    }

    /// Whether a new entry can be stored in this slot without [`reserve`](Self::reserve).
    #[inline]
    pub(crate) fn has_room(&self, slot: &SlotRef) -> bool {
        self.fill(slot.segment()).has_room(1, 0)
    }

    /// Does what helps most, by counting what is really there: the segment has room then, or its depth has grown.
    fn make_room(
        &self,
        hash: u64,
        target: &Target,
        group: usize,
        pending: usize,
        supply: &mut Supply<'_>,
    ) -> Result<()> {
        let image = self.image(target.segment)?;
        let live = usize::from(image.fill().live);
        if live + group <= MAX_LIVE {
            let entries = take_apart(&image, target.segment.depth(), false, supply)?;
            let tidied = self.settle(target.segment, &image, &entries);
            if tidied.has_room(group, WORTHWHILE) {
                return Ok(());
            }
            if live + group < RATHER_SPLIT {
                return self.rewrite(hash, target, &entries, supply);
            }
        }
        if target.segment.depth() == target.root.depth() {
            return self.double(target.root, pending, supply);
        }
        self.split(hash, target, &image, supply)
    }

    /// Moves the entries whose next hash bit is 1 to a new segment.
    fn split(&self, hash: u64, target: &Target, image: &Image, supply: &mut Supply<'_>) -> Result<()> {
        let depth = target.segment.depth();
        let mut staying = take_apart(image, depth, true, supply)?;
        let upper = Link::new(self.allocate(1, supply.grow)?, depth + 1);
        let lower = Link::new(target.segment.unit(), depth + 1);

        let mut new = Image::empty();
        staying.retain(|entry| {
            let moves = slot::split_bit(entry.slot, depth);
            if moves {
                new.place(entry.home, entry.slot);
            }
            !moves
        });
        new.write_to(self, upper);

        // A tag that will expire with the new depth is renewed before anybody learns of that depth.
        for entry in staying.iter().filter(|entry| image.words[entry.at] != entry.slot) {
            self.set(lower.first_word() + entry.at as u64, entry.slot);
        }

        let (first, count) = standing(hash, target);
        let middle = first + count / 2;
        self.set_all(middle..first + count, upper);
        self.set_all(first..middle, lower);

        // Searches that still come here for what has moved find the table changed.
        self.settle(lower, image, &staying);
        Ok(())
    }

    /// Copies the entries to a new segment, without the deleted slots between them.
    fn rewrite(&self, hash: u64, target: &Target, entries: &[Entry], supply: &mut Supply<'_>) -> Result<()> {
        let segment = Link::new(self.allocate(1, supply.grow)?, target.segment.depth());
        let mut new = Image::empty();
        for entry in entries {
            new.place(entry.home, entry.slot);
        }
        new.write_to(self, segment);
        let (first, count) = standing(hash, target);
        self.set_all(first..first + count, segment);
        self.count_dead(1);
        Ok(())
    }

    /// Writes a table twice as long, then makes it the table.
    fn double(&self, root: Link, pending: usize, supply: &mut Supply<'_>) -> Result<()> {
        /// Words of the table per segment. Two to four are normal; more come only from hashes that are not random.
        const LOPSIDED: u64 = 16;
        /// As many segments may be full of such hashes in a small directory.
        const SMALL: u64 = 1024;
        let depth = root.depth() + 1;
        let units = self.get_own(field::NEXT_UNIT).saturating_add(pending as u64).saturating_add(SMALL);
        if depth > MAX_DEPTH || 1 << depth > units.saturating_mul(LOPSIDED) {
            return Err(Error::Exhausted {
                what: "room in the directory for keys with nearly the same hash",
            });
        }
        let old = root.first_word();
        let table = Link::new(self.allocate(table_units(depth), supply.grow)?, depth);
        let new = table.first_word();
        for at in 0..1 << root.depth() {
            let entry = self.get_own(old + at);
            self.set(new + 2 * at, entry);
            self.set(new + 2 * at + 1, entry);
        }
        self.set(field::ROOT, table.0);
        self.count_dead(table_units(root.depth()));
        Ok(())
    }

    /// Lets words of the table lead to a segment.
    fn set_all(&self, words: Range<u64>, segment: Link) {
        for at in words {
            self.set(at, segment.0);
        }
    }

    /// Leaves only `staying` in a segment, each where it is. Slots become empty where none of their paths leads through,
    /// else deleted: a search must not end before it has reached what it looks for.
    fn settle(&self, segment: Link, old: &Image, staying: &[Entry]) -> Fill {
        let mut passed = 0_u32;
        for entry in staying {
            let line = entry.at / LINE_SLOTS;
            let path = (0..LINES).map(|steps| line_after(entry.home, steps));
            path.take_while(|&on_path| on_path != line).for_each(|on_path| passed |= 1 << on_path);
        }
        let mut new = Image::empty();
        for (at, slot) in new.words.iter_mut().enumerate().skip(1) {
            *slot = Image::vacant(passed >> (at / LINE_SLOTS) & 1 == 1);
        }
        for entry in staying {
            new.words[entry.at] = entry.slot;
        }
        let slots = new.words.iter().zip(&old.words).enumerate().skip(1);
        for (at, (&slot, _)) in slots.filter(|(_, (new, old))| new != old) {
            self.set(segment.first_word() + at as u64, slot);
        }
        let fill = new.fill();
        self.set_fill(segment, fill);
        fill
    }
}

impl Fill {
    /// Whether so many entries more leave the segment in bounds, with so many slots to spare.
    #[inline]
    pub(super) fn has_room(self, more: usize, spare: usize) -> bool {
        let (live, used) = (usize::from(self.live), usize::from(self.used));
        live + more <= MAX_LIVE && used + more + spare <= MAX_USED && used + spare <= live + MAX_DELETED
    }
}

/// The words of the table that lead to a target: where they begin, how many they are.
fn standing(hash: u64, target: &Target) -> (u64, u64) {
    let (root, depth) = (target.root, target.segment.depth());
    let below = root.depth().saturating_sub(depth);
    (root.first_word() + (prefix(hash, depth) << below), 1 << below)
}

/// The entries of a segment with their home lines; for a split, with tags that outlive it. Records are read only where
/// the slot does not tell.
fn take_apart(image: &Image, depth: u32, to_split: bool, supply: &mut Supply<'_>) -> Result<Vec<Entry>> {
    let mut entries = Vec::with_capacity(image.words.len());
    for (at, mut slot) in image.entries() {
        let line = at / LINE_SLOTS;
        let expires = to_split && slot::expires(slot, depth);
        let home = match (slot::steps(slot), slot::location(slot)) {
            (Some(steps), _) if !expires => line_after(line, LINES - steps as usize % LINES),
            (_, Some(location)) => {
                let hash = (supply.rehash)(location)?;
                let home = home_line(hash);
                let steps = line_after(line, LINES - home);
                slot = slot::with_location(slot::new_entry(hash, depth, steps as u64), location);
                home
            }
            (_, None) => continue,
        };
        entries.push(Entry { at, slot, home });
    }
    Ok(entries)
}
