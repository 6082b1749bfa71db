//! Small file systems of their own, as far as they can be had: that takes root, a loop device, and the tool that makes them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::common::folder;

/// A mounted image, unmounted when it goes.
pub struct Mount {
    place: PathBuf,
    /// A loop device that the mount does not give back by itself.
    device: Option<String>,
    _folder: TempDir,
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
                Ok(_) => Some(Self { place, device: None, _folder: folder }),
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
            Ok(device) => Some(Self { place, device, _folder: folder }),
            Err(reason) => {
                eprintln!("SKIPPED: {test}: {kind} cannot be mounted here ({reason})");
                None
            }
        }
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
