//! Values of stored objects, for people and as JSON.

use std::fmt::{self, Write};

use super::kind::{TimeBase, TimeUnit};
use super::stored::Escaped;
use crate::key::EscapedKey;

/// An object, or part of one, as its layout says it is to be read; made by [`Layout::read`](super::Layout::read).
///
/// Displayed as in `{ position: [1.0, 2.0], id: 7 }`, with `{:#}` one field a line. Nothing of it can command a terminal.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// An unsigned integer.
    Unsigned(u64),
    /// A signed integer.
    Signed(i64),
    /// A floating point number of at most four bytes.
    Single(f32),
    /// A floating point number.
    Double(f64),
    /// True or false.
    Bool(bool),
    /// Text.
    Text(String),
    /// What should have been text and is no UTF-8.
    Bytes(Vec<u8>),
    /// Real and imaginary part.
    Complex(Box<[Value; 2]>),
    /// A point in time, since 1970.
    Instant(i64, TimeUnit),
    /// A span of time.
    Duration(i64, TimeUnit),
    /// An array.
    List {
        /// The first items.
        items: Vec<Value>,
        /// How many more there are.
        left_out: u64,
    },
    /// A struct.
    Struct {
        /// The first fields, with their names as stored.
        fields: Vec<(String, Value)>,
        /// How many more there are.
        left_out: u64,
    },
}

impl Value {
    /// The value as one line of JSON.
    ///
    /// Structs are objects, arrays and complex numbers are arrays. NaN and infinities are strings; points and spans of time
    /// are strings as when displayed. Text that is no UTF-8 is `{"bytes_hex": "..."}`. Where something was left out, the last
    /// item is `{"left_out": count}`, the last member `"left_out": count`.
    pub fn json(&self) -> Json<'_> {
        Json(self)
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, indent: usize) -> fmt::Result {
        match self {
            Self::Unsigned(value) => write!(f, "{value}"),
            Self::Signed(value) => write!(f, "{value}"),
            Self::Single(value) => write!(f, "{value:?}"),
            Self::Double(value) => write!(f, "{value:?}"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Text(text) => write!(f, "{}", EscapedKey(text.as_bytes())),
            Self::Bytes(bytes) => write!(f, "{}", EscapedKey(bytes)),
            Self::Complex(parts) => {
                let [real, imaginary] = &**parts;
                let imaginary = imaginary.to_string();
                let plus = if imaginary.starts_with('-') { "" } else { "+" };
                write!(f, "{real}{plus}{imaginary}j")
            }
            Self::Instant(count, unit) => write_instant(f, *count, *unit),
            Self::Duration(i64::MIN, _) => f.write_str("NaT"),
            Self::Duration(count, unit) => write_steps(f, *count, *unit),
            Self::List { items, left_out } => {
                f.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    f.write_str(if index == 0 { "" } else { ", " })?;
                    item.write(f, indent)?;
                }
                write_left_out(f, *left_out, if items.is_empty() { "" } else { ", " })?;
                f.write_str("]")
            }
            Self::Struct { fields, left_out } => write_struct(f, fields, *left_out, indent),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, 0)
    }
}

fn write_struct(
    f: &mut fmt::Formatter<'_>,
    fields: &[(String, Value)],
    left_out: u64,
    indent: usize,
) -> fmt::Result {
    let inner = indent + 2;
    let lines = f.alternate();
    let begin = |f: &mut fmt::Formatter<'_>, width: usize| {
        if lines { write!(f, "\n{:width$}", "") } else { f.write_str(" ") }
    };
    f.write_str("{")?;
    for (index, (name, value)) in fields.iter().enumerate() {
        f.write_str(if index == 0 { "" } else { "," })?;
        begin(f, inner)?;
        write!(f, "{}: ", Escaped(name))?;
        value.write(f, inner)?;
    }
    if left_out > 0 {
        f.write_str(if fields.is_empty() { "" } else { "," })?;
        begin(f, inner)?;
        write_left_out(f, left_out, "")?;
    }
    begin(f, indent)?;
    f.write_str("}")
}

fn write_left_out(f: &mut fmt::Formatter<'_>, left_out: u64, separator: &str) -> fmt::Result {
    if left_out == 0 { Ok(()) } else { write!(f, "{separator}... {left_out} more") }
}

/// So many steps, in units: `50s` for two steps of 25 s.
fn write_steps(f: &mut fmt::Formatter<'_>, count: i64, unit: TimeUnit) -> fmt::Result {
    write!(f, "{}{}", i128::from(count) * i128::from(unit.step), unit.base.symbol())
}

/// As a date and time where the unit allows, else as steps since 1970.
fn write_instant(f: &mut fmt::Formatter<'_>, count: i64, unit: TimeUnit) -> fmt::Result {
    // numpy's "not a time".
    if count == i64::MIN {
        return f.write_str("NaT");
    }
    let (seconds, per_second, digits) = match unit.base {
        TimeBase::Week => (7 * 86_400, 1, 0),
        TimeBase::Day => (86_400, 1, 0),
        TimeBase::Hour => (3_600, 1, 0),
        TimeBase::Minute => (60, 1, 0),
        TimeBase::Second => (1, 1, 0),
        TimeBase::Millisecond => (1, 1_000, 3),
        TimeBase::Microsecond => (1, 1_000_000, 6),
        TimeBase::Nanosecond => (1, 1_000_000_000, 9),
        _ => {
            write_steps(f, count, unit)?;
            return f.write_str(" since 1970");
        }
    };
    let units = i128::from(count) * i128::from(unit.step) * seconds;
    let (second, fraction) = (units.div_euclid(per_second), units.rem_euclid(per_second));
    let (day, in_day) = (second.div_euclid(86_400), second.rem_euclid(86_400));
    let (year, month, day) = civil(day);
    write!(
        f,
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}",
        in_day / 3600,
        in_day / 60 % 60,
        in_day % 60
    )?;
    if digits > 0 {
        write!(f, ".{fraction:0digits$}")?;
    }
    f.write_str("Z")
}

