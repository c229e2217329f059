//! Numbers and texts as JavaScript turns one into the other: what JSONLogic's
//! reference does, every evaluator that agrees with it does.

use std::fmt::Write as _;

/// A number. Whole ones from JSON stay exact, so that what is hashed and shown is what
/// was written; arithmetic and comparison are JavaScript's, on doubles.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Num {
    Float(f64),
    Signed(i64),
    Unsigned(u64),
}

impl Num {
    #[expect(clippy::cast_precision_loss, reason = "as JavaScript reads a long number")]
    pub(crate) fn float(self) -> f64 {
        match self {
            Self::Float(float) => float,
            Self::Signed(whole) => whole as f64,
            Self::Unsigned(whole) => whole as f64,
        }
    }
}

impl From<&serde_json::Number> for Num {
    fn from(number: &serde_json::Number) -> Self {
        match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => Self::Signed(whole),
            (None, Some(whole)) => Self::Unsigned(whole),
            (None, None) => Self::Float(number.as_f64().unwrap_or(f64::NAN)),
        }
    }
}

/// Appends a number as JavaScript prints it (ECMA-262, Number::toString).
pub(crate) fn print(number: Num, text: &mut String) {
    // Writing to a string cannot fail.
    let _ = match number {
        Num::Signed(whole) => write!(text, "{whole}"),
        Num::Unsigned(whole) => write!(text, "{whole}"),
        Num::Float(float) => {
            print_float(float, text);
            Ok(())
        }
    };
}

fn print_float(float: f64, text: &mut String) {
    if float.is_nan() {
        return text.push_str("NaN");
    }
    if float.is_sign_negative() && float != 0.0 {
        text.push('-');
    }
    if float.is_infinite() {
        return text.push_str("Infinity");
    }
    // The shortest digits that are this number and no other, as JavaScript's.
    let scientific = format!("{:e}", float.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let point = exponent.parse::<i32>().unwrap_or(0) + 1;
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or(0));
    let _ = if (1..=21).contains(&point) && count <= point {
        write!(text, "{digits}{}", zeros(point - count))
    } else if (1..=21).contains(&point) {
        let (whole, rest) = digits.split_at(usize::try_from(point).unwrap_or(0));
        write!(text, "{whole}.{rest}")
    } else if (-5..=0).contains(&point) {
        write!(text, "0.{}{digits}", zeros(-point))
    } else {
        let (first, rest) = digits.split_at(1);
        let dot = if rest.is_empty() { "" } else { "." };
        write!(text, "{first}{dot}{rest}e{}{}", if point > 0 { "+" } else { "-" }, (point - 1).abs())
    };
}

/// The number that a text is as a whole (ECMA-262, StringToNumber): nothing is 0, and
/// what is no number is NaN.
pub(crate) fn whole_text(text: &str) -> f64 {
    let text = text.trim_matches(is_space);
    let radix = |digits: &str, radix| match u64::from_str_radix(digits, radix) {
        Ok(number) if !digits.starts_with('+') => Num::Unsigned(number).float(),
        _ => f64::NAN,
    };
    match text.as_bytes() {
        [] => 0.0,
        [b'0', b'x' | b'X', ..] => radix(&text[2..], 16),
        [b'0', b'o' | b'O', ..] => radix(&text[2..], 8),
        [b'0', b'b' | b'B', ..] => radix(&text[2..], 2),
        _ if decimal(text) == text.len() => decimal_value(text),
        _ => f64::NAN,
    }
}

/// The number that a text begins with (ECMA-262, parseFloat).
pub(crate) fn leading(text: &str) -> f64 {
    let text = text.trim_start_matches(is_space);
    match decimal(text) {
        0 => f64::NAN,
        end => decimal_value(&text[..end]),
    }
}

fn is_space(c: char) -> bool {
    c.is_whitespace() || c == '\u{feff}'
}

fn decimal_value(text: &str) -> f64 {
    match text.trim_start_matches(['+', '-']) {
        "Infinity" if text.starts_with('-') => f64::NEG_INFINITY,
        "Infinity" => f64::INFINITY,
        _ => text.parse().unwrap_or(f64::NAN),
    }
}

/// How many bytes at the beginning are a decimal number.
fn decimal(text: &str) -> usize {
    let bytes = text.as_bytes();
    let digits =
        |from: usize| bytes[from.min(bytes.len())..].iter().take_while(|b| b.is_ascii_digit()).count();
    let sign = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
    if text[sign..].starts_with("Infinity") {
        return sign + "Infinity".len();
    }
    let whole = digits(sign);
    let mut end = sign + whole;
    if bytes.get(end) == Some(&b'.') {
        let fraction = digits(end + 1);
        if whole + fraction == 0 {
            return 0;
        }
        end += 1 + fraction;
    } else if whole == 0 {
        return 0;
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits(end + 1 + sign);
        if exponent > 0 {
            end += 1 + sign + exponent;
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(float: f64) -> String {
        let mut text = String::new();
        print(Num::Float(float), &mut text);
        text
    }

    #[test]
    fn numbers_are_printed_as_javascript_does() {
        for (float, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (1e21, "1e+21"),
            (1e20, "100000000000000000000"),
            (123_456_789.125, "123456789.125"),
            (1.5e-6, "0.0000015"),
            (1.5e-7, "1.5e-7"),
            (5e-324, "5e-324"),
            (1.234e25, "1.234e+25"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(printed(float), text);
        }
    }

    #[test]
    fn texts_are_numbers_as_in_javascript() {
        for (text, number) in [
            ("", 0.0),
            (" 12 ", 12.0),
            ("1.", 1.0),
            (".5", 0.5),
            ("-1e3", -1e3),
            ("0x1F", 31.0),
            ("0b11", 3.0),
        ] {
            assert_eq!(whole_text(text), number, "{text:?}");
        }
        for text in ["1a", "inf", "nan", "NaN", "1_0", "--1", ".", "0x", "1 2", "e5", "0x+1"] {
            assert!(whole_text(text).is_nan(), "{text:?}");
        }
        assert_eq!(whole_text("-Infinity"), f64::NEG_INFINITY);
        assert_eq!(
            (leading(" 12abc"), leading("1.5.2"), leading("3e"), leading("-.5x")),
            (12.0, 1.5, 3.0, -0.5)
        );
        assert!(leading("").is_nan() && leading("x1").is_nan() && leading("null").is_nan());
    }
}
