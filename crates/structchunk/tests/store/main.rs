//! The store as its users see it: one binary, a module for each theme. `common` holds what they share.

mod common;
mod craft;
mod faults;
mod guards;
mod leftovers;
mod model;
mod process_death;
mod script;

mod api;
mod craft;
mod process;
