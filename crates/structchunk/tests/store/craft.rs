//! Files made by hand, from what FORMAT.md says: records and checkpoints that say what they should not, with right checksums.

use std::fs;
use std::path::{Path, PathBuf};

pub const PAGE: usize = 4096;
const SECTOR: usize = 512;

/// A sector with a checksum, by offsets.
pub struct Sector<'a>(pub &'a mut [u8]);

impl Sector<'_> {
    pub fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.0[at..at + 8].try_into().expect("8 bytes"))
    }

    pub fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.0[at..at + 4].try_into().expect("4 bytes"))
    }

    pub fn set_u64(&mut self, at: usize, value: u64) {
        self.0[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }

    pub fn set_u32(&mut self, at: usize, value: u32) {
        self.0[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    /// Makes the checksum right: crc32c of everything before it, after the name of the sort of sector.
    pub fn sum(&mut self, sort: &str) {
        let sum = crc32c::crc32c_append(crc32c::crc32c(sort.as_bytes()), &self.0[..SECTOR - 4]);
        self.set_u32(SECTOR - 4, sum);
    }
}

/// Changes a sector of a file and makes its checksum right.
pub fn edit_sector(path: &Path, at: usize, sort: &str, change: impl FnOnce(&mut Sector<'_>)) {
    let mut bytes = fs::read(path).expect("a file");
    let mut sector = Sector(&mut bytes[at..at + SECTOR]);
    change(&mut sector);
    sector.sum(sort);
    fs::write(path, bytes).expect("a file");
}

/// Changes both checkpoints of a closed store.
pub fn edit_checkpoints(store: &Path, mut change: impl FnMut(&mut Sector<'_>)) {
    for slot in [PAGE, 2 * PAGE] {
        edit_sector(&store.join("STORE"), slot, "checkpoint", &mut change);
    }
}

/// A record to be written.
#[derive(Clone)]
pub struct Record {
    pub kind: u8,
    pub flags: u8,
    pub align_log2: u8,
    pub extension: Vec<u8>,
    pub key: Vec<u8>,
    pub payload: Vec<u8>,
    /// What the header says; the payload may be shorter.
    pub payload_length: u64,
    pub type_number: u32,
    /// `None`: the next one.
    pub sequence: Option<u64>,
    pub version_word: u64,
}

pub const OBJECT: u8 = 1;
pub const EXTERN: u8 = 2;
pub const TOMBSTONE: u8 = 3;
pub const TYPE: u8 = 4;
pub const ARRAY: u8 = 4;

impl Record {
    pub fn new(kind: u8, key: &[u8], type_number: u32, payload: &[u8]) -> Self {
        Self {
            kind,
            flags: 0,
            align_log2: 4,
            extension: Vec::new(),
            key: key.to_vec(),
            payload: payload.to_vec(),
            payload_length: payload.len() as u64,
            type_number,
            sequence: None,
            version_word: 2,
        }
    }

    /// An entry of the extension.
    pub fn with_entry(mut self, tag: u16, value: u64) -> Self {
        self.extension.extend(tag.to_le_bytes());
        self.extension.extend([0; 6]);
        self.extension.extend(value.to_le_bytes());
        self
    }

    fn words(&self, sequence: u64) -> [u64; 3] {
        let units = (self.extension.len() / 16) as u64;
        [
            (self.key.len() as u64 & 0xffff) << 32
                | u64::from(self.kind | self.align_log2 << 4) << 48
                | (u64::from(self.flags) | units << 4) << 56,
            self.payload_length & 0xffff_ffff_ffff | u64::from(self.type_number & 0xffff) << 48,
            sequence | u64::from(self.type_number >> 16) << 48,
        ]
    }

    /// Its bytes at a location of a store with this uuid; the payload is there as far as it goes.
    pub fn bytes(&self, uuid: &[u8], location: u64, sequence: u64) -> Vec<u8> {
        let mut words = self.words(sequence);
        let mut fixed = location.to_le_bytes().to_vec();
        fixed.extend(&words[0].to_le_bytes()[4..]);
        fixed.extend(words[1].to_le_bytes());
        fixed.extend(words[2].to_le_bytes());
        fixed.extend(&self.extension);
        fixed.extend(&self.key);
        let seed = crc32c::crc32c(uuid);
        words[0] |= u64::from(crc32c::crc32c_append(seed, &fixed));
        let version = match self.kind {
            EXTERN | TYPE if self.version_word == 2 => {
                u64::from(crc32c::crc32c_append(seed, &self.payload).max(1)) << 32 | 2
            }
            _ => self.version_word,
        };
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.extend(version.to_le_bytes());
        bytes.extend(&self.extension);
        bytes.extend(&self.key);
        let align = 1_usize << self.align_log2;
        // The payload is aligned in the chunk, not in the record; both begin at multiples of 16.
        let place = (location as usize * 16) % align;
        bytes.resize((place + bytes.len()).next_multiple_of(align) - place, 0);
        bytes.extend(&self.payload);
        bytes.resize(bytes.len().next_multiple_of(16), 0);
        bytes
    }
}

/// A closed store of one chunk whose log is written on by hand.
pub struct Log {
    store: PathBuf,
    chunk: PathBuf,
    pub bytes: Vec<u8>,
    pub uuid: [u8; 16],
    pub head: usize,
    pub sequence: u64,
    pub next_type: u32,
}

impl Log {
    pub fn of(store: &Path) -> Self {
        let mut file = fs::read(store.join("STORE")).expect("STORE");
        let uuid = file[16..32].try_into().expect("16 bytes");
        let generation =
            |slot: usize| u64::from_le_bytes(file[slot + 8..slot + 16].try_into().expect("8 bytes"));
        let newest = if generation(PAGE) > generation(2 * PAGE) { PAGE } else { 2 * PAGE };
        let checkpoint = Sector(&mut file[newest..newest + SECTOR]);
        assert_eq!(checkpoint.u32(60), 0, "the active chunk is the first");
        let (sequence, head, next_type) =
            (checkpoint.u64(16), checkpoint.u64(64) as usize, checkpoint.u32(84));
        let chunk = store.join("chunks/00000000.chunk");
        let bytes = fs::read(&chunk).expect("a chunk");
        Self { store: store.to_owned(), chunk, bytes, uuid, head, sequence, next_type }
    }

    /// Appends a record as if it had been put; where it begins.
    pub fn append(&mut self, record: &Record) -> usize {
        let sequence = record.sequence.unwrap_or(self.sequence + 1);
        self.sequence = self.sequence.max(sequence);
        if record.kind == TYPE && record.type_number < 1 << 20 {
            self.next_type = self.next_type.max(record.type_number + 1);
        }
        let at = self.head;
        let bytes = record.bytes(&self.uuid, at as u64 / 16, sequence);
        self.bytes[at..at + bytes.len()].copy_from_slice(&bytes);
        self.head = at + bytes.len();
        at
    }

    /// Writes chunk and checkpoints; the views go, so that the next open makes them from this log.
    pub fn write(&self) {
        self.write_keeping_views();
        for view in ["directory", "live"] {
            fs::remove_file(self.store.join(view)).expect("a view");
        }
    }

    /// Writes chunk and checkpoints.
    pub fn write_keeping_views(&self) {
        fs::write(&self.chunk, &self.bytes).expect("a chunk");
        edit_checkpoints(&self.store, |checkpoint| {
            checkpoint.set_u64(16, self.sequence);
            checkpoint.set_u64(64, self.head as u64);
            checkpoint.set_u32(84, self.next_type);
        });
    }
}

/// Where the parts of a record lie in its chunk.
pub struct Place {
    pub at: usize,
    pub kind: u8,
    pub key: std::ops::Range<usize>,
    pub payload: std::ops::Range<usize>,
}

/// The records of a chunk up to its head.
pub fn walk(bytes: &[u8], head: usize) -> Vec<Place> {
    let mut places = Vec::new();
    let mut at = PAGE;
    while at < head {
        let word = |offset: usize| {
            u64::from_le_bytes(bytes[at + offset..at + offset + 8].try_into().expect("8 bytes"))
        };
        let kind = bytes[at + 6] & 15;
        let key = at + 32 + usize::from(bytes[at + 7] >> 4) * 16;
        let key = key..key + usize::from(bytes[at + 4]) + (usize::from(bytes[at + 5]) << 8);
        let start = key.end.next_multiple_of(1 << (bytes[at + 6] >> 4));
        let payload = start..start + (word(8) & 0xffff_ffff_ffff) as usize;
        let end = payload.end.next_multiple_of(16);
        places.push(Place { at, kind, key, payload });
        at = end;
    }
    places
}
