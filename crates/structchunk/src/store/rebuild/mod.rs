//! Rebuilding: everything that is derived is made anew; `STORE` too, from the chunks, where it is lost.
//!
//! First everything is looked at (`survey.rs`); what cannot be decided is an error, and nothing has changed. Then files are mended or
//! put aside, the end of the log is found (`tail.rs`), and `STORE` is written last. Nothing that could not be read is deleted or wiped.
//! A rebuild that dies can be begun anew.

mod report;
mod survey;
mod tail;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use self::report::Findings;
pub use self::report::RebuildReport;
use self::survey::{Mend, Survey};
use super::create::CHUNKS;
use super::extent::check_numbers;
use super::ordered::remove_index;
use super::store_file::{STORE, StoreFile, UNFINISHED, epoch_above};
use super::views::Views;
use super::{Options, Store};
use crate::chunk::{Chunk, ChunkSet};
use crate::disk::{self, Access, Folder};
use crate::error::{Error, Result};
use crate::format::{
    Checkpoint, ChunkId, ChunkNumbers, DroppedChunks, Evidence, Features, FileName, PAGE_BYTES, SECTOR_BYTES,
    StoreIdentity,
};
use crate::map::Residents;

/// `STORE` while a rebuild writes it. Not the name of one that was never finished: what lies beside this one is precious.
const REBUILT: &str = "STORE.rebuilt.tmp";

impl Store {
    /// Makes the views of a closed store anew and, where `STORE` is lost or damaged or chunks are missing, a new `STORE` from
    /// what the chunks say: every current key, type and value.
    ///
    /// A damaged stretch hides nothing behind it. What cannot be read is named in the report and left where it is, or put aside as
    /// `NAME.aside`; nothing is deleted. Where `STORE` is lost, everything counts that can be read, synced or not, but for a batch
    /// at the end of which the last record is missing.
    ///
    /// # Errors
    /// [`Error::Locked`] while somebody has the store open, [`Error::NotAStore`] when there are no chunks, [`Error::Corrupt`] when
    /// those of several stores are mixed and no `STORE` says which it is, [`Error::Unsupported`]; nothing has changed then. What the disk
    /// says; then it can be done once more.
    ///
    /// # Safety
    /// As for [`Options::open`].
    #[expect(unsafe_code, reason = "as for Options::open")]
    pub unsafe fn rebuild(path: impl AsRef<Path>) -> Result<RebuildReport> {
        rebuild(path.as_ref(), &Options::new())
    }
}

impl Options {
    /// [`Store::rebuild`] with these options.
    ///
    /// # Errors
    /// As for [`Store::rebuild`].
    ///
    /// # Safety
    /// As for [`Options::open`].
    #[expect(unsafe_code, reason = "as for Options::open")]
    pub unsafe fn rebuild(self, path: impl AsRef<Path>) -> Result<RebuildReport> {
        rebuild(path.as_ref(), &self)
    }
}

fn rebuild(path: &Path, options: &Options) -> Result<RebuildReport> {
    disk::require_known_page_size(path)?;
    let root = Folder::open(path, options.faults.clone())?;
    let folder = chunks_of(&root)?;
    let mut findings = Findings::default();
    // Nobody else may be at work on what is taken away here.
    let lock = super::lock::lock(&root, false)?;
    let mended = mend(&root, &folder, &mut findings).and_then(|made_store| {
        Views::remove(&root)?;
        if let Err(error) = remove_index(&root) {
            // Whatever is there is noticed when it is needed.
            tracing::warn!(%error, "the index could not be taken away");
        }
        Ok(made_store)
    });
    // The open below takes it again.
    drop(lock);
    let made_store = mended?;
    let options =
        Options { create: false, create_new: false, read_only: false, keeps_files: true, ..options.clone() };
    let store = Store::open_with(&options, path)?;
    let mut report = RebuildReport {
        objects: store.len(),
        made_store,
        notes: findings.notes,
        findings: findings.list,
        recovery: store.recovery().clone(),
    };
    report.findings.extend(store.check()?);
    store.close()?;
    Ok(report)
}

