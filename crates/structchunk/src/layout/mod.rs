//! What bytes mean: layouts of types, their fingerprints, and the traits of what can be stored.

/// Two layouts that should be equal and are not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayoutMismatch {}

impl std::fmt::Display for LayoutMismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("layouts differ")
    }
}
