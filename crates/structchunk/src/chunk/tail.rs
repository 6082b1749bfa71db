//! What a chunk holds behind its records.

use super::Chunk;
use crate::error::{Error, Result};
use crate::format::{ChunkIdentity, Features, PAGE_BYTES, RECORD_ALIGN, SECTOR_BYTES, align_up};

/// Where the seal is.
const SEAL_OFFSET: u64 = SECTOR_BYTES as u64;

impl Chunk {
    /// End of the last 16 bytes at or behind `from` that are not all zero; `from` where there are none. Touches no holes.
    pub(crate) fn written_end(&self, from: u64) -> Result<u64> {
        let (mut end, mut at, limit) = (from, from, self.map.follow());
        while let Some(data) = self.file.next_data(at)? {
            let first = (data.start & !(RECORD_ALIGN - 1)).max(from);
            let mut unit = align_up(data.end, RECORD_ALIGN).min(limit & !(RECORD_ALIGN - 1));
            while unit > first {
                unit -= RECORD_ALIGN;
                if !self.map.eq_bytes(unit, &[0; RECORD_ALIGN as usize]) {
                    end = unit + RECORD_ALIGN;
                    break;
                }
            }
            at = data.end;
        }
        Ok(end)
    }

    /// Whether something is where the seal goes, and it is no seal of this chunk.
    pub(crate) fn seal_is_damaged(&self) -> bool {
        let mut sector = [0; SECTOR_BYTES];
        self.seal_mark().is_none()
            && self.map.copy_out(SEAL_OFFSET, &mut sector).is_some()
            && sector != [0; SECTOR_BYTES]
    }

    /// Writes the header anew, durably, for whoever knows that the records are this store's.
    pub(crate) fn mend_header(&self, store: [u8; 16], features: Features, created: u64) -> Result<()> {
        let identity = ChunkIdentity {
            store,
            chunk: self.id,
            capacity_log2: self.geometry.capacity_log2(),
            file_bytes: self.geometry.capacity(),
            features,
            created,
        };
        if self.map.limit() < PAGE_BYTES {
            return Err(Error::corrupt(self.path(), self.map.limit(), "the file is shorter than its header"));
        }
        self.file.write_at(0, &identity.encode())?;
        self.sync()
    }
}