/// The folder of the chunks, where there are any.
fn chunks_of(root: &Folder) -> Result<Folder> {
    let nothing = |reason: &str| Error::NotAStore { path: root.path().to_owned(), reason: reason.into() };
    let folder = match root.subfolder(CHUNKS, false) {
        Err(error) if error.is_absent() => return Err(nothing("it has no chunks")),
        folder => folder?,
    };
    let is_chunk = |name: &String| matches!(FileName::parse(name), FileName::Chunk(_));
    if !folder.list()?.iter().any(is_chunk) {
        return Err(nothing("it has no chunks"));
    }
    if !root.exists(STORE)? && root.exists(UNFINISHED)? {
        return Err(nothing("it was never finished: STORE.tmp is there, STORE is not"));
    }
    Ok(folder)
}

/// Brings chunks and `STORE` into a state from which the store opens; whether `STORE` was made anew.
fn mend(root: &Folder, folder: &Folder, findings: &mut Findings) -> Result<bool> {
    let store = unless_damaged(StoreFile::read(root, Access::Write))?;
    if let Some(store) = store.as_ref().filter(|store| store.newest.features.are_unknown()) {
        let what = "it has features that this version may not write".into();
        return Err(Error::Unsupported { path: store.file.path().to_owned(), what });
    }
    let known = match &store {
        Some(store) => Some(store.identity),
        None => unless_damaged(StoreFile::read_identity(root))?,
    };
    let features = store.as_ref().map_or(Features::default(), |store| store.newest.features);
    let mut survey = Survey::of(folder, known.as_ref(), features)?;
    let known = known.filter(|known| known.uuid == survey.uuid);
    let possible = |store: &StoreFile| check_numbers(survey.geometry, &store.newest).is_ok();
    let store = store.filter(|store| store.identity.uuid == survey.uuid && possible(store));
    carry_out(folder, &survey, findings)?;
    match store {
        Some(store) if survey.chunks.contains(&store.newest.active) => {
            let active = store.newest.active;
            extend_active(folder, &store, findings)?;
            tail::find_end(folder, &mut survey, Some(active), findings)?;
            if unless_damaged(count(folder, &store))?.is_none() {
                count_again(store, &survey, findings)?;
            }
            Ok(false)
        }
        _ => {
            restore_store(root, folder, known, survey, findings)?;
            Ok(true)
        }
    }
}

/// Mends files, and puts those aside that cannot be part of the log.
fn carry_out(folder: &Folder, survey: &Survey, findings: &mut Findings) -> Result<()> {
    for repair in &survey.repairs {
        let path = folder.path().join(&repair.name);
        let (bytes, done) = match repair.mend {
            Mend::Rename(id) => {
                let name = FileName::of_chunk(id);
                folder.rename(&repair.name, &name)?;
                (0, format!("it is called {name} again"))
            }
            Mend::Header => {
                let FileName::Chunk(id) = FileName::parse(&repair.name) else { continue };
                let stepwise = survey.features.is_stepwise();
                let chunk = Chunk::open_unverified(folder, survey.uuid, survey.geometry, stepwise, id)?;
                chunk.mend_header(survey.uuid, survey.features, survey.created)?;
                (SECTOR_BYTES as u64, "it was written anew".to_owned())
            }
            Mend::Extend(bytes) => {
                folder.open_file(&repair.name, Access::Write)?.set_len(bytes)?;
                (bytes - repair.offset, "what was there is lost".to_owned())
            }
            Mend::SetAside => {
                let aside = folder.put_aside(&repair.name)?;
                (0, format!("it is kept as {aside}, out of the log"))
            }
        };
        findings.bytes(&path, repair.offset, bytes, format!("{}; {done}", repair.reason));
    }
    if survey.repairs.is_empty() { Ok(()) } else { folder.sync() }
}

/// Makes the active chunk as long as `STORE` says that the log is.
fn extend_active(folder: &Folder, store: &StoreFile, findings: &mut Findings) -> Result<()> {
    let file = folder.open_file(&FileName::of_chunk(store.newest.active), Access::Write)?;
    let (bytes, head) = (file.len()?, store.newest.head);
    if bytes < head {
        file.set_len(head)?;
        let what = format!("the file ended {} bytes too early; what was there is lost", head - bytes);
        findings.bytes(file.path(), bytes, head - bytes, what);
    }
    Ok(())
}

