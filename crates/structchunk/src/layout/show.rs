//! Reads the bytes of an object by its stored layout, without the program that wrote them.

use super::field::{Field, FieldContent};
use super::kind::{ByteOrder, Kind, Presentation, Scalar};
use super::stored::Layout;
use super::value::Value;
use super::wrappers::F16;

/// Longest text that is read, in bytes or code points; what is beyond is left out.
const MAX_TEXT: u64 = 1 << 16;

impl Layout {
    /// Reads an object of this type: of an array (of this `shape`, outermost dimension first), or a single one (`None`).
    ///
    /// Reads at most about `limit` numbers and texts, the first ones; [`Value`] counts what was left out. Only the bytes that
    /// are read are touched, so this is quick also for large sparse arrays.
    ///
    /// `None` when the bytes are not as many as type and shape need.
    pub fn read(&self, bytes: &[u8], shape: Option<&[u64]>, limit: usize) -> Option<Value> {
        self.read_from(&bytes, shape, limit)
    }

    /// [`Layout::read`] of bytes that need not be in one's own memory.
    pub(crate) fn read_from(&self, bytes: &dyn Source, shape: Option<&[u64]>, limit: usize) -> Option<Value> {
        let shape = shape.unwrap_or(&[]);
        let elements = shape.iter().try_fold(1_u64, |product, &length| product.checked_mul(length))?;
        if elements.checked_mul(self.size())? != bytes.length() {
            return None;
        }
        let mut budget = Budget(limit);
        match (self.scalar(), self.fields()) {
            (Some(scalar), [field]) => {
                let element = Element::Scalar(scalar, field.presentation());
                array(bytes, 0, shape, &element, &mut budget)
            }
            _ => array(bytes, 0, shape, &Element::Struct(self), &mut budget),
        }
    }
}

/// The bytes of an object, wherever they are.
pub(crate) trait Source {
    /// How many there are.
    fn length(&self) -> u64;

    /// Copies bytes from `at` on; `None` when they are not all there.
    fn copy_out(&self, at: u64, target: &mut [u8]) -> Option<()>;
}

impl Source for &[u8] {
    fn length(&self) -> u64 {
        self.len() as u64
    }

    fn copy_out(&self, at: u64, target: &mut [u8]) -> Option<()> {
        let at = usize::try_from(at).ok()?;
        target.copy_from_slice(self.get(at..at.checked_add(target.len())?)?);
        Some(())
    }
}

/// How much more may be read: what a file describes can unfold to more than there is memory.
struct Budget(usize);

impl Budget {
    fn take(&mut self) -> bool {
        let left = self.0 > 0;
        self.0 = self.0.saturating_sub(1);
        left
    }
}

/// What an array consists of.
enum Element<'a> {
    Scalar(Scalar, Presentation),
    Struct(&'a Layout),
}

impl Element<'_> {
    fn size(&self) -> u64 {
        match self {
            Self::Scalar(scalar, _) => scalar.kind().size() as u64,
            Self::Struct(layout) => layout.size(),
        }
    }
}

/// Reads an array of any number of dimensions, none included.
fn array(
    bytes: &dyn Source,
    at: u64,
    shape: &[u64],
    element: &Element<'_>,
    budget: &mut Budget,
) -> Option<Value> {
    let Some((&length, inner)) = shape.split_first() else {
        return match element {
            Element::Scalar(scalar, presentation) => {
                budget.take();
                number(bytes, at, *scalar, *presentation)
            }
            Element::Struct(layout) => structure(bytes, at, layout, budget),
        };
    };
    if let (Element::Scalar(scalar, presentation), []) = (element, inner) {
        match presentation {
            Presentation::Text if presentation.fits(scalar.kind(), Some(length)) => {
                budget.take();
                return text(bytes, at, length, *scalar);
            }
            Presentation::Complex if presentation.fits(scalar.kind(), Some(length)) => {
                budget.take();
                let part = |at| number(bytes, at, *scalar, Presentation::Number);
                return Some(Value::Complex(Box::new([part(at)?, part(at + element.size())?])));
            }
            _ => (),
        }
    }
    let stride = inner.iter().try_fold(element.size(), |product, &length| product.checked_mul(length))?;
    let mut items = Vec::new();
    let mut index = 0;
    // One level costs something too: an array of length 1 in an array of length 1 and so on.
    while index < length && budget.take() {
        items.push(array(bytes, at + index * stride, inner, element, budget)?);
        index += 1;
    }
    Some(Value::List { items, left_out: length - index })
}

