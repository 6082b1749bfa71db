//! What all modules share: objects to store, opening, folders, and the model that a store is compared with.
#![expect(unsafe_code, reason = "opening a store is unsafe: others could change its files")]

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use structchunk::{Entry, Object, Options, Result, Sparse, Store};
use tempfile::TempDir;

/// 16 bytes.
#[derive(Object, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub struct Point {
    pub x: f64,
    pub y: f64,
}

/// 24 bytes, of fields of several sizes.
#[derive(Object, Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Sample {
    pub at: u64,
    pub value: u64,
    pub kind: u32,
    pub flags: u16,
    pub pair: [u8; 2],
}

/// What a [`Sample`] is after an upgrade.
#[derive(Object, Clone, Copy, Debug, PartialEq, Eq)]
#[object(extends = Sample)]
#[repr(C)]
pub struct Grown {
    pub at: u64,
    #[object(renamed_from = "value")]
    pub amount: u64,
    pub kind: u32,
    pub flags: u16,
    pub pair: [u8; 2],
    #[object(default = GROWN)]
    pub more: u64,
}

impl Sample {
    /// What an upgrade makes of it.
    pub fn grown(self) -> Grown {
        let Self { at, value, kind, flags, pair } = self;
        Grown { at, amount: value, kind, flags, pair, more: GROWN }
    }
}

/// What an upgrade appends.
pub const GROWN: u64 = 0x600d_600d;

/// 1,024 bytes: changed where it lies, not in a copy.
#[derive(Object, Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Wide {
    pub words: [u64; 128],
}

/// Shared by threads without a lock.
#[derive(Object, Debug, Default)]
#[object(atomic)]
#[repr(C)]
pub struct Counter {
    pub hits: AtomicU64,
    pub sum: AtomicU64,
}

/// Capacity of a chunk in [`options`]: the smallest, so that chunks roll over after a few records.
pub const CHUNK_BYTES: u64 = 256 << 10;
/// Inline objects are at most this large in [`options`]; larger ones get a body.
pub const LARGEST_INLINE: u64 = CHUNK_BYTES / 8;
/// Space is reserved in steps of this in [`options`].
pub const STEP_BYTES: u64 = 64 << 10;

thread_local! {
    static SPARSE: Cell<Sparse> = const { Cell::new(Sparse::Auto) };
    static MAPPED: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Runs a test whose stores, as far as they are made by [`options`] in this thread, grow in steps.
pub fn without_sparse_files(test: impl FnOnce()) {
    SPARSE.set(Sparse::Never);
    test();
    SPARSE.set(Sparse::Auto);
}

/// Runs a test whose stores, as far as they are opened with [`options`] in this thread, keep nothing mapped that is not in use.
pub fn with_nothing_kept_mapped(test: impl FnOnce()) {
    MAPPED.set(Some(0));
    test();
    MAPPED.set(None);
}

/// Small chunks, small steps, little patience, scans of the index; creates the store where there is none.
pub fn options() -> Options {
    let options = Store::options();
    let options = match MAPPED.get() {
        Some(bytes) => options.mapped_limit(bytes),
        None => options,
    };
    options
        .sparse(SPARSE.get())
        .create(true)
        .chunk_capacity(CHUNK_BYTES)
        .reserve_step(STEP_BYTES)
        .busy_timeout(Duration::from_millis(200))
        .sorted_keys(0)
}

/// Opens with options.
pub fn open_with(options: Options, path: impl AsRef<Path>) -> Result<Store> {
    // SAFETY: the tests change the files of closed stores only.
    unsafe { options.open(path) }
}

/// Opens with [`options`]; panics when that fails.
pub fn open(path: impl AsRef<Path>) -> Store {
    open_with(options(), path.as_ref())
        .unwrap_or_else(|error| panic!("open {}: {error}", path.as_ref().display()))
}

/// A fresh folder that goes with its handle, in memory where that is possible: most tests sync hundreds of times.
/// `STRUCTCHUNK_TEST_DIR` names another place.
pub fn folder() -> TempDir {
    let place = std::env::var_os("STRUCTCHUNK_TEST_DIR").map(PathBuf::from);
    let place = place.or_else(|| Some(PathBuf::from("/dev/shm")).filter(|shm| shm.is_dir()));
    place.and_then(|place| TempDir::new_in(place).ok()).unwrap_or_else(|| TempDir::new().expect("a folder"))
}

/// Copies a folder with everything in it to a place where nothing is.
pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a new folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("a name");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a kind").is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

/// Every file and folder of a folder and below, with what is in it.
pub fn all_files(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut files, mut left) = (BTreeMap::new(), vec![path.to_owned()]);
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(fs::read_dir(&path).expect("a folder").map(|entry| entry.expect("a name").path()));
            files.insert(path, Vec::new());
        } else if path.exists() {
            let bytes = fs::read(&path).expect("bytes");
            files.insert(path, bytes);
        }
    }
    files
}

