//! Claims: an odd version word.

use std::cell::Cell;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::super::Inner;
use super::super::borrow::Deadline;
use super::super::read::out_of_bounds;
use super::owner::{Owner, is_changing};
use crate::chunk::{Record, SEALED, is_odd};
use crate::error::{Error, Result};
use crate::format::Kind;
use crate::protocol::{VERSION_BITS, VersionWord, WRITING};

/// So often a claim is tried again before the processor is given away for longer.
const SPINS: u32 = 64;
const PAUSE: Duration = Duration::from_micros(50);

/// An object that nobody else changes, supersedes or moves, for as long as this lives.
pub(crate) struct Claim<'a> {
    inner: &'a Inner,
    record: Record<'a>,
    /// The word as the claim has left it.
    odd: u64,
    /// It was found torn, and is not mended yet.
    torn: Cell<bool>,
}

/// What came of claiming an object that is about to be superseded.
pub(crate) enum OldClaim<'a> {
    /// Nobody changes it; `None`: nobody can.
    Free(Option<Claim<'a>>),
    Busy,
}

/// What one attempt came to.
enum Attempt {
    /// The odd word it has now.
    Claimed(u64),
    Sealed,
    AtWork,
    /// Left by a process that died.
    Torn(u64),
}

impl Claim<'_> {
    /// Whether the object was left half changed by a process that died, and is so still.
    pub(crate) fn is_torn(&self) -> bool {
        self.torn.get()
    }

    /// The object is whole again.
    pub(crate) fn mended(&self) {
        self.torn.set(false);
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        // A child has no part in its parent's claim, which the parent ends.
        if self.inner.is_forked() {
            return;
        }
        let version = self.odd & VERSION_BITS;
        let word = if self.torn.get() {
            // Nobody is at work, and nobody is done.
            Owner::NOBODY.mark() | version
        } else {
            self.record.settled_word(version, self.inner.chunks.seed)
        };
        // From its own word only: whoever was taken for dead has no say any more.
        let cell = self.record.version_to_change();
        if cell.is_some_and(|cell| !cell.end_claim(self.odd, word)) {
            tracing::warn!("a claim was ended by somebody else");
        }
        self.inner.claims.fetch_sub(1, Ordering::SeqCst);
    }
}

fn word_of<'r>(record: &'r Record<'_>) -> Result<VersionWord<'r>> {
    record.version_to_change().ok_or_else(|| out_of_bounds(record))
}

impl Inner {
    fn attempt(&self, cell: VersionWord<'_>, owner: Owner) -> Result<Attempt> {
        let word = cell.look();
        if word & SEALED != 0 {
            return Ok(Attempt::Sealed);
        }
        if word & WRITING != 0 {
            if self.is_at_work(word)? {
                return Ok(Attempt::AtWork);
            }
            // In this order: who came to its end in between has left another word.
            if cell.look() != word {
                return Ok(Attempt::AtWork);
            }
            // (Who died in superseding it has left it whole.)
            if is_changing(word) {
                return Ok(Attempt::Torn(word));
            }
            // But what supersedes it may be in the log already, though not in the directory: then the next writer finds that, and not
            // what another process has changed here.
            if self.attached.is_some() {
                return Ok(Attempt::AtWork);
            }
        }
        Ok(self.turn_odd(cell, word, owner).map_or(Attempt::AtWork, Attempt::Claimed))
    }

    /// From the word that was seen to an odd one with a mark of this process, which counts it.
    fn turn_odd(&self, cell: VersionWord<'_>, seen: u64, owner: Owner) -> Option<u64> {
        // Before anybody sees the word, and until it is gone.
        self.claims.fetch_add(1, Ordering::SeqCst);
        let odd = cell.claim(seen, owner.mark());
        if odd.is_none() {
            self.claims.fetch_sub(1, Ordering::SeqCst);
        }
        odd
    }

