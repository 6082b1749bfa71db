//! Sectors, page cache and names: a disk whose power can be cut, whose flushes can fail, and which can lie.
//!
//! What the store does it says beforehand ([`Faults::watch`]). What each file and each folder had when it was last made durable is
//! kept; everything else is in the page cache, and after a power cut each sector and each name of it is there or not.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use structchunk::testing::{Call, Event, Fault, Faults};

use super::files::{Bytes, FOLDERS, Files, Inode, names_in};
use super::image::{Crash, Image, Stage, VIEWS};
use crate::common::Random;
use crate::script::Tracked;

/// What a disk does instead of what it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Syncs of chunks do nothing.
    Chunks,
    /// Syncs of bodies do nothing.
    Bodies,
    /// Syncs of folders do nothing.
    Names,
    /// Syncs of `STORE` do nothing.
    Checkpoints,
    /// Syncs of chunks and bodies take effect after the next one of `STORE`.
    CheckpointFirst,
    /// Whatever is synced while a store is opened is not.
    Recovery,
    /// The boot id stays as it was when the power was cut.
    SameBoot,
}

/// A disk, and what its user is at.
pub struct Disk {
    root: PathBuf,
    faults: Faults,
    state: Mutex<State>,
}

/// Asks another thread to work while a sync is under way, and hears when it has.
pub type Meanwhile = (SyncSender<()>, Receiver<()>);

struct State {
    random: Random,
    lie: Option<Lie>,
    /// A crash before one of so many calls; 0 for none.
    one_in: u64,
    /// Everything but what is in the page cache, which is in the files.
    files: Files,
    /// What the call before this one makes durable, now that it is over.
    pending: Vec<Pending>,
    /// What comes too late.
    deferred: Vec<Pending>,
    /// Views as they were when it was laid out.
    views: Vec<(&'static str, Bytes)>,
    stage: Stage,
    images: Vec<Image>,
    meanwhile: Option<Meanwhile>,
    /// Which sync from now on fails; 0 for none.
    failing: u64,
    /// One has failed.
    failed: bool,
}

enum Pending {
    File(Inode, Bytes),
    /// `STORE`, with what its newest checkpoint describes.
    Store(Inode, Bytes, Option<Arc<Tracked>>),
    Folder(&'static str, BTreeMap<String, Inode>),
}

fn is_chunk(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "chunk")
}

impl Disk {
    /// The disk whose files lie below `root` now.
    pub fn new(root: &Path, files: Files, random: Random, one_in: u64, lie: Option<Lie>) -> Arc<Self> {
        let views = VIEWS.iter().filter_map(|view| Some((*view, files.get(view)?.clone()))).collect();
        let state = State {
            random,
            views,
            lie,
            one_in,
            files,
            pending: Vec::new(),
            deferred: Vec::new(),
            stage: Stage::default(),
            images: Vec::new(),
            meanwhile: None,
            failing: 0,
            failed: false,
        };
        let disk =
            Arc::new(Self { root: root.to_owned(), faults: Faults::recorded(), state: Mutex::new(state) });
        let watcher = Arc::downgrade(&disk);
        disk.faults.watch(move |event| {
            if let Some(disk) = watcher.upgrade() {
                disk.before(event);
            }
        });
        disk
    }

    /// What a store on this disk is opened with.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what the store's user is about to do.
    pub fn stage(&self, stage: Stage) {
        self.lock().stage = stage;
    }

    /// Says what has come of it, to the images that were made meanwhile.
    pub fn done(&self, finish: impl Fn(&mut Image)) {
        let mut state = self.lock();
        for image in state.images.iter_mut().filter(|image| !image.done) {
            finish(image);
            image.done = true;
        }
    }

    /// The stage, and what of it the disk has found out by itself.
    pub fn stage_now(&self) -> Stage {
        let mut state = self.lock();
        Self::over(&mut state);
        state.stage.clone()
    }

    /// Before one of so many calls there is a crash; 0: there is none.
    pub fn crash_one_in(&self, n: u64) {
        self.lock().one_in = n;
    }

    /// At the next sync of a chunk somebody else works on.
    pub fn meanwhile(&self, somebody: Option<Meanwhile>) {
        self.lock().meanwhile = somebody;
    }

    /// The `n`-th sync of a file from now on fails; 0: none does.
    pub fn fail_sync(&self, n: u64) {
        self.lock().failing = n;
    }

    /// Images that were made, without those that nobody said what had come of.
    pub fn take_images(&self) -> Vec<Image> {
        let mut state = self.lock();
        state.one_in = 0;
        std::mem::take(&mut state.images)
    }

    /// A crash between two calls.
    pub fn crash_now(&self, crash: Crash, at: &str) {
        let mut state = self.lock();
        Self::over(&mut state);
        self.crash(&mut state, crash, at.to_owned());
    }

    /// What is there now, in the page cache and for good.
    pub fn files(&self) -> Files {
        let mut state = self.lock();
        Self::over(&mut state);
        self.seen(&state)
    }

    fn seen(&self, state: &State) -> Files {
        let mut files = state.files.clone();
        files.look(&self.root);
        files
    }

