//! Bodies: files of their own for large or sparse objects.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::nanoseconds_since_1970;
use crate::disk::{Access, File, Folder, PerProcess};
use crate::error::{Error, Result};
use crate::format::{
    BodyIdentity, BodyNumber, BodySeal, FileName, PAGE_BYTES, RecordSeed, SECTOR_BYTES, align_up,
};
use crate::map::{Mapping, Present, Resident, Residents};

/// A body that stays mapped.
pub(crate) type BodyRef = Present<Arc<Body>>;

/// A body, mapped whole. The payload begins at byte 4,096.
pub(crate) struct Body {
    pub number: BodyNumber,
    pub map: Mapping,
    pub payload_bytes: u64,
    pub(super) file: File,
    /// How many guards may write into it now.
    pub writers: AtomicU32,
}

impl Resident for Body {
    fn mapping(&self) -> &Mapping {
        &self.map
    }

    fn mapping_mut(&mut self) -> &mut Mapping {
        &mut self.map
    }

    fn file(&self) -> &File {
        &self.file
    }
}

impl Body {
    /// Makes a body under a temporary name. `reserved`: all of it is backed by disk space, so that a full disk is an error
    /// now; otherwise it takes space only where it is touched.
    pub(crate) fn create(
        folder: &Folder,
        store: [u8; 16],
        number: BodyNumber,
        payload_bytes: u64,
        reserved: bool,
        make_room: &mut dyn FnMut(u64),
    ) -> Result<Self> {
        let name = FileName::temporary(&FileName::of_body(number));
        let file = folder.create_file(&name)?;
        let made = (|| {
            let bytes = file_bytes(payload_bytes)?;
            file.set_len(bytes)?;
            file.reserve(0, if reserved { bytes } else { PAGE_BYTES })?;
            let created = nanoseconds_since_1970();
            file.write_at(0, &BodyIdentity { store, number, payload_bytes, created }.encode())?;
            make_room(bytes);
            Mapping::new(&file, bytes, Access::Write)
        })();
        match made {
            Ok(map) => Ok(Self { number, map, payload_bytes, file, writers: AtomicU32::new(0) }),
            Err(error) => {
                // The temporary name counts for nothing; recovery removes what is left of it.
                if let Err(error) = folder.remove(&name) {
                    tracing::warn!(%error, "an unfinished body could not be removed");
                }
                Err(error)
            }
        }
    }

    fn open(
        folder: &Folder,
        store: [u8; 16],
        number: BodyNumber,
        access: Access,
        make_room: &mut dyn FnMut(u64),
    ) -> Result<Self> {
        let file = folder.open_file(&FileName::of_body(number), access)?;
        let mut sector = [0; SECTOR_BYTES];
        let bytes = file.len()?;
        let wrong = |offset: u64, reason: &str| Err(Error::corrupt(file.path(), offset, reason));
        if bytes < PAGE_BYTES {
            return wrong(bytes, "the file is shorter than the header of a body");
        }
        file.read_exact_at(0, &mut sector)?;
        let Some(identity) = BodyIdentity::decode(&sector) else {
            return wrong(0, "this is no header of a body");
        };
        if identity.store != store || identity.number != number {
            return wrong(16, "this body belongs to another store or has another number");
        }
        if file_bytes(identity.payload_bytes).ok() != Some(bytes) {
            return wrong(40, "the file does not have the size that its header says");
        }
        make_room(bytes);
        let map = Mapping::new(&file, bytes, access)?;
        Ok(Self { number, map, payload_bytes: identity.payload_bytes, file, writers: AtomicU32::new(0) })
    }

    /// Makes what was stored durable.
    pub(crate) fn sync(&self) -> Result<()> {
        self.file.sync_data()
    }

    /// Lets go of what the page cache holds of it, as far as that goes.
    pub(crate) fn forget_cache(&self) -> Result<()> {
        self.file.drop_cached_pages(0..self.map.len())
    }

    /// The parts of its file that are no holes.
    pub(crate) fn data_ranges(&self) -> Result<Vec<Range<u64>>> {
        self.file.data_ranges(self.map.len())
    }

