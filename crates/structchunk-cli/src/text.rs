//! Text that commands no terminal, whatever a file or a file's name holds.

use structchunk::EscapedKey;

/// Whether a terminal shows this character and does nothing else.
pub fn is_quiet(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_control();
    }
    let mut bytes = [0; 4];
    !EscapedKey(c.encode_utf8(&mut bytes).as_bytes()).to_string().starts_with("\"\\")
}

/// The text with everything escaped that is not quiet, on one line.
pub fn quiet(text: &str) -> String {
    let mut quiet = String::with_capacity(text.len());
    for c in text.chars() {
        if is_quiet(c) {
            quiet.push(c);
        } else {
            let mut bytes = [0; 4];
            let quoted = EscapedKey(c.encode_utf8(&mut bytes).as_bytes()).to_string();
            quiet.push_str(quoted.trim_matches('"'));
        }
    }
    quiet
}

#[cfg(test)]
mod tests {
    use super::quiet;

    #[test]
    fn a_message_stays_on_one_line_and_moves_no_cursor() {
        assert_eq!(quiet("a \"b\" \\ é\n\x1b[2J\u{202e}\u{9b}"), "a \"b\" \\ é\\x0a\\x1b[2J\\u{202e}\\u{9b}");
    }
}
