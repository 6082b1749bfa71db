//! A typed, zero-copy key -> object store.

// So that `#[derive(Object)]`, which writes `::structchunk`, works in here too.
extern crate self as structchunk;

mod directory;
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
    Bool, ByteOrder, DecodeError, F16, Field, FieldContent, Fingerprint, Json, Kind, Layout, LayoutError,
    LayoutMismatch, MAX_DEPTH, MAX_DIMENSIONS, MAX_ENCODED_BYTES, MAX_TYPE_BYTES, Object,
    ParseFingerprintError, Plain, Presentation, Scalar, Shape, SharedAtomic, TimeBase, TimeUnit, TypeLayout,
    Value,
};
pub use structchunk_derive::Object;

#[doc(hidden)]
pub use layout::support as __derive;

#[doc(hidden)]
pub mod testing {
    //! Fault injection for tests. No part of the API.

    pub use crate::disk::{Call, Event, Fault, Faults};
}
