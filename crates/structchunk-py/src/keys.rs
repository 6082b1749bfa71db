//! Keys: `str` or `bytes` in, one of them out.

use std::borrow::Cow;

use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

/// The bytes of a key. Text is UTF-8, with surrogates for what is none.
pub fn to_bytes<'a>(key: &'a Bound<'_, PyAny>) -> PyResult<Cow<'a, [u8]>> {
    if let Ok(text) = key.cast::<PyString>() {
        if let Ok(text) = text.to_str() {
            return Ok(Cow::Borrowed(text.as_bytes()));
        }
        let py = key.py();
        let bytes = text.call_method1(intern!(py, "encode"), ("utf-8", "surrogateescape"))?;
        return Ok(Cow::Owned(bytes.cast_into::<PyBytes>()?.as_bytes().to_vec()));
    }
    if let Ok(bytes) = key.cast::<PyBytes>() {
        return Ok(Cow::Borrowed(bytes.as_bytes()));
    }
    let kind = key.get_type().name()?;
    Err(PyTypeError::new_err(format!("a key is str or bytes, not {kind}")))
}

/// A key as the store's user wants it.
pub fn to_python<'py>(py: Python<'py>, key: &[u8], as_text: bool) -> PyResult<Bound<'py, PyAny>> {
    if !as_text {
        return Ok(PyBytes::new(py, key).into_any());
    }
    match std::str::from_utf8(key) {
        Ok(text) => Ok(PyString::new(py, text).into_any()),
        Err(_) => PyBytes::new(py, key).call_method1(intern!(py, "decode"), ("utf-8", "surrogateescape")),
    }
}
