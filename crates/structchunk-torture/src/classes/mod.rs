//! Every class of faults. A new one is a module, and a line here.

pub mod disk;
pub mod history;
pub mod kill;
pub mod model;
pub mod power;
pub mod syscalls;

use crate::plan::Class;

/// In the order in which they run.
pub const CLASSES: &[Class] = &[
    Class { name: "disk", run: disk::run },
    Class { name: "history", run: history::run },
    Class { name: "kill", run: kill::run },
    Class { name: "model", run: model::run },
    Class { name: "power", run: power::run },
    Class { name: "syscalls", run: syscalls::run },
];