/// Year, month and day of a day counted from 1970, in the Gregorian calendar (Howard Hinnant's algorithm: years begin in
/// March, so that the leap day is the last of its year).
fn civil(day: i128) -> (i128, i128, i128) {
    let day = day + 719_468;
    let (era, day) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i128::from(month <= 2), month, day)
}

/// A [`Value`] that displays as JSON.
#[derive(Debug, Clone, Copy)]
pub struct Json<'a>(&'a Value);

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Unsigned(_) | Value::Signed(_) | Value::Bool(_) => write!(f, "{}", self.0),
            Value::Single(value) if value.is_finite() => write!(f, "{value:?}"),
            Value::Double(value) if value.is_finite() => write!(f, "{value:?}"),
            Value::Single(_) | Value::Double(_) | Value::Instant(..) | Value::Duration(..) => {
                write!(f, "\"{}\"", self.0)
            }
            Value::Text(text) => write_string(f, text),
            Value::Bytes(bytes) => {
                f.write_str("{\"bytes_hex\":\"")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                f.write_str("\"}")
            }
            Value::Complex(parts) => write!(f, "[{},{}]", parts[0].json(), parts[1].json()),
            Value::List { items, left_out } => {
                f.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    write!(f, "{}{}", if index == 0 { "" } else { "," }, item.json())?;
                }
                if *left_out > 0 {
                    write!(f, "{}{{\"left_out\":{left_out}}}", if items.is_empty() { "" } else { "," })?;
                }
                f.write_str("]")
            }
            Value::Struct { fields, left_out } => {
                f.write_str("{")?;
                for (index, (name, value)) in fields.iter().enumerate() {
                    f.write_str(if index == 0 { "" } else { "," })?;
                    write_string(f, name)?;
                    write!(f, ":{}", value.json())?;
                }
                if *left_out > 0 {
                    write!(f, "{}\"left_out\":{left_out}", if fields.is_empty() { "" } else { "," })?;
                }
                f.write_str("}")
            }
        }
    }
}

fn write_string(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for c in text.chars() {
        match c {
            '"' | '\\' => write!(f, "\\{c}")?,
            '\n' => f.write_str("\\n")?,
            // Also what would reorder text on a terminal; all of it lies below 2^16.
            c if c.is_control()
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}') =>
            {
                write!(f, "\\u{:04x}", c as u32)?;
            }
            c => f.write_char(c)?,
        }
    }
    f.write_str("\"")
}

#[cfg(test)]
mod tests {
    use super::Value;
    use crate::layout::{TimeBase, TimeUnit};

    fn instant(count: i64, base: TimeBase, step: u32) -> String {
        Value::Instant(count, TimeUnit { base, step }).to_string()
    }

    #[test]
    fn points_in_time_are_dates() {
        assert_eq!(instant(0, TimeBase::Nanosecond, 1), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(instant(-1, TimeBase::Millisecond, 1), "1969-12-31T23:59:59.999Z");
        assert_eq!(instant(1_709_210_096, TimeBase::Second, 1), "2024-02-29T12:34:56Z");
        assert_eq!(instant(2, TimeBase::Day, 365), "1972-01-01T00:00:00Z");
        assert_eq!(instant(-719_529, TimeBase::Day, 1), "-001-12-31T00:00:00Z");
        assert_eq!(instant(54, TimeBase::Year, 1), "54Y since 1970");
        assert_eq!(instant(i64::MIN, TimeBase::Day, 1), "NaT");
        for extreme in [i64::MIN + 1, i64::MAX] {
            assert!(instant(extreme, TimeBase::Week, u32::MAX).ends_with('Z'));
        }
        assert_eq!(Value::Duration(-2, TimeUnit { base: TimeBase::Second, step: 25 }).to_string(), "-50s");
    }

    #[test]
    fn the_long_form_has_one_field_a_line() {
        let inner = Value::Struct { fields: vec![("x".into(), Value::Unsigned(1))], left_out: 0 };
        let list = Value::List { items: vec![inner.clone()], left_out: 0 };
        let value = Value::Struct { fields: vec![("a".into(), inner), ("b".into(), list)], left_out: 3 };
        assert_eq!(
            format!("{value:#}"),
            "{\n  a: {\n    x: 1\n  },\n  b: [{\n    x: 1\n  }],\n  ... 3 more\n}"
        );
        assert_eq!(value.json().to_string(), "{\"a\":{\"x\":1},\"b\":[{\"x\":1}],\"left_out\":3}");
    }

    #[test]
    fn odd_names_command_no_terminal() {
        let value =
            Value::Struct { fields: vec![("\u{1b}[2J\u{202e}".into(), Value::Bool(true))], left_out: 0 };
        assert_eq!(value.to_string(), "{ \\x1b[2J\\u{202e}: true }");
        assert_eq!(value.json().to_string(), "{\"\\u001b[2J\\u202e\":true}");
    }
}
