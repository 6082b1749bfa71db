//! Ctrl-C: the work ends in good order, so that the temporary store goes away. A second one ends it at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::failure::Failure;

/// Whether the user has had enough.
pub struct Interrupt {
    signals: [(i32, Arc<AtomicBool>); 2],
}

impl Interrupt {
    /// Takes SIGINT and SIGTERM over.
    pub fn watch() -> Self {
        let signals = [SIGINT, SIGTERM].map(|signal| (signal, Arc::new(AtomicBool::new(false))));
        for (signal, came) in &signals {
            // Where a signal cannot be taken over it ends the program at once: the store bears it, its folder stays behind.
            let _ = flag::register_conditional_default(*signal, came.clone());
            let _ = flag::register(*signal, came.clone());
        }
        Self { signals }
    }

    /// An error once a signal has come.
    pub fn check(&self) -> Result<(), Failure> {
        match self.signals.iter().find(|(_, came)| came.load(Ordering::Relaxed)) {
            Some((signal, _)) => Err(Failure::Interrupted(*signal)),
            None => Ok(()),
        }
    }
}
