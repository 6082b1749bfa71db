//! One store: sessions that work on it, crashes on the way, and what comes up after each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use structchunk::testing::Sabotage;
use structchunk::{Options, Sparse, Store};

use super::disk::{Disk, Lie};
use super::files::Files;
use super::image::{Crash, Expected, Image, Stage};
use super::session::Session;
use super::steps::COUNTER;
use crate::common::{CHUNK_BYTES, Counter, Random, STEP_BYTES, Seen, Value, contents, open_with, options};
use crate::script::{Op, Tracked, seals};

/// What is broken, if anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Broken {
    pub lie: Option<Lie>,
    pub sabotage: Option<Sabotage>,
    /// All worlds have an index, or many keys.
    pub index: bool,
    pub many: bool,
    /// Checkpoints are often lost.
    pub rebuild: bool,
}

/// What was looked at.
#[derive(Default)]
pub struct Tally {
    pub images: u64,
    pub kills: u64,
    pub power_cuts: u64,
    pub in_recovery: u64,
    pub rebuilt: u64,
    /// The image that was looked at last.
    pub at: String,
}

/// How many images of a session are opened, by how deep it is in others.
const MOST: [usize; 3] = [0, 2, 12];
/// How many steps it does.
const STEPS: [u64; 3] = [5, 12, 40];
/// One in how many calls is a crash.
const ONE_IN: [u64; 3] = [0, 25, 12];

#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct World<'w> {
    root: PathBuf,
    pub(super) random: Random,
    pub(super) broken: Broken,
    boot: [u8; 16],
    pub(super) index: bool,
    pub(super) uniform: bool,
    pub(super) many: bool,
    auto_compact: bool,
    sparse: Sparse,
    limit: u64,
    tally: &'w mut Tally,
}

/// What a store holds.
struct There {
    objects: BTreeMap<Vec<u8>, Seen>,
    sealed: BTreeSet<Vec<u8>>,
    counter: Option<Vec<u64>>,
}

impl There {
    fn look(store: &Store) -> Self {
        let mut objects = contents(store);
        let counter = objects.remove(COUNTER).map(|(_, _, bytes)| {
            bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().expect("8 bytes"))).collect()
        });
        Self { objects, sealed: seals(store), counter }
    }

    fn tracked(&self) -> Tracked {
        let mut tracked = Tracked::default();
        for (key, (name, _, bytes)) in &self.objects {
            tracked.set(key, Value::from_bytes(name, bytes));
        }
        tracked.sealed.clone_from(&self.sealed);
        tracked
    }

    /// Panics unless this is one of what was expected.
    fn check(&self, expected: &Expected, at: &str, store: &Store) {
        let explains = |state: &Arc<Tracked>| state.explains(&self.objects, &self.sealed, &expected.later);
        assert!(
            expected.states.iter().any(explains),
            "{at}: this is none of {} states; there are {} objects, {:?} were expected; {:?}",
            expected.states.len(),
            self.objects.len(),
            expected.states.iter().map(|state| state.model.len()).collect::<Vec<_>>(),
            store.recovery()
        );
        let (from, to) = expected.hits;
        let counter = self.counter.as_deref().unwrap_or_default();
        assert!(
            counter.len() == 2 && counter.iter().all(|count| (from..=to).contains(count)),
            "{at}: the counter is {counter:?}, not from {from} to {to}"
        );
    }

    /// Panics unless every way to look at the store shows the same.
    fn check_other_ways(&self, store: &Store, at: &str, ordered: bool) {
        let mut keys: Vec<_> = self.objects.keys().map(Vec::as_slice).chain([COUNTER]).collect();
        keys.sort_unstable();
        if ordered {
            let ordered: Vec<_> =
                store.keys().expect("a scan").map(|key| key.expect("a key").into_key()).collect();
            assert!(
                ordered.iter().eq(keys.iter()),
                "{at}: the keys in order, {} of {}",
                ordered.len(),
                keys.len()
            );
        }
        assert_eq!(store.len(), keys.len() as u64, "{at}: len()");
        for key in keys {
            assert!(store.contains(key).expect("a look-up"), "{at}: a key that a scan shows is not found");
        }
        let findings: Vec<_> = store.check().expect("a check").map(|it| it.to_string()).collect();
        assert!(findings.is_empty(), "{at}: {findings:?}");
    }
}

impl<'w> World<'w> {
    pub fn new(folder: &Path, mut random: Random, broken: Broken, limit: u64, tally: &'w mut Tally) -> Self {
        Self {
            root: folder.join("store"),
            boot: random.bytes(16).try_into().expect("16 bytes"),
            index: broken.index || random.one_in(16),
            uniform: broken.index || random.one_in(20),
            many: broken.many || random.one_in(6),
            auto_compact: random.one_in(2),
            sparse: if random.one_in(8) { Sparse::Never } else { Sparse::Auto },
            random,
            broken,
            limit,
            tally,
        }
    }

