//! Small file systems of their own, as far as they can be had: that takes root, a loop device, and the tool that makes them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::common::folder;

/// A mounted image, unmounted when it goes.
pub struct Mount {
    place: PathBuf,
    /// A loop device that the mount does not give back by itself.
    device: Option<String>,
    folder: TempDir,
}

impl Mount {
    /// A file system of so many bytes. Where it cannot be had, says loudly which test is skipped.
    pub fn of(kind: &str, bytes: u64, test: &str) -> Option<Self> {
        let folder = folder();
        let (place, image) = (folder.path().join("mounted"), folder.path().join("image"));
        fs::create_dir(&place).expect("a folder");
        if kind == "tmpfs" {
            let options = format!("size={bytes}");
            let place_text = place.to_str().expect("a path");
            return match run("mount", &["-t", "tmpfs", "-o", &options, "none", place_text]) {
                Ok(_) => Some(Self { place, device: None, folder }),
                Err(reason) => {
                    eprintln!("SKIPPED: {test}: {kind} cannot be mounted here ({reason})");
                    None
                }
            };
        }
        fs::File::create(&image).and_then(|file| file.set_len(bytes)).expect("an image");
        let named = |path: &Path| path.to_str().expect("a path").to_owned();
        let made = run(&format!("mkfs.{kind}"), &[&named(&image)]);
        let mounted =
            made.and_then(|_| match run("mount", &["-o", "loop", &named(&image), &named(&place)]) {
                Err(_) if kind == "exfat" => mount_exfat(&named(&image), &named(&place)).map(Some),
                outcome => outcome.map(|_| None),
            });
        match mounted {
            Ok(device) => Some(Self { place, device, folder }),
            Err(reason) => {
                eprintln!("SKIPPED: {test}: {kind} cannot be mounted here ({reason})");
                None
            }
        }
    }

    pub fn make_read_only(&self) {
        let place = self.place.to_str().expect("a path");
        run("mount", &["-o", "remount,ro", place]).expect("a mount for reading only");
    }

    /// Unmounts it and mounts it again, so that nothing of it is cached. (Not a tmpfs, which would be empty.)
    pub fn mount_anew(&self) {
        let named = |path: &Path| path.to_str().expect("a path").to_owned();
        let (place, image) = (named(&self.place), named(&self.folder.path().join("image")));
        run("umount", &[&place]).expect("nobody uses it");
        run("mount", &["-o", "loop", &image, &place]).expect("a mount");
    }

    pub fn path(&self) -> &Path {
        &self.place
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Also while somebody still has a file open there: it goes with the last of them.
        let _ = run("umount", &["--lazy", self.place.to_str().expect("a path")]);
        if let Some(device) = &self.device {
            let _ = run("losetup", &["--detach", device]);
        }
    }
}

/// Mounts it with the driver that runs as a process; the device.
fn mount_exfat(image: &str, place: &str) -> Result<String, String> {
    let device = run("losetup", &["--find", "--show", image])?;
    match run("mount.exfat-fuse", &[&device, place]) {
        Ok(_) => Ok(device),
        Err(reason) => {
            let _ = run("losetup", &["--detach", &device]);
            Err(reason)
        }
    }
}

/// What a program said.
fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    match Command::new(program).args(arguments).stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        }
        Ok(output) => Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) => Err(format!("{program}: {error}")),
    }
}

/// An ext4 on a disk that can be made to fail: its image lies on another ext4, where it is made immutable. Every write of the disk then is
/// an error, which the kernel tells the file system above as EIO.
pub struct Failing {
    place: PathBuf,
    breaker: Breaker,
    // Unmounted behind the one that lies on it.
    _below: Mount,
}

/// Makes a disk fail.
#[derive(Clone)]
pub struct Breaker(PathBuf);

impl Breaker {
    /// Every write fails from now on.
    pub fn fail(&self) {
        self.set("+i");
    }

    /// They succeed again.
    pub fn heal(&self) {
        self.set("-i");
    }

    fn set(&self, attribute: &str) {
        run("chattr", &[attribute, self.0.to_str().expect("a path")]).expect("an attribute");
    }
}

impl Failing {
    /// A disk that is well. Where it cannot be had, says loudly which test is skipped.
    pub fn new(options: &[&str], test: &str) -> Option<Self> {
        let below = Mount::of("ext4", 96 << 20, test)?;
        let (place, image) = (below.folder.path().join("failing"), below.path().join("image"));
        fs::create_dir(&place).expect("a folder");
        fs::File::create(&image).and_then(|file| file.set_len(48 << 20)).expect("an image");
        let breaker = Breaker(image.clone());
        let image = image.to_str().expect("a path");
        let made = run("mkfs.ext4", &[&["-q"], options, &[image]].concat())
            .and_then(|_| run("chattr", &["+i", image]))
            .and_then(|_| run("chattr", &["-i", image]));
        if let Err(reason) = made {
            eprintln!("SKIPPED: {test}: a disk cannot be made to fail here ({reason})");
            return None;
        }
        let this = Self { place, breaker, _below: below };
        this.mount();
        Some(this)
    }

    fn mount(&self) {
        let (image, place) = (self.breaker.0.to_str(), self.place.to_str());
        let options = "loop,errors=continue";
        run("mount", &["-o", options, image.expect("a path"), place.expect("a path")]).expect("mounted");
    }

    fn unmount(&self) -> Result<String, String> {
        run("umount", &[self.place.to_str().expect("a path")])
    }

    /// Mounts it once more: nothing of it is cached.
    pub fn mount_again(&mut self) {
        // A process that another thread just spawns has everything open until it has begun.
        let done = (0..250).any(|_| {
            let outcome = self.unmount();
            if outcome.is_err() {
                std::thread::sleep(Duration::from_millis(20));
            }
            outcome.is_ok()
        });
        assert!(done, "nobody has a file open there");
        self.mount();
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.place
    }

    /// For who makes it fail.
    pub fn breaker(&self) -> Breaker {
        self.breaker.clone()
    }

    /// Writes succeed again.
    pub fn heal(&self) {
        self.breaker.heal();
    }
}

impl Drop for Failing {
    fn drop(&mut self) {
        self.heal();
        if self.unmount().is_err() {
            let _ = run("umount", &["--lazy", self.place.to_str().expect("a path")]);
        }
    }
}
