//! What lies in `chunks/`, by what the files say of themselves. Looks only; nothing is changed here.

use std::collections::{BTreeMap, BTreeSet};

use crate::chunk::{Chunk, ChunkRef, Step, Walk};
use crate::disk::{Access, Folder};
use crate::error::{Error, Result};
use crate::format::{
    BodyIdentity, CAPACITY_LOG2, ChunkId, ChunkIdentity, Features, FileName, Geometry, PAGE_BYTES,
    RecordSeed, SECTOR_BYTES, Seal, StoreIdentity,
};

type Uuid = [u8; 16];

/// What a file in `chunks/` must undergo before it is part of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mend {
    /// It has its chunk's header under another name, and nothing has the right one.
    Rename(ChunkId),
    /// Its header is damaged, but its records are this store's.
    Header,
    /// It is shorter than it was.
    Extend(u64),
    /// It cannot be part of the log.
    SetAside,
}

/// Something that has to be done to a file, and why.
pub(super) struct Repair {
    pub name: String,
    pub mend: Mend,
    pub offset: u64,
    pub reason: String,
}

/// Whose files they are, and which of them are chunks of the log.
pub(super) struct Survey {
    pub uuid: Uuid,
    pub geometry: Geometry,
    pub features: Features,
    pub created: u64,
    /// Chunks that are good, or will be once they are mended.
    pub chunks: BTreeSet<ChunkId>,
    pub repairs: Vec<Repair>,
    pub next_chunk: u32,
    pub next_body: u64,
}

/// A chunk's file as it is found.
struct Seen {
    bytes: u64,
    identity: Option<ChunkIdentity>,
    /// Where the seal says that its records end, if it is one.
    sealed: Option<u64>,
}

impl Survey {
    /// Looks at everything. `known` is what `STORE` says of the store, where that can be read; so are `features`.
    ///
    /// # Errors
    /// [`Error::NotAStore`] when nothing says whose chunks they are, [`Error::Corrupt`] when they are those of several stores,
    /// [`Error::Unsupported`].
    pub(super) fn of(folder: &Folder, known: Option<&StoreIdentity>, mut features: Features) -> Result<Self> {
        let (mut seen, mut bodies) = (BTreeMap::new(), BTreeSet::new());
        let (mut next_chunk, mut next_body) = (0, 0);
        for name in folder.list()? {
            match FileName::parse(&name) {
                FileName::Chunk(id) => {
                    next_chunk = next_chunk.max(id.0.saturating_add(1));
                    seen.insert(id, look_at(folder, id)?);
                }
                FileName::Body(number) => {
                    next_body = next_body.max(number.0.saturating_add(1));
                    bodies.insert(number);
                }
                FileName::Temporary(_) | FileName::Unknown => {}
            }
        }
        let headers: Vec<_> = seen.values().filter_map(|chunk| chunk.identity).collect();
        let named = bodies.iter().filter_map(|&number| {
            let mut sector = [0; SECTOR_BYTES];
            let file = folder.open_file(&FileName::of_body(number), Access::Read).ok()?;
            file.read_exact_at(0, &mut sector).ok()?;
            BodyIdentity::decode(&sector).map(|identity| identity.store)
        });
        let uuid = owner(folder, known, &headers, named)?;
        let ours = || headers.iter().filter(|header| header.store == uuid);
        let known = known.filter(|known| known.uuid == uuid);
        let length = || seen.values().find_map(|chunk| chunk.bytes.checked_ilog2());
        let geometry = known.map(|known| known.geometry).or_else(|| {
            let log2 = ours().next().map(|header| header.capacity_log2);
            Geometry::new(log2.or_else(|| length().map(|log2| log2 as u8))?)
        });
        let geometry = geometry.ok_or_else(|| nothing(folder, "its chunks have no possible size"))?;
        for header in ours() {
            features.join(&header.features);
        }
        let mut survey = Self {
            uuid,
            geometry,
            features,
            created: known.map_or_else(|| ours().map(|it| it.created).min().unwrap_or(0), |it| it.created),
            chunks: BTreeSet::new(),
            repairs: Vec::new(),
            next_chunk,
            next_body,
        };
        for (&id, chunk) in &seen {
            survey.judge(folder, id, chunk, &seen)?;
        }
        Ok(survey)
    }

