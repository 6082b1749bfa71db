//! Keys as people read them; and, in `ordered`, as typed tables make them.

mod ordered;

use std::fmt;

pub use ordered::{AsKey, Key, KeyError, KeyReader, KeyWriter};

/// Longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 65_535;

/// Shows a key on one line: printable UTF-8 as it is, everything else as `\xNN`, in double quotes.
///
/// Control characters never reach a terminal through it.
pub struct EscapedKey<'a>(pub &'a [u8]);

impl fmt::Display for EscapedKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for part in self.0.utf8_chunks() {
            for c in part.valid().chars() {
                match c {
                    '"' | '\\' => write!(f, "\\{c}")?,
                    c if is_plain(c) => write!(f, "{c}")?,
                    c if c.is_ascii() => write!(f, "\\x{:02x}", c as u32)?,
                    c => write!(f, "\\u{{{:x}}}", c as u32)?,
                }
            }
            for byte in part.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        f.write_str("\"")
    }
}

/// Neither a control character nor one that reorders or hides text.
fn is_plain(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::EscapedKey;

    #[test]
    fn escapes_what_a_terminal_would_obey() {
        assert_eq!(EscapedKey(b"p/42").to_string(), "\"p/42\"");
        assert_eq!(EscapedKey(b"a\0\x1b[2J\xff\"").to_string(), "\"a\\x00\\x1b[2J\\xff\\\"\"");
        assert_eq!(EscapedKey("é\u{202e}".as_bytes()).to_string(), "\"é\\u{202e}\"");
    }
}
