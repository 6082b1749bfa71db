//! Batches: many changes that become visible, durable, and survive a kill, all together or not at all.

use std::collections::BTreeMap;
use std::fmt;

use super::borrow::{Deadline, Subject};
use super::inner::Writer;
use super::loan::{NewBody, Space};
use super::log::{Draft, FRESH_VERSION, Room};
use super::mutate::OldClaim;
use super::write::Description;
use super::{Inner, Store};
use crate::chunk::Record;
use crate::disk::Sabotage;
use crate::error::{Error, Result};
use crate::format::{Extension, Flags, Kind, Location, PAGE_BYTES};
use crate::layout::{Fingerprint, Layout, LayoutMismatch, Object, Plain, TypeLayout};
use crate::map::{Buffer, Mapping};

/// Changes that will take place together; see [`Store::batch`]. Dropping it without [`Batch::commit`] changes nothing.
pub struct Batch<'a> {
    inner: &'a Inner,
    /// One change per key: a later one takes the place of an earlier one.
    changes: BTreeMap<Vec<u8>, Change<'a>>,
}

/// What happens to one key.
pub(crate) enum Change<'a> {
    /// An object takes the place of what is there.
    Put(New<'a>),
    /// What is there goes. When `moved`, its body goes on under another key.
    Remove {
        /// See above.
        moved: bool,
    },
}

/// An object of a batch.
pub(crate) struct New<'a> {
    pub kind: Kind,
    pub flags: Flags,
    pub align_log2: u8,
    pub shape: Vec<u64>,
    /// The payload of the record.
    pub payload: Buffer,
    pub payload_length: u64,
    pub version_word: u64,
    /// The body, before it has its name.
    pub body: Option<NewBody<'a>>,
    pub number: TypeOf,
}

/// How the type number of an object is found, under the writer's lock.
pub(crate) enum TypeOf {
    /// A type of the program.
    Program {
        number: fn(&Inner, &mut u32) -> Result<u32>,
        layout: &'static TypeLayout,
        fingerprint: Fingerprint,
    },
    /// The type of a record that is copied.
    Stored(u32),
    /// A type that was described at run time.
    Described(Layout),
}

/// A change with everything that its record needs.
struct Planned<'c, 'a> {
    key: &'c [u8],
    change: &'c mut Change<'a>,
    hash: u64,
    old: Option<Record<'a>>,
    type_number: u32,
    extension: Vec<u8>,
    location: Option<Location>,
}

impl Planned<'_, '_> {
    fn draft(&self, more: bool) -> Draft<'_> {
        let batch = |flags: Flags| Flags { batch: true, more, ..flags };
        match &*self.change {
            Change::Put(new) => Draft {
                kind: new.kind,
                flags: batch(new.flags),
                align_log2: new.align_log2,
                type_number: self.type_number,
                extension: &self.extension,
                key: self.key,
                payload_length: new.payload_length,
                version_word: new.version_word,
            },
            Change::Remove { .. } => {
                let tombstone = Draft::tombstone(self.key);
                Draft { flags: batch(tombstone.flags), extension: &self.extension, ..tombstone }
            }
        }
    }

    fn payload(&self) -> &[u8] {
        match &*self.change {
            Change::Put(new) => &new.payload.bytes()[..new.payload_length as usize],
            Change::Remove { .. } => &[],
        }
    }
}

