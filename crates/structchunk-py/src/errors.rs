//! From the library's error to Python's exceptions: the built-in one where there is one.

use pyo3::exceptions::{PyFileExistsError, PyFileNotFoundError, PyMemoryError, PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use structchunk::Error;

/// The exception for an error.
pub fn to_python(py: Python<'_>, error: &Error) -> PyErr {
    let text = error.to_string();
    match error {
        Error::Io { action, path, source } => match source.raw_os_error() {
            Some(code) => {
                let says = source.to_string();
                let says = says.split(" (os error").next().unwrap_or_default();
                PyOSError::new_err((code, format!("cannot {action}: {says}"), path.display().to_string()))
            }
            None => PyOSError::new_err(text),
        },
        Error::NotAStore { path, .. } if !path.exists() => {
            PyFileNotFoundError::new_err(format!("there is no store at {}", path.display()))
        }
        Error::AlreadyExists { .. } | Error::KeyExists { .. } => PyFileExistsError::new_err(text),
        Error::KeyLength { .. }
        | Error::Empty { .. }
        | Error::TooLarge { .. }
        | Error::Dimensions { .. }
        | Error::Lengths { .. }
        | Error::InvalidOption { .. }
        | Error::TablePrefix { .. } => PyValueError::new_err(text),
        Error::Locked { path, pid } => {
            let own = *pid == Some(std::process::id());
            let text = if own {
                let path = path.display();
                format!(
                    "{path} is in use by this process: another handle is open, or objects of a closed one are \
                     still referred to"
                )
            } else {
                text
            };
            made(py, "Locked", &text, |exception| exception.setattr("pid", *pid))
        }
        Error::NoMemory { .. } => PyMemoryError::new_err(text),
        Error::LayoutMismatch { .. } | Error::NoExtension { .. } => ours(py, "LayoutMismatch", &text),
        Error::Corrupt { .. } | Error::TableKey { .. } => ours(py, "CorruptError", &text),
        Error::NoSpace { .. } => ours(py, "NoSpace", &text),
        Error::Busy { .. } => ours(py, "Busy", &text),
        Error::Recovering { .. } => ours(py, "Recovering", &text),
        Error::Torn { .. } => ours(py, "Torn", &text),
        Error::Closed => ours(py, "Closed", &text),
        Error::ReadOnly { .. } => ours(py, "ReadOnly", &text),
        Error::Poisoned { .. } => ours(py, "Poisoned", &text),
        Error::Unsupported { .. } => ours(py, "Unsupported", &text),
        Error::NoWriter { .. } => ours(py, "NoWriter", &text),
        Error::Forked => ours(py, "Forked", &text),
        Error::NotAStore { .. } => ours(py, "NotAStore", &text),
        _ => ours(py, "Error", &text),
    }
}

/// An exception of `structchunk._errors`.
pub fn ours(py: Python<'_>, name: &str, text: &str) -> PyErr {
    made(py, name, text, |_| Ok(()))
}

/// The numbers that the system has for what is an `OSError`, on Linux.
fn number(name: &str) -> Option<i32> {
    match name {
        "Poisoned" => Some(5),              // EIO
        "NoWriter" => Some(6),              // ENXIO, as for a FIFO that nobody has open
        "Locked" => Some(11),               // EAGAIN
        "NoSpace" => Some(28),              // ENOSPC
        "ReadOnly" => Some(30),             // EROFS
        "Unsupported" => Some(95),          // EOPNOTSUPP
        "Busy" | "Recovering" => Some(110), // ETIMEDOUT
        _ => None,
    }
}

/// The same, with something more in it.
fn made(
    py: Python<'_>,
    name: &str,
    text: &str,
    complete: impl FnOnce(&Bound<'_, PyAny>) -> PyResult<()>,
) -> PyErr {
    let make = || {
        let class = py.import("structchunk._errors")?.getattr(name)?;
        let exception = match number(name) {
            Some(number) => class.call1((number, text)),
            None => class.call1((text,)),
        }?;
        complete(&exception)?;
        Ok(exception)
    };
    match make() {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}

/// For use with `?`.
pub trait OrRaise<T> {
    /// The value, or the exception.
    fn or_raise(self, py: Python<'_>) -> PyResult<T>;
}

impl<T> OrRaise<T> for structchunk::Result<T> {
    #[inline]
    fn or_raise(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|error| to_python(py, &error))
    }
}

/// A dictionary of names and values.
pub fn named<'py, const N: usize>(
    py: Python<'py>,
    values: [(&str, Bound<'py, PyAny>); N],
) -> PyResult<Bound<'py, PyDict>> {
    let dictionary = PyDict::new(py);
    for (name, value) in values {
        dictionary.set_item(name, value)?;
    }
    Ok(dictionary)
}