    /// The file that an event is about. A body keeps its first, temporary name in messages.
    fn file(&self, name: &str) -> Option<(String, Inode, Bytes)> {
        let names = [Some(name), name.strip_suffix(".tmp")].into_iter().flatten();
        names.flat_map(|name| FOLDERS.map(|folder| format!("{folder}{name}"))).find_map(|name| {
            let path = self.root.join(&name);
            let metadata = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?;
            Some((name, metadata.ino(), Arc::new(fs::read(path).ok()?)))
        })
    }

    /// The call before is over.
    fn over(state: &mut State) {
        let deferred = std::mem::take(&mut state.deferred);
        let mut checkpoint = false;
        for pending in std::mem::take(&mut state.pending) {
            checkpoint |= matches!(pending, Pending::Store(..));
            state.apply(pending);
        }
        if checkpoint && state.lie == Some(Lie::CheckpointFirst) {
            // For one moment the checkpoint is there, and what it speaks of is not.
            state.pending = deferred;
        } else {
            state.deferred = deferred;
        }
    }

    fn before(&self, event: &Event) {
        if event.call == Call::Sync && is_chunk(&event.file) {
            let somebody = self.lock().meanwhile.take();
            if let Some((go, done)) = somebody
                && go.send(()).is_ok()
            {
                let _ = done.recv();
            }
        }
        let mut state = self.lock();
        Self::over(&mut state);
        match event.call {
            // Whoever dies in a call that fails has not heard of it; but nobody else has, so the kernel tells the next one.
            Call::Sync if self.before_sync(&mut state, &event.file) => return,
            Call::SyncFolder => {
                let folder = FOLDERS[usize::from(event.file == "chunks")];
                if !state.lies(Lie::Names) {
                    state.pending.push(Pending::Folder(folder, names_in(&self.root, folder)));
                }
            }
            Call::Remove => {
                if let Some((_, inode, bytes)) = self.file(&event.file) {
                    state.files.cached.insert(inode, bytes);
                }
            }
            Call::Forget => self.forget(&mut state, &event.file),
            _ => {}
        }
        let one_in = state.one_in;
        if one_in > 0 && state.random.one_in(one_in) {
            let crash = Crash::any(&mut state.random);
            self.crash(&mut state, crash, event.to_string());
        }
    }

    /// Whether it fails.
    fn before_sync(&self, state: &mut State, name: &str) -> bool {
        let Some((name, inode, bytes)) = self.file(name) else { return false };
        let is_store = name == "STORE";
        if state.failing > 0 {
            state.failing -= 1;
            if state.failing == 0 {
                state.failed = true;
                let mut random = state.random.clone();
                state.random.next();
                state.files.fail(inode, &bytes, &mut random);
                // It strikes this very call.
                self.faults.plan(Fault::nth(1, libc::EIO));
                return true;
            }
        }
        let is_chunk = is_chunk(&name);
        let is_body = name.starts_with("chunks/") && !is_chunk;
        let ignored = state.lies(Lie::Checkpoints) && is_store
            || state.lies(Lie::Chunks) && is_chunk
            || state.lies(Lie::Bodies) && is_body;
        let pending = if is_store {
            let says = !state.failed && !state.stage.opening;
            Pending::Store(inode, bytes, says.then(|| state.stage.cut.clone()))
        } else {
            Pending::File(inode, bytes)
        };
        if state.lie == Some(Lie::CheckpointFirst) && (is_chunk || is_body) && !state.stage.opening {
            state.deferred.push(pending);
        } else if !ignored {
            state.pending.push(pending);
        }
        false
    }

    /// The kernel forgets what it caches of a file, or lets it be dirty again where it cannot.
    fn forget(&self, state: &mut State, name: &str) {
        let Some((name, inode, bytes)) = self.file(name) else { return };
        if state.files.lost.contains_key(&inode) && state.random.one_in(2) {
            let real = state.files.as_written(inode, &bytes);
            let _ = super::files::overwrite(&self.root.join(name), &bytes, &real);
        }
        state.files.lost.remove(&inode);
    }

    fn crash(&self, state: &mut State, crash: Crash, at: String) {
        let seen = self.seen(state);
        let crash = if state.failed && crash == Crash::Kill { Crash::Poisoned } else { crash };
        let mut random = state.random.clone();
        state.random.next();
        let image = Image::of(crash, &seen, &state.views, &state.stage, &mut random, at);
        state.images.push(image);
    }
}

impl State {
    fn lies(&self, how: Lie) -> bool {
        self.lie == Some(how) || self.lie == Some(Lie::Recovery) && self.stage.opening
    }

    fn apply(&mut self, pending: Pending) {
        match pending {
            Pending::File(inode, bytes) => self.files.flush(inode, bytes),
            Pending::Store(inode, bytes, cut) => {
                self.files.flush(inode, bytes);
                if let Some(cut) = cut {
                    self.stage.checkpoint(cut);
                }
            }
            Pending::Folder(folder, names) => {
                let is_in = |name: &str| name.starts_with("chunks/") == (folder == "chunks/");
                self.files.durable_names.retain(|name, _| !is_in(name));
                self.files.durable_names.extend(names);
            }
        }
    }
}
