//! One file mapped once, at the size it may grow to.
//!
//! Nothing here can fault, run out of bounds or race in the sense of the language: every access is checked against
//! the *limit*, the part of the file that is known to exist, and done with atomic loads and stores. What nobody can
//! prove is that no other process truncates the file; that is the contract of opening a store.
//!
//! A mapping may be made to go and come back: `residents.rs` sees to it that nobody uses it meanwhile.
#![expect(unsafe_code, reason = "hands out memory of a mapped file")]

use std::ops::Range;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use memmap2::{MmapOptions, MmapRaw, UncheckedAdvice};

use super::presence::Presence;
use super::racing;
use super::whereabouts::Whereabouts;
use super::window::Window;
use crate::disk::{Access, Call, File, InheritedLength, no_fork};
use crate::error::{Error, Result};

/// How a range will be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Advice {
    /// In no special way.
    Normal,
    /// Here and there: reading ahead would be wasted.
    Random,
    /// From front to back: read far ahead.
    Sequential,
}

/// Shared mapped memory of a file.
#[derive(Debug)]
pub(crate) struct Mapping {
    /// Where `memory` is.
    base: AtomicPtr<u8>,
    /// Bytes from here on are not in the file, or not known to be. At most the mapping's length; 0 while it is not there.
    limit: AtomicU64,
    bytes: u64,
    access: Access,
    /// Where the mapping may go and come back.
    presence: Option<Presence>,
    /// The file has holes between what is stored to.
    small_pages: AtomicBool,
    /// Keeps it mapped; `None` while it is not there.
    memory: Mutex<Option<Mapped>>,
    /// Apart, so that all a usual load looks at here is in one cache line: a nanosecond of 27.
    inherited: Option<Box<InheritedLength>>,
}

/// What is mapped, and a note of where, which goes first.
#[derive(Debug)]
struct Mapped {
    _whereabouts: Whereabouts,
    memory: MmapRaw,
}

impl Mapping {
    /// Maps the first `bytes` of a file, which may be shorter; what it has at this moment is accessible.
    pub(crate) fn new(file: &File, bytes: u64, access: Access) -> Result<Self> {
        let (mapped, backed) = map(file, bytes, access)?;
        Ok(Self {
            base: AtomicPtr::new(mapped.memory.as_mut_ptr()),
            limit: AtomicU64::new(backed),
            bytes,
            access,
            presence: None,
            small_pages: AtomicBool::new(false),
            memory: Mutex::new(Some(mapped)),
            inherited: None,
        })
    }

    /// The same, which in a forked child follows the file when the parent makes it longer.
    pub(crate) fn followed_in_children(self, file: &File) -> Self {
        Self { inherited: Some(Box::new(InheritedLength::of(file))), ..self }
    }

    /// The same, which follows the file when another process makes it longer.
    pub(crate) fn followed(self, file: &File) -> Self {
        Self { inherited: Some(Box::new(InheritedLength::of_others(file))), ..self }
    }

    /// How many bytes are accessible, once more from the file where only that can tell. (Only for who keeps the mapping there.)
    #[cold]
    pub(crate) fn follow(&self) -> u64 {
        if let Some(bytes) = self.inherited.as_ref().and_then(|length| length.get()) {
            self.limit.fetch_max(bytes.min(self.len()), Ordering::AcqRel);
        }
        self.limit()
    }

