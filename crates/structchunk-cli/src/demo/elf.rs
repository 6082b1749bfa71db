//! The symbol tables of one ELF file. Reads no more of it than its headers and these tables.

use std::fs::File;
use std::io::BufReader;
use std::os::unix::fs::FileExt;

use object::LittleEndian;
use object::elf::{
    ELFCLASS64, ELFDATA2LSB, ELFMAG, FileHeader64, SHT_DYNSYM, SHT_SYMTAB, SectionHeader64, Sym64,
};
use object::read::ReadCache;
use object::read::elf::{FileHeader as _, SectionHeader as _, Sym as _};

use super::symbol::Symbol;

/// Whether a file says that it is ELF for 64-bit little-endian machines.
pub fn is_elf(file: &File) -> bool {
    let mut ident = [0; 6];
    let whole = file.read_exact_at(&mut ident, 0).is_ok();
    whole && ident[..4] == ELFMAG && ident[4] == ELFCLASS64.0 && ident[5] == ELFDATA2LSB.0
}

/// One symbol table with its names.
pub struct SymbolTable {
    symbols: Vec<Sym64<LittleEndian>>,
    strings: Vec<u8>,
}

impl SymbolTable {
    /// The symbols in their order, each with its name; a name that the string table does not hold is empty.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Symbol)> {
        self.symbols.iter().map(|symbol| {
            let start = symbol.st_name.get(LittleEndian) as usize;
            let tail = self.strings.get(start..).unwrap_or(&[]);
            let name = tail.split(|&byte| byte == 0).next().unwrap_or(&[]);
            (name, convert(symbol))
        })
    }
}

fn convert(symbol: &Sym64<LittleEndian>) -> Symbol {
    Symbol {
        st_name: symbol.st_name.get(LittleEndian),
        st_info: symbol.st_info().0,
        st_other: symbol.st_other().0,
        st_shndx: symbol.st_shndx.get(LittleEndian).0,
        st_value: symbol.st_value.get(LittleEndian),
        st_size: symbol.st_size.get(LittleEndian),
    }
}

/// The symbol tables of a file, in the order of its sections, with at most `limit` symbols altogether.
///
/// # Errors
/// What is wrong with the file, in words.
pub fn symbol_tables(file: &File, limit: u64) -> Result<Vec<SymbolTable>, String> {
    let cache = ReadCache::new(BufReader::new(file));
    let damaged = |error: object::read::Error| error.to_string();
    let header = FileHeader64::<LittleEndian>::parse(&cache).map_err(damaged)?;
    let sections = header.sections(LittleEndian, &cache).map_err(damaged)?;
    let mut tables = Vec::new();
    let mut left = limit;
    for section in sections.iter() {
        if left == 0 || !matches!(section.sh_type(LittleEndian), SHT_SYMTAB | SHT_DYNSYM) {
            continue;
        }
        let strings = sections.section(section.link(LittleEndian)).map_err(damaged)?;
        let bytes = contents(file, section, left.saturating_mul(size_of::<Symbol>() as u64))?;
        let count = bytes.len() / size_of::<Symbol>();
        let (symbols, _) = object::slice_from_bytes::<Sym64<LittleEndian>>(&bytes, count)
            .map_err(|()| "a symbol table cannot be read".to_owned())?;
        left -= count as u64;
        tables.push(SymbolTable { symbols: symbols.to_vec(), strings: contents(file, strings, u64::MAX)? });
    }
    Ok(tables)
}

/// At most `limit` bytes of a section.
fn contents(file: &File, section: &SectionHeader64<LittleEndian>, limit: u64) -> Result<Vec<u8>, String> {
    let Some((offset, length)) = section.file_range(LittleEndian) else { return Ok(Vec::new()) };
    let file_bytes = file.metadata().map_err(|error| error.to_string())?.len();
    if offset.checked_add(length).is_none_or(|end| end > file_bytes) {
        return Err(format!("a section lies outside of the file: {length} bytes at {offset}"));
    }
    let mut bytes = vec![0; length.min(limit) as usize];
    file.read_exact_at(&mut bytes, offset).map_err(|error| error.to_string())?;
    Ok(bytes)
}
