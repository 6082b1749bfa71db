//! A disk whose power can be cut at any moment, and what must come up afterwards.
//!
//! Who uses it says of each effect that it is about to happen; what each file and folder had when it was last made durable is kept.
//! When the power is cut, each 512-byte sector of each file is, at random, as of the last sync of that file or as
//! of now, and each name that was not made durable is there or not. The image is opened as by a machine that has booted again;
//! opening it is watched, and cut, in the same way.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use structchunk::Found;
use structchunk::testing::{Call, Event, Faults};

use crate::common::*;
use crate::script::{Op, Tracked, seals};

const SECTOR: usize = 512;

/// Files by their names below the store's folder.
type Files = BTreeMap<String, Vec<u8>>;

/// What is on the disk after a power cut.
pub struct Image {
    files: Files,
    /// What a store may be taken back to.
    candidates: Vec<Tracked>,
    /// The state when the power went: it knows what objects had been changed in place.
    later: Option<Tracked>,
    /// Before which effect.
    pub at: String,
}

/// The disk below a store.
pub struct Disk {
    root: PathBuf,
    state: Mutex<State>,
}

struct State {
    random: Random,
    /// The power goes before one of so many effects.
    one_in: u64,
    /// Content of files when they were last made durable, by inode.
    durable: HashMap<u64, Vec<u8>>,
    /// Content of files before their last name went.
    removed: HashMap<u64, Vec<u8>>,
    /// Names when their folder was last made durable, by folder.
    names: HashMap<String, BTreeMap<String, u64>>,
    /// What the call before this one makes durable, now that it is over.
    pending: Option<Pending>,
    candidates: Vec<Tracked>,
    images: Vec<Image>,
}

enum Pending {
    File(u64, Vec<u8>),
    Folder(&'static str, BTreeMap<String, u64>),
}

const FOLDERS: [&str; 2] = ["", "chunks/"];

impl Disk {
    /// A disk on which everything that is there is durable.
    pub fn new(root: &Path, random: Random, one_in: u64, candidates: Vec<Tracked>) -> Arc<Self> {
        let state = State {
            random,
            one_in,
            durable: HashMap::new(),
            removed: HashMap::new(),
            names: HashMap::new(),
            pending: None,
            candidates,
            images: Vec::new(),
        };
        let disk = Self { root: root.to_owned(), state: Mutex::new(state) };
        for folder in FOLDERS {
            let names = disk.names(folder);
            let mut state = disk.lock();
            for (name, &inode) in &names {
                state.durable.insert(inode, disk.read(folder, name));
            }
            state.names.insert(folder.to_owned(), names);
        }
        Arc::new(disk)
    }

    pub fn faults(self: &Arc<Self>) -> Faults {
        let (faults, disk) = (Faults::recorded(), self.clone());
        faults.watch(move |event| disk.before(event));
        faults
    }

    /// Says yes at random, once in `n` times.
    pub fn one_in(&self, n: u64) -> bool {
        self.lock().random.one_in(n)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no watcher panicked")
    }

    /// The files in a folder, by name, with their inodes.
    fn names(&self, folder: &str) -> BTreeMap<String, u64> {
        let Ok(entries) = fs::read_dir(self.root.join(folder)) else { return BTreeMap::new() };
        let entries = entries.map(|entry| entry.expect("a name"));
        // One that another thread has removed in between is not there.
        let entries = entries.filter_map(|entry| Some((entry.metadata().ok()?.ino(), entry.file_name())));
        entries.map(|(inode, name)| (name.into_string().expect("a name of ours"), inode)).collect()
    }

    /// The content of a file; of a folder, nothing.
    fn read(&self, folder: &str, name: &str) -> Vec<u8> {
        fs::read(self.root.join(folder).join(name)).unwrap_or_default()
    }

    /// The file that an event is about. A body keeps its first, temporary name in messages.
    fn file(&self, name: &str) -> Option<(u64, Vec<u8>)> {
        let names = [Some(name), name.strip_suffix(".tmp")].into_iter().flatten();
        names.flat_map(|name| FOLDERS.map(|folder| (folder, name))).find_map(|(folder, name)| {
            let metadata = fs::metadata(self.root.join(folder).join(name)).ok()?;
            metadata.is_file().then(|| (metadata.ino(), self.read(folder, name)))
        })
    }

