//! The file `shared`: one mapped page that is never synced, and believed in the same boot and session only.

use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use super::mutate::SLOTS;
use super::view_file::ViewFile;
use crate::chunk::uuid_words;
use crate::disk::{Access, Folder};
use crate::error::{Error, Result};
use crate::format::{Evidence, Location, PAGE_BYTES};
use crate::map::{Word, Words};
use crate::protocol::EndOfLog;

const NAME: &str = "shared";
const MAGIC: u64 = u64::from_le_bytes(*b"SCSHARE\x01");

const AT_MAGIC: u64 = 0;
const AT_UUID: u64 = 1;
const AT_BOOT: u64 = 3;
const AT_EPOCH: u64 = 5;
const AT_SESSION: u64 = 6;
const AT_WRITER: u64 = 7;
const AT_POISON: u64 = 8;
const AT_NEXT_CHUNK: u64 = 9;
const AT_NEXT_BODY: u64 = 10;
const AT_RECOVERY: u64 = 11;
const AT_NEXT_TYPE: u64 = 12;
const AT_CLOSED: u64 = 13;
/// In a cache line of its own: readers look at it for batch records.
const AT_END: u64 = 16;
/// The end before that: of the records in between, slots and marks may still be on their way.
const AT_END_BEFORE: u64 = 17;
/// That of slot 1 follows; a page has room for 494.
const AT_GENERATION_0: u64 = 17;
const _: () = assert!((AT_GENERATION_0 + SLOTS as u64 + 1) * 8 == PAGE_BYTES);

/// What processes of the same boot tell each other.
pub(crate) struct Shared {
    words: Words,
    end: EndOfLog<Word>,
}

/// What a session begins with, and leaves behind.
pub(crate) struct Left {
    /// The end of the log.
    pub end: u64,
    /// Number of the next chunk.
    pub next_chunk: u32,
    /// Number of the next body.
    pub next_body: u64,
    /// Number of the next type.
    pub next_type: u32,
}

impl Shared {
    /// The page, made where it is missing or unusable.
    pub(crate) fn open_or_create(folder: &Folder) -> Result<Self> {
        match Self::open_to_write(folder)? {
            Some(shared) => Ok(shared),
            None => Self::of(&*Self::make(folder)?),
        }
    }

    /// The page as it is; `None` when there is none.
    pub(crate) fn open_to_write(folder: &Folder) -> Result<Option<Self>> {
        let file = ViewFile::open(folder, NAME, PAGE_BYTES, Access::Write)?;
        file.filter(|file| file.bytes() >= PAGE_BYTES).map(|file| Self::of(&file)).transpose()
    }

    /// The page as it is, for reading; `None` when there is none.
    pub(crate) fn open(folder: &Folder) -> Result<Option<Self>> {
        let file = ViewFile::open(folder, NAME, PAGE_BYTES, Access::Read)?;
        file.filter(|file| file.bytes() >= PAGE_BYTES).map(|file| Self::of(&file)).transpose()
    }

    /// A page of this process alone.
    pub(crate) fn private(folder: &Folder) -> Result<Self> {
        Self::of(&*Self::make(folder)?)
    }

    fn of(file: &ViewFile) -> Result<Self> {
        let words = file.words();
        let word = |index| {
            words.word(index).ok_or_else(|| Error::corrupt(NAME, file.bytes(), "shorter than a page"))
        };
        let end = EndOfLog { end: word(AT_END)?, before: word(AT_END_BEFORE)? };
        Ok(Self { words, end })
    }

    fn make(folder: &Folder) -> Result<Arc<ViewFile>> {
        let file = ViewFile::create(folder, NAME, PAGE_BYTES)?;
        file.grow(PAGE_BYTES / 8)?;
        Ok(file)
    }

    fn at(&self, index: u64) -> u64 {
        self.words.load(index, Ordering::Acquire).unwrap_or(0)
    }

    fn set(&self, index: u64, value: u64) {
        self.words.store(index, value, Ordering::Release);
    }

    /// Says that the store is being recovered, before anything that readers may have mapped is changed otherwise than by the rules of a
    /// session. The session word stays: it is what proves that the log up to its end may be believed.
    pub(crate) fn begin_recovery(&self) {
        self.set(AT_RECOVERY, (self.at(AT_RECOVERY) | 1).wrapping_add(2));
        // Whoever sees anything that follows sees this.
        fence(Ordering::SeqCst);
    }

    /// How often recoveries have begun and ended: odd while one is under way, or after it died. Every change is to a number that was not
    /// there before.
    #[inline]
    pub(crate) fn recovery(&self) -> u64 {
        self.at(AT_RECOVERY)
    }

    /// The session, 0 while one begins.
    #[inline]
    pub(crate) fn session(&self) -> u64 {
        self.at(AT_SESSION)
    }