    fn judge(
        &mut self,
        folder: &Folder,
        id: ChunkId,
        chunk: &Seen,
        all: &BTreeMap<ChunkId, Seen>,
    ) -> Result<()> {
        let capacity = self.geometry.capacity();
        let header = chunk.identity;
        let (mend, offset, reason) = match header {
            Some(header) if header.store != self.uuid => {
                (Some(Mend::SetAside), 16, "this chunk belongs to another store".to_owned())
            }
            Some(header) if header.chunk != id => {
                let free = !all.contains_key(&header.chunk)
                    && !self.repairs.iter().any(|repair| repair.mend == Mend::Rename(header.chunk));
                let mend = if free { Mend::Rename(header.chunk) } else { Mend::SetAside };
                (Some(mend), 32, format!("this is chunk {}", header.chunk))
            }
            Some(header) if header.capacity_log2 != self.geometry.capacity_log2() => {
                (Some(Mend::SetAside), 12, "the chunk has another capacity than the store".to_owned())
            }
            None if self.has_records(folder, id)? => {
                (Some(Mend::Header), 0, "the header was damaged; the records are this store's".to_owned())
            }
            None => (Some(Mend::SetAside), 0, "neither the header nor any record can be read".to_owned()),
            Some(_) => (None, 0, String::new()),
        };
        let lies_at = match &mend {
            Some(Mend::SetAside) => None,
            Some(Mend::Rename(right)) => Some(*right),
            _ => Some(id),
        };
        if lies_at.is_some() && chunk.bytes > capacity {
            let reason = format!("the file has {} bytes more than a chunk; cut it", chunk.bytes - capacity);
            let file = folder.open_file(&FileName::of_chunk(id), Access::Read)?;
            return Err(Error::corrupt(file.path(), capacity, reason));
        }
        self.chunks.extend(lies_at);
        let name = FileName::of_chunk(id);
        // Before it gets another name.
        let least = if self.features.is_stepwise() { chunk.sealed.unwrap_or(PAGE_BYTES) } else { capacity };
        if lies_at.is_some() && chunk.bytes < least {
            let reason = format!("the file ended {} bytes too early", least - chunk.bytes);
            self.repairs.push(Repair {
                name: name.clone(),
                mend: Mend::Extend(least),
                offset: chunk.bytes,
                reason,
            });
        }
        self.repairs.extend(mend.map(|mend| Repair { name, mend, offset, reason }));
        Ok(())
    }

    /// Whether records of this store lie in a chunk whose header cannot be read.
    fn has_records(&self, folder: &Folder, id: ChunkId) -> Result<bool> {
        let stepwise = self.features.is_stepwise();
        let chunk = Chunk::open_unverified(folder, self.uuid, self.geometry, stepwise, id)?;
        let end = chunk.written_end(0)?;
        let mut walk =
            Walk::new(&ChunkRef::new(&chunk), RecordSeed::new(self.uuid), end, 0).with_whole_records();
        Ok(walk.any(|step| matches!(step, Step::Record(_))))
    }
}

fn look_at(folder: &Folder, id: ChunkId) -> Result<Seen> {
    let file = folder.open_file(&FileName::of_chunk(id), Access::Read)?;
    let bytes = file.len()?;
    let mut sector = [0; SECTOR_BYTES];
    file.read_at(0, &mut sector)?;
    let identity = ChunkIdentity::decode(&sector);
    if let Some(unknown) = identity.map(|identity| identity.features).filter(Features::are_unknown) {
        let what = format!("chunk features {:#x}", unknown.unknown_incompat() | unknown.unknown_ro_compat());
        return Err(Error::Unsupported { path: file.path().to_owned(), what });
    }
    let mut seal = [0; SECTOR_BYTES];
    file.read_at(SECTOR_BYTES as u64, &mut seal)?;
    let owner = identity.map(|identity| identity.store);
    let sealed = owner.and_then(|store| Seal::decode(&seal, store, id)).map(|seal| seal.head);
    Ok(Seen { bytes, identity, sealed: sealed.filter(|&head| head <= 1 << CAPACITY_LOG2.end()) })
}

/// The one store that the chunks belong to.
fn owner(
    folder: &Folder,
    known: Option<&StoreIdentity>,
    headers: &[ChunkIdentity],
    bodies: impl Iterator<Item = Uuid>,
) -> Result<Uuid> {
    let mut counts: BTreeMap<Uuid, u64> = BTreeMap::new();
    for header in headers {
        *counts.entry(header.store).or_default() += 1;
    }
    if let Some(known) = known
        && (counts.is_empty() || counts.contains_key(&known.uuid))
    {
        return Ok(known.uuid);
    }
    if counts.is_empty() {
        counts.extend(bodies.map(|store| (store, 0)));
    }
    match counts.len() {
        0 => Err(nothing(folder, "none of its chunks has a header that can be read")),
        1 => Ok(counts.into_keys().next().unwrap_or_default()),
        _ => {
            let stores: Vec<_> = counts
                .iter()
                .map(|(store, chunks)| format!("{:032x} ({chunks} chunks)", u128::from_be_bytes(*store)))
                .collect();
            let reason = format!(
                "chunks of {} stores are mixed here, and no STORE says which it is: {}; move those of all but one elsewhere",
                stores.len(),
                stores.join(", ")
            );
            Err(Error::corrupt(folder.path(), 0, reason))
        }
    }
}

fn nothing(folder: &Folder, reason: &str) -> Error {
    let path = folder.path().parent().unwrap_or(folder.path()).to_owned();
    Error::NotAStore { path, reason: reason.to_owned() }
}
