//! What the demo stores: entries of ELF symbol tables, as they stand in the files.

use structchunk::{MAX_KEY_BYTES, Object};

/// One entry of a symbol table: `Elf64_Sym` of `<elf.h>`, byte for byte.
#[derive(Object, Clone, Copy, Debug, PartialEq, Eq)]
#[object(name = "Elf64_Sym")]
#[repr(C)]
#[expect(clippy::struct_field_names, reason = "the names that <elf.h> gives them")]
pub struct Symbol {
    /// Where the name begins in the string table.
    pub st_name: u32,
    /// Binding (high half) and type (low half).
    pub st_info: u8,
    /// Visibility.
    pub st_other: u8,
    /// The section it belongs to.
    pub st_shndx: u16,
    /// Mostly an address.
    pub st_value: u64,
    /// How many bytes it stands for.
    pub st_size: u64,
}

/// How many symbol types there are.
pub const TYPES: usize = 16;

impl Symbol {
    /// Its type, as a number below [`TYPES`].
    pub fn type_number(&self) -> usize {
        usize::from(self.st_info & 15)
    }
}

/// The name of a symbol type, as `readelf` prints it.
pub fn type_name(number: usize) -> String {
    const NAMES: [&str; TYPES] = [
        "NOTYPE", "OBJECT", "FUNC", "SECTION", "FILE", "COMMON", "TLS", "", "RELC", "SRELC", "IFUNC", "", "",
        "", "", "",
    ];
    match (number, NAMES.get(number)) {
        (_, Some(name)) if !name.is_empty() => (*name).to_owned(),
        (11..=12, _) => format!("<OS specific>: {number}"),
        (13..=15, _) => format!("<processor specific>: {number}"),
        _ => format!("<unknown>: {number}"),
    }
}

/// The key of a symbol: file NUL name NUL number, the number counting through all symbol tables of the file.
/// Makes `key` that, and says whether the name had to be cut for it.
pub fn write_key(key: &mut Vec<u8>, file: &[u8], name: &[u8], number: u64) -> bool {
    let number = number.to_string();
    let room = MAX_KEY_BYTES.saturating_sub(file.len() + number.len() + 2);
    key.clear();
    key.extend_from_slice(file);
    key.push(0);
    key.extend_from_slice(&name[..name.len().min(room)]);
    key.push(0);
    key.extend_from_slice(number.as_bytes());
    name.len() > room
}

/// The three parts of a key.
pub fn parse_key(key: &[u8]) -> Option<[&[u8]; 3]> {
    let mut parts = key.split(|&byte| byte == 0);
    Some([parts.next()?, parts.next()?, parts.next()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_over_long_names_are_cut_and_still_differ() {
        let (name, mut first, mut second) = (vec![b'x'; 70_000], Vec::new(), Vec::new());
        assert!(write_key(&mut first, b"/lib/a.so", &name, 9));
        assert!(write_key(&mut second, b"/lib/a.so", &name, 10));
        assert_eq!((first.len(), second.len()), (MAX_KEY_BYTES, MAX_KEY_BYTES));
        assert_ne!(first, second);
        assert_eq!(parse_key(&second).unwrap()[2], b"10");
        assert!(!write_key(&mut first, b"/lib/a.so", b"main", 0));
        assert_eq!(first, b"/lib/a.so\0main\x000");
    }
}
