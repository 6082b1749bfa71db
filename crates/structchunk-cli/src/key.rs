//! Keys on the command line, in text and in JSON.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use serde::Serialize;
use structchunk::{EscapedKey, MAX_KEY_BYTES};

use crate::failure::Failure;

/// How keys are written on the command line.
#[derive(clap::Args)]
pub struct KeyForm {
    /// Keys are given in hexadecimal digits, as in `key_hex` of JSON
    #[arg(long, conflicts_with = "escaped")]
    hex: bool,
    /// Keys are given as `ls` shows them, with \xNN, \u{N}, \" and \\; quotes around them may be left out
    #[arg(long)]
    escaped: bool,
}

impl KeyForm {
    /// The bytes that an argument stands for.
    pub fn bytes(&self, argument: &OsStr) -> Result<Vec<u8>, Failure> {
        let wrong = |form: &str| Failure::Other(format!("{} is not {form}", argument.display()));
        if self.hex {
            parse_hex(argument.as_bytes()).ok_or_else(|| wrong("an even number of hexadecimal digits"))
        } else if self.escaped {
            parse_escaped(argument.as_bytes())
                .ok_or_else(|| wrong("a key as ls shows it: \\ is followed by \\, \", xNN or u{N}"))
        } else {
            Ok(argument.as_bytes().to_vec())
        }
    }

    /// The key that an argument stands for.
    pub fn key(&self, argument: &OsString) -> Result<Vec<u8>, Failure> {
        let key = self.bytes(argument)?;
        match key.len() {
            1..=MAX_KEY_BYTES => Ok(key),
            length => Err(structchunk::Error::KeyLength { length }.into()),
        }
    }
}

fn parse_hex(digits: &[u8]) -> Option<Vec<u8>> {
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    let digit = |digit: u8| char::from(digit).to_digit(16);
    pairs.iter().map(|&[high, low]| Some((digit(high)? << 4 | digit(low)?) as u8)).collect()
}

fn parse_escaped(text: &[u8]) -> Option<Vec<u8>> {
    let text = match text {
        [b'"', inner @ .., b'"'] => inner,
        _ => text,
    };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        match behind {
            [same @ (b'\\' | b'"'), behind @ ..] => {
                bytes.push(*same);
                rest = behind;
            }
            [b'x', high, low, behind @ ..] => {
                bytes.extend(parse_hex(&[*high, *low])?);
                rest = behind;
            }
            [b'u', b'{', behind @ ..] => {
                let end = behind.iter().position(|&byte| byte == b'}')?;
                let digits = std::str::from_utf8(&behind[..end]).ok()?;
                let c = char::from_u32(u32::from_str_radix(digits, 16).ok()?)?;
                bytes.extend(c.encode_utf8(&mut [0; 4]).as_bytes());
                rest = &behind[end + 1..];
            }
            _ => return None,
        }
    }
    Some(bytes)
}

/// A key on a line of its own: as it is where that is plain, else in quotes and escaped.
pub fn shown(key: &[u8]) -> String {
    let is_plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    if key.iter().all(is_plain)
        && let Ok(plain) = std::str::from_utf8(key)
    {
        // What most keys are, and listing millions of them should not take longer than need be.
        return plain.to_owned();
    }
    let quoted = EscapedKey(key).to_string();
    let inner = &quoted[1..quoted.len() - 1];
    if inner.as_bytes() == key && inner.trim() == inner { inner.to_owned() } else { quoted }
}

/// A key in JSON.
#[derive(Serialize)]
pub struct JsonKey<'a> {
    /// Where it is UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    key_hex: String,
}

impl<'a> From<&'a [u8]> for JsonKey<'a> {
    fn from(key: &'a [u8]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digits = key.iter().flat_map(|&byte| [byte >> 4, byte & 15]);
        Self {
            key: std::str::from_utf8(key).ok(),
            key_hex: digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{parse_escaped, parse_hex, shown};

    #[test]
    fn what_ls_shows_can_be_given_back() {
        let keys: [&[u8]; 8] =
            [b"p/42", b"a\0b", b" a", b"\xff\"\\", "é\u{202e}".as_bytes(), b"\"", b"\"\"", b"\\x00"];
        for key in keys {
            assert_eq!(parse_escaped(shown(key).as_bytes()).as_deref(), Some(key), "{}", shown(key));
        }
        assert_eq!(shown(b"p/42"), "p/42");
        assert_eq!(shown(b"a b\0"), "\"a b\\x00\"");
        assert_eq!(shown(b"a "), "\"a \"");
    }

    #[test]
    fn unfinished_escapes_are_refused() {
        for text in ["\\", "\\x", "\\x0", "\\xzz", "\\n", "\\u", "\\u{", "\\u{}", "\\u{110000}", "\\u{é}"] {
            assert_eq!(parse_escaped(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn hexadecimal_digits_come_in_pairs() {
        assert_eq!(parse_hex(b"00fF7a"), Some(vec![0, 255, 0x7a]));
        assert_eq!(parse_hex(b""), Some(vec![]));
        assert_eq!(parse_hex(b"123"), None);
        assert_eq!(parse_hex(b"0x"), None);
        assert_eq!(parse_hex(b"+1"), None);
    }
}