fn structure(bytes: &dyn Source, at: u64, layout: &Layout, budget: &mut Budget) -> Option<Value> {
    let mut fields = Vec::new();
    for field in layout.fields() {
        if !budget.take() {
            break;
        }
        fields.push((field.name().to_owned(), read_field(bytes, at, field, budget)?));
    }
    let left_out = (layout.fields().len() - fields.len()) as u64;
    Some(Value::Struct { fields, left_out })
}

fn read_field(bytes: &dyn Source, at: u64, field: &Field, budget: &mut Budget) -> Option<Value> {
    let offset = at + field.offset();
    match field.content() {
        FieldContent::Scalar(scalar) => {
            let element = Element::Scalar(*scalar, field.presentation());
            array(bytes, offset, field.shape(), &element, budget)
        }
        FieldContent::Nested(layout) => array(bytes, offset, field.shape(), &Element::Struct(layout), budget),
        FieldContent::Bits { width, signed, order } => {
            let value = bits(bytes, at, field.first_bit(), *width, *order)?;
            Some(if field.presentation() == Presentation::Bool {
                Value::Bool(value != 0)
            } else if *signed {
                let unused = 64 - u32::from(*width);
                Value::Signed((value << unused).cast_signed() >> unused)
            } else {
                Value::Unsigned(value)
            })
        }
    }
}

fn bits(bytes: &dyn Source, at: u64, first: u64, width: u8, order: ByteOrder) -> Option<u64> {
    let mut value = 0;
    for index in 0..u64::from(width) {
        let bit = first + index;
        let mut byte = [0];
        bytes.copy_out(at + bit / 8, &mut byte)?;
        let [byte] = byte;
        match order {
            ByteOrder::Little => value |= u64::from(byte >> (bit % 8) & 1) << index,
            ByteOrder::Big => value = value << 1 | u64::from(byte >> (7 - bit % 8) & 1),
        }
    }
    Some(value)
}

/// The bytes of a number, as a little-endian one.
fn raw(bytes: &dyn Source, at: u64, scalar: Scalar) -> Option<u64> {
    let size = scalar.kind().size();
    let mut little = [0; 8];
    let target = little.get_mut(..size)?;
    bytes.copy_out(at, target)?;
    if scalar.order() == Some(ByteOrder::Big) {
        target.reverse();
    }
    Some(u64::from_le_bytes(little))
}

fn number(bytes: &dyn Source, at: u64, scalar: Scalar, presentation: Presentation) -> Option<Value> {
    let raw = raw(bytes, at, scalar)?;
    let unused = 64 - 8 * scalar.kind().size() as u32;
    let signed = (raw << unused).cast_signed() >> unused;
    Some(match (scalar.kind(), presentation) {
        (Kind::U1, Presentation::Bool) => Value::Bool(raw != 0),
        (Kind::I8, Presentation::Instant(unit)) => Value::Instant(signed, unit),
        (Kind::I8, Presentation::Duration(unit)) => Value::Duration(signed, unit),
        (Kind::U1 | Kind::U2 | Kind::U4 | Kind::U8, _) => Value::Unsigned(raw),
        (Kind::I1 | Kind::I2 | Kind::I4 | Kind::I8, _) => Value::Signed(signed),
        (Kind::F2, _) => Value::Single(F16::from_bits(raw as u16).to_f32()),
        (Kind::F4, _) => Value::Single(f32::from_bits(raw as u32)),
        (Kind::F8, _) => Value::Double(f64::from_bits(raw)),
    })
}

