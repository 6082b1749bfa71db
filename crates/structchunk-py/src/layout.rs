//! Layouts, made from what Python says of a class or dtype, and taken apart again.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use structchunk::raw;
use structchunk::{ByteOrder, Field, FieldContent, Kind, Presentation, Scalar, TimeBase, TimeUnit};

use crate::errors::OrRaise;
use crate::keys;

/// What the bytes of a type mean.
#[pyclass(frozen, module = "structchunk", name = "Layout", from_py_object)]
#[derive(Clone)]
pub struct Layout(pub structchunk::Layout);

/// Name, first bit, content, shape, presentation, group.
type FieldSays<'py> = (String, u64, Bound<'py, PyAny>, Vec<u64>, String, Option<String>);

#[pymethods]
impl Layout {
    /// A struct.
    #[new]
    fn new(name: String, size: u64, align: u32, fields: Vec<FieldSays<'_>>) -> PyResult<Self> {
        let mut made = Vec::with_capacity(fields.len());
        for (field, first_bit, content, shape, presentation, group) in fields {
            let content = content_of(&content)?;
            let presentation = parse_presentation(&presentation)?;
            let field = Field::at_bit(field, first_bit, content).with_shape(shape);
            let field = field.with_presentation(presentation);
            made.push(match group {
                Some(group) => field.with_group(group),
                None => field,
            });
        }
        let layout = structchunk::Layout::new(name.clone(), size, align, made);
        layout.map(Self).map_err(|error| PyTypeError::new_err(format!("{name} cannot be stored: {error}")))
    }

    /// A type that is one number.
    #[staticmethod]
    fn scalar(name: String, code: &str, presentation: &str) -> PyResult<Self> {
        let (scalar, presentation) = (parse_scalar(code)?, parse_presentation(presentation)?);
        Ok(Self(structchunk::Layout::of_scalar(name, scalar, presentation)))
    }

    /// The type's name.
    #[getter]
    fn name(&self) -> &str {
        self.0.name()
    }

    /// How many bytes an object has.
    #[getter]
    fn size(&self) -> u64 {
        self.0.size()
    }

    /// What the address of an object is a multiple of, in bytes.
    #[getter]
    fn align(&self) -> u32 {
        self.0.align()
    }

    /// What tells layouts apart, as hexadecimal digits.
    #[getter]
    fn fingerprint(&self) -> String {
        self.0.fingerprint().to_string()
    }

    /// All that a store records of the type: equal for what is one type to it.
    #[getter]
    fn encoded<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = self.0.encode().or_raise(py)?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// The code of a type that is one number.
    #[getter]
    fn code(&self) -> Option<String> {
        self.0.scalar().map(|scalar| scalar.to_string())
    }

    /// How a type that is one number is shown.
    #[getter]
    fn presentation(&self) -> String {
        let field = self.0.fields().first().filter(|_| self.0.scalar().is_some());
        show_presentation(field.map_or(Presentation::Number, Field::presentation))
    }

    /// What `Layout()` takes.
    #[getter]
    fn fields<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        let says = |field: &Field| {
            let content = show_content(py, field.content())?;
            let shown = show_presentation(field.presentation());
            let (name, bit, shape) = (field.name(), field.first_bit(), field.shape().to_vec());
            (name, bit, content, shape, shown, field.group()).into_pyobject(py)
        };
        self.0.fields().iter().map(says).collect()
    }

    fn __eq__(&self, other: &Self) -> bool {
        self.0.fingerprint() == other.0.fingerprint()
    }

    fn __hash__(&self) -> u64 {
        self.0.fingerprint().to_bits()
    }

    fn __str__(&self) -> String {
        self.0.to_string()
    }

    fn __repr__(&self) -> String {
        format!("<Layout {} {}>", self.0.fingerprint(), self.0)
    }
}

