//! The floor: files of the same shape as structchunk's, and nothing but the loads and stores that cannot be avoided.
//!
//! A look-up is one slot, one record header and one payload; no key is compared, nothing is checked. A put copies one record to
//! the end of a fresh mapping and stores one slot.
#![expect(unsafe_code, reason = "what checks nothing shows what checking costs")]

use std::fs::File;
use std::hint::black_box;
use std::ops::Range;
use std::path::Path;

use memmap2::{MmapOptions, MmapRaw};

use super::{Database, Engine, FLOOR, Outcome};
use crate::data::{Key, Particle, key, mix, next_in_chain, scale};
use crate::workload::Workload;

/// The key behind the header, in words.
const KEY_AT: u64 = 4;
/// The payload behind header and key, in words.
const PAYLOAD_AT: u64 = 6;
/// One record, in words.
const RECORD_WORDS: u64 = 14;
/// Slots of 8 bytes for two objects: 20 bytes each, as structchunk's directory has 17 to 27.
const SLOTS_FOR_TWO: u64 = 5;

/// The floor.
pub struct Floor;

struct Opened {
    slots: MmapRaw,
    slot_count: u64,
    records: MmapRaw,
}

impl Engine for Floor {
    fn name(&self) -> &'static str {
        FLOOR
    }

    fn takes_part(&self, workload: Workload) -> bool {
        use Workload::{Absent, Chain, Change, Get, GetMany, Large, Put, Scan};
        matches!(workload, Put | Get | Chain | GetMany | Absent | Change | Scan | Large)
    }

    fn create(&self, folder: &Path, objects: u64, bytes: u64) -> Outcome<Box<dyn Database>> {
        std::fs::create_dir(folder)?;
        File::create_new(folder.join("slots"))?.set_len(slot_count(objects) * 8)?;
        File::create_new(folder.join("records"))?.set_len((objects * RECORD_WORDS * 8).max(bytes))?;
        self.open(folder, objects)
    }

    fn open(&self, folder: &Path, objects: u64) -> Outcome<Box<dyn Database>> {
        let map = |name: &str| {
            let file = File::options().read(true).write(true).open(folder.join(name))?;
            MmapOptions::new().map_raw(&file)
        };
        Ok(Box::new(Opened {
            slots: map("slots")?,
            slot_count: slot_count(objects),
            records: map("records")?,
        }))
    }

    /// All records in order, and every slot full, so that each look-up meets a random record.
    fn fill(&self, folder: &Path, objects: u64) -> Outcome<()> {
        let mut database = self.create(folder, objects, 0)?;
        database.put_each(0..objects)?;
        let slots = File::options().read(true).write(true).open(folder.join("slots"))?;
        let words: Vec<u8> = (0..slot_count(objects))
            .flat_map(|slot| (scale(mix(slot), objects) * RECORD_WORDS).to_le_bytes())
            .collect();
        std::os::unix::fs::FileExt::write_all_at(&slots, &words, 0)?;
        Ok(())
    }
}

fn slot_count(objects: u64) -> u64 {
    objects * SLOTS_FOR_TWO / 2
}

/// The mapped words from one on.
#[inline]
#[expect(clippy::cast_ptr_alignment, reason = "mappings begin on pages")]
fn word(map: &MmapRaw, index: u64) -> *mut u64 {
    map.as_mut_ptr().cast::<u64>().wrapping_add(index as usize)
}

impl Opened {
    #[inline]
    fn slot(&self, key: &Key) -> *mut u64 {
        word(&self.slots, scale(u128::from_le_bytes(*key) as u64, self.slot_count))
    }

    /// Where the record of a key begins, in words.
    #[inline]
    fn find(&self, number: u64) -> u64 {
        // SAFETY: `scale` keeps the index below the number of slots; only this thread uses the mapping.
        unsafe { self.slot(&key(number)).read() }
    }

    #[inline]
    fn payload(&self, record: u64) -> *mut Particle {
        word(&self.records, record + PAYLOAD_AT).cast()
    }

    #[inline]
    fn get(&self, number: u64) -> Particle {
        let record = self.find(number);
        // SAFETY: slots lead to whole records, which begin with the words of a header.
        black_box(unsafe { word(&self.records, record).read() });
        // SAFETY: as above, and any bytes are a particle.
        unsafe { self.payload(record).read() }
    }

    #[inline]
    fn put(&self, number: u64) {
        let record = number * RECORD_WORDS;
        let key = key(number);
        // SAFETY: the file was made for all records up to the highest number.
        unsafe { self.payload(record).write(Particle::new(number)) };
        // SAFETY: as above; the key ends where the payload begins.
        unsafe { word(&self.records, record + KEY_AT).cast::<Key>().write(key) };
        // SAFETY: as above; the header ends where the key begins.
        unsafe { word(&self.records, record).cast::<[u64; KEY_AT as usize]>().write([number; 4]) };
        // SAFETY: as in `find`.
        unsafe { self.slot(&key).write(record) };
    }
}

impl Database for Opened {
    fn put_each(&mut self, numbers: Range<u64>) -> Outcome<()> {
        numbers.for_each(|number| self.put(number));
        Ok(())
    }

    fn get_each(&self, numbers: &[u32]) -> Outcome<u64> {
        Ok(numbers.iter().map(|&number| black_box(&self.get(number.into())).number).sum())
    }

    fn get_chain(&self, steps: u64, objects: u64) -> Outcome<u64> {
        Ok((0..steps).fold(0, |at, step| next_in_chain(step, black_box(&self.get(at)).number, objects)))
    }

    /// Nothing depends on anything, so there is nothing to gain.
    fn get_many(&self, numbers: &[u32], _at_once: usize) -> Outcome<u64> {
        self.get_each(numbers)
    }

    /// The slot alone.
    fn get_absent(&self, numbers: &[u32]) -> Outcome<u64> {
        for &number in numbers {
            black_box(self.find(number.into()));
        }
        Ok(0)
    }

    fn change_each(&mut self, numbers: &[u32]) -> Outcome<()> {
        for &number in numbers {
            let counter = word(&self.records, self.find(number.into()) + PAYLOAD_AT + 1);
            // SAFETY: the counter is the second word of the payload.
            let old = unsafe { counter.read() };
            // SAFETY: as above.
            unsafe { counter.write(old + 1) };
        }
        Ok(())
    }

    fn scan(&self) -> Outcome<u64> {
        let records = self.records.len() as u64 / (RECORD_WORDS * 8);
        // SAFETY: whole records lie side by side, and any bytes are a particle.
        let payloads = (0..records).map(|number| unsafe { self.payload(number * RECORD_WORDS).read() });
        Ok(payloads.map(|particle| black_box(&particle).number).sum())
    }

    fn put_large(&mut self, numbers: Range<u64>, words: &[u64]) -> Outcome<()> {
        for number in numbers {
            let target = word(&self.records, number * words.len() as u64);
            // SAFETY: the file was made for all large objects, and a slice of this program is no part of it.
            unsafe { target.copy_from_nonoverlapping(words.as_ptr(), words.len()) };
        }
        Ok(())
    }
}