    /// Whether anybody may write into it through a guard.
    pub(crate) fn has_writers(&self) -> bool {
        self.writers.load(Ordering::SeqCst) != 0
    }

    /// Bytes of disk space that the file takes.
    pub(crate) fn allocated_bytes(&self) -> Result<u64> {
        self.file.allocated_bytes()
    }

    /// The next part of the payload at or behind `from` that may hold anything but zeroes.
    pub(crate) fn next_data(&self, from: u64) -> Result<Option<Range<u64>>> {
        let found = self.file.next_data(PAGE_BYTES.saturating_add(from))?;
        Ok(found.map(|data| data.start - PAGE_BYTES..data.end - PAGE_BYTES))
    }

    /// The checksum of the payload as it is now. Holes are not looked into: on some file systems that takes space.
    pub(crate) fn payload_checksum(&self, seed: RecordSeed) -> Result<u32> {
        let mut sum = seed.begin_payload();
        let mut piece = vec![0; PIECE_BYTES.min(self.payload_bytes) as usize];
        let mut at = 0;
        while let Some(data) = self.next_data(at)?.filter(|data| data.start < self.payload_bytes) {
            let end = data.end.min(self.payload_bytes);
            sum.append_zeroes(data.start.saturating_sub(at));
            at = data.start.max(at);
            while at < end {
                let piece = &mut piece[..(end - at).min(PIECE_BYTES) as usize];
                let short =
                    || Error::corrupt(self.path(), PAGE_BYTES + at, "the file is shorter than it was");
                self.map.copy_out(PAGE_BYTES + at, piece).ok_or_else(short)?;
                sum.append(piece);
                at += piece.len() as u64;
            }
        }
        sum.append_zeroes(self.payload_bytes.saturating_sub(at));
        Ok(sum.finish())
    }

    /// Notes the checksum of a payload that will not change any more; durable with the next sync.
    pub(crate) fn seal(&self, store: [u8; 16], seal: BodySeal) -> Option<()> {
        self.map.copy_in(SECTOR_BYTES as u64, &seal.encode(store, self.number))
    }

    /// What was noted.
    pub(crate) fn seal_mark(&self, store: [u8; 16]) -> Option<BodySeal> {
        let mut sector = [0; SECTOR_BYTES];
        self.map.copy_out(SECTOR_BYTES as u64, &mut sector)?;
        BodySeal::decode(&sector, store, self.number)
    }

    /// The file, for messages.
    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    /// Backs a part of the payload with disk space.
    pub(crate) fn reserve(&self, from: u64, bytes: u64) -> Result<()> {
        self.file.reserve(PAGE_BYTES + from, bytes)
    }
}

/// Payloads are read in pieces of this, in bytes.
const PIECE_BYTES: u64 = 1 << 20;

/// Size of the file of a body: header page, payload, padding to whole words.
fn file_bytes(payload_bytes: u64) -> Result<u64> {
    let limit = i64::MAX as u64 - PAGE_BYTES - 16;
    if payload_bytes > limit {
        return Err(Error::TooLarge { what: "an object", bytes: payload_bytes, limit });
    }
    Ok(PAGE_BYTES + align_up(payload_bytes, 16))
}

/// When more bodies than this are open, those are closed that nobody uses: a process may have no more than about a thousand files open,
/// as systems are mostly set up.
const MOST_OPEN: usize = 256;

/// The bodies of one store, mapped when they are needed.
pub(crate) struct BodySet {
    folder: Folder,
    uuid: [u8; 16],
    access: Access,
    residents: Arc<Residents>,
    met: PerProcess<RwLock<Met>>,
}

/// Bodies that are open.
type Met = HashMap<BodyNumber, Arc<Body>>;

impl BodySet {
    pub(crate) fn new(folder: Folder, uuid: [u8; 16], access: Access, residents: Arc<Residents>) -> Self {
        Self { folder, uuid, access, residents, met: PerProcess::new(RwLock::default()) }
    }

    #[inline]
    fn all_met(&self) -> &RwLock<Met> {
        self.met.here(|of_parent| {
            let met = of_parent.try_read().map(|met| met.clone());
            RwLock::new(met.unwrap_or_default())
        })
    }

