//! Opening and creating a store.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use std::sync::{Arc, Mutex, OnceLock};

use super::attach::Watch;
use super::borrow::Borrows;
use super::create::{chunks_folder, create, is_unfinished};
use super::extent::Log;
use super::lock::lock;
use super::mutate::Slot;
use super::ordered::Ordered;
use super::overlap::Lingering;
use super::recover;
use super::report::{Found, RecoveryReport};
use super::shared::Shared;
use super::store_file::StoreFile;
use super::types::Types;
use super::views::Views;
use super::{Inner, Options, Store};
use crate::chunk::{BodySet, ChunkSet, LiveMap};
use crate::disk::{self, Access, Faults, File, Folder};
use crate::error::{Error, Result};
use crate::format::Features;
use crate::map::Residents;

impl Store {
    /// A store in memory. The whole API works on it; it is gone with its last handle and guard.
    ///
    /// # Errors
    /// When the system gives no memory.
    pub fn in_memory() -> Result<Self> {
        let root = Folder::in_memory(Faults::none());
        let options = Options::new().create(true).index(false);
        create(&root, &options)?;
        open_folder(root, &options, true)
    }

    pub(crate) fn open_with(options: &Options, path: &Path) -> Result<Self> {
        disk::require_known_page_size(path)?;
        options.geometry()?;
        options.step(options.geometry()?, false)?;
        if (options.create || options.create_new) && options.read_only {
            let reason = "a store that is opened read-only cannot be created".into();
            return Err(Error::InvalidOption { option: "read_only", reason });
        }
        let mut created = false;
        if options.create || options.create_new {
            match Folder::create(path, options.faults.clone()) {
                Ok(root) => {
                    check_file_system(&root, options)?;
                    create(&root, options)?;
                    created = true;
                }
                Err(Error::AlreadyExists { .. }) => {
                    let root = Folder::open(path, options.faults.clone())?;
                    if is_unfinished(&root)? {
                        check_file_system(&root, options)?;
                        create(&root, options)?;
                        created = true;
                    } else if options.create_new {
                        return Err(Error::AlreadyExists { path: path.to_owned() });
                    }
                }
                Err(error) => return Err(error),
            }
        }
        let root = Folder::open(path, options.faults.clone())?;
        check_file_system(&root, options)?;
        open_folder(root, options, created)
    }
}

/// Refuses file systems on which other machines are at work too.
pub(super) fn check_no_network(root: &Folder, options: &Options) -> Result<()> {
    match root.network_file_system()? {
        Some(kind) if !options.allow_network_file_system => {
            Err(Error::NetworkFileSystem { path: root.path().to_owned(), kind })
        }
        _ => Ok(()),
    }
}

fn check_file_system(root: &Folder, options: &Options) -> Result<()> {
    check_no_network(root, options)?;
    if let Some(kind) = root.copy_on_write()?
        && !root.disable_copy_on_write()
    {
        tracing::warn!(path = %root.path().display(), "{kind} copies on write: a full disk may be a signal");
    }
    Ok(())
}

/// Refuses what is not known; whether only reading is allowed.
pub(super) fn check_features(file: &File, features: &Features) -> Result<bool> {
    if features.unknown_incompat() != 0 {
        let what = format!("feature bits {:#x} (incompatible)", features.unknown_incompat());
        return Err(Error::Unsupported { path: file.path().to_owned(), what });
    }
    Ok(features.unknown_ro_compat() != 0)
}

