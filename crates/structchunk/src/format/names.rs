//! The names of files in `chunks/`.

use super::ChunkId;

/// A body's number. Numbers only rise and are never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct BodyNumber(pub u64);

/// What a name in `chunks/` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FileName {
    /// `00000000.chunk`
    Chunk(ChunkId),
    /// `0000000000000000.body`
    Body(BodyNumber),
    /// `*.tmp`: not finished when its maker died.
    Temporary(String),
    /// Nothing of ours.
    Unknown,
}

impl FileName {
    /// The name of a chunk.
    pub(crate) fn of_chunk(chunk: ChunkId) -> String {
        format!("{:08x}.chunk", chunk.0)
    }

    /// The name of a body.
    pub(crate) fn of_body(body: BodyNumber) -> String {
        format!("{:016x}.body", body.0)
    }

    /// The name under which a file is made before it counts.
    pub(crate) fn temporary(name: &str) -> String {
        format!("{name}.tmp")
    }

    /// Reads a name; only the exact form that is written is taken.
    pub(crate) fn parse(name: &str) -> Self {
        if name.strip_suffix(".tmp").is_some() {
            return Self::Temporary(name.to_owned());
        }
        let chunk =
            name.strip_suffix(".chunk").and_then(|stem| u32::from_str_radix(stem, 16).ok()).map(ChunkId);
        if let Some(chunk) = chunk.filter(|&chunk| Self::of_chunk(chunk) == name) {
            return Self::Chunk(chunk);
        }
        let body =
            name.strip_suffix(".body").and_then(|stem| u64::from_str_radix(stem, 16).ok()).map(BodyNumber);
        match body.filter(|&body| Self::of_body(body) == name) {
            Some(body) => Self::Body(body),
            None => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_are_written_are_read() {
        assert_eq!(FileName::parse("000000ff.chunk"), FileName::Chunk(ChunkId(255)));
        assert_eq!(FileName::parse("00000000000000ff.body"), FileName::Body(BodyNumber(255)));
        assert_eq!(
            FileName::parse("000000ff.chunk.tmp"),
            FileName::Temporary("000000ff.chunk.tmp".to_owned())
        );
        assert_eq!(FileName::temporary("000000ff.chunk"), "000000ff.chunk.tmp");
        for odd in ["ff.chunk", "000000FF.chunk", "+00000ff.chunk", "0000000100.chunk", "x.body", "", "core"]
        {
            assert_eq!(FileName::parse(odd), FileName::Unknown, "{odd}");
        }
    }
}
