//! Mapped memory: the only unsafe code of the library.

mod mapping;
mod racing;

pub(crate) use mapping::{Advice, Mapping};
