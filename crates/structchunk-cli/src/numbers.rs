//! Numbers as people read them.
#![expect(clippy::cast_precision_loss, reason = "three digits are shown")]

use std::time::Duration;

/// With a comma between thousands: `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `1 object`, `2 objects`.
pub fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(number), if number == 1 { one } else { many })
}

/// In the largest binary unit that leaves something before the point: `1.5 MiB`.
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if number < 1024 {
        return format!("{number} bytes");
    }
    let step = (number.ilog2() / 10).min(UNITS.len() as u32);
    let value = number as f64 / (1_u64 << (10 * step)) as f64;
    let digits = usize::from(value < 100.0 && value.fract() != 0.0);
    format!("{value:.digits$} {}", UNITS[step as usize - 1])
}

/// With three digits: `1.23 s`, `45.6 ms`, `789 ns`.
pub fn duration(time: Duration) -> String {
    let nanoseconds = time.as_nanos() as f64;
    let (value, unit) = match nanoseconds {
        n if n < 1e3 => (n, "ns"),
        n if n < 1e6 => (n / 1e3, "µs"),
        n if n < 1e9 => (n / 1e6, "ms"),
        n => (n / 1e9, "s"),
    };
    three_digits(value, unit)
}

/// How many a second: `12.3 M/s`.
pub fn rate(count: u64, time: Duration) -> String {
    let (value, unit) = match per_second(count, time) {
        n if n < 1e3 => (n, "/s"),
        n if n < 1e6 => (n / 1e3, "k/s"),
        n if n < 1e9 => (n / 1e6, "M/s"),
        n => (n / 1e9, "G/s"),
    };
    three_digits(value, unit)
}

/// How many a second.
pub fn per_second(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64().max(1e-9)
}

/// How long one of them took.
pub fn each(count: u64, time: Duration) -> String {
    duration(time.div_f64(count.max(1) as f64))
}

fn three_digits(value: f64, unit: &str) -> String {
    let digits = match value {
        v if v < 10.0 => 2,
        v if v < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_have_units() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(counted(1, "type", "types"), "1 type");
        assert_eq!(bytes(1023), "1023 bytes");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(256 << 20), "256 MiB");
        assert_eq!(bytes(u64::MAX), "16 EiB");
        assert_eq!(duration(Duration::from_nanos(789)), "789 ns");
        assert_eq!(duration(Duration::from_micros(45_600)), "45.6 ms");
        assert_eq!(rate(3_000_000, Duration::from_secs(2)), "1.50 M/s");
        assert_eq!(each(0, Duration::ZERO), "0.00 ns");
    }
}
