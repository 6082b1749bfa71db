//! Keys as bytes that have the order of the values. The encodings are in `FORMAT.md`, "Keys of typed tables".
//!
//! Every encoding ends by itself: no encoded key is the beginning of another one of its type. So keys can be put together to
//! tuples, and compare as tuples do. And every value has exactly one encoding: what decodes is what would be encoded again.

/// A type that can be the key of a [`Table`](crate::Table).
///
/// Integers of 8 to 128 bits, `bool`, `char`, `String`, `Vec<u8>`, `[u8; N]`, and tuples of up to eight keys. They are ordered as
/// their values are.
///
/// For a type of your own, write and read its fields in the order in which they are compared:
///
/// ```
/// use structchunk::{AsKey, Key, KeyError, KeyReader, KeyWriter, Store};
///
/// #[derive(PartialEq, Debug)]
/// struct City { country: [u8; 2], name: String }
///
/// impl AsKey<City> for City {
///     fn write_key(&self, writer: &mut KeyWriter) {
///         AsKey::<([u8; 2], String)>::write_key(&(self.country, &self.name), writer);
///     }
/// }
///
/// impl Key for City {
///     fn read_key(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
///         let (country, name) = Key::read_key(reader)?;
///         Ok(Self { country, name })
///     }
/// }
///
/// # fn main() -> structchunk::Result<()> {
/// let store = Store::in_memory()?;
/// let inhabitants = store.table::<City, u64>("inhabitants/")?;
/// inhabitants.put(City { country: *b"CH", name: "Zürich".into() }, &443_037)?;
/// # Ok(())
/// # }
/// ```
///
/// An encoding that is not ordered, or ends another way than here, mixes up the order of scans and nothing worse.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the key of a table",
    label = "no `structchunk::Key`",
    note = "keys are integers, `bool`, `char`, strings, bytes and tuples of them; `usize` differs between machines: use `u64`"
)]
pub trait Key: AsKey<Self> + Sized {
    /// Reads what [`AsKey::write_key`] has written, and nothing else.
    ///
    /// # Errors
    /// Where the bytes are no encoding of any value: see [`KeyReader`].
    fn read_key(reader: &mut KeyReader<'_>) -> Result<Self, KeyError>;
}

/// What stands for a key of type `K`: the key itself, a reference to it, what borrows the same (`str` for `String`, `[u8]` for
/// `Vec<u8>`), and tuples of these.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no key of type `{K}`",
    label = "not `structchunk::AsKey<{K}>`",
    note = "keys are integers, `bool`, `char`, strings, bytes and tuples of them; `usize` differs between machines: use `u64`"
)]
pub trait AsKey<K> {
    /// Writes the key.
    fn write_key(&self, writer: &mut KeyWriter);
}

impl<K, Q: AsKey<K> + ?Sized> AsKey<K> for &Q {
    #[inline]
    fn write_key(&self, writer: &mut KeyWriter) {
        (**self).write_key(writer);
    }
}

/// Why bytes are no key of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset}: {reason}")]
pub struct KeyError {
    /// Where, in bytes from the beginning of the whole key.
    pub offset: usize,
    /// What is wrong there.
    pub reason: &'static str,
}

/// Most keys are written without a look at the heap.
const INLINE_BYTES: usize = 64;

/// Takes the bytes of a key.
pub struct KeyWriter {
    inline: [u8; INLINE_BYTES],
    length: usize,
    /// Everything, once it is longer than that.
    spilled: Vec<u8>,
}

impl KeyWriter {
    /// Begins with the prefix of a table.
    pub fn new(prefix: &[u8]) -> Self {
        let mut writer = Self { inline: [0; INLINE_BYTES], length: 0, spilled: Vec::new() };
        writer.push(prefix);
        writer
    }

