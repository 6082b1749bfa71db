//! Mapped memory: where the library's unsafe code lives.

mod buffer;
pub(crate) mod lanes;
mod mapping;
mod object;
mod racing;
pub(crate) mod words;

pub(crate) use buffer::Buffer;
pub(crate) use mapping::{Advice, Mapping};
pub(crate) use object::object_at;
pub(crate) use words::Words;
