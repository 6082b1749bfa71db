//! What the machine and the file system are like.

use std::fs;
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::fs::{IFlags, Mode, OFlags};
use rustix::io::Errno;
use rustix::rand::GetRandomFlags;

use crate::error::{Error, Result};

/// File systems whose pages other machines change: mapped memory is not shared safely there. (FUSE is not among them;
/// most of what uses it is local.)
const NETWORK: [(u32, &str); 17] = [
    (0x6969, "NFS"),
    (0x517B, "SMB"),
    (0xFF53_4D42, "CIFS"),
    (0xFE53_4D42, "SMB2"),
    (0x0102_1997, "9P"),
    (0x00C3_6400, "Ceph"),
    (0x0BD0_0BD0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0x5346_414F, "AFS"),
    (0x6B41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x564C, "NCP"),
    (0x7461_636F, "OCFS2"),
    (0x0116_1970, "GFS2"),
    (0x1983_0326, "BeeGFS"),
    (0x2003_0528, "OrangeFS"),
    (0x786F_4256, "vboxsf"),
];

const COPY_ON_WRITE: [(u32, &str); 4] =
    [(0x9123_683E, "btrfs"), (0x2FC1_2FC1, "ZFS"), (0xCA45_1A4E, "bcachefs"), (0x3434, "NILFS2")];

/// The number that the kernel draws at every boot; `None` where it cannot be read.
pub(super) fn boot_id() -> Option<[u8; 16]> {
    parse_uuid(fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim_end())
}

fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let mut digits = text.chars().filter(|c| *c != '-');
    let mut bytes = [0; 16];
    for byte in &mut bytes {
        let (high, low) = (digits.next()?.to_digit(16)?, digits.next()?.to_digit(16)?);
        *byte = (high << 4 | low) as u8;
    }
    digits.next().is_none().then_some(bytes)
}

pub(super) fn network_file_system(descriptor: BorrowedFd<'_>) -> rustix::io::Result<Option<&'static str>> {
    Ok(name_in(&NETWORK, magic(descriptor)?))
}

pub(super) fn copy_on_write(descriptor: BorrowedFd<'_>) -> rustix::io::Result<Option<&'static str>> {
    Ok(name_in(&COPY_ON_WRITE, magic(descriptor)?))
}

/// The kernel's magic numbers have 32 bits, sign-extended for some.
fn magic(descriptor: BorrowedFd<'_>) -> rustix::io::Result<u32> {
    #[expect(clippy::cast_sign_loss, reason = "a bit pattern")]
    Ok(rustix::fs::fstatfs(descriptor)?.f_type as u32)
}

fn name_in(table: &[(u32, &'static str)], magic: u32) -> Option<&'static str> {
    table.iter().find(|(known, _)| *known == magic).map(|(_, name)| *name)
}

/// Sets the attribute that files made in this folder inherit; whether the file system knows it and took it.
pub(super) fn disable_copy_on_write(folder: BorrowedFd<'_>) -> bool {
    let Ok(flags) = rustix::fs::ioctl_getflags(folder) else { return false };
    rustix::fs::ioctl_setflags(folder, flags | IFlags::NOCOW).is_ok()
}

/// Whether `path`, at which nothing need be yet, is the folder or lies below it.
pub(super) fn encloses(folder: BorrowedFd<'_>, path: &Path) -> rustix::io::Result<bool> {
    const LOOK: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
    let identity = |status: rustix::fs::Stat| (status.st_dev, status.st_ino);
    let wanted = identity(rustix::fs::fstat(folder)?);
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let opened = rustix::fs::open(path, LOOK, Mode::empty());
    let Ok(mut at) = opened.or_else(|_| rustix::fs::open(parent, LOOK, Mode::empty())) else {
        return Ok(false);
    };
    loop {
        let here = identity(rustix::fs::fstat(&at)?);
        if here == wanted {
            return Ok(true);
        }
        at = rustix::fs::openat(&at, "..", LOOK, Mode::empty())?;
        // The root is its own parent.
        if identity(rustix::fs::fstat(&at)?) == here {
            return Ok(false);
        }
    }
}

/// Random bytes that nobody can guess, for uuids and hash seeds.
pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        match rustix::rand::getrandom(&mut bytes[filled..], GetRandomFlags::empty()) {
            Ok(more) => filled += more,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::io("draw random numbers from", "getrandom", errno.into())),
        }
    }
    Ok(bytes)
}

/// The size of a page of memory, the unit in which space is given back.
fn page_bytes() -> u64 {
    rustix::param::page_size() as u64
}

/// Refuses machines whose pages are not what the format was made for.
///
/// # Errors
/// [`Error::Unsupported`] unless pages have a power of two of bytes, from 4 KiB to 64 KiB.
pub(crate) fn require_known_page_size(store: &Path) -> Result<()> {
    let bytes = page_bytes();
    if bytes.is_power_of_two() && (4 << 10..=64 << 10).contains(&bytes) {
        return Ok(());
    }
    Err(Error::Unsupported { path: store.to_owned(), what: format!("memory pages of {bytes} bytes") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_id_is_stable_and_only_a_whole_uuid_is_one() {
        assert!(boot_id().is_some());
        assert_eq!(boot_id(), boot_id());
        let bytes = parse_uuid("00112233-4455-6677-8899-aabbccddeeff");
        assert_eq!(bytes, Some([0, 17, 34, 51, 68, 85, 102, 119, 136, 153, 170, 187, 204, 221, 238, 255]));
        for wrong in ["", "00112233-4455-6677-8899-aabbccddeef", "00112233-4455-6677-8899-aabbccddeeff0", "x"]
        {
            assert_eq!(parse_uuid(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn random_bytes_differ_from_call_to_call() {
        assert_ne!(random_bytes::<16>().unwrap(), random_bytes::<16>().unwrap());
        assert_ne!(random_bytes::<1000>().unwrap()[900..], [0; 100]);
    }

    #[test]
    fn network_file_systems_are_known_by_their_numbers() {
        assert_eq!(name_in(&NETWORK, 0x6969), Some("NFS"));
        assert_eq!(name_in(&NETWORK, 0xFF53_4D42), Some("CIFS"));
        assert_eq!(name_in(&NETWORK, 0xEF53), None, "ext4");
        assert_eq!(name_in(&COPY_ON_WRITE, 0x9123_683E), Some("btrfs"));
    }
}