/// The code of a number, width, sign and order of bits, or a layout.
pub fn show_content<'py>(py: Python<'py>, content: &FieldContent) -> PyResult<Bound<'py, PyAny>> {
    Ok(match content {
        FieldContent::Scalar(scalar) => scalar.to_string().into_pyobject(py)?.into_any(),
        FieldContent::Bits { width, signed, order } => {
            (*width, *signed, *order == ByteOrder::Big).into_pyobject(py)?.into_any()
        }
        FieldContent::Nested(layout) => Layout(layout.clone()).into_pyobject(py)?.into_any(),
        _ => return Err(PyTypeError::new_err("a field of a kind that this version does not know")),
    })
}

fn content_of(says: &Bound<'_, PyAny>) -> PyResult<FieldContent> {
    if let Ok(layout) = says.cast::<Layout>() {
        return Ok(FieldContent::Nested(layout.get().0.clone()));
    }
    if let Ok((width, signed, big)) = says.extract::<(u8, bool, bool)>() {
        let order = if big { ByteOrder::Big } else { ByteOrder::Little };
        return Ok(FieldContent::Bits { width, signed, order });
    }
    Ok(FieldContent::Scalar(parse_scalar(&says.extract::<String>()?)?))
}

fn parse_scalar(code: &str) -> PyResult<Scalar> {
    let (order, name) = match code.strip_prefix('>') {
        Some(name) => (ByteOrder::Big, name),
        None => (ByteOrder::Little, code),
    };
    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
    let kind = kind.ok_or_else(|| PyValueError::new_err(format!("{code:?} is no kind of number")))?;
    Ok(Scalar::new(kind, order))
}

/// As in `instant:25s`.
fn parse_presentation(text: &str) -> PyResult<Presentation> {
    let unknown = || PyValueError::new_err(format!("{text:?} is no presentation"));
    let unit = |unit: &str| {
        let digits = unit.len() - unit.trim_start_matches(|digit: char| digit.is_ascii_digit()).len();
        let (step, symbol) = unit.split_at(digits);
        let step = if step.is_empty() { 1 } else { step.parse().map_err(|_| unknown())? };
        let base = TimeBase::ALL.into_iter().find(|base| base.symbol() == symbol).ok_or_else(unknown)?;
        Ok::<_, PyErr>(TimeUnit { base, step })
    };
    Ok(match text.split_once(':') {
        Some(("instant", of)) => Presentation::Instant(unit(of)?),
        Some(("duration", of)) => Presentation::Duration(unit(of)?),
        _ => match text {
            "number" => Presentation::Number,
            "text" => Presentation::Text,
            "bool" => Presentation::Bool,
            "complex" => Presentation::Complex,
            _ => return Err(unknown()),
        },
    })
}

pub fn show_presentation(presentation: Presentation) -> String {
    match presentation {
        Presentation::Number => "number".to_owned(),
        Presentation::Text => "text".to_owned(),
        Presentation::Bool => "bool".to_owned(),
        Presentation::Complex => "complex".to_owned(),
        Presentation::Instant(unit) => format!("instant:{unit}"),
        Presentation::Duration(unit) => format!("duration:{unit}"),
    }
}

/// What an object is: one value of a layout, or an array of such.
#[pyclass(frozen, module = "structchunk._native")]
pub struct Described(pub raw::Described);

#[pymethods]
impl Described {
    #[new]
    #[pyo3(signature = (layout, shape=None))]
    fn new(layout: &Layout, shape: Option<Vec<u64>>) -> Self {
        let layout = layout.0.clone();
        Self(match shape {
            Some(shape) => raw::Described::array(layout, shape),
            None => raw::Described::one(layout),
        })
    }

    /// Refuses an object that is not such a one.
    fn check(
        &self,
        py: Python<'_>,
        key: &Bound<'_, PyAny>,
        layout: &Layout,
        shape: Option<Vec<u64>>,
        bytes: u64,
    ) -> PyResult<()> {
        self.0.check(&keys::to_bytes(key)?, &layout.0, shape.as_deref(), bytes).or_raise(py)
    }

    #[getter]
    fn bytes(&self) -> Option<u64> {
        self.0.bytes()
    }
}
