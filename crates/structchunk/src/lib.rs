//! A typed, zero-copy key -> object store.

mod error;
mod format;
mod key;
mod layout;

pub use error::{Error, Result};
pub use key::{EscapedKey, MAX_KEY_BYTES};
pub use layout::LayoutMismatch;
