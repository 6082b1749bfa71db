//! Attaching: which views serve a reader now.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::create::chunks_folder;
use super::super::extent::{Log, split_end};
use super::super::mutate::Slot;
use super::super::open::{Parts, assemble, check_features, check_no_network};
use super::super::recover::{self, Situation};
use super::super::report::RecoveryReport;
use super::super::shared::{Left, Shared};
use super::super::store_file::StoreFile;
use super::super::views::Views;
use super::super::{Options, Store};
use super::Watch;
use crate::chunk::{BodySet, ChunkSet};
use crate::disk::{self, Access, Faults, Folder};
use crate::error::{Error, Result};
use crate::map::Residents;

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(1);

/// So often it is tried to join a session before a reader goes without it.
const TRIES_TO_JOIN: u32 = 5;

/// Where a reader gets in, again and again.
pub(super) struct Door {
    root: Folder,
    options: Options,
    /// For one who changes objects.
    slot: Option<Arc<Slot>>,
}

/// What one attempt came to.
enum Attempt {
    /// With the views of a session.
    Joined(Box<Parts>),
    /// With what the last checkpoint holds.
    Alone(Box<Parts>),
    /// Another process is recovering the store.
    Recovering,
    /// There is a session, and its views are not to be had.
    NotJoined,
    /// There is none that one who changes objects could take part in.
    NoSession,
}

impl Door {
    pub(super) fn new(options: &Options, path: &std::path::Path) -> Result<Self> {
        disk::require_known_page_size(path)?;
        let root = Folder::open(path, options.faults.clone())?;
        check_no_network(&root, options)?;
        // What need not be given away before a look at the store.
        Ok(Self { root, options: Options { index: false, ..options.clone() }, slot: None })
    }

    /// The same for one who changes objects in place. The slot is taken before anything is looked at that counts: a writer that closes the store, or
    /// takes records back, finds it taken, or has said so before. Goes with its slot while a writer recovers the store, which may be waiting
    /// for just that.
    pub(super) fn to_change(options: &Options, path: &std::path::Path) -> Result<Self> {
        let door = Self::new(options, path)?;
        let store_file = StoreFile::read(&door.root, Access::Read)?;
        check_features(&store_file.file, &store_file.newest.features)?;
        if !store_file.newest.features.shares_changes() {
            let what = "it was not created with shared_mutation (in Python: shared=True): only its writer may change objects".into();
            return Err(Error::Unsupported { path: path.to_owned(), what });
        }
        let watch = Watch::begin(&door.root)?;
        let has_writer = watch.has_writer()?;
        let is_closed = watch.page().is_none_or(Shared::is_closed);
        if is_closed || door.left_by_session(&watch, &store_file, has_writer)?.is_none() {
            // Taking a slot changes `shared`, and whoever is refused has changed nothing. What is seen from here on is what counts.
            let path = path.to_owned();
            let is_sure = !has_writer && watch.is_current();
            return Err(if is_sure { Error::NoWriter { path } } else { Error::Recovering { path } });
        }
        // As one who only reads, first: what is missing or damaged is found before anything is written.
        if !door.attach()?.inner.follows() {
            return Err(Error::Recovering { path: path.to_owned() });
        }
        let slot = Some(Arc::new(Slot::take(&door.root)?));
        Ok(Self { slot, ..door })
    }

    pub(super) fn slot(&self) -> Option<&Arc<Slot>> {
        self.slot.as_ref()
    }

    /// Where the store is.
    pub(super) fn path(&self) -> &std::path::Path {
        self.root.path()
    }

    /// Attaches to a store in order to change it, at most until the busy timeout.
    pub(super) fn attach_to_change(options: &Options, path: &std::path::Path) -> Result<(Self, Store)> {
        let end = Instant::now() + options.busy_timeout;
        loop {
            let door = Self::to_change(options, path);
            match door.and_then(|door| door.attach().map(|store| (door, store))) {
                Err(Error::Recovering { .. }) if Instant::now() < end => std::thread::sleep(PAUSE),
                outcome => return outcome,
            }
        }
    }

