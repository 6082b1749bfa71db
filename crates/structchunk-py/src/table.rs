//! Keys of tables: values of Python, in the encodings of the library.

use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};
use structchunk::{AsKey, Error, Key, KeyError, KeyReader, KeyWriter};

use crate::errors::OrRaise;

/// What one part of a key is.
#[derive(Clone, Copy)]
enum Part {
    /// So many bytes.
    Unsigned(u8),
    Signed(u8),
    Bool,
    Char,
    Text,
    Bytes,
    /// Of this length.
    Fixed(usize),
}

/// The keys of a table: what they are made of, and the prefix.
#[pyclass(frozen, module = "structchunk._native")]
pub struct TableKeys {
    prefix: Vec<u8>,
    parts: Vec<Part>,
    is_tuple: bool,
}

/// Does something with the integer type of a width.
macro_rules! by_width {
    ($width:expr, $u:ident, $one:ty, $two:ty, $four:ty, $eight:ty, $sixteen:ty => $action:expr) => {
        match $width {
            1 => {
                type $u = $one;
                $action
            }
            2 => {
                type $u = $two;
                $action
            }
            4 => {
                type $u = $four;
                $action
            }
            8 => {
                type $u = $eight;
                $action
            }
            _ => {
                type $u = $sixteen;
                $action
            }
        }
    };
}

impl Part {
    fn of(code: &str) -> PyResult<Self> {
        let unknown = || {
            let known = "u1, u2, u4, u8, u16, i1 to i16, bool, char, str, bytes or S with a length";
            PyValueError::new_err(format!("{code:?} is no part of a key: {known}"))
        };
        let (kind, digits) = code.split_at_checked(1).unwrap_or((code, ""));
        let width = || match digits {
            "1" => Ok(1),
            "2" => Ok(2),
            "4" => Ok(4),
            "8" => Ok(8),
            "16" => Ok(16),
            _ => Err(unknown()),
        };
        Ok(match (code, kind) {
            ("bool", _) => Self::Bool,
            ("char", _) => Self::Char,
            ("str", _) => Self::Text,
            ("bytes", _) => Self::Bytes,
            (_, "u") => Self::Unsigned(width()?),
            (_, "i") => Self::Signed(width()?),
            (_, "S") => Self::Fixed(digits.parse().map_err(|_| unknown())?),
            _ => return Err(unknown()),
        })
    }

    fn write(self, value: &Bound<'_, PyAny>, writer: &mut KeyWriter) -> PyResult<()> {
        let too_large = || PyOverflowError::new_err(format!("{value} does not fit into the key"));
        match self {
            Self::Unsigned(width) => {
                let number: u128 = value.extract()?;
                by_width!(width, Int, u8, u16, u32, u64, u128 => {
                    Int::try_from(number).ok().ok_or_else(too_large)?.write_key(writer);
                });
            }
            Self::Signed(width) => {
                let number: i128 = value.extract()?;
                by_width!(width, Int, i8, i16, i32, i64, i128 => {
                    Int::try_from(number).ok().ok_or_else(too_large)?.write_key(writer);
                });
            }
            Self::Bool => value.extract::<bool>()?.write_key(writer),
            Self::Char => value.extract::<char>()?.write_key(writer),
            Self::Text => value.cast::<PyString>()?.to_str()?.write_key(writer),
            Self::Bytes => value.cast::<PyBytes>()?.as_bytes().write_key(writer),
            Self::Fixed(length) => {
                let bytes = value.cast::<PyBytes>()?.as_bytes();
                if bytes.len() != length {
                    let text = format!("{} bytes in a key of {length}", bytes.len());
                    return Err(PyValueError::new_err(text));
                }
                writer.push(bytes);
            }
        }
        Ok(())
    }

