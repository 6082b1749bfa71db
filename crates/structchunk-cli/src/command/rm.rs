//! `structchunk rm`: removes objects.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

use crate::failure::{Failure, Outcome, say};
use crate::key::{KeyForm, shown};
use crate::opening;

/// Remove objects from a store, all at once
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  structchunk rm galaxy.store p/42
  structchunk rm galaxy.store --escaped 'a\\x00b' 'a\\x00c'

Keys that are not there are named, and make the exit code 1; the others are removed all the same.")]
pub struct Rm {
    /// The store's directory
    store: PathBuf,
    /// The objects' keys
    #[arg(required = true)]
    keys: Vec<OsString>,
    #[command(flatten)]
    form: KeyForm,
}

impl Rm {
    pub fn run(self, _out: &mut dyn Write) -> Result<Outcome, Failure> {
        let keys = self.keys.iter().map(|key| self.form.key(key)).collect::<Result<Vec<_>, _>>()?;
        let store = opening::for_writing(&self.store)?;
        let mut outcome = Outcome::Fine;
        let mut batch = store.batch();
        for key in keys {
            if store.contains(&key)? {
                batch.remove(&key)?;
            } else {
                say(&format!("no object {} in {}", shown(&key), self.store.display()));
                outcome = Outcome::Findings;
            }
        }
        // Without a change, committing writes nothing.
        batch.commit()?;
        store.close()?;
        Ok(outcome)
    }
}
