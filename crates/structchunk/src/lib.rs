//! A typed, zero-copy key -> object store.

// So that `#[derive(Object)]`, which writes `::structchunk`, works in here too.
extern crate self as structchunk;

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
pub use layout::{
    Bool, ByteOrder, F16, Fingerprint, Kind, LayoutMismatch, MAX_DIMENSIONS, Object, ParseFingerprintError,
    Plain, Presentation, Scalar, Shape, SharedAtomic, TimeBase, TimeUnit, TypeLayout,
};
pub use structchunk_derive::Object;

#[doc(hidden)]
pub use layout::support as __derive;

#[doc(hidden)]
pub mod testing {
    //! Fault injection for tests. No part of the API.

    pub use crate::disk::{Call, Event, Fault, Faults};
}
