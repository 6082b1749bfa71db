//! The command as people and scripts meet it: its output, its exit codes, its manners.

mod copying;
mod damage;
mod demo;
mod injected;
mod keys;
mod manners;
mod readelf;
mod reading;
mod stores;
mod writing;