/// Text ends at the first zero or with the array.
fn text(bytes: &dyn Source, at: u64, length: u64, scalar: Scalar) -> Option<Value> {
    let cut = length.min(MAX_TEXT);
    let mut left_out = length - cut;
    let units = (0..cut).map(|index| raw(bytes, at + index * scalar.kind().size() as u64, scalar));
    let mut taken = Vec::new();
    for unit in units {
        let unit = unit?;
        if unit == 0 {
            left_out = 0;
            break;
        }
        taken.push(unit as u32);
    }
    let mut text = if scalar.kind() == Kind::U4 {
        taken.iter().map(|&unit| char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    } else {
        match String::from_utf8(taken.iter().map(|&unit| unit as u8).collect()) {
            Ok(text) => text,
            Err(error) => return Some(Value::Bytes(error.into_bytes())),
        }
    };
    if left_out > 0 {
        text.push('…');
    }
    Some(Value::Text(text))
}

#[cfg(test)]
mod tests {
    use super::bits;
    use crate::{Bool, ByteOrder, F16, Field, FieldContent, Kind, Layout, Object, Presentation, Scalar};
    use zerocopy::big_endian;

    #[derive(Object)]
    #[repr(C)]
    struct Everything {
        unsigned: u64,
        signed: i16,
        half: F16,
        single: f32,
        double: f64,
        big: big_endian::I32,
        flag: Bool,
        #[object(text)]
        name: [u8; 3],
        #[object(complex)]
        z: [[f64; 2]; 2],
        #[object(instant = "s")]
        when: i64,
        inner: [Inner; 2],
    }

    #[derive(Object)]
    #[repr(C)]
    struct Inner {
        a: u8,
        b: [i8; 3],
    }

    fn everything() -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(u64::MAX.to_le_bytes());
        bytes.extend((-2_i16).to_le_bytes());
        bytes.extend(F16::from_f32(0.5).to_bits().to_le_bytes());
        bytes.extend(0.1_f32.to_le_bytes());
        bytes.extend(f64::NAN.to_le_bytes());
        bytes.extend((-7_i32).to_be_bytes());
        bytes.extend([2, b'"', b'\n', 0]);
        bytes.extend([1.0_f64, -2.0, 0.0, 1e300].into_iter().flat_map(f64::to_le_bytes));
        bytes.extend(951_782_400_i64.to_le_bytes());
        bytes.extend([1, 2, 3, 0xff, 4, 5, 6, 0x80]);
        bytes
    }

    #[test]
    fn an_object_is_read_by_its_stored_layout_alone() {
        let layout = Layout::decode(&Layout::from(Everything::ELEMENT).encode().unwrap()).unwrap();
        let value = layout.read(&everything(), None, 1000).unwrap();
        assert_eq!(
            value.to_string(),
            "{ unsigned: 18446744073709551615, signed: -2, half: 0.5, single: 0.1, double: NaN, big: -7, flag: true, \
             name: \"\\\"\\x0a\", z: [1.0-2.0j, 0.0+1e300j], when: 2000-02-29T00:00:00Z, \
             inner: [{ a: 1, b: [2, 3, -1] }, { a: 4, b: [5, 6, -128] }] }"
        );
        assert_eq!(
            value.json().to_string(),
            "{\"unsigned\":18446744073709551615,\"signed\":-2,\"half\":0.5,\"single\":0.1,\"double\":\"NaN\",\"big\":-7,\
             \"flag\":true,\"name\":\"\\\"\\n\",\"z\":[[1.0,-2.0],[0.0,1e300]],\"when\":\"2000-02-29T00:00:00Z\",\
             \"inner\":[{\"a\":1,\"b\":[2,3,-1]},{\"a\":4,\"b\":[5,6,-128]}]}"
        );
        assert!(layout.read(&everything()[1..], None, 1000).is_none());
        assert!(layout.read(&[everything(), vec![0]].concat(), None, 1000).is_none());
        assert!(layout.read(&everything(), Some(&[2]), 1000).is_none());
        assert!(layout.read(&everything(), Some(&[u64::MAX, u64::MAX]), 1000).is_none());
    }

    #[test]
    fn what_is_too_much_is_counted_instead_of_read() {
        let layout = Layout::from(u16::ELEMENT);
        let bytes = vec![7; 2 * 3 * 100];
        let value = layout.read(&bytes, Some(&[3, 100]), 4).unwrap();
        assert_eq!(value.to_string(), "[[1799, 1799, ... 98 more], ... 2 more]");
        let value = Layout::from(Everything::ELEMENT).read(&everything(), None, 2).unwrap();
        assert_eq!(value.to_string(), "{ unsigned: 18446744073709551615, ... 10 more }");
    }

    #[test]
    fn a_layout_that_unfolds_without_end_is_read_within_the_limit() {
        let mut layout = Layout::of_scalar("u1", Scalar::native(Kind::U1), Presentation::Number);
        for _ in 0..31 {
            let field =
                |name| Field::new(name, 0, FieldContent::Nested(layout.clone())).with_shape(vec![1; 32]);
            layout = Layout::new("T", 1, 1, vec![field("a"), field("b")]).unwrap();
        }
        let layout = Layout::decode(&layout.encode().unwrap()).unwrap();
        let text = layout.read(&[1], None, 10_000).unwrap().to_string();
        assert!(text.len() < 1_000_000, "{}", text.len());
        assert_eq!(format!("{layout:?}").len(), format!("Layout(\"T\", {})", layout.fingerprint()).len());
    }

    #[test]
    fn bits_are_counted_from_the_end_that_their_order_says() {
        assert_eq!(bits(&[0b0101_1000, 0b0000_0001].as_slice(), 0, 3, 6, ByteOrder::Little), Some(0b10_1011));
        assert_eq!(bits(&[0b0101_1000, 0b1000_0000].as_slice(), 0, 3, 6, ByteOrder::Big), Some(0b11_0001));
        assert_eq!(bits(&[0xff].as_slice(), 0, 3, 6, ByteOrder::Little), None);

        let content = |signed| FieldContent::Bits { width: 3, signed, order: ByteOrder::Little };
        let fields = vec![
            Field::at_bit("u", 1, content(false)),
            Field::at_bit("i", 1, content(true)),
            Field::at_bit("b", 1, content(true)).with_presentation(Presentation::Bool),
        ];
        let layout = Layout::new("Bits", 1, 1, fields).unwrap();
        assert_eq!(layout.read(&[0b1010], None, 10).unwrap().to_string(), "{ u: 5, i: -3, b: true }");
    }

    #[test]
    fn text_that_is_no_utf8_is_shown_as_bytes_and_code_points_are_text() {
        let text = |kind, length, bytes: &[u8]| {
            let field = Field::new("t", 0, FieldContent::Scalar(Scalar::native(kind)))
                .with_shape(vec![length])
                .with_presentation(Presentation::Text);
            let layout = Layout::new("T", bytes.len() as u64, 1, vec![field]).unwrap();
            layout.read(bytes, None, 10).unwrap()
        };
        let odd = text(Kind::U1, 3, &[b'a', 0xff, 0]);
        assert_eq!(odd.to_string(), "{ t: \"a\\xff\" }");
        assert_eq!(odd.json().to_string(), "{\"t\":{\"bytes_hex\":\"61ff\"}}");
        assert_eq!(
            text(Kind::U4, 2, &[0xe9, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]).to_string(),
            "{ t: \"é\u{fffd}\" }"
        );
    }
}