/// `None` for what is damaged or not there, which is mended. What the system did not let us see is an error: it may be whole.
fn unless_damaged<T>(read: Result<T>) -> Result<Option<T>> {
    match read {
        Err(error)
            if error.is_absent() || matches!(error, Error::Corrupt { .. } | Error::NotAStore { .. }) =>
        {
            Ok(None)
        }
        read => read.map(Some),
    }
}

/// Fails as damage where the chunks are not those that `STORE` counts.
fn count(folder: &Folder, store: &StoreFile) -> Result<()> {
    let StoreIdentity { uuid, geometry, .. } = store.identity;
    let (features, residents) = (Features::default(), Arc::new(Residents::new(Some(0))));
    let chunks = ChunkSet::new(folder.clone(), uuid, geometry, features, Access::Read, residents);
    super::extent::Log::list(&chunks, store).map(drop)
}

/// Lets `STORE` count the chunks that are there, and leaves the end of the log where it is.
fn count_again(store: StoreFile, survey: &Survey, findings: &mut Findings) -> Result<()> {
    let counted: ChunkNumbers = survey.chunks.range(..=store.newest.active).copied().collect();
    let what = format!("it counts {} chunks; {} are there", store.newest.chunks.count, counted.count);
    findings.bytes(store.file.path(), PAGE_BYTES * (1 + store.slot), 0, what);
    // What had been dropped and is there still is taken back: what is missing now may be what its objects were moved to.
    let dropped = DroppedChunks::default();
    let checkpoint = Checkpoint { chunks: counted, dropped, clean: false, ..store.newest };
    let mut checkpoints = store.into_checkpoints(BTreeSet::new());
    // Twice: neither slot may count what is not there.
    checkpoints.write(checkpoint)?;
    checkpoints.write(checkpoint)
}

/// Writes a new `STORE` from what the chunks say.
fn restore_store(
    root: &Folder,
    folder: &Folder,
    known: Option<StoreIdentity>,
    mut survey: Survey,
    findings: &mut Findings,
) -> Result<()> {
    if survey.chunks.is_empty() {
        let reason = "none of its chunks has a header that can be read".into();
        return Err(Error::NotAStore { path: root.path().to_owned(), reason });
    }
    let tail = tail::find_end(folder, &mut survey, None, findings)?;
    let identity = match known {
        Some(known) => known,
        None => StoreIdentity {
            uuid: survey.uuid,
            geometry: survey.geometry,
            hash_seed: u64::from_le_bytes(disk::random_bytes()?),
            created: survey.created,
        },
    };
    let checkpoint = Checkpoint {
        generation: 0,
        sequence: tail.sequence,
        epoch: epoch_above(tail.epoch)?,
        clean: false,
        features: survey.features,
        active: tail.active,
        head: tail.head,
        next_chunk: survey.next_chunk,
        next_body: survey.next_body,
        next_type: tail.next_type,
        chunks: survey.chunks.iter().copied().collect(),
        dropped: DroppedChunks::default(),
        evidence: Evidence::default(),
    };
    folder.sync()?;
    if root.exists(STORE)? {
        let aside = root.put_aside(STORE)?;
        findings.note(format!("the {STORE} that was there is kept as {aside}"));
    }
    note_gaps(&survey, findings);
    findings.note(format!("{STORE} was made anew from {} chunks", checkpoint.chunks.count));
    StoreFile::create(root, REBUILT, &identity, &checkpoint)
}

/// Numbers of chunks that are not there. Without `STORE` nobody knows whether they were dropped or lost.
fn note_gaps(survey: &Survey, findings: &mut Findings) {
    let mut next = ChunkId(0);
    for &id in &survey.chunks {
        if id > next {
            let last = ChunkId(id.0 - 1);
            let which = if last == next {
                format!("chunk {next} is")
            } else {
                format!("chunks {next} to {last} are")
            };
            findings.note(format!("{which} not there: dropped, or lost"));
        }
        next = id.next();
    }
}