/// An object of the model.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Point(Point),
    Sample(Sample),
    /// Only made by upgrades.
    Grown(Grown),
    Wide(Box<Wide>),
    /// A `[u8]`; a body above [`LARGEST_INLINE`].
    Bytes(Vec<u8>),
    /// A `[u64]`; a body above [`LARGEST_INLINE`].
    Numbers(Vec<u64>),
}

impl Value {
    /// A value that depends on `seed` alone; every kind and every size up to a body comes up.
    pub fn from_seed(seed: u64) -> Self {
        let mut random = Random::new(seed);
        match random.below(20) {
            0..6 => Self::Point(Point { x: random.any_f64(), y: random.any_f64() }),
            6..11 => Self::Sample(Sample {
                at: random.next(),
                value: random.next(),
                kind: random.next() as u32,
                flags: random.next() as u16,
                pair: [1, 2],
            }),
            11..14 => Self::Wide(Box::new(Wide { words: std::array::from_fn(|_| random.next()) })),
            14..16 => Self::Bytes(random.bytes(1 + random.clone().below(200))),
            16..18 => Self::Numbers(random.words(1 + random.clone().below(2000))),
            18 => Self::Bytes(random.bytes(20_000 + random.clone().below(50_000))),
            _ => Self::Numbers(random.words(LARGEST_INLINE / 8 + 1 + random.clone().below(3000))),
        }
    }

    /// Puts it, whatever its type.
    pub fn put(&self, store: &Store, key: &[u8]) -> Result<()> {
        match self {
            Self::Point(value) => store.put(key, value),
            Self::Sample(value) => store.put(key, value),
            Self::Grown(value) => store.put(key, value),
            Self::Wide(value) => store.put(key, &**value),
            Self::Bytes(value) => store.put(key, &value[..]),
            Self::Numbers(value) => store.put(key, &value[..]),
        }
    }

    /// Its bytes, as they lie in the store.
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Point(value) => [value.x.to_le_bytes(), value.y.to_le_bytes()].concat(),
            Self::Sample(value) => {
                let mut bytes = [value.at.to_le_bytes(), value.value.to_le_bytes()].concat();
                bytes.extend(value.kind.to_le_bytes());
                bytes.extend(value.flags.to_le_bytes());
                bytes.extend(value.pair);
                bytes
            }
            Self::Grown(Grown { at, amount, kind, flags, pair, more }) => {
                let sample = Sample { at: *at, value: *amount, kind: *kind, flags: *flags, pair: *pair };
                [&Self::Sample(sample).bytes()[..], &more.to_le_bytes()].concat()
            }
            Self::Wide(value) => value.words.iter().flat_map(|word| word.to_le_bytes()).collect(),
            Self::Bytes(value) => value.clone(),
            Self::Numbers(value) => value.iter().flat_map(|word| word.to_le_bytes()).collect(),
        }
    }

    /// A value of the same type with these bytes.
    pub fn with_bytes(&self, bytes: &[u8]) -> Self {
        let words =
            || bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().expect("8 bytes")));
        let word = |at: usize| words().nth(at).expect("a word");
        match self {
            Self::Point(_) => Self::Point(Point { x: f64::from_bits(word(0)), y: f64::from_bits(word(1)) }),
            Self::Sample(_) => Self::Sample(Sample {
                at: word(0),
                value: word(1),
                kind: word(2) as u32,
                flags: (word(2) >> 32) as u16,
                pair: [bytes[22], bytes[23]],
            }),
            Self::Grown(_) => {
                let sample = Self::Sample(Sample { at: 0, value: 0, kind: 0, flags: 0, pair: [0; 2] });
                let Self::Sample(sample) = sample.with_bytes(bytes) else {
                    unreachable!("a sample stays one")
                };
                Self::Grown(Grown { more: word(3), ..sample.grown() })
            }
            Self::Wide(_) => Self::Wide(Box::new(Wide { words: std::array::from_fn(word) })),
            Self::Bytes(_) => Self::Bytes(bytes.to_vec()),
            Self::Numbers(_) => Self::Numbers(words().collect()),
        }
    }

    /// The value of a type that has these bytes.
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Self {
        match name {
            "Point" => Self::Point(Point { x: 0.0, y: 0.0 }),
            "Sample" => Self::Sample(Sample { at: 0, value: 0, kind: 0, flags: 0, pair: [0; 2] }),
            "Grown" => Self::Grown(Sample { at: 0, value: 0, kind: 0, flags: 0, pair: [0; 2] }.grown()),
            "Wide" => Self::Wide(Box::new(Wide { words: [0; 128] })),
            "u1" => Self::Bytes(Vec::new()),
            "u8" => Self::Numbers(Vec::new()),
            other => panic!("type {other} is not in the model"),
        }
        .with_bytes(bytes)
    }

    /// The name of its type, and the shape where it is an array.
    pub fn kind(&self) -> (&'static str, Option<Vec<u64>>) {
        match self {
            Self::Point(_) => ("Point", None),
            Self::Sample(_) => ("Sample", None),
            Self::Grown(_) => ("Grown", None),
            Self::Wide(_) => ("Wide", None),
            Self::Bytes(value) => ("u1", Some(vec![value.len() as u64])),
            Self::Numbers(value) => ("u8", Some(vec![value.len() as u64])),
        }
    }
}

