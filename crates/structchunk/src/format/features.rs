//! The three feature masks, as ext4 has them.

use zerocopy::little_endian::U64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What a store uses beyond the basic format. Stands in every checkpoint and in every chunk's header page.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub(crate) struct Features {
    /// Unknown bits are ignored.
    pub compat: U64,
    /// Unknown bits: the store may be read but not written.
    pub ro_compat: U64,
    /// Unknown bits: the store may not be opened.
    pub incompat: U64,
}

/// In `incompat`: the files of chunks grow in steps, and may be shorter than the capacity.
const STEPWISE: u64 = 1;
/// In `incompat`: other processes than the writer change objects in place, so nobody may refer to one that is not sealed.
const SHARED: u64 = 2;

/// In `ro_compat`: there are or were sealed objects, which nobody may change in place.
const SEALED: u64 = 1;

/// What this version knows.
pub(crate) const KNOWN: Features =
    Features { compat: U64::ZERO, ro_compat: U64::new(SEALED), incompat: U64::new(STEPWISE | SHARED) };

impl Features {
    /// Of a store whose files have no holes.
    pub(crate) fn stepwise() -> Self {
        Self { incompat: U64::new(STEPWISE), ..Self::default() }
    }

    /// Of a store whose objects other processes change.
    pub(crate) fn shared() -> Self {
        Self { incompat: U64::new(SHARED), ..Self::default() }
    }

    /// Whether other processes than the writer change objects in place.
    pub(crate) fn shares_changes(&self) -> bool {
        self.incompat.get() & SHARED != 0
    }

    /// Of a store with sealed objects.
    pub(crate) fn sealed() -> Self {
        Self { ro_compat: U64::new(SEALED), ..Self::default() }
    }

    /// Whether there may be sealed objects.
    pub(crate) fn has_sealed(&self) -> bool {
        self.ro_compat.get() & SEALED != 0
    }

    /// Whether files have no holes: those of chunks grow in steps, and bodies are written in full.
    pub(crate) fn is_stepwise(&self) -> bool {
        self.incompat.get() & STEPWISE != 0
    }

    /// Whether this version must not write what has them.
    pub(crate) fn are_unknown(&self) -> bool {
        self.unknown_incompat() | self.unknown_ro_compat() != 0
    }

    /// Adds the bits of others.
    pub(crate) fn join(&mut self, others: &Self) {
        self.compat |= others.compat;
        self.ro_compat |= others.ro_compat;
        self.incompat |= others.incompat;
    }

    /// Bits of `incompat` that this version does not know.
    pub(crate) fn unknown_incompat(&self) -> u64 {
        self.incompat.get() & !KNOWN.incompat.get()
    }

    /// Bits of `ro_compat` that this version does not know.
    pub(crate) fn unknown_ro_compat(&self) -> u64 {
        self.ro_compat.get() & !KNOWN.ro_compat.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features(compat: u64, ro_compat: u64, incompat: u64) -> Features {
        Features { compat: compat.into(), ro_compat: ro_compat.into(), incompat: incompat.into() }
    }

    #[test]
    fn unknown_bits_keep_from_reading_or_from_writing_and_known_ones_do_not() {
        let told = |features: &Features| {
            (features.unknown_incompat(), features.unknown_ro_compat(), features.are_unknown())
        };
        assert_eq!(told(&Features::default()), (0, 0, false));
        assert_eq!(told(&Features::stepwise()), (0, 0, false));
        assert_eq!(told(&features(u64::MAX, 0, STEPWISE)), (0, 0, false), "compat is ignored");
        assert_eq!(told(&Features::shared()), (0, 0, false));
        assert_eq!(told(&Features::sealed()), (0, 0, false));
        assert_eq!(told(&features(0, 4 | SEALED, STEPWISE)), (0, 4, true));
        assert_eq!(told(&features(0, 0, 6 | STEPWISE)), (4, 0, true));
        assert_eq!(told(&features(0, 6, 6)), (4, 6, true));
    }

    #[test]
    fn a_store_grows_in_steps_where_its_bit_says_so() {
        assert_eq!(Features::stepwise(), features(0, 0, 1));
        assert!(Features::stepwise().is_stepwise() && features(0, 0, 3).is_stepwise());
        assert!(!Features::default().is_stepwise() && !features(1, 1, 2).is_stepwise());
    }

    #[test]
    fn bits_of_others_are_added() {
        let mut sum = features(1, 2, 4);
        sum.join(&features(8, 18, 36));
        assert_eq!(sum, features(9, 18, 36));
        sum.join(&Features::default());
        assert_eq!(sum, features(9, 18, 36));
    }
}
