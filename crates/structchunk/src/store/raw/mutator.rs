//! Changing in place, beside the writer, what is described at run time only.

use crate::error::Result;
use crate::store::{Mutator, Store};

/// The calls of a mutator for objects whose types are known at run time only; see [`Mutator::raw`].
#[derive(Debug, Clone, Copy)]
pub struct RawMutator<'m> {
    mutator: &'m Mutator,
}

impl Mutator {
    /// The calls for objects whose types are known at run time only.
    pub fn raw(&self) -> RawMutator<'_> {
        RawMutator { mutator: self }
    }
}

impl RawMutator<'_> {
    /// Does something in the present session, or the next one.
    pub(super) fn in_session<R>(self, action: impl Fn(&Store) -> Result<R>) -> Result<R> {
        self.mutator.ask(|session| session.ask(&action))
    }
}
