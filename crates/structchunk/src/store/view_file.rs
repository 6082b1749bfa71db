//! The file of a derived view: mapped once at the largest size it may reach, growing underneath.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::disk::{Access, File, Folder};
use crate::error::{Error, Result};
use crate::format::{align_down, align_up};
use crate::map::{Advice, LARGE_PAGE, Mapping, Words, make_large_pages};

/// Address space that a view takes, in bytes; four times its file where that is more.
pub(crate) const LARGEST_VIEW: u64 = 1 << 35;
/// It grows in steps of this, in bytes; a large one by large pages, while much changes.
const STEP: u64 = 256 << 10;

/// A view's file. All access to its content goes through [`Words`].
pub(crate) struct ViewFile {
    file: File,
    map: Arc<Mapping>,
    /// Whether changes come a few at a time.
    few: AtomicBool,
    /// The large pages that were let go of since then, by where they began.
    let_go: Mutex<BTreeSet<u64>>,
}

impl ViewFile {
    /// An empty file in place of whatever has that name.
    pub(crate) fn create(folder: &Folder, name: &str, largest: u64) -> Result<Arc<Self>> {
        if folder.exists(name)? {
            folder.remove(name)?;
        }
        Self::new(folder.create_file(name)?, largest, Access::Write)
    }

    /// The file as it is; `None` when there is none.
    pub(crate) fn open(
        folder: &Folder,
        name: &str,
        largest: u64,
        access: Access,
    ) -> Result<Option<Arc<Self>>> {
        match folder.open_file(name, access) {
            Ok(file) => Self::new(file, largest, access).map(Some),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The same for one who follows the file as another process makes it longer, also to write.
    pub(crate) fn join(
        folder: &Folder,
        name: &str,
        largest: u64,
        access: Access,
    ) -> Result<Option<Arc<Self>>> {
        match folder.open_file(name, access) {
            Ok(file) => Self::of(file, largest, access, true).map(Some),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn new(file: File, largest: u64, access: Access) -> Result<Arc<Self>> {
        Self::of(file, largest, access, access == Access::Read)
    }

    fn of(file: File, largest: u64, access: Access, follows: bool) -> Result<Arc<Self>> {
        let largest =
            if largest == LARGEST_VIEW { largest.max(file.len()?.saturating_mul(4)) } else { largest };
        let map = Mapping::new(&file, largest, access)?;
        let map = if follows { map.followed(&file) } else { map.followed_in_children(&file) };
        // Touching one page must not drag its neighbours to the disk (4 KiB instead of up to 2 MiB a write).
        map.advise(Advice::Random, 0..largest);
        Ok(Arc::new(Self { file, map: Arc::new(map), few: AtomicBool::new(false), let_go: Mutex::default() }))
    }

    /// The content.
    pub(crate) fn words(&self) -> Words {
        Words::of_mapping(self.map.clone())
    }

    /// How many bytes the file has.
    pub(crate) fn bytes(&self) -> u64 {
        self.map.limit()
    }

    /// Makes the file at least `words` words long, backed by disk space.
    ///
    /// # Errors
    /// [`Error::NoSpace`], and [`Error::Exhausted`] at the largest size.
    pub(crate) fn grow(&self, words: u64) -> Result<()> {
        let backed = self.map.limit();
        let wanted = words.saturating_mul(8);
        if wanted <= backed {
            return Ok(());
        }
        let target = align_up(wanted, STEP).min(self.map.len());
        if wanted > target {
            return Err(Error::Exhausted { what: "room in the directory" });
        }
        let large = wanted > LARGE_PAGE && !self.expects_few();
        let wide = if large { align_up(target, LARGE_PAGE).min(self.map.len()) } else { target };
        let reserve = |target| self.file.reserve(backed, target - backed).map(|()| target);
        let target = match reserve(wide) {
            Err(Error::NoSpace { .. }) if wide > target => reserve(target),
            outcome => outcome,
        }?;
        if large {
            make_large_pages(&self.file, backed..target);
        }
        self.map.set_limit(target);
        Ok(())
    }

    /// Whether changes come a few at a time.
    #[inline]
    pub(crate) fn expects_few(&self) -> bool {
        self.few.load(Ordering::Relaxed)
    }

    /// Changes come a few at a time from now on, until [`expect_many`](Self::expect_many): each shall touch a small page. What was
    /// changed until now is written out, because the page cache lets go of nothing else.
    pub(crate) fn expect_few(&self) -> Result<()> {
        if self.bytes() >= LARGE_PAGE {
            self.sync()?;
        }
        self.few.store(true, Ordering::Relaxed);
        // Every change touches the header.
        self.let_go_around(0);
        Ok(())
    }

    /// Much changes from now on.
    pub(crate) fn expect_many(&self) {
        if self.few.swap(false, Ordering::Relaxed) {
            self.let_go.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    /// Lets go of the large page that may be cached around `offset`, the first time that it is asked to. Those who have it mapped in other
    /// processes keep it.
    #[cold]
    pub(crate) fn let_go_around(&self, offset: u64) {
        let start = align_down(offset, LARGE_PAGE);
        let whole = start + LARGE_PAGE <= self.bytes();
        if whole && self.let_go.lock().unwrap_or_else(PoisonError::into_inner).insert(start) {
            self.map.unmap_pages(start..start + LARGE_PAGE);
            // Only bytes written depend on it.
            let _ = self.file.drop_cached_pages(start..start + LARGE_PAGE);
        }
    }

    /// Backs the words `from..to` with disk space; what the file did not have before them becomes a hole.
    ///
    /// # Errors
    /// [`Error::NoSpace`], and [`Error::Exhausted`] at the largest size.
    pub(crate) fn back(&self, from: u64, to: u64) -> Result<()> {
        // Touching a page touches all blocks of it, and there are file systems with four in a page.
        let page = rustix::param::page_size() as u64;
        let (from, to) = (from.saturating_mul(8) & !(page - 1), align_up(to.saturating_mul(8), page));
        if to > self.map.len() {
            return Err(Error::Exhausted { what: "room in the live map" });
        }
        self.file.reserve(from, to - from)?;
        self.map.set_limit(self.map.limit().max(to));
        Ok(())
    }

    /// Gives the space of these words back: they are 0 from now on.
    pub(crate) fn punch(&self, words: Range<u64>) -> Result<()> {
        let (from, to) = (words.start.saturating_mul(8), words.end.saturating_mul(8).min(self.map.limit()));
        self.file.punch(from, to.saturating_sub(from)).map(drop)
    }

    /// Makes the content durable.
    pub(crate) fn sync(&self) -> Result<()> {
        self.file.sync_data()
    }

    /// Bytes of disk space that the file takes.
    pub(crate) fn allocated_bytes(&self) -> Result<u64> {
        self.file.allocated_bytes()
    }
}
