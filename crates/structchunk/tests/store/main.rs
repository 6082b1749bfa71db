//! The store as its users see it: one binary, a module for each theme. `common` holds what they share.
#![allow(clippy::float_cmp, reason = "what was stored comes back bit by bit")]
#![allow(clippy::large_stack_arrays, reason = "objects of tests are large where that matters")]

mod api;
mod bodies;
mod check_deep;
mod common;
mod compact;
mod copy;
mod craft;
mod evicted;
mod evolution;
mod failing_disk;
mod faults;
mod forked;
mod full_disk;
mod golden;
mod guards;
mod half_done;
mod hostile;
mod leftovers;
mod many_records;
mod mapped_limit;
mod model;
mod mount;
mod old_names;
mod ordered;
mod pages;
mod power;
mod power_cut;
mod process;
mod process_death;
mod punching;
mod raw;
mod readers;
mod rebuild;
mod recovered;
mod replaced;
mod replay;
mod same_boot;
mod script;
mod session;
mod sizes;
mod steps;
mod tables;
mod truncated;
mod writers;