    /// Says that an effect is about to happen, and that the one before it is over.
    pub fn before(&self, event: &Event) {
        let mut state = self.lock();
        match state.pending.take() {
            Some(Pending::File(inode, bytes)) => {
                state.durable.insert(inode, bytes);
            }
            Some(Pending::Folder(folder, names)) => {
                state.names.insert(folder.to_owned(), names);
            }
            None => {}
        }
        match event.call {
            Call::Sync => {
                state.pending = self.file(&event.file).map(|(inode, bytes)| Pending::File(inode, bytes));
            }
            Call::SyncFolder => {
                let folder = FOLDERS[usize::from(event.file == "chunks")];
                state.pending = Some(Pending::Folder(folder, self.names(folder)));
            }
            Call::Remove => state.removed.extend(self.file(&event.file)),
            _ => {}
        }
        let one_in = state.one_in;
        if state.random.one_in(one_in) && self.root.is_dir() {
            self.cut(&mut state, event.to_string());
        }
    }

    /// The power goes between two calls of the store's users.
    pub fn cut_now(&self, at: &str) {
        self.before(&Event { call: Call::Inspect, file: String::new() });
        self.cut(&mut self.lock(), at.to_owned());
    }

    fn cut(&self, state: &mut State, at: String) {
        let files = self.files_left(state);
        state.images.push(Image { files, candidates: state.candidates.clone(), later: None, at });
    }

    /// What may be on the disk if the power goes now.
    fn files_left(&self, state: &mut State) -> Files {
        let mut files = Files::new();
        for folder in FOLDERS {
            let none = BTreeMap::new();
            let (old, new) = (state.names.get(folder).unwrap_or(&none).clone(), self.names(folder));
            if folder == "chunks/" && !files.contains_key("chunks") {
                break;
            }
            let name_of = |names: &BTreeMap<String, u64>, inode: u64| {
                names.iter().find(|(_, it)| **it == inode).map(|(name, _)| name.clone())
            };
            let mut inodes: Vec<_> = old.values().chain(new.values()).copied().collect();
            inodes.dedup();
            for inode in inodes {
                let names = [name_of(&old, inode), name_of(&new, inode)];
                let Some(name) = names[state.random.below(2) as usize].clone() else { continue };
                let now = match &names[1] {
                    Some(name) => self.read(folder, name),
                    None => state.removed.get(&inode).cloned().unwrap_or_default(),
                };
                let before = state.durable.get(&inode).cloned().unwrap_or_default();
                files.insert(format!("{folder}{name}"), mix(&mut state.random, before, now));
            }
        }
        // An index that was made durable may be ahead of the log by then.
        files.remove("index");
        if state.random.one_in(2) {
            for name in self.names("index").keys() {
                files.insert(format!("index/{name}"), self.read("index", name));
            }
        }
        // Views may be lost at any time.
        for view in ["directory", "live", "shared"] {
            if state.random.one_in(5) {
                files.remove(view);
            }
        }
        files
    }

    /// Says what a power cut from now on may take the store back to.
    pub fn expect(&self, candidates: &[&Tracked]) {
        self.lock().candidates = candidates.iter().map(|&tracked| tracked.clone()).collect();
    }

    /// Says what the state was at the cuts since the last call.
    pub fn was(&self, later: &Tracked) {
        for image in &mut self.lock().images {
            image.later.get_or_insert_with(|| later.clone());
        }
    }

