//! Large pages of the page cache, asked for file by file.
//!
//! Where records and slots lie in pages of 2 MiB, a look-up at random needs one entry of the processor's address cache where it needed one
//! out of thousands: a load that depends on the last one took 186 ns instead of 325 in a file of 128 MiB (4 KiB pages; a virtual machine).
//! The kernel decides on the size of a page when it is first cached, and a mapping's own advice would last: what is read again later, from a
//! store larger than memory, would be read 2 MiB at a time. So the pages are made through another, short-lived mapping.

use std::ops::Range;

use memmap2::{Advice, MmapOptions};

use crate::disk::{Call, File};
use crate::format::{PAGE_BYTES, align_down, align_up};

/// The largest page that the kernel makes, in bytes.
pub(crate) const LARGE_PAGE: u64 = 2 << 20;

/// Has the page cache hold a part of a file in the largest pages there are: as many as lie wholly inside. The part was reserved and has not
/// been touched; a large page over what is not reserved could not be written to on a full disk.
///
/// Only speed depends on it, so what the kernel answers is of no interest.
pub(crate) fn make_large_pages(file: &File, part: Range<u64>) {
    // (Where small pages are larger, so are large ones, and would reach beyond the part.)
    if rustix::param::page_size() as u64 != PAGE_BYTES {
        return;
    }
    let (start, end) = (align_up(part.start, LARGE_PAGE), align_down(part.end, LARGE_PAGE));
    if start >= end {
        return;
    }
    // Only speed depends on it.
    let _ = file.effect(Call::Cache, || {
        let mut options = MmapOptions::new();
        let map = options.offset(start).len((end - start) as usize).map_raw_read_only(&file.descriptor())?;
        map.advise(Advice::HugePage)?;
        // Otherwise the next page is made as well.
        map.advise(Advice::Random)?;
        map.advise(Advice::PopulateRead)
    });
}