    fn read<'py>(self, py: Python<'py>, reader: &mut KeyReader<'_>) -> Read<'py> {
        Ok(match self {
            Self::Unsigned(width) => by_width!(width, Int, u8, u16, u32, u64, u128 => {
                Int::read_key(reader)?.into_pyobject(py)?.into_any()
            }),
            Self::Signed(width) => by_width!(width, Int, i8, i16, i32, i64, i128 => {
                Int::read_key(reader)?.into_pyobject(py)?.into_any()
            }),
            Self::Bool => bool::read_key(reader)?.into_pyobject(py)?.to_owned().into_any(),
            Self::Char => char::read_key(reader)?.into_pyobject(py)?.into_any(),
            Self::Text => String::read_key(reader)?.into_pyobject(py)?.into_any(),
            Self::Bytes => PyBytes::new(py, &reader.take_escaped()?).into_any(),
            Self::Fixed(length) => {
                let bytes =
                    (0..length).map(|_| u8::read_key(reader)).collect::<Result<Vec<u8>, KeyError>>()?;
                PyBytes::new(py, &bytes).into_any()
            }
        })
    }
}

type Read<'py> = Result<Bound<'py, PyAny>, Unread>;

/// Why a part was not read.
enum Unread {
    NoKey(KeyError),
    Raised(PyErr),
}

impl From<KeyError> for Unread {
    fn from(error: KeyError) -> Self {
        Self::NoKey(error)
    }
}

impl From<PyErr> for Unread {
    fn from(error: PyErr) -> Self {
        Self::Raised(error)
    }
}

impl From<std::convert::Infallible> for Unread {
    fn from(error: std::convert::Infallible) -> Self {
        match error {}
    }
}

#[pymethods]
impl TableKeys {
    #[new]
    fn new(prefix: Vec<u8>, parts: Vec<String>, is_tuple: bool) -> PyResult<Self> {
        let parts: Vec<Part> = parts.iter().map(|code| Part::of(code)).collect::<PyResult<_>>()?;
        if parts.is_empty() || !is_tuple && parts.len() != 1 {
            return Err(PyValueError::new_err("a key has at least one part"));
        }
        Ok(Self { prefix, parts, is_tuple })
    }

    /// The key in the store. `some`: of a tuple its first parts will do.
    #[pyo3(signature = (key, some=false))]
    fn encode<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        some: bool,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let mut writer = KeyWriter::new(&self.prefix);
        if self.is_tuple {
            let Ok(tuple) = key.cast::<PyTuple>() else {
                let kind = key.get_type().name()?;
                return Err(PyTypeError::new_err(format!("a key of this table is a tuple, not {kind}")));
            };
            let (length, wanted) = (tuple.len(), self.parts.len());
            if length > wanted || length < wanted && !some {
                return Err(PyValueError::new_err(format!("a key of {length} parts, not {wanted}")));
            }
            for (part, value) in self.parts.iter().zip(tuple.iter()) {
                part.write(&value, &mut writer)?;
            }
        } else {
            for part in &self.parts {
                part.write(key, &mut writer)?;
            }
        }
        Ok(PyBytes::new(py, writer.bytes()))
    }

    /// The key of the table.
    fn decode<'py>(&self, py: Python<'py>, key: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        let mut reader = KeyReader::new(key, self.prefix.len());
        let read = |part: &Part| part.read(py, &mut reader);
        let values = self.parts.iter().map(read).collect::<Result<Vec<_>, Unread>>();
        let refuse = |error| {
            let error = Error::TableKey { table: self.prefix.clone(), key: key.to_vec(), error };
            Err::<Bound<'py, PyAny>, Error>(error).or_raise(py)
        };
        let mut values = match values {
            Ok(values) => values,
            Err(Unread::NoKey(error)) => return refuse(error),
            Err(Unread::Raised(error)) => return Err(error),
        };
        if let Err(error) = reader.finish() {
            return refuse(error);
        }
        if self.is_tuple {
            return Ok(PyTuple::new(py, values)?.into_any());
        }
        values.pop().ok_or_else(|| PyValueError::new_err("a key has at least one part"))
    }
}
