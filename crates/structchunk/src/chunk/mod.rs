//! The truth: chunks, the records in them, and bodies; and the live map, which tells the current ones.

mod body;
mod copy;
mod file;
mod live;
mod record;
mod set;
mod sums;
mod tail;
#[cfg(test)]
mod tests;
mod walk;

pub(crate) use body::{Body, BodyRef, BodySet};
pub(crate) use file::{Chunk, ChunkRef, nanoseconds_since_1970};
pub(crate) use live::{LiveMap, uuid_words};
pub(crate) use record::{Record, SEALED, is_odd, write_header};
pub(crate) use set::ChunkSet;
pub(crate) use walk::{Step, Walk};
