//! What bytes mean: layouts of types, their fingerprints, and the traits of what can be stored.

mod fingerprint;
mod impls;
mod kind;
mod object;
mod racy;
mod shape;
mod statics;
#[doc(hidden)]
pub mod support;
mod wrappers;

pub use fingerprint::{Fingerprint, ParseFingerprintError};
pub use kind::{ByteOrder, Kind, Presentation, Scalar, TimeBase, TimeUnit};
pub use object::{Object, Plain, SharedAtomic};
pub use shape::Shape;
pub use statics::{MAX_DIMENSIONS, TypeLayout};
pub use wrappers::{Bool, F16};

/// Two layouts that should be equal and are not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayoutMismatch {}

impl std::fmt::Display for LayoutMismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("layouts differ")
    }
}
