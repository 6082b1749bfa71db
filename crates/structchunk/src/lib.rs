//! A typed, zero-copy key -> object store.

// So that `#[derive(Object)]`, which writes `::structchunk`, works in here too.
extern crate self as structchunk;

mod chunk;
mod directory;
mod disk;
mod error;
mod format;
mod key;
mod layout;
mod map;
mod sparse_table;
mod store;

pub use error::{Error, Result};
pub use key::{EscapedKey, MAX_KEY_BYTES};
pub use layout::{
    Bool, ByteOrder, DecodeError, F16, Field, FieldContent, Fingerprint, Json, Kind, Layout, LayoutError,
    LayoutMismatch, MAX_DEPTH, MAX_DIMENSIONS, MAX_ENCODED_BYTES, MAX_TYPE_BYTES, Object,
    ParseFingerprintError, Plain, Presentation, Scalar, Shape, SharedAtomic, TimeBase, TimeUnit, TypeLayout,
    Value,
};
pub use store::{
    AtomicRef, Batch, Check, ChunkStats, Entry, Finding, Found, Iter, Loan, Options, OwnedRef,
    RecoveryReport, Ref, RefMut, Space, Stats, Store, StoredType,
};
pub use structchunk_derive::Object;

#[doc(hidden)]
pub use layout::support as __derive;

#[doc(hidden)]
pub mod testing {
    //! Fault injection for tests. No part of the API.

    pub use crate::disk::{Call, Event, Fault, Faults};
}