    /// Claims an object; `over_torn`: also one that a dead process has left half changed.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Torn`], [`Error::Sealed`].
    pub(crate) fn claim<'a>(
        &'a self,
        record: &Record<'a>,
        deadline: &mut Deadline,
        over_torn: bool,
    ) -> Result<Claim<'a>> {
        self.claim_as(self.owner(), record, deadline, over_torn)
    }

    fn claim_as<'a>(
        &'a self,
        owner: Owner,
        record: &Record<'a>,
        deadline: &mut Deadline,
        over_torn: bool,
    ) -> Result<Claim<'a>> {
        let cell = word_of(record)?;
        let key = || record.key().to_vec();
        let claimed = |odd, torn| Claim { inner: self, record: record.clone(), odd, torn: Cell::new(torn) };
        let mut tries = 0;
        loop {
            match self.attempt(cell, owner)? {
                Attempt::Claimed(odd) => return Ok(claimed(odd, false)),
                Attempt::Sealed => return Err(Error::Sealed { key: key() }),
                Attempt::Torn(_) if !over_torn => return Err(Error::Torn { key: key() }),
                // Somebody else may mend it at the same time: one of the two gets it. (Its bytes are not whole, whatever it is claimed for.)
                Attempt::Torn(word) => {
                    if let Some(odd) = self.turn_odd(cell, word, self.owner()) {
                        return Ok(claimed(odd, true));
                    }
                }
                Attempt::AtWork => {}
            }
            if deadline.is_over() {
                return Err(Error::Busy { key: key() });
            }
            tries += 1;
            if tries < SPINS { std::hint::spin_loop() } else { std::thread::sleep(PAUSE) }
        }
    }

    /// Claims the record that is about to be superseded, where other processes may be changing it; without waiting, so under the writer's lock.
    /// What is torn may go `over_torn`, where nobody reads it.
    pub(crate) fn claim_old<'a>(&'a self, old: Option<&Record<'a>>, over_torn: bool) -> Result<OldClaim<'a>> {
        let Some(old) = old else { return Ok(OldClaim::Free(None)) };
        self.claim_at_once(Owner::SUPERSEDING, old, over_torn)
    }

    /// The same for a record whose object goes on under another one. A body then is changed through the new record, while who has found the old
    /// one may be copying it.
    pub(crate) fn claim_to_move<'a>(&'a self, old: &Record<'a>) -> Result<OldClaim<'a>> {
        let has_body = old.header().kind == Kind::Extern;
        self.claim_at_once(if has_body { Owner::WRITER } else { Owner::SUPERSEDING }, old, false)
    }

    fn claim_at_once<'a>(&'a self, owner: Owner, old: &Record<'a>, over_torn: bool) -> Result<OldClaim<'a>> {
        if !self.shares_changes {
            return Ok(OldClaim::Free(None));
        }
        match self.claim_as(owner, old, &mut Deadline::Now, over_torn) {
            Ok(claim) => Ok(OldClaim::Free(Some(claim))),
            Err(Error::Sealed { .. }) => Ok(OldClaim::Free(None)),
            Err(Error::Busy { .. }) => Ok(OldClaim::Busy),
            Err(error) => Err(error),
        }
    }

    /// Waits a moment, without the writer's lock, for another process to end its change.
    ///
    /// # Errors
    /// [`Error::Busy`] when the time is up.
    pub(crate) fn wait_for_claim(record: Option<&Record<'_>>, deadline: &mut Deadline) -> Result<()> {
        if deadline.is_over() {
            return Err(Error::Busy { key: record.map_or_else(Vec::new, |record| record.key().to_vec()) });
        }
        std::thread::sleep(PAUSE);
        Ok(())
    }
}

/// Makes a word even that a dead process has left odd, unless somebody else has by now; whether this did. Never that of a sealed object.
pub(crate) fn settle_dead(record: &Record<'_>, odd: u64, seed: crate::format::RecordSeed) -> bool {
    let Some(cell) = record.version_to_change().filter(|_| is_odd(odd)) else { return false };
    let even = record.settled_word(odd & VERSION_BITS, seed);
    cell.end_claim(odd, even)
}