impl Inner {
    /// Makes all changes at once.
    pub(crate) fn commit<'a>(
        &'a self,
        changes: &mut BTreeMap<Vec<u8>, Change<'a>>,
        deadline: &mut Deadline,
    ) -> Result<()> {
        loop {
            let mut writer = self.begin_change()?;
            let mut plan = self.plan(&mut writer, changes)?;
            let mut olds = plan.iter().filter_map(|planned| planned.old.as_ref());
            let busy = olds.find(|old| self.borrows.is_exclusive(Subject::of(old))).cloned();
            if let Some(old) = busy {
                drop(plan);
                drop(writer);
                self.wait_for_writer(&old, deadline)?;
                continue;
            }
            let claims: Result<Vec<_>> =
                plan.iter().map(|planned| self.claim_old(planned.old.as_ref(), true)).collect();
            let claims = claims?;
            if let Some(at) = claims.iter().position(|claim| matches!(claim, OldClaim::Busy)) {
                let old = plan[at].old.clone();
                // None is kept while one is waited for: whoever has that one may wait for another.
                drop((claims, plan, writer));
                Self::wait_for_claim(old.as_ref(), deadline)?;
                continue;
            }
            return self.carry_out(&mut writer, &mut plan);
        }
    }

    /// Makes all changes at once, under the writer's lock, where nobody changes any of the objects, in this process or another.
    pub(crate) fn commit_locked<'a>(
        &'a self,
        writer: &mut Writer,
        changes: &mut BTreeMap<Vec<u8>, Change<'a>>,
    ) -> Result<()> {
        let mut plan = self.plan(writer, changes)?;
        self.carry_out(writer, &mut plan)
    }

    /// Looks everything up that the records will say. Removing what is not there is no change.
    fn plan<'c, 'a>(
        &'a self,
        writer: &mut Writer,
        changes: &'c mut BTreeMap<Vec<u8>, Change<'a>>,
    ) -> Result<Vec<Planned<'c, 'a>>> {
        let mut plan = Vec::with_capacity(changes.len());
        for (key, change) in changes {
            let hash = self.views.hashes.of_key(key);
            let (_, old) = self.slot_of(key, hash)?;
            let (type_number, shape) = match change {
                Change::Put(new) => (new.number.resolve(self, writer)?, new.shape.clone()),
                Change::Remove { .. } if old.is_none() => continue,
                Change::Remove { .. } => (0, Vec::new()),
            };
            let previous = Some(old.as_ref().map(Record::location));
            let extension = Extension { shape, previous }.encode();
            plan.push(Planned { key, change, hash, old, type_number, extension, location: None });
        }
        Ok(plan)
    }

    /// Room first; then records, then slots, then the end; nothing can fail once the first record is written.
    fn carry_out<'a>(&'a self, writer: &mut Writer, plan: &mut [Planned<'_, 'a>]) -> Result<()> {
        if plan.is_empty() {
            return Ok(());
        }
        let last = plan.len() - 1;
        let drafts: Vec<_> = plan.iter().map(|planned| planned.draft(true)).collect();
        if drafts.iter().all(|draft| draft.kind == Kind::Tombstone) {
            self.make_room_to_remove(writer, &drafts)?;
        } else {
            self.make_room(writer, &drafts, Room::Ordinary)?;
        }
        // Keys that are there keep their slots.
        let new = plan.iter().filter(|planned| planned.old.is_none());
        let mut hashes: Vec<_> = new.map(|planned| planned.hash).collect();
        let mut types: Vec<_> =
            plan.iter().map(|planned| planned.type_number).filter(|&number| number != 0).collect();
        types.sort_unstable();
        types.dedup();
        hashes.extend(types.into_iter().map(|number| self.views.hashes.of_type(number)));
        self.views.make_slots(&self.chunks, &mut hashes)?;
        drop(drafts);
        for planned in &mut *plan {
            if let Change::Put(New { body, .. }) = &mut *planned.change
                && let Some(body) = body
            {
                body.name(writer)?;
            }
        }
        let endless = self.root.breaks(Sabotage::BatchWithoutEnd);
        for (index, planned) in plan.iter_mut().enumerate() {
            if endless {
                self.publish_end(writer);
            }
            self.root.pass();
            let draft = planned.draft(index < last);
            let record = self.append(writer, &draft, |chunk, at| chunk.map.copy_in(at, planned.payload()))?;
            planned.location = Some(record.location());
        }
        for planned in &*plan {
            if let Some(location) = planned.location {
                let (slot, _) =
                    self.slot_of(planned.key, planned.hash).map_err(|error| self.stop_writing(error))?;
                self.views.touch(&slot);
                self.views.directory.store(&slot, location);
            }
        }
        self.root.pass();
        self.publish_end(writer);
        for planned in plan {
            if let Change::Put(New { body, .. }) = &mut *planned.change
                && let Some(body) = body.take()
            {
                body.keep(writer);
            }
            self.settle(writer, planned)?;
        }
        Ok(())
    }

    /// Brings the views in line with a change that is visible now.
    fn settle(&self, writer: &mut Writer, planned: &Planned<'_, '_>) -> Result<()> {
        let Some(location) = planned.location else { return Ok(()) };
        match &*planned.change {
            Change::Put(_) => {
                if let Some(record) = self.chunks.record(location)? {
                    self.views.live.set(location, record.bytes());
                }
                match &planned.old {
                    Some(old) => self.supersede(writer, old),
                    None => self.views.directory.change_len(1),
                }
            }
            Change::Remove { moved } => {
                self.views.directory.remove(planned.hash, location);
                self.views.directory.change_len(-1);
                if let Some(old) = &planned.old {
                    if *moved {
                        self.unmark(old);
                    } else {
                        self.supersede(writer, old);
                    }
                }
            }
        }
        Ok(())
    }
}

impl TypeOf {
    /// Of a type of the program.
    pub(crate) fn program<T: Object + ?Sized>() -> Self {
        Self::Program {
            number: |inner, next_type| inner.number_of::<T>(next_type),
            layout: T::ELEMENT,
            fingerprint: T::FINGERPRINT,
        }
    }

    fn resolve(&self, inner: &Inner, writer: &mut Writer) -> Result<u32> {
        match self {
            Self::Program { number, .. } => number(inner, &mut writer.next_type),
            Self::Stored(number) => Ok(*number),
            Self::Described(layout) => inner.number_of_layout(layout, &mut writer.next_type),
        }
    }
}