    /// Appends bytes as they are.
    #[inline]
    pub fn push(&mut self, bytes: &[u8]) {
        let end = self.length + bytes.len();
        if let Some(target) = self.inline.get_mut(self.length..end) {
            target.copy_from_slice(bytes);
        } else {
            if self.length <= INLINE_BYTES {
                self.spilled.extend_from_slice(&self.inline[..self.length]);
            }
            self.spilled.extend_from_slice(bytes);
        }
        self.length = end;
    }

    /// Appends bytes of any length so that they end by themselves: each zero becomes `00 ff`, and `00 01` follows.
    pub fn push_escaped(&mut self, bytes: &[u8]) {
        let mut parts = bytes.split(|&byte| byte == 0);
        self.push(parts.next().unwrap_or(&[]));
        for part in parts {
            self.push(&[0, ESCAPED]);
            self.push(part);
        }
        self.push(&[0, END]);
    }

    /// All of the key until now.
    pub fn bytes(&self) -> &[u8] {
        if self.length <= INLINE_BYTES { &self.inline[..self.length] } else { &self.spilled }
    }
}

/// What follows a zero byte that is part of a text.
const ESCAPED: u8 = 0xff;
/// What follows a zero byte at the end of a text: less than any other byte that can, so that a text comes before those that
/// begin with it.
const END: u8 = 1;

/// Reads the bytes of a key from front to back.
#[derive(Debug)]
pub struct KeyReader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> KeyReader<'a> {
    /// Reads a key from `offset` on.
    pub fn new(bytes: &'a [u8], offset: usize) -> Self {
        Self { bytes, offset }
    }

    /// An error at this place.
    pub fn error(&self, reason: &'static str) -> KeyError {
        KeyError { offset: self.offset, reason }
    }

    /// The next bytes, so many.
    ///
    /// # Errors
    /// When there are fewer.
    pub fn take<const N: usize>(&mut self) -> Result<[u8; N], KeyError> {
        let rest = self.bytes.get(self.offset..).unwrap_or(&[]);
        let taken = rest.first_chunk().ok_or_else(|| self.error("the key is too short"))?;
        self.offset += N;
        Ok(*taken)
    }

    /// The next bytes, up to where they end by themselves: what [`KeyWriter::push_escaped`] has written.
    ///
    /// # Errors
    /// When they do not end, or a zero byte is followed by what cannot be.
    pub fn take_escaped(&mut self) -> Result<Vec<u8>, KeyError> {
        let mut found = Vec::new();
        loop {
            let rest = self.bytes.get(self.offset..).unwrap_or(&[]);
            let Some(plain) = rest.iter().position(|&byte| byte == 0) else {
                return Err(self.error("the text has no end"));
            };
            found.extend_from_slice(&rest[..plain]);
            let follows = rest.get(plain + 1);
            self.offset += plain;
            match follows {
                Some(&ESCAPED) => found.push(0),
                Some(&END) => {
                    self.offset += 2;
                    return Ok(found);
                }
                _ => return Err(self.error("a zero byte is followed by neither 01 nor ff")),
            }
            self.offset += 2;
        }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// When there are more bytes.
    pub fn finish(&self) -> Result<(), KeyError> {
        if self.offset < self.bytes.len() {
            Err(self.error("bytes after the end of the key"))
        } else {
            Ok(())
        }
    }

    fn error_at(offset: usize, reason: &'static str) -> KeyError {
        KeyError { offset, reason }
    }
}

/// Integers, big-endian; of signed ones the sign bit is turned, so that negative ones come first.
macro_rules! integers {
    ($($unsigned:ty, $signed:ty;)*) => { $(
        impl AsKey<$unsigned> for $unsigned {
            #[inline]
            fn write_key(&self, writer: &mut KeyWriter) {
                writer.push(&self.to_be_bytes());
            }
        }

        impl Key for $unsigned {
            #[inline]
            fn read_key(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
                Ok(Self::from_be_bytes(reader.take()?))
            }
        }

        impl AsKey<$signed> for $signed {
            #[inline]
            fn write_key(&self, writer: &mut KeyWriter) {
                writer.push(&(self ^ <$signed>::MIN).to_be_bytes());
            }
        }

        impl Key for $signed {
            #[inline]
            fn read_key(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
                Ok(Self::from_be_bytes(reader.take()?) ^ <$signed>::MIN)
            }
        }
    )* };
}