    fn options(&self, disk: &Disk) -> Options {
        disk.faults().pretend_boot(Some(self.boot));
        if let Some(rule) = self.broken.sabotage {
            disk.faults().sabotage(rule);
        }
        options()
            .chunk_capacity(CHUNK_BYTES)
            .reserve_step(STEP_BYTES)
            .sparse(self.sparse)
            .index(self.index)
            .auto_compact(self.auto_compact)
            .faults(disk.faults().clone())
    }

    fn is_over(&self) -> bool {
        self.tally.images >= self.limit
    }

    /// Creates the store, and lets sessions work on it.
    pub fn run(&mut self) {
        let disk = Disk::new(&self.root, Files::default(), self.random.clone(), 0, None);
        let store = open_with(self.options(&disk), &self.root).expect("create");
        store.put(COUNTER, &Counter::default()).expect("put");
        let mut now = Tracked::default();
        let mut batch = Vec::new();
        for number in 0..if self.many { 180 + self.random.below(60) } else { 0 } {
            let value = Value::Numbers(vec![number]);
            batch.push((format!("many {number}").into_bytes(), Some(value)));
        }
        if self.random.one_in(2) {
            // Close to the end of the first chunk.
            for number in 0..self.random.below(9) {
                let words = self.random.words(3500);
                batch.push((format!("key {number}").into_bytes(), Some(Value::Numbers(words))));
            }
        }
        now.run(&store, &Op::Batch(batch)).expect("put");
        store.sync().expect("sync");
        drop(store);
        // After a recovery both checkpoints say the same.
        drop(open_with(self.options(&disk), &self.root).expect("open"));
        let mut files = Files::default();
        files.look(&self.root);
        let now = Expected { states: vec![Arc::new(now)], ..Expected::default() };
        let stage = Stage { kill: now.clone(), power: now.clone(), slots: now, ..Stage::default() };
        let at = "the first session".to_owned();
        let mut image = Image { sequence: None, ..Image::new(files.settled(), Crash::Kill, stage, at) };
        for _ in 0..3 {
            if self.is_over() {
                return;
            }
            image = self.session(&image, 2);
            image.at = "the session before".into();
        }
        self.session(&image, 0);
    }

    /// Opens what is there after a crash, works on, and looks at what is there after crashes meanwhile. What it leaves.
    fn session(&mut self, image: &Image, depth: usize) -> Image {
        if image.crash != Crash::CheckpointsLost {
            return self.session_here(image, depth);
        }
        // A rebuild makes a new `STORE`; for all other images it must stay the same file.
        let aside = self.root.with_extension(format!("rebuilt{depth}"));
        let _ = std::fs::remove_dir_all(&aside);
        let here = std::mem::replace(&mut self.root, aside);
        let left = self.session_here(image, depth);
        self.root = here;
        left
    }

