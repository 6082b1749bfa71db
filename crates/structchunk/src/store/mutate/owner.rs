//! Whose an odd version word is, and whether that one lives.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::super::shared::Shared;
use super::super::{Inner, lock::WRITER_BYTE};
use crate::chunk::is_odd;
use crate::disk::{File, Lock};
use crate::error::Result;

/// How many bits of the word name the slot; as many as lie above them in the upper half name its generation.
const SLOT_BITS: u32 = 15;
const GENERATION_BITS: u32 = 17;
/// Slots from 1 to this have a generation in `shared`.
pub(crate) const SLOTS: u16 = 494;

/// What the upper half of an odd version word says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    /// The byte of `LOCK`; 0 is the writer's.
    pub slot: u16,
    /// Of the slot; 0 for the writer.
    pub generation: u32,
}

impl Owner {
    pub(crate) const WRITER: Self = Self { slot: 0, generation: 0 };
    /// What no process ever is: the claim of one that gave up.
    pub(crate) const NOBODY: Self = Self { slot: 0, generation: 1 };
    /// The writer, which puts another object in the place of this one, removes, seals or moves it, and does not touch its bytes.
    pub(crate) const SUPERSEDING: Self = Self { slot: 0, generation: 2 };
    pub(crate) const LARGEST_GENERATION: u32 = (1 << GENERATION_BITS) - 1;

    pub(crate) fn of(word: u64) -> Self {
        let half = (word >> 32) as u32;
        Self { slot: (half & ((1 << SLOT_BITS) - 1)) as u16, generation: half >> SLOT_BITS }
    }

    /// Whether it is the writer, whatever it does.
    fn is_the_writer(self) -> bool {
        self == Self::WRITER || self == Self::SUPERSEDING
    }

    /// The upper half of a word.
    pub(crate) fn mark(self) -> u64 {
        (u64::from(self.slot) | u64::from(self.generation) << SLOT_BITS) << 32
    }
}

/// Whether the bytes of an object with this word change, or may have been left half changed. (They do not where it is only superseded.)
#[inline]
pub(crate) fn is_changing(word: u64) -> bool {
    is_odd(word) && Owner::of(word) != Owner::SUPERSEDING
}

/// What tells whether the owner of a claim lives.
#[derive(Clone, Copy)]
pub(crate) struct Claims<'a> {
    pub shared: &'a Shared,
    pub lock: Option<&'a File>,
}

impl Claims<'_> {
    /// Whether a mutator with this claim lives. A word may say anything: what no mutator can have written is nobody's.
    ///
    /// A slot that is used again has another generation before its next owner can claim anything: generations rise by one, so they are the same only
    /// after 131,072 uses of the slot. Then a claim that was left over looks as if somebody were at work, until that process ends.
    pub(crate) fn is_mutator_alive(self, owner: Owner) -> Result<bool> {
        if !(1..=SLOTS).contains(&owner.slot) || self.shared.generation(owner.slot) != owner.generation {
            return Ok(false);
        }
        self.lock.map_or(Ok(false), |lock| lock.probe(owner.slot.into(), Lock::Shared))
    }

    /// Whether any process has a slot.
    pub(crate) fn any_mutator(self) -> Result<bool> {
        self.lock.map_or(Ok(false), |lock| lock.probe_any(1..u64::from(SLOTS) + 1, Lock::Shared))
    }
}

impl Inner {
    /// Who this process is.
    pub(crate) fn owner(&self) -> Owner {
        self.slot.as_ref().map_or(Owner::WRITER, |slot| slot.owner())
    }

    /// Whether whoever has made a word odd may still make it even.
    pub(crate) fn is_at_work(&self, word: u64) -> Result<bool> {
        let owner = Owner::of(word);
        if !self.shares_changes {
            // Nobody but the writer changes anything.
            return self
                .attached
                .as_ref()
                .map_or(Ok(!self.read_only), super::super::attach::Watch::has_writer);
        }
        // The parent's process, of which a child cannot tell.
        if self.is_forked() {
            return Ok(true);
        }
        // Another thread of this process; the writer, which no generation tells from those before, counts its claims.
        match &self.slot {
            Some(slot) if owner == slot.owner() => return Ok(true),
            None if !self.read_only && owner.is_the_writer() => {
                return Ok(self.claims.load(Ordering::SeqCst) != 0);
            }
            _ => {}
        }
        let own;
        let claims = match &self.attached {
            Some(watch) => {
                if owner.is_the_writer() {
                    return watch.has_writer();
                }
                // The page of all: whoever follows no writer has one of its own besides, in which nobody has a slot.
                Claims { shared: watch.page().unwrap_or(&self.shared), lock: watch.lock() }
            }
            None if owner.is_the_writer() => return Ok(false),
            None if self.read_only => {
                // Its own page is a private one.
                own = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
                let page = Shared::open(&self.root)?;
                let lock = own.as_ref();
                return page.map_or(Ok(false), |page| Claims { shared: &page, lock }.is_mutator_alive(owner));
            }
            None => {
                own = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
                if own.is_none() {
                    // The store was closed: nothing is known any more.
                    return Ok(true);
                }
                Claims { shared: &self.shared, lock: own.as_ref() }
            }
        };
        claims.is_mutator_alive(owner)
    }
}

const _: () = assert!(SLOT_BITS + GENERATION_BITS == 32 && WRITER_BYTE == 0);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_comes_back_and_leaves_the_version_alone() {
        for owner in [
            Owner::WRITER,
            Owner::SUPERSEDING,
            Owner { slot: 1, generation: 1 },
            Owner { slot: SLOTS, generation: Owner::LARGEST_GENERATION },
            Owner { slot: 0x7fff, generation: 0 },
        ] {
            assert_eq!(Owner::of(owner.mark()), owner);
            assert_eq!(Owner::of(owner.mark() | 0xffff_ffff), owner);
            assert_eq!(owner.mark() as u32, 0);
        }
        assert_eq!(Owner { slot: 1, generation: 2 }.mark() >> 32, 0x1_0001);
    }
}
