//! Changing objects in place from several processes.
//!
//! In a store with the feature *shared* an object may be changed by its writer and by any number of mutators ([`Slot`]). Among threads of one
//! process the table of borrows keeps order; among processes the version word does: whoever changes an object, or puts another in its place,
//! moves it, renames or removes it, first makes its version odd, by a compare-and-swap from an even one ([`Claim`]). Whoever comes to a claim
//! looks *then* whether the record is still the current one of its key. From there on nobody supersedes or moves it, so nothing is lost that has
//! returned, and no change goes to an object that is no longer there.
//!
//! While the version is odd, the other half of the word says whose claim it is ([`Owner`]): a slot of `LOCK` and the slot's generation. The kernel gives
//! back a dead process's slot, so a claim is dead when its slot is free or has another generation; nobody asks for process ids, which are
//! used again.

mod claim;
mod dirty;
mod owner;
mod slot;
mod staged;
mod torn;

pub(crate) use claim::{Claim, OldClaim, settle_dead};
pub(crate) use dirty::mark_held;
pub(crate) use owner::{Claims, Owner, SLOTS, is_changing};
pub(crate) use slot::Slot;
pub(crate) use staged::{Claimed, Staged};