    fn met(&self, number: BodyNumber) -> Option<Arc<Body>> {
        self.all_met().read().unwrap_or_else(PoisonError::into_inner).get(&number).cloned()
    }

    fn add(&self, body: Arc<Body>) -> Arc<Body> {
        let mut met = self.all_met().write().unwrap_or_else(PoisonError::into_inner);
        let body = met.entry(body.number).or_insert(body).clone();
        if met.len() > MOST_OPEN {
            // Whoever uses one, or has to make it durable yet, has another reference to it; nobody gets one meanwhile.
            met.retain(|_, body| Arc::strong_count(body) > 1);
        }
        body
    }

    fn open(&self, number: BodyNumber) -> Result<Arc<Body>> {
        let open = |make_room: &mut dyn FnMut(u64)| {
            Body::open(&self.folder, self.uuid, number, self.access, make_room)
        };
        Ok(self.keep(self.residents.admit(open)?))
    }

    /// Keeps a body that was opened, unless it was unlinked meanwhile: then it goes with the last one who uses it.
    fn keep(&self, body: Arc<Body>) -> Arc<Body> {
        let body = self.add(body);
        // (`unlink` takes the name away first. Where nobody can say, it stays mapped.)
        if let Ok(false) = self.folder.exists(&FileName::of_body(body.number)) {
            self.forget(body.number);
        }
        body
    }

    fn forget(&self, number: BodyNumber) {
        self.all_met().write().unwrap_or_else(PoisonError::into_inner).remove(&number);
    }

    /// A body; it is mapped if it is not at the moment.
    pub(crate) fn get(&self, number: BodyNumber) -> Result<BodyRef> {
        let body = match self.met(number) {
            Some(body) => body,
            None => self.open(number)?,
        };
        self.residents.enter_shared(body)
    }

    /// Makes a body under a temporary name; see [`Body::create`].
    pub(crate) fn create(&self, number: BodyNumber, payload_bytes: u64, reserved: bool) -> Result<BodyRef> {
        let create = |make_room: &mut dyn FnMut(u64)| {
            Body::create(&self.folder, self.uuid, number, payload_bytes, reserved, make_room)
        };
        self.residents.enter_shared(self.residents.admit(create)?)
    }

    /// Gives a finished body its name. It exists for readers only when an extern record points to it.
    pub(crate) fn publish(&self, body: &BodyRef) -> Result<()> {
        let name = FileName::of_body(body.number);
        self.folder.rename(&FileName::temporary(&name), &name)?;
        self.add(body.shared());
        Ok(())
    }

    /// Removes a body that was not published.
    pub(crate) fn discard(&self, number: BodyNumber) -> Result<()> {
        self.folder.remove(&FileName::temporary(&FileName::of_body(number)))
    }

    /// Gives the space of a body back. Whoever has it mapped keeps it until then.
    pub(crate) fn unlink(&self, number: BodyNumber) -> Result<()> {
        let removed = self.folder.remove(&FileName::of_body(number));
        // Not before: whoever opens it at the same time looks for the name after it is kept here.
        self.forget(number);
        removed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Faults;

    #[test]
    fn a_body_that_is_unlinked_while_it_is_opened_is_not_kept() {
        let residents = Arc::new(Residents::new(None));
        let folder = Folder::in_memory(Faults::none());
        let set = BodySet::new(folder, [1; 16], Access::Write, residents);
        let number = BodyNumber(3);
        set.publish(&set.create(number, 100, true).unwrap()).unwrap();
        set.forget(number);
        let open = || Body::open(&set.folder, set.uuid, number, set.access, &mut |_| {}).unwrap();
        // Kept where it stays; not where it was unlinked after it was opened.
        let body = set.keep(Arc::new(open()));
        assert_eq!(Arc::strong_count(&body), 2);
        let late = Arc::new(open());
        set.unlink(number).unwrap();
        assert_eq!(Arc::strong_count(&body), 1);
        let late = set.keep(late);
        assert!(set.met(number).is_none() && Arc::strong_count(&late) == 1);
        assert!(set.get(number).is_err_and(|error| error.is_absent()));
    }
}
