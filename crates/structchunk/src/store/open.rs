//! Opening and creating a store.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, OnceLock};

use super::borrow::Borrows;
use super::inner::{Checkpoints, Writer};
use super::recover::{self, Log};
use super::report::{Found, RecoveryReport};
use super::shared::Shared;
use super::types::Types;
use super::views::Views;
use super::{Inner, Options, Store};
use crate::chunk::{BodySet, Chunk, ChunkSet, nanoseconds_since_1970};
use crate::disk::{self, Access, Faults, File, Folder, Lock};
use crate::error::{Error, Result};
use crate::format::{
    Checkpoint, ChunkId, Evidence, Features, FileName, IdentityError, PAGE_BYTES, PoisonMark, StoreIdentity,
};

pub(crate) const STORE: &str = "STORE";
pub(crate) const CHUNKS: &str = "chunks";
const LOCK: &str = "LOCK";
/// The byte of `LOCK` that the writer has.
pub(crate) const WRITER_BYTE: u64 = 0;

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
                return Err(Error::NotAStore {
                    path: root.path().to_owned(),
                    reason: "it has no file STORE".into(),
                });
            }
            file => file?,
        };
        let block = |number: u64| -> Result<[u8; 512]> {
            let mut sector = [0; 512];
            file.read_exact_at(PAGE_BYTES * number, &mut sector)?;
            Ok(sector)
        };
        let identity = StoreIdentity::decode(&block(0)?).map_err(|error| match error {
            IdentityError::NotAStore(reason) => Error::corrupt(file.path(), 0, reason),
            IdentityError::Unsupported(what) => Error::Unsupported { path: file.path().to_owned(), what },
        })?;
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

    /// Writes a whole `STORE`, both slots alike but for their generation, and gives it its name.
    pub(crate) fn create(root: &Folder, identity: &StoreIdentity, checkpoint: &Checkpoint) -> Result<()> {
        let temporary = FileName::temporary(STORE);
        if root.exists(&temporary)? {
            root.remove(&temporary)?;
        }
        let mut file = root.create_file(&temporary)?;
        file.reserve(0, PAGE_BYTES * 4)?;
        let (device, inode) = file.identity()?;
        let evidence = Evidence { device, inode, ..checkpoint.evidence };
        let slot = |generation: u64| Checkpoint { generation, evidence, ..*checkpoint }.encode();
        file.write_at(0, &identity.encode())?;
        file.write_at(PAGE_BYTES, &slot(1))?;
        file.write_at(PAGE_BYTES * 2, &slot(2))?;
        file.sync_data()?;
        root.rename_file(&mut file, STORE)?;
        root.sync()
    }
}

impl Inner {
    /// Evidence of a session that begins now.
    pub(crate) fn new_evidence(&self, checkpoints: &Checkpoints) -> Result<Evidence> {
        new_evidence(&self.root, &checkpoints.file)
    }
}

/// Evidence of a session that begins now.
pub(crate) fn new_evidence(root: &Folder, store: &File) -> Result<Evidence> {
    let (device, inode) = store.identity()?;
    let session = u64::from_le_bytes(disk::random_bytes()?).max(1);
    Ok(Evidence { boot: root.boot_id().unwrap_or_default(), device, inode, session })
}

impl Store {
    /// A store in memory. The whole API works on it; it is gone with its last handle and guard.
    ///
    /// # Errors
    /// When the system gives no memory.
    pub fn in_memory() -> Result<Self> {
        let root = Folder::in_memory(Faults::none());
        let options = Options::new().create(true);
        create(&root, &options)?;
        open_folder(root, &options, true)
    }

    pub(crate) fn open_with(options: Options, path: &Path) -> Result<Self> {
        disk::require_known_page_size(path)?;
        options.geometry()?;
        options.step(options.geometry()?)?;
        if (options.create || options.create_new) && options.read_only {
            let reason = "a store that is opened read-only cannot be created".into();
            return Err(Error::InvalidOption { option: "read_only", reason });
        }
        let mut created = false;
        if options.create || options.create_new {
            match Folder::create(path, options.faults.clone()) {
                Ok(root) => {
                    check_file_system(&root, &options)?;
                    create(&root, &options)?;
                    created = true;
                }
                Err(Error::AlreadyExists { .. }) => {
                    let root = Folder::open(path, options.faults.clone())?;
                    if is_unfinished(&root)? {
                        check_file_system(&root, &options)?;
                        create(&root, &options)?;
                        created = true;
                    } else if options.create_new {
                        return Err(Error::AlreadyExists { path: path.to_owned() });
                    }
                }
                Err(error) => return Err(error),
            }
        }
        let root = Folder::open(path, options.faults.clone())?;
        check_file_system(&root, &options)?;
        open_folder(root, &options, created)
    }
}

fn check_file_system(root: &Folder, options: &Options) -> Result<()> {
    if let Some(kind) = root.network_file_system()?
        && !options.allow_network_file_system
    {
        return Err(Error::NetworkFileSystem { path: root.path().to_owned(), kind });
    }
    if let Some(kind) = root.copy_on_write()?
        && !root.disable_copy_on_write()
    {
        tracing::warn!(path = %root.path().display(), "{kind} copies on write: a full disk may be a signal");
    }
    Ok(())
}

/// Whether a folder is empty, or holds what a creation left that did not end.
fn is_unfinished(root: &Folder) -> Result<bool> {
    let names = root.list()?;
    let marker = FileName::temporary(STORE);
    let ours = |name: &String| [LOCK, CHUNKS, &marker].contains(&name.as_str());
    Ok(names.iter().all(ours)
        && (names.iter().any(|name| *name == marker) || names.iter().all(|name| name == LOCK)))
}

