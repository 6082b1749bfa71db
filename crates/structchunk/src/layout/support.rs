//! What the code written by `#[derive(Object)]` refers to. Not for people.

pub use super::evolution::{Evolution, has_field, misfit, write_default};
pub use super::fingerprint::Fingerprint;
pub use super::kind::{Presentation, TimeBase, TimeUnit};
pub use super::racy::{copy_words, write_words};
pub use super::shape::Shape;
pub use super::statics::{Content, Dimensions, FieldLayout, TypeLayout};

#[must_use]
/// Text put together at compile time, for the messages of failing constants.
pub struct Message {
    bytes: [u8; 256],
    length: usize,
}

impl Message {
    pub const fn new(text: &str) -> Self {
        Self { bytes: [0; 256], length: 0 }.text(text)
    }

    /// Appends text; what does not fit is left out.
    pub const fn text(mut self, text: &str) -> Self {
        if text.len() > self.bytes.len() - self.length {
            return self;
        }
        let mut index = 0;
        while index < text.len() {
            self.bytes[self.length] = text.as_bytes()[index];
            self.length += 1;
            index += 1;
        }
        self
    }

    /// Appends a number.
    pub const fn number(self, number: usize) -> Self {
        let mut digits = [b'0'; 20];
        let mut first = digits.len() - 1;
        let mut rest = number;
        loop {
            digits[first] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
            first -= 1;
        }
        let (_, digits) = digits.split_at(first);
        match std::str::from_utf8(digits) {
            Ok(digits) => self.text(digits),
            Err(_) => self,
        }
    }

    pub const fn as_str(&self) -> &str {
        let (text, _) = self.bytes.split_at(self.length);
        match std::str::from_utf8(text) {
            Ok(text) => text,
            Err(_) => "",
        }
    }
}

/// What to do about a gap.
pub const fn gap(bytes: usize, place: &str) -> Message {
    Message::new("a gap of ")
        .number(bytes)
        .text(" byte(s) ")
        .text(place)
        .text(": add #[object(padding)] _pad: [u8; ")
        .number(bytes)
        .text("] there, or reorder the fields")
}

#[cfg(test)]
mod tests {
    use super::{Message, gap};

    #[test]
    fn messages_are_put_together_and_cut_where_they_do_not_fit() {
        assert_eq!(Message::new("a").number(0).text("b").number(1_230).as_str(), "a0b1230");
        assert!(
            gap(4, "before field `x`")
                .as_str()
                .contains("before field `x`: add #[object(padding)] _pad: [u8; 4]")
        );
        let long = "x".repeat(300);
        assert_eq!(Message::new(&long).as_str(), "");
        assert_eq!(Message::new("fits").text(&long).as_str(), "fits");
    }
}
