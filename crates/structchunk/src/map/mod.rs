//! Mapped memory: where the library's unsafe code lives.

#[cfg(not(loom))]
mod buffer;
#[cfg(not(loom))]
mod bus_error;
pub(crate) mod lanes;
#[cfg(not(loom))]
mod large_pages;
#[cfg(not(loom))]
mod mapping;
#[cfg(not(loom))]
mod object;
mod presence;
#[cfg(not(loom))]
mod racing;
#[cfg(not(loom))]
mod residents;
#[cfg(not(loom))]
mod whereabouts;
#[cfg(not(loom))]
mod window;
pub(crate) mod words;

#[cfg(not(loom))]
pub use self::bus_error::explain_bus_errors;
#[cfg(not(loom))]
pub(crate) use self::{
    buffer::Buffer,
    large_pages::{LARGE_PAGE, make_large_pages},
    mapping::{Advice, Mapping},
    object::{bytes_of, object_at},
    residents::{Present, Resident, Residents},
    window::Window,
    words::{Word, Words},
};
