//! Bytes as changes of files.

use super::files::Files;

/// A change: what is done (1 byte), to which file (1), how many bytes follow (1), where (4), and those bytes.
pub struct Change<'b> {
    what: u8,
    file: usize,
    at: usize,
    bytes: &'b [u8],
}

/// So many changes are enough.
const MOST: usize = 64;

/// What bytes say.
pub fn changes(mut bytes: &[u8]) -> impl Iterator<Item = Change<'_>> {
    std::iter::from_fn(move || {
        let (head, rest) = bytes.split_first_chunk::<7>()?;
        let [what, file, length, at @ ..] = *head;
        let (content, rest) = rest.split_at(usize::from(length).min(rest.len()));
        bytes = rest;
        Some(Change { what, file: file.into(), at: u32::from_le_bytes(at) as usize, bytes: content })
    })
    .take(MOST)
}

impl Change<'_> {
    /// Writes the bytes into a file, which stays as long as it is.
    pub fn overwrite(&self, file: &mut [u8]) {
        if file.is_empty() {
            return;
        }
        let at = self.at % file.len();
        let length = self.bytes.len().min(file.len() - at);
        file[at..at + length].copy_from_slice(&self.bytes[..length]);
    }

    /// Does anything to any file.
    pub fn apply_to(&self, files: &mut Files) {
        let names: Vec<String> = files.names().cloned().collect();
        let Some(name) = names.get(self.file % names.len().max(1)) else { return };
        match self.what % 6 {
            0 => drop(files.remove(name)),
            1 => {
                let other = files.remove(name);
                files.insert(String::from_utf8_lossy(self.bytes).into_owned(), other);
            }
            2 => {
                if let Some(file) = files.get_mut(name) {
                    let length = self.at % (file.len() + 1);
                    file.truncate(length);
                }
            }
            3 => {
                if let Some(file) = files.get_mut(name) {
                    file.extend_from_slice(self.bytes);
                }
            }
            _ => {
                if let Some(file) = files.get_mut(name) {
                    self.overwrite(file);
                }
            }
        }
    }
}