pub(crate) fn open_folder(root: Folder, options: &Options, created: bool) -> Result<Store> {
    let seen = StoreFile::read(&root, Access::Read)?;
    let read_only = check_features(&seen.file, &seen.newest.features)? || options.read_only;
    if read_only && !options.read_only {
        tracing::warn!("the store has features that this version may only read: it is opened read-only");
    }
    let lock = lock(&root, read_only)?;
    // Read again under the lock: the last writer may have been closing.
    let access = if read_only { Access::Read } else { Access::Write };
    let mut store_file = StoreFile::read(&root, access)?;
    let (identity, features) = (store_file.identity, store_file.newest.features);
    let folder = chunks_folder(&root)?;
    let (uuid, residents) = (identity.uuid, Arc::new(Residents::new(options.mapped_limit)));
    let chunks = ChunkSet::new(folder.clone(), uuid, identity.geometry, features, access, residents.clone());
    chunks.expect_seals_before(store_file.newest.active);
    let bodies = BodySet::new(folder, uuid, access, residents);
    let log = Log::list(&chunks, &store_file)?;

    let clean = store_file.newest.clean && store_file.both_valid;
    let views =
        if clean && !created { Views::open(&root, &identity, &store_file.newest, access)? } else { None };
    let shared = if read_only {
        Shared::private(&Folder::in_memory(Faults::none()))?
    } else {
        let shared = Shared::open_or_create(&root)?;
        // Not only after the recovery: who is refused meanwhile is told by whom.
        shared.set_writer(std::process::id());
        shared
    };
    let mut report = RecoveryReport::default();
    let (views, log) = match views {
        Some(views) => {
            report.found = Found::Clean;
            report.evidence = "the clean mark, and views that agree with it".into();
            (views, log.at_checkpoint(&store_file.newest))
        }
        None => recover::recover(
            recover::Situation {
                root: &root,
                chunks: &chunks,
                bodies: &bodies,
                shared: &shared,
                store: &mut store_file,
                clean,
                read_only,
                trust_page_cache: options.trust_page_cache,
                reserve_step: options.step(identity.geometry, features.is_stepwise())?,
                keeps_files: options.keeps_files,
                lock: lock.file().filter(|_| !read_only),
                busy_timeout: options.busy_timeout,
            },
            log,
            &mut report,
        )?,
    };
    if created {
        report.found = Found::New;
    }
    let lock = lock.keep();
    let (attached, slot, dirty) = (None, None, None);
    let parts = Parts {
        store_file,
        chunks,
        bodies,
        views,
        log,
        shared,
        report,
        lock,
        read_only,
        attached,
        slot,
        dirty,
    };
    let inner = assemble(root, options, parts)?;
    {
        let writer = inner.lock_writer();
        inner.shared.set_end(inner.end_of_log(&writer));
    }
    let store = Store { inner: Arc::new(inner) };
    let begins =
        store.inner.shares_changes || matches!(store.inner.report.found, Found::ViewsLost | Found::New);
    if !read_only && begins {
        // So that close stamps the new views, and the next open believes them; and so that mutators find a session.
        store.inner.begin_session()?;
    }
    Ok(store)
}

/// What an open store is made of.
pub(super) struct Parts {
    pub store_file: StoreFile,
    pub chunks: ChunkSet,
    pub bodies: BodySet,
    pub views: Views,
    pub log: Log,
    pub shared: Shared,
    pub report: RecoveryReport,
    pub lock: Option<File>,
    pub read_only: bool,
    pub attached: Option<Watch>,
    pub slot: Option<Arc<Slot>>,
    pub dirty: Option<LiveMap>,
}

/// Puts the parts of a store together.
pub(super) fn assemble(root: Folder, options: &Options, parts: Parts) -> Result<Inner> {
    let Parts {
        store_file,
        chunks,
        bodies,
        views,
        log,
        shared,
        report,
        lock,
        read_only,
        attached,
        slot,
        dirty,
    } = parts;
    let (identity, features) = (store_file.identity, store_file.newest.features);
    let session_open = !read_only && matches!(report.found, Found::ProcessDied | Found::MachineDied);
    let dropped = log.dropped.clone();
    let writer = log.into_writer(&chunks)?;
    Ok(Inner {
        found: writer.log(identity.geometry),
        found_next_type: writer.next_type,
        path: root.path().to_owned(),
        identity,
        read_only,
        epoch: store_file.newest.epoch,
        found_end: identity.geometry.location(writer.active, writer.head),
        reserve_step: options.step(identity.geometry, features.is_stepwise())?,
        busy_timeout: options.busy_timeout,
        auto_compact: options.auto_compact,
        report,
        ordered: Ordered::new(options, &root),
        root,
        checkpoints: Mutex::new(store_file.into_checkpoints(dropped)),
        writer: Mutex::new(writer),
        chunks,
        bodies,
        views,
        shared,
        types: Types::new(),
        borrows: Borrows::new(),
        lingering: Lingering::new(),
        compaction: Mutex::default(),
        holds: disk::PerProcess::new(Mutex::default()),
        closed: AtomicBool::new(false),
        poisoned: OnceLock::new(),
        session_open: AtomicBool::new(session_open),
        seals_announced: AtomicBool::new(features.has_sealed()),
        relocations: AtomicU64::new(0),
        claims: AtomicU64::new(0),
        can_punch: AtomicBool::new(!features.is_stepwise()),
        gone: Mutex::default(),
        cuts: AtomicU64::new(0),
        copies: AtomicU32::new(0),
        process: disk::this_process(),
        lock: Mutex::new(lock),
        attached,
        shares_changes: features.shares_changes(),
        slot,
        dirty,
    })
}
