//! An array of 64-bit words in memory that other threads and processes read and write at the same time.
#![expect(unsafe_code, reason = "words of a mapping are reached through a raw pointer")]

#[cfg(not(loom))]
use std::ops::Deref;
#[cfg(not(loom))]
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::AtomicU64 as Limit;
use std::sync::atomic::Ordering;

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU64, fence};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicU64, fence};

/// Whoever keeps the memory of [`Words`] mapped.
pub(crate) trait Backing: Send + Sync {
    /// How many words the file really has now (it grows underneath a mapping of its largest size).
    fn backed_words(&self) -> u64;
}

#[cfg(not(loom))]
impl Backing for super::Mapping {
    fn backed_words(&self) -> u64 {
        self.follow() / 8
    }
}

/// A fixed array of words addressed by index, of which the first `limit` may be touched.
///
/// The limit follows the file: an access beyond it asks the [`Backing`] once whether the file has grown, and
/// answers `None` where it has not. So no index, however it was come by, leads outside of the memory.
pub(crate) struct Words {
    #[cfg(not(loom))]
    base: NonNull<AtomicU64>,
    #[cfg(loom)]
    base: Vec<AtomicU64>,
    length: u64,
    limit: Limit,
    backing: Arc<dyn Backing>,
}

// SAFETY: `base` is only ever used for atomic accesses, and the memory behind it belongs to `backing`, which may be
// shared between threads itself.
#[cfg(not(loom))]
unsafe impl Send for Words {}
// SAFETY: as above.
#[cfg(not(loom))]
unsafe impl Sync for Words {}

/// One of the [`Words`] that the file was seen to have, for who asks for it often.
#[cfg(not(loom))]
pub(crate) struct Word {
    cell: NonNull<AtomicU64>,
    /// Keeps it mapped.
    _backing: Arc<dyn Backing>,
}

// SAFETY: as for `Words`.
#[cfg(not(loom))]
unsafe impl Send for Word {}
// SAFETY: as for `Words`.
#[cfg(not(loom))]
unsafe impl Sync for Word {}

#[cfg(not(loom))]
impl Deref for Word {
    type Target = AtomicU64;

    #[inline]
    fn deref(&self) -> &AtomicU64 {
        // SAFETY: made of a cell of `Words`, which is good as long as the backing is there.
        unsafe { self.cell.as_ref() }
    }
}

impl Words {
    /// Words of a mapping.
    ///
    /// # Safety
    ///
    /// `base` is aligned to 8 bytes. Until `backing` is dropped, `length` words from it stay mapped (writable if
    /// [`Words::store`] is to be called), the first `backing.backed_words()` of them are backed by the file, and
    /// nobody in this process touches them in any other way than by atomic accesses of 8 bytes.
    #[cfg(not(loom))]
    pub(crate) unsafe fn from_raw(base: NonNull<u64>, length: u64, backing: Arc<dyn Backing>) -> Self {
        let limit = Limit::new(backing.backed_words().min(length));
        Self { base: base.cast(), length, limit, backing }
    }

    /// The words of a mapped file, as far as the file backs them.
    #[cfg(not(loom))]
    pub(crate) fn of_mapping(map: Arc<super::Mapping>) -> Self {
        let (base, length) = (map.base().cast::<u64>(), map.len() / 8);
        // SAFETY: a mapping begins at a page, stays where it is until it is dropped, and tells how much of it the file backs; views
        // touch their files through `Words` only.
        unsafe { Self::from_raw(base, length, map) }
    }

