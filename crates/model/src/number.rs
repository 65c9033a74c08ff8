//! Parses and formats numbers like Python.

use std::fmt::Write as _;

/// `int(text)`: surrounding white space, a sign and single underscores between digits are allowed.
/// `None` is a `ValueError`, or a number beyond 128 bits.
#[must_use]
pub fn parse_int(text: &str) -> Option<i128> {
    let text = text.trim();
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let number: i128 = without_underscores(digits).filter(|d| d.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()?;
    Some(if negative { -number } else { number })
}

/// `float(text)`: as [`parse_int`], with a fraction, an exponent, and `nan`, `inf` and `infinity` in any case.
#[must_use]
pub fn parse_float(text: &str) -> Option<f64> {
    without_underscores(text.trim())?.parse().ok()
}

/// Python allows underscores only between two digits.
fn without_underscores(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let digit = |index: Option<usize>| index.and_then(|i| bytes.get(i)).is_some_and(u8::is_ascii_digit);
    let well_placed =
        (0..bytes.len()).all(|i| bytes[i] != b'_' || (digit(i.checked_sub(1)) && digit(i.checked_add(1))));
    (well_placed && !text.is_empty()).then(|| text.replace('_', ""))
}

/// `repr()` of a float: `0.5`, `1e-05`, `1e+16`, `nan`, `-inf`.
#[must_use]
pub fn float_repr(number: f64) -> String {
    if !number.is_finite() {
        return match number {
            n if n.is_nan() => "nan",
            n if n > 0.0 => "inf",
            _ => "-inf",
        }
        .to_owned();
    }
    let shortest = format!("{number:e}");
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        return format!("{number:?}");
    }
    let mut out = mantissa.to_owned();
    let sign = if exponent < 0 { '-' } else { '+' };
    // Writing to a string cannot fail.
    let _ = write!(out, "e{sign}{:02}", exponent.unsigned_abs());
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn integers_are_read_as_python_reads_them() {
        for (text, number) in [("12", 12), (" 12\n", 12), ("+1_000", 1000), ("-0", 0), ("0007", 7)] {
            assert_eq!(parse_int(text), Some(number), "{text:?}");
        }
        for text in ["", " ", "1.0", "1e3", "_1", "1_", "1__0", "0x1", "--1", "+", "abc"] {
            assert_eq!(parse_int(text), None, "{text:?}");
        }
    }

    #[test]
    fn floats_are_read_as_python_reads_them() {
        for (text, number) in [("1.5", 1.5), (" -1e3\t", -1000.0), (".5", 0.5), ("5.", 5.0), ("1_0.0_1", 10.01)] {
            assert_eq!(parse_float(text), Some(number), "{text:?}");
        }
        assert_eq!(parse_float("-INFINITY"), Some(f64::NEG_INFINITY));
        assert!(parse_float("NaN").is_some_and(f64::is_nan));
        for text in ["", "abc", "1,5", "_1.0", "1._5", "1e", "0x1p3"] {
            assert_eq!(parse_float(text), None, "{text:?}");
        }
    }

    #[test]
    fn floats_are_written_as_python_writes_them() {
        for (number, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (0.1, "0.1"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.797_693_134_862_315_7e308, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
            (f64::NAN, "nan"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(float_repr(number), text);
        }
    }

    proptest! {
        #[test]
        fn a_written_float_reads_back(bits: u64) {
            let number = f64::from_bits(bits);
            prop_assume!(!number.is_nan());
            prop_assert_eq!(parse_float(&float_repr(number)).map(f64::to_bits), Some(bits));
        }
    }
}