impl Batch<'_> {
    /// Will store a value under `key`.
    ///
    /// # Errors
    /// [`Error::KeyLength`], [`Error::Empty`], [`Error::TooLarge`]; and as for [`Store::put`] for objects that get a file of their own, which
    /// is made now. The batch is as before then.
    pub fn put<T: Object + ?Sized>(&mut self, key: impl AsRef<[u8]>, value: &T) -> Result<()> {
        let shape = if T::ARRAY { value.shape().to_vec() } else { Vec::new() };
        let large = |map: &Mapping| map.write_object(PAGE_BYTES, value);
        let small = || Buffer::copy_of_object(value);
        let (bytes, number) = (value.byte_len(), TypeOf::program::<T>());
        self.put_new(key.as_ref(), &Description::of(value)?, shape, bytes, number, large, small)
    }

    /// Will store an object of so many bytes: `large` fills a file of its own, `small` gives it as it is.
    #[expect(clippy::too_many_arguments, reason = "they are what an object is")]
    pub(crate) fn put_new(
        &mut self,
        key: &[u8],
        description: &Description,
        shape: Vec<u64>,
        bytes: usize,
        number: TypeOf,
        large: impl FnOnce(&Mapping) -> Option<()>,
        small: impl FnOnce() -> Result<Buffer>,
    ) -> Result<()> {
        Inner::check_key(key)?;
        if bytes == 0 {
            return Err(Error::Empty { key: key.to_vec() });
        }
        let is_large = bytes as u64 > self.inner.chunks.geometry.largest_inline();
        let (kind, payload, payload_length, version_word, body) = if is_large {
            let body = self.inner.begin_body(bytes as u64, Space::Auto)?;
            large(&body.body.map).ok_or_else(|| body.truncated())?;
            let (pointer, version_word) = body.pointer();
            (Kind::Extern, Buffer::copy_of(&pointer)?, pointer.len(), version_word, Some(body))
        } else {
            (Kind::Object, small()?, bytes, FRESH_VERSION, None)
        };
        let new = New {
            kind,
            flags: description.flags,
            align_log2: description.align_log2,
            shape,
            payload,
            payload_length: payload_length as u64,
            version_word,
            body,
            number,
        };
        self.changes.insert(key.to_vec(), Change::Put(new));
        Ok(())
    }

    /// Will remove what is under `key`, if anything is.
    ///
    /// # Errors
    /// [`Error::KeyLength`].
    pub fn remove(&mut self, key: impl AsRef<[u8]>) -> Result<()> {
        Inner::check_key(key.as_ref())?;
        self.changes.insert(key.as_ref().to_vec(), Change::Remove { moved: false });
        Ok(())
    }

    /// What `key` will hold once this batch is committed.
    ///
    /// # Errors
    /// As for [`Store::load`].
    pub fn load<T: Plain>(&self, key: impl AsRef<[u8]>) -> Result<Option<T>> {
        let key = key.as_ref();
        match self.changes.get(key) {
            Some(Change::Put(new)) => new.load(key).map(Some),
            Some(Change::Remove { .. }) => Ok(None),
            None => {
                self.inner.check_open()?;
                let hash = self.inner.views.hashes.of_key(key);
                self.inner.with_object(key, hash, |record| self.inner.copy_object(record))
            }
        }
    }

    /// How many keys it will change.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether it will change nothing.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Makes all changes at once: whoever looks sees all of them or none, and so does the next open after a kill or power cut.
    ///
    /// # Durability
    /// As for [`Store::put`].
    ///
    /// # Errors
    /// As for [`Store::put`]. Nothing has changed then.
    pub fn commit(mut self) -> Result<()> {
        self.inner.commit(&mut self.changes, &mut self.inner.patience(true))
    }
}

impl New<'_> {
    fn load<T: Plain>(&self, key: &[u8]) -> Result<T> {
        let (layout, fingerprint) = match &self.number {
            TypeOf::Program { layout, fingerprint, .. } => ((*layout).into(), *fingerprint),
            TypeOf::Described(layout) => (layout.clone(), layout.fingerprint()),
            TypeOf::Stored(_) => return Err(Error::Busy { key: key.to_vec() }),
        };
        let bytes = self.body.as_ref().map_or(self.payload_length, |body| body.body.payload_bytes);
        let mismatch = || {
            let shape = self.flags.array.then_some(&*self.shape);
            let mismatch = LayoutMismatch::explain::<T>(&layout, shape, bytes);
            Error::LayoutMismatch { key: key.to_vec(), mismatch: Box::new(mismatch) }
        };
        if fingerprint != T::FINGERPRINT || self.flags.array != T::ARRAY {
            return Err(mismatch());
        }
        let copy = match &self.body {
            Some(body) if bytes == size_of::<T>() as u64 => body.body.map.read_object(PAGE_BYTES),
            Some(_) => None,
            None => self.payload.read_object(bytes as usize),
        };
        copy.ok_or_else(mismatch)
    }
}

impl fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("changes", &self.changes.len()).finish_non_exhaustive()
    }
}

impl Store {
    /// A batch: puts and removes that take place together when it is committed. In-place changes are no part of it.
    pub fn batch(&self) -> Batch<'_> {
        Batch { inner: &self.inner, changes: BTreeMap::new() }
    }
}