    /// Zeroed words of this process alone; memory is taken when they are first touched.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn heap(length: u64) -> Self {
        struct Heap(Box<[AtomicU64]>);
        impl Backing for Heap {
            fn backed_words(&self) -> u64 {
                self.0.len() as u64
            }
        }
        let zeroes = Box::into_raw(vec![0_u64; length as usize].into_boxed_slice());
        // SAFETY: the pointer comes from `into_raw`, and `AtomicU64` has size, alignment (on 64-bit targets) and
        // bit validity of `u64`.
        let cells = unsafe { Box::from_raw(zeroes as *mut [AtomicU64]) };
        let backing = Arc::new(Heap(cells));
        let base = NonNull::from(&*backing.0).cast();
        // SAFETY: the cells live as long as `backing`, and only `Words` touches them.
        unsafe { Self::from_raw(base, length, backing) }
    }

    /// Zeroed words that loom watches.
    #[cfg(loom)]
    pub(crate) fn heap(length: u64) -> Self {
        struct Heap(u64);
        impl Backing for Heap {
            fn backed_words(&self) -> u64 {
                self.0
            }
        }
        let base = (0..length).map(|_| AtomicU64::new(0)).collect();
        Self { base, length, limit: Limit::new(length), backing: Arc::new(Heap(length)) }
    }

    /// How many words there can be at most.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Whether the first `count` words may be touched.
    #[inline]
    pub(crate) fn covers(&self, count: u64) -> bool {
        count <= self.limit.load(Ordering::Acquire) || self.follow_file(count)
    }

    /// The words that may be touched, as it was when last asked: for several accesses.
    #[inline]
    pub(crate) fn touchable(&self) -> &[AtomicU64] {
        let limit = self.limit.load(Ordering::Acquire) as usize;
        #[cfg(loom)]
        return &self.base[..limit];
        #[cfg(not(loom))]
        {
            // SAFETY: `limit <= length`; these words are mapped and backed until `backing`, which `self` holds, is dropped; they are
            // aligned and touched by atomic accesses only (contract of `from_raw`).
            unsafe { NonNull::slice_from_raw_parts(self.base, limit).as_ref() }
        }
    }

    /// Asks how long the file is by now.
    #[cold]
    fn follow_file(&self, count: u64) -> bool {
        if count > self.length {
            return false;
        }
        let backed = self.backing.backed_words().min(self.length);
        self.limit.fetch_max(backed, Ordering::AcqRel);
        count <= backed
    }

    /// The word at `index`; `None` beyond the end of the file.
    #[inline]
    pub(crate) fn load(&self, index: u64, order: Ordering) -> Option<u64> {
        self.cell(index).map(|cell| cell.load(order))
    }

    /// The word at `index` itself, for who will look at it again; `None` beyond the end of the file.
    #[inline]
    pub(crate) fn cell(&self, index: u64) -> Option<&AtomicU64> {
        // (The length is a number of words in memory: what follows the highest index is no overflow.)
        if index >= self.limit.load(Ordering::Acquire) && !self.follow_file(index.saturating_add(1)) {
            return None;
        }
        #[cfg(loom)]
        return self.base.get(index as usize);
        #[cfg(not(loom))]
        {
            // SAFETY: `index < limit <= length`, and `length` words from `base` are mapped.
            let cell = unsafe { self.base.add(index as usize) };
            // SAFETY: as in `cells`.
            Some(unsafe { cell.as_ref() })
        }
    }

    /// The word at `index`, once and for all; `None` beyond the end of the file.
    #[cfg(not(loom))]
    pub(crate) fn word(&self, index: u64) -> Option<Word> {
        let cell = NonNull::from(self.cell(index)?);
        Some(Word { cell, _backing: self.backing.clone() })
    }

    /// `N` words from `index`; `None` beyond the end of the file.
    #[inline]
    pub(crate) fn line<const N: usize>(&self, index: u64) -> Option<&[AtomicU64; N]> {
        self.cells(index, N)?.try_into().ok()
    }

    /// The word at `index`, for the only one who stores: needs no order, because nobody else changes it.
    #[inline]
    pub(crate) fn load_own(&self, index: u64) -> Option<u64> {
        self.cell(index).map(load_own)
    }

    /// As [`load_own`](Self::load_own), `N` words from `index`.
    #[inline]
    pub(crate) fn load_own_line<const N: usize>(&self, index: u64) -> Option<[u64; N]> {
        self.line(index).map(|cells: &[AtomicU64; N]| std::array::from_fn(|i| load_own(&cells[i])))
    }

    /// Sets the word at `index`; false, and nothing is done, beyond the end of the file.
    #[inline]
    pub(crate) fn store(&self, index: u64, value: u64, order: Ordering) -> bool {
        self.cell(index).inspect(|cell| cell.store(value, order)).is_some()
    }

    /// Asks the processor to fetch the cache line of a word; never faults, changes nothing.
    #[inline]
    pub(crate) fn prefetch(&self, index: u64) {
        #[cfg(all(target_arch = "x86_64", not(loom), not(miri)))]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let cell = self.base.as_ptr().wrapping_add(index as usize);
            // SAFETY: a prefetch is a hint; it is defined for every address, mapped or not.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(cell.cast()) };
        }
        #[cfg(not(all(target_arch = "x86_64", not(loom), not(miri))))]
        let _ = index;
    }

    /// `count` words from `index`, or as many as the file has of them.
    #[inline]
    pub(crate) fn cells_up_to(&self, index: u64, count: usize) -> &[AtomicU64] {
        let shorter = || {
            let there = self.limit.load(Ordering::Acquire).checked_sub(index)?;
            self.cells(index, count.min(there as usize))
        };
        self.cells(index, count).or_else(shorter).unwrap_or_default()
    }

    #[inline]
    fn cells(&self, index: u64, count: usize) -> Option<&[AtomicU64]> {
        let end = index.checked_add(count as u64)?;
        if !self.covers(end) {
            return None;
        }
        #[cfg(loom)]
        return self.base.get(index as usize..end as usize);
        #[cfg(not(loom))]
        {
            // SAFETY: `index < limit <= length`, and `length` words from `base` are mapped.
            let first = unsafe { self.base.add(index as usize) };
            // SAFETY: `index + count <= limit`, these words are mapped and backed until `backing`, which `self`
            // holds, is dropped; they are aligned and touched by atomic accesses only (contract of `from_raw`).
            Some(unsafe { NonNull::slice_from_raw_parts(first, count).as_ref() })
        }
    }
}

