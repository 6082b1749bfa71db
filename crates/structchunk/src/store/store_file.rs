//! The file `STORE`: identity, two checkpoint slots, session block.

use std::collections::BTreeSet;

use super::create::CHUNKS;
use super::inner::Checkpoints;
use crate::disk::{self, Access, File, Folder};
use crate::error::{Error, Result};
use crate::format::{Checkpoint, ChunkId, Evidence, IdentityError, PAGE_BYTES, PoisonMark, StoreIdentity};

pub(crate) const STORE: &str = "STORE";
/// `STORE` while a store is made for the first time: where it lies and `STORE` does not, what else is there is nobody's.
pub(crate) const UNFINISHED: &str = "STORE.tmp";

/// What `STORE` says.
pub(crate) struct StoreFile {
    pub file: File,
    pub identity: StoreIdentity,
    pub newest: Checkpoint,
    pub slot: u64,
    /// The clean bit counts only when both slots are valid.
    pub both_valid: bool,
    pub poison: Option<PoisonMark>,
}

impl StoreFile {
    pub(crate) fn read(root: &Folder, access: Access) -> Result<Self> {
        let file = match root.open_file(STORE, access) {
            Err(error) if error.is_absent() => {
                return Err(Error::NotAStore { path: root.path().to_owned(), reason: why_not(root).into() });
            }
            file => file?,
        };
        let seen = Self::parse(file)?;
        let settled = seen.poison.is_none() && seen.newest.clean && seen.both_valid;
        if settled || access == Access::Read {
            return Ok(seen);
        }
        // After a failed sync the cache may show a checkpoint that the disk does not have, and whoever believes that writes over the
        // only one that it has. What is dirty stays.
        seen.file.drop_cached_pages(0..PAGE_BYTES * 4)?;
        let again = Self::parse(seen.file)?;
        Ok(Self { poison: again.poison.or(seen.poison), ..again })
    }

    fn parse(file: File) -> Result<Self> {
        let block = |number: u64| -> Result<[u8; 512]> {
            let mut sector = [0; 512];
            file.read_exact_at(PAGE_BYTES * number, &mut sector)?;
            Ok(sector)
        };
        let identity = decode_identity(&file, &block(0)?)?;
        let slots = [Checkpoint::decode(&block(1)?), Checkpoint::decode(&block(2)?)];
        let (slot, newest) = match slots {
            [Some(first), Some(second)] if second.generation > first.generation => (1, second),
            [Some(first), _] => (0, first),
            [None, Some(second)] => (1, second),
            [None, None] => {
                let reason = "both checkpoints are damaged; rebuild makes new ones from the chunks";
                return Err(Error::corrupt(file.path(), PAGE_BYTES, reason));
            }
        };
        let both_valid = slots.iter().all(Option::is_some);
        let poison = PoisonMark::decode(&block(3)?);
        Ok(Self { file, identity, newest, slot, both_valid, poison })
    }

    /// What `STORE` says of the store, whatever became of its checkpoints.
    pub(crate) fn read_identity(root: &Folder) -> Result<StoreIdentity> {
        let file = root.open_file(STORE, Access::Read)?;
        let mut sector = [0; 512];
        file.read_exact_at(0, &mut sector)?;
        decode_identity(&file, &sector)
    }

    /// For the life of an open store. `dropped`: chunks whose files are still there although the checkpoint names them as dropped.
    pub(crate) fn into_checkpoints(self, dropped: BTreeSet<ChunkId>) -> Checkpoints {
        Checkpoints {
            file: self.file,
            newest: self.newest,
            slot: self.slot,
            retiring: Vec::new(),
            retiring_chunks: dropped,
            retiring_payloads: Vec::new(),
            durable_cut: 0,
        }
    }

    /// Writes a whole `STORE`, both slots alike but for their generation, and gives it its name.
    ///
    /// Until then it is called `temporary`: [`UNFINISHED`] says to whoever finds it that the store was never finished.
    pub(crate) fn create(
        root: &Folder,
        temporary: &str,
        identity: &StoreIdentity,
        checkpoint: &Checkpoint,
    ) -> Result<()> {
        // Where it is the mark of a creation under way it must stay: without it, nobody would dare to go on with that.
        let mut file = if root.exists(temporary)? {
            root.open_file(temporary, Access::Write)?
        } else {
            root.create_file(temporary)?
        };
        file.reserve(0, PAGE_BYTES * 4)?;
        let (device, inode) = file.identity()?;
        let evidence = Evidence { device, inode, ..checkpoint.evidence };
        let slot = |generation: u64| Checkpoint { generation, evidence, ..*checkpoint }.encode();
        file.write_at(0, &identity.encode())?;
        file.write_at(PAGE_BYTES, &slot(1))?;
        file.write_at(PAGE_BYTES * 2, &slot(2))?;
        file.sync_data()?;
        // All other names first: the last one makes it a store.
        root.sync()?;
        root.rename_file(&mut file, STORE)?;
        root.sync()
    }
}

/// Why a folder without `STORE` is no store.
fn why_not(root: &Folder) -> &'static str {
    let has = |name| root.exists(name).unwrap_or(false);
    if has(UNFINISHED) {
        "it was never finished, or is being made: STORE.tmp is there, STORE is not"
    } else if has(CHUNKS) {
        "it has no file STORE; rebuild makes one from the chunks"
    } else {
        "it has no file STORE"
    }
}

fn decode_identity(file: &File, sector: &[u8; 512]) -> Result<StoreIdentity> {
    StoreIdentity::decode(sector).map_err(|error| match error {
        IdentityError::NotAStore(reason) => Error::corrupt(file.path(), 0, reason),
        IdentityError::Unsupported(what) => Error::Unsupported { path: file.path().to_owned(), what },
    })
}

/// Evidence of a session that begins now.
pub(crate) fn new_evidence(root: &Folder, store: &File) -> Result<Evidence> {
    let (device, inode) = store.identity()?;
    let session = u64::from_le_bytes(disk::random_bytes()?).max(1);
    Ok(Evidence { boot: root.boot_id().unwrap_or_default(), device, inode, session })
}

/// An epoch that nothing derived of this store or any copy of it has.
pub(crate) fn epoch_above(epoch: u64) -> Result<u64> {
    // 40 random bits: none of the numbers that others count to.
    Ok(epoch.saturating_add(1 + (u64::from_le_bytes(disk::random_bytes()?) >> 24)))
}
