//! The optional extension between a record's header and its key: tagged entries of 16 bytes.

use super::{Location, record::MAX_EXTENSION_UNITS};

/// Most dimensions an array object can have: what fits beside a batch's previous location.
pub(crate) const MAX_DIMENSIONS: usize = MAX_EXTENSION_UNITS - 1;

const SHAPE: u16 = 1;
const PREVIOUS: u16 = 2;
const ENTRY_BYTES: usize = 16;

/// What an extension says. Entries: u16 tag, u16 index, u32 zero, u64 value; unknown tags are stepped over.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Extension {
    /// The dimensions of an array object.
    pub shape: Vec<u64>,
    /// In a batch record: where the key's record was before the batch; `Some(None)` when there was none.
    #[expect(clippy::option_option, reason = "no entry, and an entry that says none")]
    pub previous: Option<Option<Location>>,
}

impl Extension {
    /// The encoded entries, a multiple of 16 bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(ENTRY_BYTES * (self.shape.len() + 1));
        let mut entry = |tag: u16, index: usize, value: u64| {
            bytes.extend_from_slice(&tag.to_le_bytes());
            bytes.extend_from_slice(&(index as u16).to_le_bytes());
            bytes.extend_from_slice(&[0; 4]);
            bytes.extend_from_slice(&value.to_le_bytes());
        };
        if let Some(previous) = self.previous {
            entry(PREVIOUS, 0, previous.map_or(0, Location::get));
        }
        for (index, &dimension) in self.shape.iter().enumerate() {
            entry(SHAPE, index, dimension);
        }
        bytes
    }

    /// The entries of an extension, also those that are not understood, without that of a batch.
    pub(crate) fn without_previous(bytes: &[u8]) -> Vec<u8> {
        let is_kept = |entry: &&[u8]| u16::from_le_bytes([entry[0], entry[1]]) != PREVIOUS;
        bytes.chunks_exact(ENTRY_BYTES).filter(is_kept).flatten().copied().collect()
    }

    /// Reads entries; what is not understood is left out.
    pub(crate) fn decode(bytes: &[u8]) -> Self {
        let mut extension = Self::default();
        for entry in bytes.chunks_exact(ENTRY_BYTES) {
            let value = entry.last_chunk().map_or(0, |value| u64::from_le_bytes(*value));
            match u16::from_le_bytes([entry[0], entry[1]]) {
                SHAPE => extension.shape.push(value),
                PREVIOUS => extension.previous = Some(Location::new(value)),
                _ => {}
            }
        }
        extension
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_of_most_dimensions_and_the_entry_of_a_batch_fill_an_extension() {
        let extension = Extension { shape: vec![1; MAX_DIMENSIONS], previous: Some(None) };
        assert_eq!((MAX_DIMENSIONS, extension.encode().len()), (13, MAX_EXTENSION_UNITS * ENTRY_BYTES));
    }

    #[test]
    fn an_extension_comes_back_and_unknown_tags_are_stepped_over() {
        let extension = Extension { shape: vec![2, 3], previous: Some(Location::new(9)) };
        let mut bytes = extension.encode();
        assert_eq!(bytes.len(), 48);
        bytes.extend_from_slice(&[0xff; 16]);
        assert_eq!(Extension::decode(&bytes), extension);
        let rest = Extension::without_previous(&bytes);
        assert_eq!((rest.len(), &rest[32..]), (48, &[0xff; 16][..]));
        assert_eq!(Extension::decode(&rest), Extension { previous: None, ..extension });
        let first = Extension { previous: Some(None), ..Extension::default() };
        assert_eq!(Extension::decode(&first.encode()), first);
    }
}
