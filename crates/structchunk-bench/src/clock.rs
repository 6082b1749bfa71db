//! Time, page faults, and bytes written and kept, as the kernel counts them.
#![expect(unsafe_code, reason = "the standard library has no names for these system calls")]

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Instant;

use crate::engine::Outcome;

/// How long `work` takes, in nanoseconds, and what it gives. Waiting for the disk is part of it.
pub fn timed<T>(work: impl FnOnce() -> Outcome<T>) -> Outcome<(f64, T)> {
    let start = Instant::now();
    let value = work()?;
    Ok((start.elapsed().as_secs_f64() * 1e9, value))
}

/// How long `work` keeps a processor busy, in the program and in the kernel, in nanoseconds, and what it gives. For work that
/// never waits this is the time it takes on a machine that nobody else uses.
pub fn busy<T>(work: impl FnOnce() -> Outcome<T>) -> Outcome<(f64, T)> {
    let start = thread_nanoseconds()?;
    let value = work()?;
    Ok((thread_nanoseconds()? - start, value))
}

/// As [`timed`] and [`busy`] together, where the latter counts the processors of all threads: for work of which a part is done by others.
pub fn timed_and_busy<T>(work: impl FnOnce() -> Outcome<T>) -> Outcome<(f64, f64, T)> {
    let start = nanoseconds(libc::CLOCK_PROCESS_CPUTIME_ID)?;
    let (time, value) = timed(work)?;
    Ok((time, nanoseconds(libc::CLOCK_PROCESS_CPUTIME_ID)? - start, value))
}

/// How long this thread was on a processor so far.
fn thread_nanoseconds() -> Outcome<f64> {
    nanoseconds(libc::CLOCK_THREAD_CPUTIME_ID)
}

fn nanoseconds(clock: libc::clockid_t) -> Outcome<f64> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` has room for what the kernel writes.
    if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        return Err(std::io::Error::last_os_error().into());
    }
    Ok(time.tv_sec as f64 * 1e9 + time.tv_nsec as f64)
}

/// How many page faults this thread had so far.
pub fn page_faults() -> i64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: `usage` has room for what the kernel writes.
    let done = unsafe { libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr()) };
    if done != 0 {
        return 0;
    }
    // SAFETY: all bytes are zero or what the kernel wrote, and any bytes are a `rusage`.
    let usage = unsafe { usage.assume_init() };
    usage.ru_minflt + usage.ru_majflt
}

/// Bytes of pages that this process made dirty so far: what goes to the disk.
pub fn bytes_written() -> Outcome<u64> {
    let text = std::fs::read_to_string("/proc/self/io")?;
    let count = text.lines().find_map(|line| line.strip_prefix("write_bytes: ")?.parse().ok());
    count.ok_or_else(|| "/proc/self/io does not tell write_bytes".into())
}

/// Disk space that the files in a folder take, in bytes, and those in folders in it.
pub fn bytes_on_disk(folder: &Path) -> Outcome<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { bytes_on_disk(&entry.path())? } else { metadata.blocks() * 512 };
    }
    Ok(bytes)
}

/// How long single puts took, apart for those during which a page was touched for the first time.
pub struct Latencies {
    nanoseconds: Vec<u32>,
    longest: u32,
    longest_without_fault: u32,
    faults: i64,
}

impl Latencies {
    /// For this many puts.
    pub fn new(puts: u64) -> Self {
        // Written to, so that taking notes costs no page faults later.
        let mut nanoseconds = vec![1; puts as usize];
        nanoseconds.clear();
        Self { nanoseconds, longest: 0, longest_without_fault: 0, faults: page_faults() }
    }

    /// Takes the time of one put.
    pub fn time<T>(&mut self, put: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
        let start = Instant::now();
        let value = put()?;
        let nanoseconds = u32::try_from(start.elapsed().as_nanos()).unwrap_or(u32::MAX);
        let faults = page_faults();
        self.nanoseconds.push(nanoseconds);
        self.longest = self.longest.max(nanoseconds);
        if faults == self.faults {
            self.longest_without_fault = self.longest_without_fault.max(nanoseconds);
        }
        self.faults = faults;
        Ok(value)
    }

    /// The longest one, in nanoseconds.
    pub fn longest(&self) -> u32 {
        self.longest
    }

    /// The longest one without a page fault, in nanoseconds.
    pub fn longest_without_fault(&self) -> u32 {
        self.longest_without_fault
    }

    /// What 9,999 of 10,000 stay below, in nanoseconds.
    pub fn percentile_9999(&mut self) -> u32 {
        let at = self.nanoseconds.len() - self.nanoseconds.len().div_ceil(10_000);
        let (_, value, _) = self.nanoseconds.select_nth_unstable(at);
        *value
    }
}