    pub fn take_images(&self) -> Vec<Image> {
        std::mem::take(&mut self.lock().images)
    }
}

/// Each sector as before or as now.
fn mix(random: &mut Random, before: Vec<u8>, now: Vec<u8>) -> Vec<u8> {
    match random.below(4) {
        0 => return before,
        1 => return now,
        _ => {}
    }
    let length = if random.one_in(2) { before.len() } else { now.len() };
    let mut bytes = vec![0; length];
    let mut choice = 0;
    for (number, sector) in bytes.chunks_mut(SECTOR).enumerate() {
        if number % 64 == 0 {
            choice = random.next();
        }
        let source = if choice >> (number % 64) & 1 == 0 { &before } else { &now };
        let start = (number * SECTOR).min(source.len());
        let end = (start + sector.len()).min(source.len());
        sector[..end - start].copy_from_slice(&source[start..end]);
    }
    bytes
}

/// Counts what was looked at.
#[derive(Default)]
pub struct Tally {
    pub images: u64,
    /// Of a cut inside a recovery.
    pub nested: u64,
    pub clean: u64,
}

/// Makes the files of a folder those of an image. `STORE` stays the same file: whatever it says of its boot, its inode is the right one.
pub fn lay_out(image: &Image, path: &Path) {
    let files = &image.files;
    for entry in fs::read_dir(path).into_iter().flatten() {
        let path = entry.expect("a name").path();
        if path.is_dir() {
            fs::remove_dir_all(path).expect("removed");
        } else if !path.ends_with("STORE") || !files.contains_key("STORE") {
            fs::remove_file(path).expect("removed");
        }
    }
    fs::create_dir_all(path).expect("a folder");
    for sub in ["chunks", "index"] {
        if files.keys().any(|name| name.starts_with(sub)) {
            fs::create_dir(path.join(sub)).expect("a folder");
        }
    }
    for (name, bytes) in files {
        if name != "chunks" {
            fs::write(path.join(name), bytes).expect("a file");
        }
    }
}

/// Opens an image as a machine does that has booted again, and compares. Cuts the power again while it is opened, `depth` times.
pub fn look_at(image: Image, folder: &Path, random: &mut Random, depth: u32, tally: &mut Tally) {
    let path = folder.join("image");
    lay_out(&image, &path);
    let later = image.later.expect("the state at the cut");
    let disk = Disk::new(&path, random.clone(), 50, Vec::new());
    random.next();
    let faults = if depth > 0 { disk.faults() } else { Faults::recorded() };
    // One piece of evidence is enough.
    let trusting = random.one_in(2);
    let boot = random.bytes(16).try_into().ok();
    if trusting {
        faults.pretend_boot(boot);
    }
    let options = options().trust_page_cache(trusting).faults(faults.clone());
    let at = &image.at;
    let store = open_with(options, &path).unwrap_or_else(|error| panic!("cut before {at}: {error}"));
    let found = store.recovery().found;
    assert_ne!(found, Found::ProcessDied, "cut before {at}");
    let (there, sealed) = (contents(&store), seals(&store));
    if !image.candidates.iter().any(|candidate| candidate.explains(&there, &sealed, &later)) {
        for candidate in &image.candidates {
            let keys = |keys: Vec<&Vec<u8>>| {
                keys.into_iter().map(|key| String::from_utf8_lossy(key).into_owned()).collect::<Vec<_>>()
            };
            eprintln!(
                "there     {:?}\ncandidate {:?}",
                keys(there.keys().collect()),
                keys(candidate.model.keys().collect())
            );
        }
        panic!("cut before {at}: this was at no sync; {:?}", store.recovery());
    }
    let mut now = Tracked::of(&store);
    assert_same(&store, &now.model);
    tally.images += 1;
    tally.clean += u64::from(matches!(found, Found::Clean));
    let nested = disk.take_images();
    // It works on.
    faults.watch(|_| {});
    for op in Op::script(&mut Random::new(random.next()), 6) {
        now.run(&store, &op).unwrap_or_else(|error| panic!("cut before {at}: {op:?}: {error}"));
    }
    drop(store);
    let again = Faults::recorded();
    if trusting {
        again.pretend_boot(boot);
    }
    let store = open_with(crate::common::options().faults(again), &path).expect("open");
    assert_same(&store, &now.model);
    drop(store);
    for mut second in nested {
        let start = Tracked { history: later.history.clone(), ..later.clone() };
        second.candidates.clone_from(&image.candidates);
        second.candidates.retain(|candidate| candidate.explains(&there, &sealed, &later));
        second.later = Some(start);
        second.at = format!("{} of the recovery from a cut before {at}", second.at);
        tally.nested += 1;
        look_at(second, folder, random, depth - 1, tally);
    }
}