/// What a store should hold.
pub type Model = BTreeMap<Vec<u8>, Value>;

/// An object as a scan shows it: name of the type, shape, bytes.
pub type Seen = (String, Option<Vec<u64>>, Vec<u8>);

pub fn seen(entry: &Entry<'_>) -> Seen {
    let name = entry.type_name().expect("a type").to_owned();
    (name, entry.shape(), entry.bytes(u64::MAX).expect("bytes"))
}

/// Everything that a scan yields. Panics when a key comes twice.
pub fn contents(store: &Store) -> BTreeMap<Vec<u8>, Seen> {
    let mut all = BTreeMap::new();
    for entry in store.iter().expect("a scan") {
        let entry = entry.expect("a record");
        assert!(all.insert(entry.key().to_vec(), seen(&entry)).is_none(), "{entry:?} came twice");
    }
    all
}

/// Panics unless scan, look-ups, count and check all agree with the model. `differs` judges bytes that are not the model's:
/// after a power cut, what was changed in place may be old or new in parts.
pub fn assert_holds(store: &Store, model: &Model, mut may_be: impl FnMut(&[u8], &Value, &[u8]) -> bool) {
    let found = contents(store);
    let keys: Vec<_> = found.keys().map(|key| String::from_utf8_lossy(key)).collect();
    let expected: Vec<_> = model.keys().map(|key| String::from_utf8_lossy(key)).collect();
    assert_eq!(keys, expected, "the keys of a scan");
    let ordered: Vec<_> = store.keys().expect("a scan").map(|key| key.expect("a key").into_key()).collect();
    assert!(ordered.iter().eq(model.keys()), "the keys in order");
    assert_eq!(store.len(), model.len() as u64, "len()");
    for (key, value) in model {
        let (name, shape, bytes) = &found[key];
        let shown = String::from_utf8_lossy(key);
        assert_eq!((name.as_str(), shape), (value.kind().0, &value.kind().1), "type and shape of {shown}");
        assert!(value.bytes() == *bytes || may_be(key, value, bytes), "the bytes of {shown} are others");
        assert!(store.contains(key).expect("a look-up"), "{shown} is found");
    }
    let findings: Vec<_> = store.check_deep().expect("a check").map(|finding| finding.to_string()).collect();
    assert_eq!(findings, Vec::<String>::new(), "findings of check_deep()");
}

/// Panics unless the store holds exactly the model.
pub fn assert_same(store: &Store, model: &Model) {
    assert_holds(store, model, |_, _, _| false);
}

/// Small, seeded, and the same everywhere (`SplitMix64`).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// A whole number.
    pub fn any_f64(&mut self) -> f64 {
        f64::from(self.next() as u32)
    }

    /// Below `limit`, which is not 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub fn bytes(&mut self, count: u64) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }

    pub fn words(&mut self, count: u64) -> Vec<u64> {
        (0..count).map(|_| self.next()).collect()
    }
}

/// The seed of this run, printed by whoever uses it. `STRUCTCHUNK_SEED` repeats one.
pub fn seed() -> u64 {
    std::env::var("STRUCTCHUNK_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x5eed)
}

/// How many cases a long test runs: `usual`, times `STRUCTCHUNK_TEST_SCALE` where that is set.
pub fn cases(usual: u64) -> u64 {
    let scale = std::env::var("STRUCTCHUNK_TEST_SCALE").ok().and_then(|scale| scale.parse().ok());
    usual * scale.unwrap_or(1).max(1)
}
