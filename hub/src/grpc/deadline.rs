//! How long a caller waits for its answer, as it says in `grpc-timeout`
//! (gRPC over HTTP/2, "Timeout").

use http::HeaderMap;
use std::time::Duration;

const HEADER: &str = "grpc-timeout";

/// Most digits of the number.
const DIGITS: usize = 8;

/// The time that the caller gives. `None`: it says nothing, or nothing that makes sense.
/// Then the hub's own patience is all there is; the caller has its clock too.
pub(super) fn given(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(HEADER)?.to_str().ok()?;
    let (number, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    if !(1..=DIGITS).contains(&number.len()) || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = number.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number) * 3_600),
        "M" => Some(Duration::from_secs(number) * 60),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(value: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, value.parse().unwrap());
        given(&headers)
    }

    #[test]
    fn each_unit_is_understood() {
        let (s, ms) = (Duration::from_secs, Duration::from_millis);
        for (value, time) in [("2H", s(7_200)), ("3M", s(180)), ("0S", s(0)), ("5m", ms(5))] {
            assert_eq!(said(value), Some(time), "{value}");
        }
        assert_eq!(said("7000u"), Some(ms(7)));
        assert_eq!(said("99999999n"), Some(Duration::from_nanos(99_999_999)));
    }

    #[test]
    fn what_makes_no_sense_is_passed_over() {
        assert_eq!(given(&HeaderMap::new()), None);
        for odd in ["", "S", "1", "1s", "-1S", "+1S", "1.5S", "123456789S", "1 S", "1SS"] {
            assert_eq!(said(odd), None, "{odd}");
        }
    }
}
