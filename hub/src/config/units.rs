//! Durations and sizes as people write them.

use std::time::Duration;

const DURATIONS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

const SIZES: [(&str, u64); 4] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// `15s`, `5m`, `250ms`, `1h`. A number without a unit says nothing.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let (_, millis) = DURATIONS.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*millis).map(Duration::from_millis)
}

/// `64KiB`, `1MiB`, or plain bytes.
pub(super) fn parse_bytes(text: &str) -> Option<usize> {
    let (number, unit) = split(text)?;
    let unit = if unit.is_empty() { "B" } else { unit };
    let (_, bytes) = SIZES.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*bytes).and_then(|bytes| usize::try_from(bytes).ok())
}

/// A duration in the largest unit that holds it exactly.
pub(super) fn show_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    show(millis, &DURATIONS)
}

/// A size in the largest unit that holds it exactly.
pub(super) fn show_bytes(bytes: usize) -> String {
    show(u64::try_from(bytes).unwrap_or(u64::MAX), &SIZES)
}

fn split(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim_start()))
}

fn show(number: u64, units: &[(&str, u64)]) -> String {
    let exact = units.iter().rev().find(|(_, size)| number != 0 && number.is_multiple_of(*size));
    let (unit, size) = exact.copied().unwrap_or((units[0].0, 1));
    format!("{}{unit}", number / size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read_back() {
        for (text, millis) in
            [("250ms", 250), ("15s", 15_000), ("5m", 300_000), ("2h", 7_200_000), ("0ms", 0)]
        {
            let duration = Duration::from_millis(millis);
            assert_eq!(parse_duration(text), Some(duration));
            assert_eq!(show_duration(duration), text);
        }
        for (text, bytes) in [("100B", 100), ("64KiB", 65_536), ("1MiB", 1 << 20), ("3GiB", 3 << 30)] {
            assert_eq!(parse_bytes(text), Some(bytes));
            assert_eq!(show_bytes(bytes), text);
        }
        assert_eq!(parse_duration("90s").map(show_duration).as_deref(), Some("90s"));
        assert_eq!(parse_bytes("1024"), Some(1_024));
    }

    #[test]
    fn what_has_two_meanings_is_refused() {
        for text in ["", "15", "s", "1.5s", "-1s", "15 parsecs", "1S", "99999999999999999999s"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
        for text in ["", "KiB", "64kb", "64KB", "-1", "1.5MiB", "99999999999GiB"] {
            assert_eq!(parse_bytes(text), None, "{text}");
        }
    }
}
