//! The payload of an extern record: which body holds the object.

use super::BodyNumber;

/// Points from the log to a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ExternPayload {
    /// The body's number.
    pub body: BodyNumber,
    /// Length of the object in it, in bytes.
    pub bytes: u64,
}

impl ExternPayload {
    /// Length of the encoding, in bytes.
    pub(crate) const BYTES: usize = 16;

    /// Body number, then length, both little-endian.
    pub(crate) fn encode(self) -> [u8; Self::BYTES] {
        (u128::from(self.bytes) << 64 | u128::from(self.body.0)).to_le_bytes()
    }

    /// `None` unless `bytes` are exactly one encoding.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let both = u128::from_le_bytes(bytes.try_into().ok()?);
        Some(Self { body: BodyNumber(both as u64), bytes: (both >> 64) as u64 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extern_payload_comes_back() {
        let payload = ExternPayload { body: BodyNumber(7), bytes: 1 << 40 };
        assert_eq!(ExternPayload::decode(&payload.encode()), Some(payload));
        assert_eq!(payload.encode()[..8], 7u64.to_le_bytes());
        assert_eq!(ExternPayload::decode(&payload.encode()[1..]), None);
    }
}