integers! {
    u8, i8; u16, i16; u32, i32; u64, i64; u128, i128;
}

impl AsKey<bool> for bool {
    fn write_key(&self, writer: &mut KeyWriter) {
        writer.push(&[u8::from(*self)]);
    }
}

impl Key for bool {
    fn read_key(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        let at = reader.offset;
        match reader.take()? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(KeyReader::error_at(at, "a bool is 00 or 01")),
        }
    }
}

impl AsKey<char> for char {
    fn write_key(&self, writer: &mut KeyWriter) {
        writer.push(&u32::from(*self).to_be_bytes());
    }
}

impl Key for char {
    fn read_key(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        let at = reader.offset;
        let code = u32::read_key(reader)?;
        Self::from_u32(code).ok_or(KeyReader::error_at(at, "no Unicode scalar value"))
    }
}

impl<const N: usize> AsKey<[u8; N]> for [u8; N] {
    #[inline]
    fn write_key(&self, writer: &mut KeyWriter) {
        writer.push(self);
    }
}

impl<const N: usize> Key for [u8; N] {
    #[inline]
    fn read_key(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        reader.take()
    }
}

impl AsKey<String> for str {
    fn write_key(&self, writer: &mut KeyWriter) {
        writer.push_escaped(self.as_bytes());
    }
}

impl AsKey<String> for String {
    fn write_key(&self, writer: &mut KeyWriter) {
        writer.push_escaped(self.as_bytes());
    }
}

impl Key for String {
    fn read_key(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        let at = reader.offset;
        Self::from_utf8(reader.take_escaped()?).map_err(|_| KeyReader::error_at(at, "the text is no UTF-8"))
    }
}

impl AsKey<Vec<u8>> for [u8] {
    fn write_key(&self, writer: &mut KeyWriter) {
        writer.push_escaped(self);
    }
}

impl<const N: usize> AsKey<Vec<u8>> for [u8; N] {
    fn write_key(&self, writer: &mut KeyWriter) {
        writer.push_escaped(self);
    }
}

impl AsKey<Vec<u8>> for Vec<u8> {
    fn write_key(&self, writer: &mut KeyWriter) {
        writer.push_escaped(self);
    }
}

impl Key for Vec<u8> {
    fn read_key(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        reader.take_escaped()
    }
}

/// Tuples: one after the other.
macro_rules! tuples {
    ($(($($part:ident $as_part:ident $index:tt),*);)*) => { $(
        impl<$($part,)* $($as_part: AsKey<$part>,)*> AsKey<($($part,)*)> for ($($as_part,)*) {
            #[inline]
            fn write_key(&self, writer: &mut KeyWriter) {
                $(self.$index.write_key(writer);)*
            }
        }

        impl<$($part: Key,)*> Key for ($($part,)*) {
            #[inline]
            fn read_key(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
                Ok(($($part::read_key(reader)?,)*))
            }
        }
    )* };
}

tuples! {
    (A PA 0);
    (A PA 0, B PB 1);
    (A PA 0, B PB 1, C PC 2);
    (A PA 0, B PB 1, C PC 2, D PD 3);
    (A PA 0, B PB 1, C PC 2, D PD 3, E PE 4);
    (A PA 0, B PB 1, C PC 2, D PD 3, E PE 4, F PF 5);
    (A PA 0, B PB 1, C PC 2, D PD 3, E PE 4, F PF 5, G PG 6);
    (A PA 0, B PB 1, C PC 2, D PD 3, E PE 4, F PF 5, G PG 6, H PH 7);
}

#[cfg(test)]
mod tests;
