//! The one seam for effects on disk: create, reserve, punch, sync, rename, remove, lock.
//!
//! Everything the store does to files goes through [`Folder`] and [`File`], so that
//! - every path below the store is opened relative to a held descriptor, and nothing but a regular file is accepted,
//! - "no room" is one error value, never a signal,
//! - a store in memory runs on the very same code, its files being memfds, and
//! - tests can make any single call fail, and see the order of all calls ([`Faults`]).

mod backing;
mod environment;
mod faults;
mod file;
mod folder;
mod fork;
mod holes;
mod inherited;
mod lock;
mod memory;
mod no_fork;
mod per_process;
mod real;
mod sabotage;
#[cfg(feature = "leveldb")]
mod scratch;
mod space;
#[cfg(test)]
mod tests;
mod transfer;

pub(crate) use environment::{random_bytes, require_known_page_size};
pub use faults::{Call, Event, Fault, Faults};
pub(crate) use file::{Access, File};
pub(crate) use folder::Folder;
pub(crate) use fork::{forks, this_process};
pub(crate) use inherited::InheritedLength;
pub(crate) use lock::Lock;
pub(crate) use no_fork::no_fork;
pub(crate) use per_process::PerProcess;
pub use sabotage::Sabotage;
pub(crate) use sabotage::last_sequence;
#[cfg(feature = "leveldb")]
pub(crate) use scratch::Scratch;
pub(crate) use space::Punched;
