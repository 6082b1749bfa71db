//! A typed, zero-copy key -> object store.

#[allow(dead_code, unused_imports, reason = "the store is built on it")]
mod disk;
mod error;
mod format;
mod key;
mod layout;
#[allow(dead_code, unused_imports, reason = "the store is built on it")]
mod map;

pub use error::{Error, Result};
pub use key::{EscapedKey, MAX_KEY_BYTES};
pub use layout::LayoutMismatch;

#[doc(hidden)]
pub mod testing {
    //! Fault injection for tests. No part of the API.

    pub use crate::disk::{Call, Event, Fault, Faults};
}
