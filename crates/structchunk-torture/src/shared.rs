//! What is shared with the engine's suite: the model, seeded scripts, the disk whose power is cut. One owner for each, and it is there.
#![allow(dead_code, clippy::wildcard_imports, reason = "each is written for that suite, which uses the rest")]

#[path = "../../structchunk/tests/store/common.rs"]
pub mod common;
#[path = "../../structchunk/tests/store/failing_disk/scenarios.rs"]
pub mod failing_disk;
#[path = "../../structchunk/tests/store/mount.rs"]
pub mod mount;
#[path = "../../structchunk/tests/store/power.rs"]
pub mod power;
#[path = "../../structchunk/tests/store/replay.rs"]
pub mod replay;
#[path = "../../structchunk/tests/store/full_disk/scenarios.rs"]
pub mod scenarios;
#[path = "../../structchunk/tests/store/script.rs"]
pub mod script;
#[path = "../../structchunk/tests/store/session.rs"]
pub mod session;
#[path = "../../structchunk/tests/store/writers.rs"]
pub mod writers;
