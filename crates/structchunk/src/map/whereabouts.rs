//! Where the files of stores are mapped, for one who has nothing but an address and may neither wait nor allocate: a signal handler.
//!
//! A table of atomics with a version for each place. Whoever looks takes what it finds only if the version was the same before and after.
//! A place is taken before anybody has an address in the mapping, and given up when nobody has one any more, but before the kernel
//! may give the addresses to somebody else.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering, fence};

/// As many mappings as Linux lets a process have, unless it was set up otherwise (`vm.max_map_count` is 65,530). What is mapped beyond
/// them is not found.
const PLACES: usize = 1 << 16;

/// Pages of it that were never used take no memory.
static TABLE: [Place; PLACES] = [const { Place::empty() }; PLACES];
/// No place from here on was ever used.
static END: AtomicUsize = AtomicUsize::new(0);

/// One mapping, or none.
struct Place {
    /// Odd while the rest is being changed.
    version: AtomicUsize,
    /// The first address.
    start: AtomicUsize,
    /// 0: nothing is mapped here.
    bytes: AtomicUsize,
    name: AtomicPtr<u8>,
    name_bytes: AtomicUsize,
}

/// Something that is mapped, as it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    /// How far behind the beginning of the file.
    pub offset: usize,
    /// The name of the file, there as long as its [`Whereabouts`].
    pub name: *const u8,
    pub name_bytes: usize,
}

impl Place {
    const fn empty() -> Self {
        Self {
            version: AtomicUsize::new(0),
            start: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            name: AtomicPtr::new(std::ptr::null_mut()),
            name_bytes: AtomicUsize::new(0),
        }
    }

    /// Begins to change it; the version to end with. `None` when somebody else changes it, or it is taken.
    fn begin(&self) -> Option<usize> {
        let version = self.version.load(Ordering::Acquire);
        let free = version.is_multiple_of(2) && self.bytes.load(Ordering::Relaxed) == 0;
        let begun = free
            && self
                .version
                .compare_exchange(version, version + 1, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok();
        begun.then(|| {
            fence(Ordering::Release);
            version.wrapping_add(2)
        })
    }

    fn take(&self, start: usize, bytes: usize, name: &[u8]) -> bool {
        let Some(version) = self.begin() else { return false };
        self.start.store(start, Ordering::Relaxed);
        self.name.store(name.as_ptr().cast_mut(), Ordering::Relaxed);
        self.name_bytes.store(name.len(), Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
        self.version.store(version, Ordering::Release);
        true
    }

    /// For the one who took it.
    fn give_up(&self) {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        self.bytes.store(0, Ordering::Relaxed);
        self.version.store(version.wrapping_add(2), Ordering::Release);
    }

    fn find(&self, address: usize) -> Option<Found> {
        let version = self.version.load(Ordering::Acquire);
        let offset = address.wrapping_sub(self.start.load(Ordering::Relaxed));
        let inside = offset < self.bytes.load(Ordering::Relaxed);
        let found = Found {
            offset,
            name: self.name.load(Ordering::Relaxed),
            name_bytes: self.name_bytes.load(Ordering::Relaxed),
        };
        (self.was_still(version) && inside).then_some(found)
    }

    /// Whether what was read belongs together, of which the version was looked at before.
    fn was_still(&self, version: usize) -> bool {
        fence(Ordering::Acquire);
        version.is_multiple_of(2) && version == self.version.load(Ordering::Relaxed)
    }
}

/// While it lives, [`find`] knows a mapping. It must go before the mapping does.
#[derive(Debug)]
pub(super) struct Whereabouts {
    /// `None` where all places are taken.
    place: Option<usize>,
    /// What the place points to.
    _name: Arc<[u8]>,
}

impl Whereabouts {
    /// Of so many bytes of a file.
    pub(super) fn new(start: *const u8, bytes: usize, path: &Path) -> Self {
        let name = printable(path);
        // From the front, so that the table is no longer than it has to be. (A thousand places are passed over in a microsecond.)
        let place = TABLE.iter().position(|place| place.take(start.addr(), bytes, &name));
        if let Some(place) = place {
            END.fetch_max(place + 1, Ordering::Release);
        }
        Self { place, _name: name }
    }
}

impl Drop for Whereabouts {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            TABLE[place].give_up();
        }
    }
}

/// What is mapped at an address. Loads only.
pub(super) fn find(address: usize) -> Option<Found> {
    TABLE.iter().take(END.load(Ordering::Acquire)).find_map(|place| place.find(address))
}

/// The file as a message is to name it: under the name it gets when it is complete, and nothing that commands a terminal.
fn printable(path: &Path) -> Arc<[u8]> {
    let path = if path.extension().is_some_and(|it| it == "tmp") {
        path.with_extension("")
    } else {
        path.to_owned()
    };
    path.display()
        .to_string()
        .chars()
        .map(|it| if it.is_control() { '?' } else { it })
        .collect::<String>()
        .into_bytes()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of addresses that no process has.
    fn at(start: usize, bytes: usize, path: &str) -> Whereabouts {
        Whereabouts::new(std::ptr::without_provenance(start), bytes, Path::new(path))
    }

    const NOWHERE: usize = 1 << 56;

    #[test]
    fn what_is_mapped_is_found_from_its_first_byte_to_its_last_until_it_goes() {
        let (first, second) = (at(NOWHERE, 100, "/s/chunk"), at(NOWHERE + 100, 50, "/s/body.tmp"));
        let found = |offset| find(NOWHERE + offset).map(|found| (found.offset, found.name_bytes));
        assert_eq!([0, 99].map(found), [0, 99].map(|offset| Some((offset, "/s/chunk".len()))));
        assert_eq!([100, 149].map(found), [0, 49].map(|offset| Some((offset, "/s/body".len()))));
        assert!(found(150).is_none() && find(NOWHERE - 1).is_none() && find(0).is_none());
        drop(first);
        assert!(found(0).is_none() && found(99).is_none() && found(100).is_some());
        drop(second);
        assert!(found(100).is_none());
    }

    #[test]
    fn names_command_no_terminal() {
        assert_eq!(&*printable(Path::new("/s\u{1b}[31m/\n00.chunk")), b"/s?[31m/?00.chunk");
    }

    #[test]
    fn what_is_being_changed_is_not_found() {
        let place = Place::empty();
        assert!(place.take(NOWHERE, 10, b"name") && place.find(NOWHERE).is_some());
        assert!(!place.take(NOWHERE, 10, b"other"), "it is taken");
        place.give_up();
        let version = place.begin().unwrap();
        place.bytes.store(10, Ordering::Relaxed);
        assert!(place.find(NOWHERE).is_none() && place.begin().is_none());
        place.version.store(version, Ordering::Release);
        assert!(place.find(NOWHERE).is_some() && place.was_still(version));
        // Nor counts what was read while others came and went.
        place.give_up();
        assert!(place.take(NOWHERE, 10, b"name") && !place.was_still(version));
    }
}