/// The word, for the only one who stores: needs no order, because nobody else changes it.
#[cfg(not(loom))]
#[inline]
pub(crate) fn load_own(cell: &AtomicU64) -> u64 {
    cell.load(Ordering::Relaxed)
}

/// Not an access in loom's eyes: loom remembers one access per word, and a load by the one who stores would make it
/// forget the searcher's load before it, and with it the orders of the two it has yet to try.
#[cfg(loom)]
pub(crate) fn load_own(cell: &AtomicU64) -> u64 {
    // SAFETY: only the calling thread stores (loom checks that).
    unsafe { cell.unsync_load() }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::ptr::NonNull;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::{Backing, Words};

    /// Memory of four words, of which a file backs a changing number.
    struct Growing {
        cells: [AtomicU64; 4],
        backed: AtomicU64,
    }

    impl Backing for Growing {
        fn backed_words(&self) -> u64 {
            self.backed.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn no_index_leads_outside() {
        let words = Words::heap(8);
        assert!(words.store(7, 5, Ordering::Relaxed));
        assert_eq!(words.load(7, Ordering::Relaxed), Some(5));
        assert_eq!(words.load_own_line(4), Some([0, 0, 0, 5]));
        for beyond in [8, 1 << 40, u64::MAX] {
            assert_eq!(words.load(beyond, Ordering::Relaxed), None);
            assert!(!words.store(beyond, 1, Ordering::Relaxed));
            assert!(words.line::<4>(beyond - 3).is_none());
            words.prefetch(beyond);
        }
    }

    #[test]
    fn the_limit_follows_the_file() {
        let growing = Arc::new(Growing { cells: Default::default(), backed: AtomicU64::new(2) });
        let base = NonNull::from(&growing.cells).cast();
        // SAFETY: the cells live in `growing`, four of them, and are touched through `Words` only.
        let words = unsafe { Words::from_raw(base, 4, growing.clone()) };
        assert!(words.store(1, 1, Ordering::Relaxed));
        assert!(!words.store(2, 2, Ordering::Relaxed));
        growing.backed.store(100, Ordering::Relaxed);
        assert!(words.store(3, 3, Ordering::Relaxed));
        assert!(!words.covers(5), "the mapping is no longer than it was");
        assert_eq!(words.load(3, Ordering::Relaxed), Some(3));
    }
}
