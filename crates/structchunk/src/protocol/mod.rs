//! What threads and processes agree on by single words, wherever these lie: built under the model checker too, which tries these very
//! functions in every order.

mod end;
#[cfg(all(test, loom))]
mod loom_tests;
mod version;

pub(crate) use end::EndOfLog;
pub(crate) use version::{VERSION_BITS, VersionWord, WRITING, next_version};