    /// Begins a session. The session word goes first and comes last, so that no half of this is believed.
    pub(crate) fn begin(&self, uuid: [u8; 16], epoch: u64, evidence: &Evidence, left: &Left) {
        self.set(AT_SESSION, 0);
        self.set(AT_POISON, 0);
        for (index, word) in (AT_UUID..).zip(uuid_words(uuid)) {
            self.set(index, word);
        }
        for (index, word) in (AT_BOOT..).zip(uuid_words(evidence.boot)) {
            self.set(index, word);
        }
        self.set(AT_EPOCH, epoch);
        self.set_next_files(left.next_chunk, left.next_body);
        self.end.begin(left.end);
        self.set(AT_NEXT_TYPE, left.next_type.into());
        self.set(AT_CLOSED, 0);
        self.set(AT_MAGIC, MAGIC);
        self.set(AT_RECOVERY, self.at(AT_RECOVERY).wrapping_add(1) & !1);
        self.set(AT_SESSION, evidence.session);
    }

    /// What the session with this evidence left behind; `None` when the page is another's, or bears a poison mark.
    pub(crate) fn left_by(&self, uuid: [u8; 16], epoch: u64, evidence: &Evidence) -> Option<Left> {
        let believed = self.at(AT_MAGIC) == MAGIC
            && [self.at(AT_UUID), self.at(AT_UUID + 1)] == uuid_words(uuid)
            && [self.at(AT_BOOT), self.at(AT_BOOT + 1)] == uuid_words(evidence.boot)
            && self.at(AT_EPOCH) == epoch
            && self.at(AT_SESSION) == evidence.session
            && !self.is_poisoned();
        believed.then(|| Left {
            end: self.end(),
            next_chunk: self.at(AT_NEXT_CHUNK) as u32,
            next_body: self.at(AT_NEXT_BODY),
            next_type: self.next_type(),
        })
    }

    /// The end of the log: records at or beyond it do not exist.
    #[inline]
    pub(crate) fn end(&self) -> u64 {
        self.end.get()
    }

    /// The end of the log, and up to where directory and live map have all of it for sure: whoever makes a record exist has brought them in
    /// line with all records before.
    pub(crate) fn end_and_settled(&self) -> (u64, u64) {
        self.end.get_and_settled()
    }

    /// Makes everything before `end` exist.
    #[inline]
    pub(crate) fn set_end(&self, end: Location) {
        self.end.publish(end.get());
    }

    /// Says that this session's files are not to be believed.
    pub(crate) fn poison(&self) {
        self.set(AT_POISON, 1);
    }

    /// Whether this page bears a poison mark.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.at(AT_MAGIC) == MAGIC && self.at(AT_POISON) != 0
    }

    /// Numbers that are given out already.
    pub(crate) fn set_next_files(&self, next_chunk: u32, next_body: u64) {
        self.set(AT_NEXT_CHUNK, next_chunk.into());
        self.set(AT_NEXT_BODY, next_body);
    }

    /// Numbers of the next chunk and the next body: those below them are given out, as far as the log needs them.
    pub(crate) fn next_files(&self) -> (u32, u64) {
        (self.at(AT_NEXT_CHUNK) as u32, self.at(AT_NEXT_BODY))
    }

    /// Number of the next type: those below it have records, or were given up.
    pub(crate) fn next_type(&self) -> u32 {
        self.at(AT_NEXT_TYPE) as u32
    }

    /// A type with this number has a record.
    pub(crate) fn note_type(&self, number: u32) {
        if number >= self.next_type() {
            self.set(AT_NEXT_TYPE, u64::from(number) + 1);
        }
    }

    /// The generation of a mutator's slot; 0 when nobody has had it.
    pub(crate) fn generation(&self, slot: u16) -> u32 {
        self.at(AT_GENERATION_0 + u64::from(slot)) as u32
    }

    /// The slot has a new owner, who has its lock.
    pub(crate) fn set_generation(&self, slot: u16, generation: u32) {
        self.set(AT_GENERATION_0 + u64::from(slot), generation.into());
    }

    /// Whether the session ends, or has ended, with a clean mark: objects are not changed any more.
    pub(crate) fn is_closed(&self) -> bool {
        fence(Ordering::SeqCst);
        self.at(AT_CLOSED) != 0
    }

    /// Says so, or takes it back.
    pub(crate) fn set_closed(&self, closed: bool) {
        self.set(AT_CLOSED, closed.into());
        fence(Ordering::SeqCst);
    }

    /// Who writes; 0 for nobody.
    pub(crate) fn writer(&self) -> u32 {
        self.at(AT_WRITER) as u32
    }

    /// Says who writes.
    pub(crate) fn set_writer(&self, pid: u32) {
        self.set(AT_WRITER, pid.into());
    }
}
