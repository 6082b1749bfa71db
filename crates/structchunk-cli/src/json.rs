//! JSON on one line, with everything escaped that a terminal would obey.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

use crate::failure::Failure;
use crate::text::is_quiet;

/// Compact JSON; beyond what JSON demands, control characters and those that reorder text are escaped.
struct Quiet;

impl Formatter for Quiet {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut plain = 0;
        for (at, c) in fragment.char_indices().filter(|(_, c)| !is_quiet(*c)) {
            writer.write_all(&fragment.as_bytes()[plain..at])?;
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                write!(writer, "\\u{unit:04x}")?;
            }
            plain = at + c.len_utf8();
        }
        writer.write_all(&fragment.as_bytes()[plain..])
    }
}

/// Writes one document and ends the line.
pub fn write(out: &mut dyn Write, document: &impl Serialize) -> Result<(), Failure> {
    document.serialize(&mut Serializer::with_formatter(&mut *out, Quiet)).map_err(io::Error::from)?;
    writeln!(out)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn json_reads_back_and_moves_no_cursor() {
        let text = "a\"b\\\u{1b}[2J\u{7f}\u{9b}\u{202e}é";
        let mut line = Vec::new();
        super::write(&mut line, &text).unwrap();
        let line = String::from_utf8(line).unwrap();
        assert!(line.trim_end().chars().all(crate::text::is_quiet), "{line:?}");
        assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
    }
}
