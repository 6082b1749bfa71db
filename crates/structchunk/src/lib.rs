//! A typed, zero-copy key -> object store: C structs in memory-mapped, sparse chunk files, found by key.
//!
//! The object's memory *is* the file: reading a field is a load, writing one is a store, and the kernel pages. [`Store`] is the
//! handle, `#[derive(`[`Object`](macro@Object)`)]` makes a `#[repr(C)]` struct storable, [`Layout`] is what the store knows of a type.
//!
//! ```
//! use structchunk::{Object, Store};
//!
//! #[derive(Object, Clone, Copy, Debug, PartialEq)]
//! #[repr(C)]
//! struct Quote { bid: f64, ask: f64, volume: u64 }
//!
//! # fn main() -> structchunk::Result<()> {
//! let store = Store::in_memory()?;
//! store.put("EURUSD", &Quote { bid: 1.07, ask: 1.08, volume: 0 })?;
//! store.update("EURUSD", |quote: &mut Quote| quote.volume += 5)?;
//! assert_eq!(store.load::<Quote>("EURUSD")?.map(|quote| quote.volume), Some(5));
//! assert!(store.load::<u64>("EURUSD").is_err());
//! # Ok(())
//! # }
//! ```
//!
//! What survives what is said under *Durability* at every method, and promised in PROMISES.md.

#![cfg_attr(loom, allow(dead_code, unused_imports))]

// So that `#[derive(Object)]`, which writes `::structchunk`, works in here too.
extern crate self as structchunk;

// Under the model checker only what races over words is built.
#[cfg(not(loom))]
mod chunk;
mod directory;
#[cfg(not(loom))]
mod disk;
mod error;
mod format;
#[cfg(not(loom))]
mod index;
mod key;
mod layout;
mod map;
mod protocol;
mod quick_crc;
#[cfg(not(loom))]
mod quick_hash;
#[cfg(not(loom))]
mod sparse_table;
#[cfg(not(loom))]
mod store;
#[cfg(not(loom))]
mod table;

pub use error::{Error, Result};
pub use key::{AsKey, EscapedKey, Key, KeyError, KeyReader, KeyWriter, MAX_KEY_BYTES};
pub use layout::{
    Bool, ByteOrder, DecodeError, Evolves, F16, Field, FieldContent, Fingerprint, Json, Kind, Layout,
    LayoutError, LayoutMismatch, MAX_DEPTH, MAX_DIMENSIONS, MAX_ENCODED_BYTES, MAX_TYPE_BYTES, Object,
    ParseFingerprintError, Plain, Presentation, Scalar, Shape, SharedAtomic, TimeBase, TimeUnit, TypeLayout,
    Value,
};
#[cfg(not(loom))]
pub use map::explain_bus_errors;
#[cfg(not(loom))]
pub use store::{
    AtomicRef, AtomicView, Batch, Check, ChunkStats, CompactProgress, CompactReport, Compaction,
    CopyProgress, CopyReport, Entry, Finding, Found, Iter, KeyEntry, Keys, LeftReason, Loan, Mutator,
    MutatorSession, Options, OwnedRef, Range, Reader, RebuildReport, RecoveryReport, Ref, RefMut, Session,
    Space, Sparse, Stats, Store, StoredType, Upgraded,
};
pub use structchunk_derive::Object;
#[cfg(not(loom))]
pub use table::{Row, Rows, Table, TableEntry};

#[doc(hidden)]
pub use layout::support as __derive;

#[cfg(not(loom))]
pub mod raw {
    //! Objects whose types are known at run time only: for bindings of other languages.
    //!
    //! [`Store::raw`](crate::Store::raw) is the door. An object is put as bytes with a [`Described`] in place of a type; [`Raw::locate`] says
    //! where the bytes of an object lie, and a [`Hold`] keeps that file mapped and its objects in their places. What is behind the door is
    //! the same as for [`Store`](crate::Store): one log, one directory, the same checks of layouts.
    //!
    //! # Who uses this
    //!
    //! Everything here is safe to call. Reading and writing through [`Hold::as_ptr`], [`Lent::as_ptr`], [`Update::as_ptr`] and [`Atomics::as_ptr`] is what takes
    //! `unsafe`; each says what it asks for. In short: only the bytes of an object that was found while its file was held, and not while
    //! a guard of this library refers to that object. A binding that uses no guards has nothing to mind.

    pub use crate::store::raw::{
        Atomics, Copied, Described, FileId, Hold, Lent, Place, Raw, RawMutator, RawReader, Seen, Update, When,
    };
}

#[cfg(not(loom))]
#[doc(hidden)]
pub mod testing {
    //! Fault injection for tests, and doors for fuzzing. No part of the API.

    pub use crate::disk::{Call, Event, Fault, Faults, Sabotage};
    pub use crate::format::hostile::decode_as_everything;
}

#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/sharing.md")]
struct Sharing;