    #[expect(clippy::too_many_lines, reason = "one store from its opening to its end")]
    fn session_here(&mut self, image: &Image, depth: usize) -> Image {
        self.tally.images += 1;
        match image.crash {
            Crash::Power | Crash::PowerAndSlot => self.tally.power_cuts += 1,
            Crash::CheckpointsLost => self.tally.rebuilt += 1,
            _ => self.tally.kills += 1,
        }
        self.tally.in_recovery += u64::from(image.stage.opening);
        let mut at = format!("{:?} before {}", image.crash, image.at);
        self.tally.at.clone_from(&at);
        let (expected, same_boot) = (image.expected(), image.crash.same_boot());
        let mut trust = true;
        if !same_boot && self.broken.lie != Some(Lie::SameBoot) {
            // One piece of evidence is enough.
            trust = !self.random.one_in(4);
            if trust {
                self.boot = self.random.bytes(16).try_into().expect("16 bytes");
            }
        }
        let doubtful = !image.files.lost.is_empty();
        let mut files = image.files.lay_out(&self.root).expect("files");
        if image.crash == Crash::CheckpointsLost {
            let disk = Disk::new(&self.root, files.clone(), self.random.clone(), 0, None);
            let report =
                rebuild(self.options(&disk), &self.root).unwrap_or_else(|error| panic!("{at}: {error}"));
            at = format!("{report:?} of {at}");
            files = Files::default();
            files.look(&self.root);
            files = files.settled();
        }
        let (seed, reads) = (self.random.next(), self.random.one_in(5));
        let disk = Disk::new(&self.root, files, Random::new(seed), 0, self.broken.lie);
        if trust {
            disk.crash_one_in(ONE_IN[depth]);
        }
        let options = || self.options(&disk).trust_page_cache(trust);
        let opening = Stage {
            opening: true,
            kill: expected.clone(),
            power: expected.or(&image.stage.power),
            slots: expected.or(&image.stage.power).or(&image.stage.slots),
            cut: Arc::default(),
            one_slot: image.crash == Crash::PowerAndSlot,
        };
        disk.stage(opening);
        if reads {
            self.look_only(options(), &expected, &at);
        }
        let store = open_with(options(), &self.root).unwrap_or_else(|error| panic!("{at}: {error}"));
        self.tally.at = format!("{at}; {:?}", store.recovery());
        let there = There::look(&store);
        there.check(&expected, &at, &store);
        // Whoever looks at an index brings it up to date, or throws it away.
        let ordered = !self.index || self.random.one_in(4);
        there.check_other_ways(&store, &at, ordered);
        let numbered = store.stats().expect("stats").sequence.expect("the writer's");
        assert!(
            image.sequence.is_none_or(|sequence| sequence == numbered),
            "{at}: numbered up to {numbered}"
        );
        disk.done(|inner| {
            // Where a flush had failed, it depends on what the kernel has let go of.
            if !doubtful {
                inner
                    .stage
                    .kill
                    .states
                    .retain(|state| state.explains(&there.objects, &there.sealed, &expected.later));
            }
            inner.at = format!("{} of the opening of {at}", inner.at);
        });
        let hits = there.counter.as_ref().and_then(|words| words.iter().max().copied()).unwrap_or(0);
        let least = there.counter.as_ref().and_then(|words| words.iter().min().copied()).unwrap_or(0);
        let mut session = Session {
            world: self,
            disk: &disk,
            store: &store,
            now: there.tracked(),
            synced: Arc::default(),
            long: Tracked::default(),
            hits,
            hits_synced: least,
            hits_least: least,
            at: &at,
        };
        session.synced = Arc::new(session.now.clone());
        disk.crash_one_in(ONE_IN[depth]);
        let alive = session.work(STEPS[depth]);
        let (now, synced) = (session.now.clone(), session.synced.clone());
        let (hits, closes) = (session.hits, alive && session.world.random.one_in(3));
        let mut stage = disk.stage_now();
        let sequence = alive.then(|| store.stats().expect("stats").sequence.expect("the writer's"));
        if closes {
            store.close().unwrap_or_else(|error| panic!("{at}: close: {error}"));
            disk.done(|image| image.at = format!("{} of a close after {at}", image.at));
            let now = Arc::new(now);
            let exactly = Expected { states: vec![now.clone()], hits: (hits, hits), ..Expected::default() };
            stage = Stage {
                kill: exactly.clone(),
                power: exactly.clone(),
                slots: exactly,
                cut: now,
                ..Stage::default()
            };
            disk.stage(stage.clone());
            if depth > 0 {
                disk.crash_now(Crash::any(&mut self.random), &format!("what came after a close after {at}"));
                disk.done(|_| {});
            }
        } else {
            drop(store);
        }
        drop(synced);
        let mut images = disk.take_images();
        let crash = if alive { Crash::Kill } else { Crash::Poisoned };
        let left =
            Image { sequence, ..Image::new(disk.files(), crash, stage, format!("the end after {at}")) };
        drop(disk);
        let boot = self.boot;
        while images.len() > MOST[depth] {
            images.swap_remove(self.random.below(images.len() as u64) as usize);
        }
        for image in images {
            if self.is_over() {
                break;
            }
            self.boot = boot;
            self.session(&image, depth - 1);
        }
        self.boot = boot;
        left
    }

    /// Opens it for reading only: nothing on disk changes.
    fn look_only(&self, options: Options, expected: &Expected, at: &str) {
        let mut before = Files::default();
        before.look(&self.root);
        let store = open_with(options.create(false).read_only(true), &self.root);
        let store = store.unwrap_or_else(|error| panic!("{at}: read-only: {error}"));
        let there = There::look(&store);
        there.check(expected, &format!("{at}, read-only"), &store);
        drop(store);
        let mut after = Files::default();
        after.look(&self.root);
        assert!(before.names == after.names && before.cached == after.cached, "{at}: a reader wrote");
    }
}

#[expect(unsafe_code, reason = "nobody else has the files")]
fn rebuild(options: Options, root: &Path) -> structchunk::Result<structchunk::RebuildReport> {
    // SAFETY: the files are this process's own, and nothing has them open.
    unsafe { options.rebuild(root) }
}
