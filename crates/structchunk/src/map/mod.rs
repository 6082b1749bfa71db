//! Mapped memory: where the library's unsafe code lives.

mod mapping;
mod racing;
pub(crate) mod words;

pub(crate) use mapping::{Advice, Mapping};
