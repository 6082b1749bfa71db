//! A reader of stores, written from `FORMAT.md` alone: it shares no code with the library. It trusts nothing but asserts
//! everything, because the stores it reads are whole.

use std::collections::{BTreeMap, BTreeSet};

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

pub const CHUNK_HEADER: usize = 4096;

/// A little-endian number of up to eight bytes.
pub fn number(bytes: &[u8], at: usize, length: usize) -> u64 {
    bytes[at..at + length].iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

fn crc32c(parts: &[&[u8]]) -> u32 {
    let mut sum = !0_u32;
    for &byte in parts.iter().copied().flatten() {
        sum ^= u32::from(byte);
        for _ in 0..8 {
            sum = sum >> 1 ^ if sum & 1 == 1 { 0x82f6_3b78 } else { 0 };
        }
    }
    !sum
}

/// Whether a sector of 512 bytes begins with this magic and has the checksum of its sort.
fn is_sector(bytes: &[u8], magic: [u8; 8], sort: &[u8]) -> bool {
    bytes[..8] == magic && number(bytes, 508, 4) == u64::from(crc32c(&[sort, &bytes[..508]]))
}

/// A record of the log.
#[derive(Debug, Clone)]
pub struct Record {
    pub location: u64,
    pub offset: usize,
    pub end: usize,
    pub kind: u64,
    pub flags: u64,
    pub type_number: u64,
    pub sequence: u64,
    pub key: Vec<u8>,
    /// Tag, index, value.
    pub extension: Vec<(u64, u64, u64)>,
    pub payload: Vec<u8>,
    pub version: u64,
}

impl Record {
    /// The dimensions of an array.
    pub fn shape(&self) -> Vec<u64> {
        let shape: Vec<_> = self.extension.iter().filter(|(tag, ..)| *tag == 1).collect();
        assert!(shape.iter().enumerate().all(|(place, (_, index, _))| place as u64 == *index));
        assert_eq!(self.flags & 4 != 0, !shape.is_empty());
        shape.iter().map(|(.., length)| *length).collect()
    }
}

/// All files of a closed store.
pub struct Store {
    files: BTreeMap<String, Vec<u8>>,
    pub uuid: Vec<u8>,
    pub capacity_log2: u64,
    hash_seed: u64,
    /// The first sector of the newest checkpoint.
    pub checkpoint: Vec<u8>,
    pub is_clean: bool,
}

impl Store {
    pub fn new(files: BTreeMap<String, Vec<u8>>) -> Self {
        let store = &files["STORE"];
        assert!(is_sector(store, *b"STRCHNK\x01", b"identity"));
        assert_eq!(number(store, 8, 4), 1, "format version");
        assert_eq!(store[12..16], [4, 3, 2, 1], "byte order");
        let valid = |slot: &usize| is_sector(&store[*slot..], *b"SCCHECK\x01", b"checkpoint");
        let slots: Vec<usize> = [0x1000, 0x2000].into_iter().filter(valid).collect();
        let newest = slots.iter().copied().max_by_key(|&slot| number(store, slot + 8, 8)).unwrap();
        let checkpoint = store[newest..newest + 512].to_vec();
        Self {
            uuid: store[16..32].to_vec(),
            capacity_log2: number(store, 48, 1),
            hash_seed: number(store, 32, 8),
            is_clean: slots.len() == 2 && number(&checkpoint, 56, 4) & 1 == 1,
            checkpoint,
            files,
        }
    }

    /// The records of all chunks, in log order.
    pub fn records(&self) -> Vec<Record> {
        let active = number(&self.checkpoint, 60, 4);
        let mut records: Vec<Record> = Vec::new();
        let (mut count, mut sum) = (0, 0_u64);
        for (name, bytes) in &self.files {
            let Some(digits) = name.strip_prefix("chunks/").and_then(|name| name.strip_suffix(".chunk"))
            else {
                continue;
            };
            let chunk = u64::from_str_radix(digits, 16).unwrap();
            assert!(chunk <= active, "a clean close leaves no chunk behind the active one");
            let dropped = number(&self.checkpoint, 152, 4) as usize;
            let is_dropped = |n: usize| number(&self.checkpoint, 160 + 4 * n, 4) == chunk;
            assert!(dropped <= 64 && !(0..dropped).any(is_dropped), "a clean close leaves no dropped chunk");
            (count, sum) = (count + 1, sum.wrapping_add(xxh3_64(&(chunk as u32).to_le_bytes())));
            self.assert_is_ours(bytes, *b"SCCHUNK\x01", chunk);
            assert_eq!(number(bytes, 12, 1), self.capacity_log2);
            assert_eq!(number(bytes, 40, 8), 1 << self.capacity_log2);
            assert_eq!(bytes.len(), 1 << self.capacity_log2);
            let mut end = number(&self.checkpoint, 64, 8) as usize;
            let first = records.len();
            if chunk < active {
                let seal = &bytes[512..];
                assert!(is_sector(seal, *b"SCSEAL\0\x01", b"seal"));
                assert_eq!((number(seal, 40, 8), &seal[48..64]), (chunk, &*self.uuid));
                end = number(seal, 16, 8) as usize;
            }
            let mut offset = CHUNK_HEADER;
            while offset < end {
                let record = self.record(bytes, chunk, offset);
                assert!(records.last().is_none_or(|last| last.sequence < record.sequence));
                offset = record.end;
                records.push(record);
            }
            assert_eq!(offset, end);
            if chunk < active {
                let sequences = (number(bytes, 536, 8), number(bytes, 544, 8));
                assert_eq!(sequences, (records[first].sequence, records.last().unwrap().sequence));
            }
        }
        assert_eq!((number(&self.checkpoint, 88, 8), number(&self.checkpoint, 96, 8)), (count, sum));
        assert_eq!(number(&self.checkpoint, 16, 8), records.last().map_or(0, |last| last.sequence));
        records
    }

    /// The header page of a chunk or body.
    fn assert_is_ours(&self, bytes: &[u8], magic: [u8; 8], file_number: u64) {
        assert!(is_sector(bytes, magic, b"file"));
        assert_eq!(
            (number(bytes, 8, 4), number(bytes, 32, 8), &bytes[16..32]),
            (1, file_number, &*self.uuid)
        );
    }

    fn record(&self, chunk: &[u8], chunk_number: u64, offset: usize) -> Record {
        let header = &chunk[offset..offset + 32];
        let location = (chunk_number << (self.capacity_log2 - 4)) + offset as u64 / 16;
        let key_at = offset + 32 + 16 * usize::from(header[7] >> 4);
        let key_end = key_at + number(header, 4, 2) as usize;
        let payload_at = key_end.next_multiple_of(1 << (header[6] >> 4));
        let payload_end = payload_at + number(header, 8, 6) as usize;
        let covered = [&self.uuid, &location.to_le_bytes()[..], &header[4..24], &chunk[offset + 32..key_end]];
        assert_eq!(number(header, 0, 4), u64::from(crc32c(&covered)), "record at {offset}");
        let (kind, payload) = (u64::from(header[6] & 15), &chunk[payload_at..payload_end]);
        let is_sealed = number(header, 24, 4) >> 31 == 1;
        let sum = if matches!(kind, 2 | 4) || is_sealed { crc32c(&[&self.uuid, payload]).max(1) } else { 0 };
        assert!(!is_sealed || number(&self.checkpoint, 40, 8) & 1 == 1, "the feature is there");
        assert_eq!(number(header, 28, 4), u64::from(sum), "payload of the record at {offset}");
        let entry = |at: &[u8]| (number(at, 0, 2), number(at, 2, 2), number(at, 8, 8));
        Record {
            location,
            offset,
            end: payload_end.next_multiple_of(16),
            kind,
            flags: u64::from(header[7] & 15),
            type_number: number(header, 14, 2) | number(header, 22, 2) << 16,
            sequence: number(header, 16, 6),
            key: chunk[key_at..key_end].to_vec(),
            extension: chunk[offset + 32..key_at].chunks(16).map(entry).collect(),
            payload: payload.to_vec(),
            version: number(header, 24, 4),
        }
    }

    /// The current record of every key that exists.
    pub fn current(&self) -> BTreeMap<Vec<u8>, Record> {
        let mut current = BTreeMap::new();
        for record in self.records() {
            match record.kind {
                1 | 2 => drop(current.insert(record.key.clone(), record)),
                3 => drop(current.remove(&record.key)),
                4 => assert_eq!(record.key, (record.type_number as u32).to_le_bytes()),
                kind => panic!("kind {kind}"),
            }
        }
        current
    }

    /// The bytes of an object.
    pub fn object(&self, record: &Record) -> Vec<u8> {
        if record.kind == 1 {
            return record.payload.clone();
        }
        let (body, length) = (number(&record.payload, 0, 8), number(&record.payload, 8, 8));
        let bytes = &self.files[&format!("chunks/{body:016x}.body")];
        self.assert_is_ours(bytes, *b"SCBODY\0\x01", body);
        assert_eq!(number(bytes, 40, 8), length);
        assert_eq!(bytes.len(), 4096 + (length as usize).next_multiple_of(16));
        let payload = &bytes[4096..4096 + length as usize];
        if record.version >> 31 == 1 {
            let seal = &bytes[512..];
            assert!(is_sector(seal, *b"SCSEALB\x01", b"sealed"));
            assert_eq!((number(seal, 8, 8), &seal[16..32]), (body, &*self.uuid));
            assert_eq!(number(seal, 32, 4), u64::from(crc32c(&[&self.uuid, payload]).max(1)));
        }
        payload.to_vec()
    }

    fn derived(&self, name: &str, magic: [u8; 8]) -> &[u8] {
        let bytes = &self.files[name];
        assert_eq!((&bytes[..8], number(bytes, 8, 8), &bytes[16..32]), (&magic[..], 1, &*self.uuid));
        assert_eq!(number(bytes, 32, 8), number(&self.checkpoint, 24, 8), "epoch");
        bytes
    }

    /// What the directory says about a key; `records` are all there are, by location.
    pub fn look_up(&self, key: &[u8], records: &BTreeMap<u64, Record>) -> Option<u64> {
        let is_it = |record: &Record| record.key == key && matches!(record.kind, 1 | 2);
        self.probe(xxh3_64_with_seed(key, self.hash_seed), records, is_it)
    }

    /// What the directory says about a type.
    pub fn look_up_type(&self, type_number: u32, records: &BTreeMap<u64, Record>) -> Option<u64> {
        let hash = xxh3_64_with_seed(&type_number.to_le_bytes(), self.hash_seed ^ 0x7479_7065_7479_7065);
        self.probe(hash, records, |record| record.kind == 4 && record.type_number == u64::from(type_number))
    }

    fn probe(
        &self,
        hash: u64,
        records: &BTreeMap<u64, Record>,
        is_it: impl Fn(&Record) -> bool,
    ) -> Option<u64> {
        let directory = self.derived("directory", *b"SCHKDIR1");
        assert_eq!(number(directory, 48, 8), 1 << 63 | number(&self.checkpoint, 16, 8), "stamp");
        let root = number(directory, 64, 8);
        let entry = (root >> 8) * 2048 + 8 * (hash >> (64 - (root & 0xff)));
        let word = number(directory, entry as usize, 8);
        let (segment, depth) = ((word >> 8) as usize * 2048, word & 0xff);
        for steps in 0..32_u64 {
            let line = (hash + steps) as usize % 32;
            let slot = |at: usize| number(directory, segment + 64 * line + 8 * at, 8);
            let slots: Vec<u64> = (usize::from(line == 0)..8).map(slot).collect();
            let base = [depth / 4, (depth / 4).saturating_sub(1)];
            let window = |base: u64| hash << (4 * base) >> 52;
            let tags = base.map(|base| (2 | base & 1) << 14 | steps.min(3) << 12 | window(base));
            let candidates = slots.iter().filter(|&slot| tags.contains(&(slot >> 48)));
            let mut locations = candidates.map(|slot| slot & ((1 << 48) - 1));
            if let Some(found) = locations.find(|location| is_it(&records[location])) {
                return Some(found);
            }
            if slots.contains(&0) {
                return None;
            }
        }
        None
    }

    /// How many objects the directory counts.
    pub fn objects(&self) -> u64 {
        number(self.derived("directory", *b"SCHKDIR1"), 144, 8)
    }

    /// The locations that the live map has; its counters are checked.
    pub fn live(&self, records: &BTreeMap<u64, Record>) -> BTreeSet<u64> {
        let map = self.derived("live", *b"SCLIVE\0\x01");
        assert_eq!(number(map, 40, 8), number(&self.checkpoint, 16, 8), "stamp");
        let first_chunk = number(map, 48, 8);
        let region = (64 + (1 << self.capacity_log2) / 16 / 8_usize).next_multiple_of(4096);
        let mut live = BTreeSet::new();
        for chunk in first_chunk..=number(&self.checkpoint, 60, 4) {
            let start = 4096 + (chunk - first_chunk) as usize * region;
            let is_set = |unit: &u64| {
                let byte = map.get(start + 64 + *unit as usize / 8).copied().unwrap_or(0);
                byte >> (unit % 8) & 1 == 1
            };
            let units = (0..1 << (self.capacity_log2 - 4)).filter(is_set);
            let here: Vec<u64> = units.map(|unit| (chunk << (self.capacity_log2 - 4)) + unit).collect();
            let bytes: usize =
                here.iter().map(|location| records[location].end - records[location].offset).sum();
            assert_eq!(
                (number(map, start + 8, 8), number(map, start + 16, 8)),
                (bytes as u64, here.len() as u64)
            );
            live.extend(here);
        }
        live
    }
}