/// Makes an empty store in a folder. `STORE` gets its name last: without it, there is no store.
fn create(root: &Folder, options: &Options) -> Result<()> {
    let lock = lock_file(root)?;
    if !lock.try_lock(WRITER_BYTE, Lock::Exclusive)? {
        return Err(Error::Locked { path: root.path().to_owned(), pid: None });
    }
    if root.exists(STORE)? {
        return Ok(());
    }
    let marker = FileName::temporary(STORE);
    if !root.exists(&marker)? {
        root.create_file(&marker)?;
    }
    let geometry = options.geometry()?;
    let identity = StoreIdentity {
        uuid: disk::random_bytes()?,
        geometry,
        hash_seed: u64::from_le_bytes(disk::random_bytes()?),
        created: nanoseconds_since_1970(),
    };
    let folder = root.subfolder(CHUNKS, true)?;
    for name in folder.list()? {
        folder.remove(&name)?;
    }
    let first = ChunkId(0);
    Chunk::create(&folder, identity.uuid, geometry, first, PAGE_BYTES)?.sync()?;
    folder.sync()?;
    let checkpoint = Checkpoint {
        generation: 0,
        sequence: 0,
        epoch: 1,
        clean: true,
        features: Features::default(),
        active: first,
        head: PAGE_BYTES,
        next_chunk: 1,
        next_body: 0,
        next_type: 1,
        chunks: [first].into_iter().collect(),
        evidence: Evidence::default(),
    };
    StoreFile::create(root, &identity, &checkpoint)?;
    lock.unlock(WRITER_BYTE)
}

fn lock_file(root: &Folder) -> Result<File> {
    match root.open_file(LOCK, Access::Write) {
        Err(error) if error.is_absent() => match root.create_file(LOCK) {
            Err(Error::AlreadyExists { .. }) => root.open_file(LOCK, Access::Write),
            file => file,
        },
        file => file,
    }
}

/// Takes the writer's byte: alone to write, together with other readers to read.
pub(crate) fn lock(root: &Folder, read_only: bool) -> Result<Option<File>> {
    let file = if read_only {
        match root.open_file(LOCK, Access::Read) {
            // Nobody has ever written here, or cannot: there is nobody to be kept out.
            Err(error) if error.is_absent() => return Ok(None),
            file => file?,
        }
    } else {
        lock_file(root)?
    };
    let file = file.keep_from_children()?;
    let how = if read_only { Lock::Shared } else { Lock::Exclusive };
    if file.try_lock(WRITER_BYTE, how)? {
        return Ok(Some(file));
    }
    let pid = Shared::open(root)?.map(|shared| shared.writer()).filter(|&pid| pid != 0);
    Err(Error::Locked { path: root.path().to_owned(), pid })
}

/// Refuses what is not known; whether only reading is allowed.
fn check_features(file: &File, features: &Features) -> Result<bool> {
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
    let identity = store_file.identity;
    let step = options.step(identity.geometry)?;
    let folder = root
        .subfolder(CHUNKS, false)
        .map_err(|error| Error::NotAStore { path: root.path().to_owned(), reason: error.to_string() })?;
    let chunks = ChunkSet::new(folder.clone(), identity.uuid, identity.geometry, access);
    let bodies = BodySet::new(folder, identity.uuid, access);
    let log = Log::list(&chunks, &store_file)?;

    let clean = store_file.newest.clean && store_file.both_valid;
    let views =
        if clean && !created { Views::open(&root, &identity, &store_file.newest, access)? } else { None };
    let shared = if read_only {
        Shared::private(&Folder::in_memory(Faults::none()))?
    } else {
        Shared::open_or_create(&root)?
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
            },
            log,
            &mut report,
        )?,
    };
    if created {
        report.found = Found::New;
    }
    let recovered = !read_only && report.found != Found::Clean && !clean;
    let epoch = store_file.newest.epoch;
    let writer = Writer {
        active: log.active,
        head: log.head,
        reserved: log.head,
        spares: VecDeque::new(),
        next_sequence: log.sequence + 1,
        first_sequence: log.first_sequence(&chunks),
        next_chunk: log.next_chunk,
        next_body: log.next_body,
        next_type: log.next_type,
        chunks: log.chunks,
        types_here: HashSet::new(),
        dirty_chunks: BTreeSet::new(),
        dirty_bodies: BTreeSet::new(),
        new_names: false,
        superseded: Vec::new(),
        changed: false,
    };
    let checkpoints = Checkpoints {
        file: store_file.file,
        newest: store_file.newest,
        slot: store_file.slot,
        retiring: Vec::new(),
        durable_cut: 0,
    };
    let inner = Inner {
        path: root.path().to_owned(),
        identity,
        read_only,
        epoch,
        reserve_step: step,
        busy_timeout: options.busy_timeout,
        report,
        root,
        chunks,
        bodies,
        views,
        shared,
        types: Types::new(),
        borrows: Borrows::new(),
        closed: AtomicBool::new(false),
        poisoned: OnceLock::new(),
        session_open: AtomicBool::new(recovered),
        cuts: AtomicU64::new(0),
        process: disk::forks(),
        checkpoints: Mutex::new(checkpoints),
        writer: Mutex::new(writer),
        lock: Mutex::new(lock),
    };
    {
        let writer = inner.lock_writer();
        inner.shared.set_end(inner.end_of_log(&writer));
        if !read_only {
            inner.shared.set_writer(std::process::id());
        }
    }
    let store = Store { inner: Arc::new(inner) };
    if !read_only && matches!(store.inner.report.found, Found::ViewsLost | Found::New) {
        // So that close stamps the new views, and the next open believes them.
        store.inner.begin_session()?;
    }
    Ok(store)
}