    /// Whether the slot is there for an attempt only: nobody has changed anything with it yet.
    fn only_tries(&self) -> bool {
        self.slot.as_ref().is_some_and(|slot| Arc::strong_count(slot) == 1)
    }

    /// Attaches to the store as it is now. Who does so for the first time, with a slot, gets one attempt: see [`Door::attach_to_change`].
    pub(super) fn attach(&self) -> Result<Store> {
        let end = Instant::now() + self.options.busy_timeout;
        let mut tries = 0;
        loop {
            let watch = Watch::begin(&self.root)?;
            if self.slot.is_some() && watch.page().is_none_or(Shared::is_closed) {
                if !watch.has_writer()? || !self.only_tries() && Instant::now() >= end {
                    return Err(Error::NoWriter { path: self.root.path().to_owned() });
                }
                if self.only_tries() {
                    return Err(Error::Recovering { path: self.root.path().to_owned() });
                }
                std::thread::sleep(PAUSE);
                continue;
            }
            // Beside a writer, also one that has died since: it may have dropped a chunk in the middle of the attempt. Without one nothing goes.
            let had_writer = watch.has_writer()?;
            let may_be_dropped = |error: &Error| error.is_absent() && had_writer && Instant::now() < end;
            match self.attempt(&watch, tries < TRIES_TO_JOIN) {
                Ok(Attempt::Joined(parts)) => match self.enter(*parts, watch, true) {
                    Ok(Some(store)) => return Ok(store),
                    Ok(None) => {}
                    Err(error) if may_be_dropped(&error) => {}
                    Err(error) => return Err(error),
                },
                Ok(Attempt::NoSession) => {
                    if !watch.has_writer()? && watch.is_current() {
                        return Err(Error::NoWriter { path: self.root.path().to_owned() });
                    }
                }
                Ok(Attempt::Alone(parts)) => match self.enter(*parts, watch, false) {
                    Ok(Some(store)) => return Ok(store),
                    Ok(None) => {}
                    Err(error) if may_be_dropped(&error) => {}
                    Err(error) => return Err(error),
                },
                Ok(Attempt::Recovering) => {}
                Ok(Attempt::NotJoined) => tries += 1,
                // Somebody may have come in meanwhile.
                Err(_) if !watch.is_current() => {}
                // A checkpoint that was read while it was being written looks like that of no session, and the log is walked then.
                Err(error) if may_be_dropped(&error) => {}
                Err(error) => return Err(error),
            }
            if self.only_tries() || Instant::now() >= end {
                return Err(Error::Recovering { path: self.root.path().to_owned() });
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Puts the store together, unless it has changed since the parts were looked at.
    fn enter(&self, parts: Parts, mut watch: Watch, follows: bool) -> Result<Option<Store>> {
        if follows {
            watch.follow();
        } else {
            // A checkpoint that was read while it was being written may have looked like a damaged one.
            let again = StoreFile::read(&self.root, Access::Read)?;
            let seen = &parts.store_file;
            if (again.newest.generation, again.both_valid) != (seen.newest.generation, seen.both_valid) {
                return Ok(None);
            }
        }
        let inner = assemble(self.root.clone(), &self.options, Parts { attached: Some(watch), ..parts })?;
        if !follows {
            let end = inner.end_of_log(&inner.lock_writer());
            inner.shared.set_end(end);
        }
        let store = Store { inner: Arc::new(inner) };
        Ok(store.inner.goes_on().then_some(store))
    }

    /// `joins`: where there is a session, its views or none.
    fn attempt(&self, watch: &Watch, joins: bool) -> Result<Attempt> {
        let (root, options) = (&self.root, &self.options);
        let mut store_file = StoreFile::read(root, Access::Read)?;
        check_features(&store_file.file, &store_file.newest.features)?;
        let has_writer = watch.has_writer()?;
        if watch.in_recovery() && has_writer {
            return Ok(Attempt::Recovering);
        }
        let (identity, features) = (store_file.identity, store_file.newest.features);
        let folder = chunks_folder(root)?;
        let (uuid, residents) = (identity.uuid, Arc::new(Residents::new(options.mapped_limit)));
        let access = if self.slot.is_some() { Access::Write } else { Access::Read };
        let chunks =
            ChunkSet::new(folder.clone(), uuid, identity.geometry, features, access, residents.clone());
        chunks.keep_pages_small();
        let bodies = BodySet::new(folder, uuid, access, residents);
        let mut report = RecoveryReport::default();
        let (lock, read_only, attached) = (None, true, None);
        let slot = self.slot.clone();
        if let Some(left) = self.left_by_session(watch, &store_file, has_writer)? {
            if let Some((views, shared)) = self.join(watch, &store_file)? {
                if !has_writer {
                    // Nobody drops any: what the checkpoint counts must be there.
                    Log::list(&chunks, &store_file)?;
                }
                let log = log_of_session(&store_file, &left)?;
                let mut dirty = None;
                if slot.is_some() {
                    dirty = Views::join_to_mark(&self.root, &identity, store_file.newest.epoch)?;
                    if dirty.is_none() {
                        return Ok(Attempt::NotJoined);
                    }
                }
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
                return Ok(Attempt::Joined(Box::new(parts)));
            }
            if self.slot.is_some() || joins && has_writer {
                return Ok(Attempt::NotJoined);
            }
        }
        if self.slot.is_some() {
            // Nobody would hear of what is changed in private views.
            return Ok(Attempt::NoSession);
        }
        chunks.expect_seals_before(store_file.newest.active);
        let log = Log::list(&chunks, &store_file)?;
        let shared = Shared::private(&Folder::in_memory(Faults::none()))?;
        let clean = store_file.newest.clean && store_file.both_valid;
        let views =
            if clean { Views::open(root, &identity, &store_file.newest, Access::Read)? } else { None };
        let (views, log) = match views {
            Some(views) => (views, log.at_checkpoint(&store_file.newest)),
            None => recover::recover(
                Situation {
                    root,
                    chunks: &chunks,
                    bodies: &bodies,
                    shared: &shared,
                    store: &mut store_file,
                    clean,
                    read_only: true,
                    trust_page_cache: options.trust_page_cache || has_writer,
                    reserve_step: options.step(identity.geometry, features.is_stepwise())?,
                    keeps_files: false,
                    lock: None,
                    busy_timeout: options.busy_timeout,
                },
                log,
                &mut report,
            )?,
        };
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
            dirty: None,
        };
        Ok(Attempt::Alone(Box::new(parts)))
    }

    /// What the session of the newest checkpoint has left until now, if it is one of this boot and nothing speaks against it.
    fn left_by_session(&self, watch: &Watch, store: &StoreFile, has_writer: bool) -> Result<Option<Left>> {
        let evidence = &store.newest.evidence;
        let is_ours = evidence.boot != [0; 16]
            && self.root.boot_id() == Some(evidence.boot)
            && store.file.identity()? == (evidence.device, evidence.inode)
            && store.poison.is_none_or(|mark| mark.session != evidence.session)
            && (self.options.trust_page_cache || has_writer)
            && !watch.in_recovery();
        let page = watch.page().filter(|_| is_ours);
        Ok(page.and_then(|page| page.left_by(store.identity.uuid, store.newest.epoch, evidence)))
    }

    fn join(&self, watch: &Watch, store: &StoreFile) -> Result<Option<(Views, Shared)>> {
        let views = Views::join(&self.root, &store.identity, store.newest.epoch)?;
        Ok(views.zip(watch.open_page()?))
    }
}

/// The log as a session has it. What comes later is asked of the session.
fn log_of_session(store: &StoreFile, left: &Left) -> Result<Log> {
    let newest = &store.newest;
    let end = split_end(store.identity.geometry, left.end);
    let (active, head) = end
        .filter(|end| *end >= (newest.active, newest.head))
        .ok_or_else(|| Error::corrupt(store.file.path(), 0, "the end of the log in `shared` cannot be"))?;
    Ok(Log {
        chunks: [active].into(),
        active,
        head,
        sequence: newest.sequence,
        next_chunk: newest.next_chunk,
        next_body: newest.next_body,
        next_type: newest.next_type,
        others: Vec::new(),
        dropped: std::collections::BTreeSet::new(),
        claimed: Vec::new(),
    })
}