    /// What is accessible, if that is all of a range, by what the file has now where it is followed.
    ///
    /// Whoever misses something asks the file for himself, so nobody has to be told what another thread has learned in between.
    #[inline]
    pub(super) fn window_over(&self, offset: u64, bytes: u64) -> Option<Window<'_>> {
        let window = self.window();
        if window.address(offset, bytes).is_some() { Some(window) } else { self.longer_window(offset, bytes) }
    }

    #[cold]
    fn longer_window(&self, offset: u64, bytes: u64) -> Option<Window<'_>> {
        self.inherited.as_ref()?;
        self.follow();
        let window = self.window();
        window.address(offset, bytes).map(|_| window)
    }

    /// What is mapped, with nobody forking: a child could not tell what became of it.
    fn with_memory<R>(&self, action: impl FnOnce(&mut Option<Mapped>) -> R) -> R {
        let _no_fork = no_fork();
        action(&mut self.memory.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Who uses it, where it may go.
    #[inline]
    pub(super) fn presence(&self) -> Option<&Presence> {
        self.presence.as_ref()
    }

    /// Whether it may go.
    #[inline]
    pub(crate) fn is_passing(&self) -> bool {
        self.presence.is_some()
    }

    /// From now on it may go while nobody uses it.
    pub(super) fn may_go(&mut self) {
        self.presence.get_or_insert_default();
    }

    /// Goes, where it may and nobody uses it; whether it did.
    pub(super) fn go(&self) -> bool {
        let goes = self.presence.as_ref().is_some_and(Presence::shut);
        if goes {
            self.limit.store(0, Ordering::Release);
            self.with_memory(|memory| *memory = None);
        }
        goes
    }

    /// Comes back from the same file, somewhere else.
    pub(super) fn come_back(&self, file: &File) -> Result<()> {
        let (mapped, backed) = map(file, self.bytes, self.access)?;
        self.base.store(mapped.memory.as_mut_ptr(), Ordering::Release);
        self.with_memory(|memory| *memory = Some(mapped));
        if self.has_small_pages() {
            self.advise(Advice::Random, 0..self.bytes);
        }
        self.limit.store(backed, Ordering::Release);
        if let Some(presence) = &self.presence {
            presence.open();
        }
        Ok(())
    }

    /// How many bytes are mapped, whether the file has them or not.
    pub(crate) fn len(&self) -> u64 {
        self.bytes
    }

    /// How many bytes are accessible.
    #[inline]
    pub(crate) fn limit(&self) -> u64 {
        self.limit.load(Ordering::Acquire)
    }

    /// Says how long the file is now, after it has grown.
    pub(crate) fn set_limit(&self, bytes: u64) {
        self.limit.store(bytes.min(self.len()), Ordering::Release);
    }

    /// The first byte, aligned to a page.
    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut u8 {
        self.base.load(Ordering::Relaxed)
    }

    /// As [`Mapping::as_ptr`], and known to be somewhere.
    pub(crate) fn base(&self) -> NonNull<u8> {
        // Nothing is mapped at address 0, which is no page of its own.
        NonNull::new(self.as_ptr()).unwrap_or(NonNull::dangling())
    }

    /// The address of an accessible range; valid as long as the mapping is there.
    #[inline]
    pub(crate) fn address(&self, offset: u64, bytes: u64) -> Option<*mut u8> {
        self.window_over(offset, bytes)?.address(offset, bytes)
    }

    /// What is known to be accessible at this moment, for several accesses. What lies behind it may be accessible all the same.
    #[inline]
    pub(crate) fn window(&self) -> Window<'_> {
        // In this order: the base is there before anything is accessible.
        let limit = self.limit();
        Window::new(self.as_ptr(), limit)
    }

    #[inline]
    pub(super) fn writable_address(&self, offset: u64, bytes: u64) -> Option<*mut u8> {
        if self.access == Access::Write { self.address(offset, bytes) } else { None }
    }

    /// The word at `offset`, in the machine's byte order. An ordering that only stores can have counts as the weakest
    /// that includes what it asks for.
    #[inline]
    pub(crate) fn load_u64(&self, offset: u64, ordering: Ordering) -> Option<u64> {
        let [word] = self.cells(offset)?;
        Some(match ordering {
            Ordering::Relaxed | Ordering::Release => word.load(Ordering::Relaxed),
            Ordering::Acquire | Ordering::AcqRel => word.load(Ordering::Acquire),
            _ => word.load(Ordering::SeqCst),
        })
    }

    /// `N` words from `offset` on, in the machine's byte order, for who looks at them several times. For loads only: the mapping may
    /// be read-only.
    #[inline]
    pub(crate) fn cells<const N: usize>(&self, offset: u64) -> Option<&[AtomicU64; N]> {
        self.window_over(offset, const { 8 * N as u64 })?.cells(offset)
    }

    /// As [`Mapping::cells`], of a mapping that may be written.
    #[inline]
    pub(crate) fn writable_cells<const N: usize>(&self, offset: u64) -> Option<&[AtomicU64; N]> {
        if self.access == Access::Write { self.cells(offset) } else { None }
    }

    /// The word at `offset` of a writable mapping, for everything else atomics can do.
    #[inline]
    pub(crate) fn word(&self, offset: u64) -> Option<&AtomicU64> {
        let [word] = self.writable_cells(offset)?;
        Some(word)
    }

    /// Copies `bytes` to `offset`. Not as a whole: meant for memory that nobody looks at yet.
    #[inline]
    #[must_use]
    pub(crate) fn copy_in(&self, offset: u64, bytes: &[u8]) -> Option<()> {
        let at = self.writable_address(offset, bytes.len() as u64)?;
        // SAFETY: the range is backed and mapped for writing.
        unsafe { racing::copy_in(at, bytes) };
        Some(())
    }

    /// Fills `bytes` from `offset` on. Torn when somebody writes there meanwhile, never undefined.
    #[inline]
    #[must_use]
    pub(crate) fn copy_out(&self, offset: u64, bytes: &mut [u8]) -> Option<()> {
        let at = self.address(offset, bytes.len() as u64)?;
        // SAFETY: the range is backed. So are the words at its ends: mapping and file come in whole pages, and a page
        // in whole words.
        unsafe { racing::copy_out(at, bytes) };
        Some(())
    }

    /// Whether exactly `bytes` are at `offset`; false where that is not accessible.
    #[inline]
    pub(crate) fn eq_bytes(&self, offset: u64, bytes: &[u8]) -> bool {
        self.window_over(offset, bytes.len() as u64).is_some_and(|window| window.eq_bytes(offset, bytes))
    }

    /// Stores `bytes` zeroes at `offset`.
    #[must_use]
    pub(crate) fn zero(&self, offset: u64, bytes: u64) -> Option<()> {
        let at = self.writable_address(offset, bytes)?;
        // SAFETY: the range is backed and mapped for writing.
        unsafe { racing::zero(at, bytes as usize) };
        Some(())
    }

    /// From now on each touch brings in one small page, and nothing is read ahead.
    ///
    /// A large page that lies over a hole gets blocks for all of it when any part of it is stored to: on a full disk a signal. The kernel makes
    /// large pages where it reads ahead.
    pub(crate) fn keep_pages_small(&self) {
        self.small_pages.store(true, Ordering::SeqCst);
        self.advise(Advice::Random, 0..self.bytes);
    }

    /// Whether that was asked for.
    pub(crate) fn has_small_pages(&self) -> bool {
        self.small_pages.load(Ordering::SeqCst)
    }

    /// Tells the kernel how a range will be used. Only speed depends on it, so what it answers is of no interest.
    pub(crate) fn advise(&self, advice: Advice, range: Range<u64>) {
        if advice != Advice::Random && self.has_small_pages() {
            return;
        }
        let advice = match advice {
            Advice::Normal => memmap2::Advice::Normal,
            Advice::Random => memmap2::Advice::Random,
            Advice::Sequential => memmap2::Advice::Sequential,
        };
        let end = range.end.min(self.len());
        if range.start < end {
            let bytes = (end - range.start) as usize;
            // Advice is no more than that.
            let _ = self.with_memory(|memory| {
                let memory = memory.as_ref();
                memory.map(|mapped| mapped.memory.advise_range(advice, range.start as usize, bytes))
            });
        }
    }

    /// Takes pages out of this mapping until they are touched again. Their content stays where it is, in the file; only speed
    /// depends on this.
    pub(crate) fn unmap_pages(&self, range: Range<u64>) {
        let end = range.end.min(self.len());
        if range.start < end {
            let (start, bytes) = (range.start as usize, (end - range.start) as usize);
            self.with_memory(|memory| {
                let Some(Mapped { memory, .. }) = memory else { return };
                // SAFETY: the mapping is shared, so what was stored is in the file's pages and found there again; nothing changes for
                // whoever loads or stores meanwhile. (Where it fails, the pages stay.)
                let _ = unsafe { memory.unchecked_advise_range(UncheckedAdvice::DontNeed, start, bytes) };
            });
        }
    }

    /// Whether the page cache holds any page of a range of whole pages, for this process or another one; false where the kernel does not tell.
    pub(crate) fn is_cached(&self, range: Range<u64>) -> bool {
        let page = rustix::param::page_size() as u64;
        let mut pages = vec![0_u8; range.end.saturating_sub(range.start).div_ceil(page) as usize];
        self.with_memory(|memory| {
            let Some(Mapped { memory, .. }) = memory.as_ref().filter(|_| range.end <= self.len()) else {
                return false;
            };
            let start = memory.as_mut_ptr().wrapping_add(range.start as usize);
            // SAFETY: the range is mapped, as long as the lock is held, and there is a byte for each of its pages.
            let told =
                unsafe { libc::mincore(start.cast(), pages.len() * page as usize, pages.as_mut_ptr()) };
            told == 0 && pages.iter().any(|page| page & 1 != 0)
        })
    }

    /// Begins to bring the cache line at `offset` near.
    #[inline]
    pub(crate) fn prefetch(&self, offset: u64) {
        self.window().prefetch(offset);
    }
}

/// Maps the first `bytes` of a file; how many of them it has.
fn map(file: &File, bytes: u64, access: Access) -> Result<(Mapped, u64)> {
    let length = isize::try_from(bytes).map_err(|_| Error::TooLarge {
        what: "a mapping",
        bytes,
        limit: isize::MAX.unsigned_abs() as u64,
    })?;
    let backed = file.len()?.min(bytes);
    let mut options = MmapOptions::new();
    options.len(length.unsigned_abs());
    let memory = file
        .effect(Call::Map, || match access {
            Access::Read => options.map_raw_read_only(&file.descriptor()),
            Access::Write => options.map_raw(&file.descriptor()),
        })
        .map_err(|error| Error::io("map", file.path(), error))?;
    let whereabouts = Whereabouts::new(memory.as_ptr(), memory.len(), file.path());
    Ok((Mapped { _whereabouts: whereabouts, memory }, backed))
}

const _: () = {
    const fn shared_between_threads<T: Send + Sync>() {}
    shared_between_threads::<Mapping>();
};

#[cfg(test)]
mod tests;
