//! A mutator's slot: a byte of `LOCK` that it has alone as long as it lives.

use super::super::lock::lock_file_there;
use super::super::shared::Shared;
use super::owner::{Owner, SLOTS};
use crate::disk::{self, Access, File, Folder, Lock};
use crate::error::{Error, Result};

/// The slot of a process that changes objects in place. It goes with the process, or with this.
pub(crate) struct Slot {
    lock: File,
    owner: Owner,
    /// How often the process had forked.
    process: u32,
}

impl Slot {
    /// Takes a slot and gives it its next generation, before anything is claimed with it.
    pub(crate) fn take(root: &Folder) -> Result<Self> {
        let shared = Shared::open_to_write(root)?;
        let Some(shared) = shared else { return Err(Error::NoWriter { path: root.path().to_owned() }) };
        let lock = lock_file_there(root, Access::Write)?;
        for slot in 1..=SLOTS {
            if !lock.try_lock(slot.into(), Lock::Exclusive)? {
                continue;
            }
            let generation = match shared.generation(slot) {
                // Nobody knows what was before: words of another boot, or from before `shared` was lost, may be odd still.
                0 => u32::from_le_bytes(disk::random_bytes()?) & Owner::LARGEST_GENERATION,
                last => last.wrapping_add(1) & Owner::LARGEST_GENERATION,
            };
            let generation = generation.max(1);
            shared.set_generation(slot, generation);
            return Ok(Self { lock, owner: Owner { slot, generation }, process: disk::forks() });
        }
        Err(Error::Exhausted { what: "slots for processes that change objects" })
    }

    /// Whether it is that of the process of which this one is a child.
    pub(crate) fn is_inherited(&self) -> bool {
        disk::forks() != self.process
    }

    pub(crate) fn owner(&self) -> Owner {
        self.owner
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // (In a forked child it is another file by now, and the parent keeps its slot.)
        if let Err(error) = self.lock.unlock(self.owner.slot.into()) {
            tracing::debug!(%error, "the slot goes with the lock's file");
        }
    }
}
