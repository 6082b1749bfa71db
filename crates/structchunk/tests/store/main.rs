//! The store as its users see it: one binary, a module for each theme. `common` holds what they share.

mod api;
mod bodies;
mod common;
mod craft;
mod faults;
mod full_disk;
mod golden;
mod guards;
mod hostile;
mod leftovers;
mod model;
mod power_cut;
mod process;
mod process_death;
mod same_boot;
mod script;
