//! What must be true of any bytes at all: they are something or nothing, and what they are is written as it was read. For fuzzing.

use std::fmt::Debug;

use super::{
    BodyIdentity, Checkpoint, ChunkId, ChunkIdentity, Extension, ExternPayload, FileName, IndexMark,
    IndexValue, Location, PoisonMark, RecordHeader, RecordSeed, SECTOR_BYTES, Seal, StoreIdentity,
};

/// Decodes bytes as each structure there is, as if their checksums were right.
///
/// # Panics
/// When what was decoded is written as something else.
pub fn decode_as_everything(bytes: &[u8]) {
    let sector = |sort: &str| {
        let mut sector = [0; SECTOR_BYTES];
        let content = &bytes[..bytes.len().min(SECTOR_BYTES - 4)];
        sector[..content.len()].copy_from_slice(content);
        let sum = crc32c::crc32c_append(crc32c::crc32c(sort.as_bytes()), &sector[..SECTOR_BYTES - 4]);
        sector[SECTOR_BYTES - 4..].copy_from_slice(&sum.to_le_bytes());
        sector
    };
    let (store, chunk) = ([0; 16], ChunkId(0));
    same(StoreIdentity::decode(&sector("identity")).ok(), |it| StoreIdentity::decode(&it.encode()).ok());
    same(Checkpoint::decode(&sector("checkpoint")), |it| Checkpoint::decode(&it.encode()));
    same(PoisonMark::decode(&sector("poison")), |it| PoisonMark::decode(&it.encode()));
    same(ChunkIdentity::decode(&sector("file")), |it| ChunkIdentity::decode(&it.encode()));
    same(BodyIdentity::decode(&sector("file")), |it| BodyIdentity::decode(&it.encode()));
    same(Seal::decode(&sector("seal"), store, chunk), |it| {
        Seal::decode(&it.encode(store, chunk), store, chunk)
    });
    same(ExternPayload::decode(bytes), |it| ExternPayload::decode(&it.encode()));
    same(IndexValue::decode(bytes), |it| IndexValue::decode(&it.encode()));
    same(IndexMark::decode(bytes), |it| IndexMark::decode(&it.encode()));
    same(Some(Extension::decode(bytes)), |it| Some(Extension::decode(&it.encode())));
    same(Some(FileName::parse(&String::from_utf8_lossy(bytes))), |it| {
        Some(match it {
            FileName::Chunk(id) => FileName::parse(&FileName::of_chunk(*id)),
            FileName::Body(number) => FileName::parse(&FileName::of_body(*number)),
            FileName::Temporary(_) | FileName::Unknown => it.clone(),
        })
    });
    if let Some((words, rest)) = bytes.split_first_chunk::<24>() {
        let word =
            |at: usize| words[at..at + 8].iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        header([word(0), word(8), word(16)], rest);
    }
}

fn same<T: PartialEq + Debug>(decoded: Option<T>, again: impl FnOnce(&T) -> Option<T>) {
    if let Some(it) = decoded {
        assert_eq!(again(&it).as_ref(), Some(&it));
    }
}

fn header(words: [u64; 3], key: &[u8]) {
    let Some(header) = RecordHeader::parse(words) else { return };
    for offset in [4096, 1 << 36] {
        let place = header.place(offset);
        let parts = [offset, place.extension, place.key, place.payload, place.end];
        assert!(parts.is_sorted() && place.end.is_multiple_of(16) && place.end > offset, "{place:?}");
    }
    let (seed, at) = (RecordSeed::new([1; 16]), Location::new(256));
    if let Some(at) = at {
        let encoded = header.encode(seed, at, &[], key);
        assert_eq!(RecordHeader::parse(encoded), Some(header));
        assert!(seed.holds(at, encoded, &[], key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_there_is_and_bytes_that_are_nothing_are_survived() {
        let mark = IndexValue { location: Location::new(5).unwrap(), sequence: 1 };
        decode_as_everything(&mark.encode());
        decode_as_everything(&PoisonMark { session: 5 }.encode());
        for length in 0..600 {
            decode_as_everything(&vec![length as u8; length]);
        }
    }
}
